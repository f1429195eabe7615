//! What kind of trouble a fault is. Pure: a fault and what was sent in, a judgement out.

use super::fault::{Cause, Fault, Outcome, SpoolFault, Stage, TokenFault};
use super::ruling::{Class, Kind, Pause, Retry, Ruling, Scope, set_up, transient};
use super::{entra, network, rules};
use crate::message::refusal::Refusal;
use crate::message::sender::is_usable;
use crate::secret::Looks;
use crate::smtp::path::Address;
use crate::smtp::reply::{EnhancedCode, Reply};

/// What was sent, as far as a verdict depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Context<'a> {
    /// The sender was `MAILSHIM_FROM`, put there by the policy, not the app's own: that it is refused is no fault of
    /// the message.
    pub from_is_ours: bool,
    /// The mailbox that signs in, for the hints; empty without one.
    pub mailbox: &'a str,
    /// The spool answers for the message, not the app: recipients may be delivered to apart from each other.
    pub spool: bool,
}

/// What a fault is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The row that decided, a stable word for logs and metrics.
    pub rule: &'static str,
    /// What it means for the message.
    pub class: Class,
    /// What it is about.
    pub scope: Scope,
    /// Whether to try again at once.
    pub retry: Retry,
    /// It is the sender that was refused: mail of another one may pass.
    pub about_sender: bool,
    /// What an administrator can do, one sentence, the mailbox filled in.
    pub hint: Option<String>,
    /// The reply's code: 5xx for [`Class::Permanent`] alone.
    pub code: u16,
    /// The reply's enhanced code, of the same class as `code` (RFC 3463 section 3.1, RFC 2034 section 4).
    pub enhanced: EnhancedCode,
}

/// What a fault is for the message that met it: its ruling, and what the ruling leaves to the context.
pub fn judge(fault: &Fault, context: &Context<'_>) -> Judgement {
    let ruling = fault.ruling();
    let (class, enhanced) = match ruling.kind {
        Kind::Always(class) => (class, ruling.enhanced),
        Kind::Sender if context.from_is_ours => (Class::SetUp, ruling.enhanced),
        Kind::Sender => (Class::Permanent, ruling.enhanced),
        Kind::RecipientCount if context.spool && ruling.code / 100 == 4 => (Class::Transient, (5, 3)),
        Kind::RecipientCount => (Class::Permanent, (5, 3)),
    };
    let code = match class {
        // What RFC 5321 section 4.3.2 lists for RCPT and mail data, with 553, which speaks of an address; syntax codes
        // would blame the app's own commands.
        Class::Permanent if matches!(ruling.code, 550..=554) => ruling.code,
        Class::Permanent if ruling.kind == Kind::RecipientCount => 550,
        Class::Permanent => 554,
        Class::SetUp if matches!(fault.stage(), Stage::Auth | Stage::Token) => 454,
        // Our own memory or disk (RFC 5321 section 4.3.2): it says that the mail itself is good.
        Class::Transient if is_without_room(fault) => 452,
        // Never 421: that would announce that the app's connection ends (RFC 5321 section 3.8).
        Class::SetUp | Class::Transient | Class::Throttled(_) => 451,
    };
    Judgement {
        rule: ruling.name,
        class,
        scope: ruling.scope,
        retry: ruling.retry,
        about_sender: ruling.kind == Kind::Sender,
        hint: hint(fault, class, context),
        code,
        enhanced: EnhancedCode(if code >= 500 { 5 } else { 4 }, enhanced.0, enhanced.1),
    }
}

fn hint(fault: &Fault, class: Class, context: &Context<'_>) -> Option<String> {
    let hint = if is_local_name(fault, class) { LOCAL_NAME } else { fault.ruling().hint };
    let mut filled = fill(hint, context)?;
    if context.spool && CHANGE_WHAT_IS_STORED.iter().any(|variable| hint.contains(variable)) {
        filled.push_str(PREPARE);
    }
    match looks(fault).filter(|_| fault.rule() == entra::SECRET_WRONG) {
        Some(looks) => Some(format!("{filled} Of the value that was sent: {looks}.")),
        None => Some(filled),
    }
}

/// Variables of the sender policy, which was applied before the mail was stored: what it did stands in the stored mail.
const CHANGE_WHAT_IS_STORED: [&str; 2] = ["MAILSHIM_FROM", "MAILSHIM_LOCAL_TO"];
/// What applies today's.
const PREPARE: &str = " After a change of the variables: mailshim queue retry --prepare ID.";

/// How the client secret looks that the token service refused; now, or the last time.
fn looks(fault: &Fault) -> Option<Looks> {
    match fault.cause() {
        Cause::Token(TokenFault::Refused { secret, .. }) => *secret,
        Cause::Remembered(fault, _) => looks(fault),
        Cause::HoldEnded(_, Some(fault)) => looks(fault),
        _ => None,
    }
}

/// For whoever sends to `root`.
const LOCAL_NAME: &str =
    "Give a full address (cron: MAILTO=you@contoso.com), or set MAILSHIM_LOCAL_TO to who gets such mail.";

/// Office 365 refused a recipient that only the app's own machine could know.
fn is_local_name(fault: &Fault, class: Class) -> bool {
    let recipient = fault.recipient().and_then(Address::parse);
    class == Class::Permanent
        && matches!(fault.cause(), Cause::Refused(_))
        && recipient.is_some_and(|recipient| !is_usable(&recipient))
}

/// Longest hint with the mailbox filled in; beyond it the placeholder stays, so that Office 365's words keep room.
const LONGEST_HINT: usize = 330;

fn fill(hint: &'static str, context: &Context<'_>) -> Option<String> {
    if hint.is_empty() {
        return None;
    }
    let filled = hint.replace("<mailbox>", context.mailbox);
    let fits = !context.mailbox.is_empty() && filled.len() <= LONGEST_HINT;
    Some(if fits { filled } else { hint.to_string() })
}

impl Fault {
    /// A fault at this stage, with its ruling: the one place where a fault is classified.
    pub fn new(stage: Stage, cause: Cause) -> Self {
        let ruling = rule_on(stage, &cause);
        Self::ruled(stage, cause, ruling)
    }

    /// Office 365 answered with this where something else was needed to go on.
    pub fn refused(stage: Stage, reply: &Reply) -> Self {
        Self::new(stage, Cause::Refused(reply.clone()))
    }
}

impl Outcome {
    /// A stable word for logs and metrics, that agrees with the reply's first digit: `accepted` 2, `refused` 5,
    /// `deferred` 4, `unknown` 4 (it may have been accepted).
    pub fn name(&self, context: &Context<'_>) -> &'static str {
        match self {
            Self::Accepted(_) => "accepted",
            Self::Queued(_) => "queued",
            Self::Failed(fault) if judge(fault, context).class == Class::Permanent => "refused",
            Self::Failed(_) => "deferred",
            Self::Unknown(_) => "unknown",
        }
    }
}

fn rule_on(stage: Stage, cause: &Cause) -> Ruling {
    // Once the content is out whole, silence is no refusal: a second copy could arrive.
    let unless_complete = if stage == Stage::Verdict { Retry::Never } else { Retry::Again };
    match cause {
        Cause::Refused(reply) if matches!(reply.code, 400..=599) => by_reply(stage, reply),
        Cause::Refused(_) | Cause::BrokenReply(_) => Ruling {
            retry: unless_complete,
            scope: Scope::Connection,
            hint: "Look whether something on the way rewrites SMTP (a firewall's inspection of port 587).",
            ..transient("broken_reply", (5, 0))
        },
        Cause::TimedOut(_) | Cause::Closed | Cause::Io(_) | Cause::TermOver => {
            network::interrupted(stage, unless_complete)
        }
        Cause::Proxy(fault) => network::egress_proxy(fault),
        Cause::Tls(fault) => network::tls(fault),
        Cause::StartTlsMissing => Ruling {
            hint: "Check MAILSHIM_UPSTREAM, and let the firewall pass port 587 without SMTP inspection: it takes STARTTLS away.",
            ..set_up("starttls_missing", (7, 4))
        },
        Cause::BytesAfterStartTls => Ruling {
            hint: "Find what writes into the connection to port 587: text in the clear behind STARTTLS is an attack or a broken proxy.",
            ..set_up("bytes_after_starttls", (7, 5))
        },
        Cause::NoUsableAuth(_) => Ruling {
            hint: "Set MAILSHIM_UPSTREAM to smtp.office365.com:587 for sign-in, or MAILSHIM_AUTH=none for a connector.",
            ..set_up("no_usable_auth", (7, 4))
        },
        // RFC 6531 section 3.5, RFC 3463 X.6.7: no address of ours can be written without the extension.
        Cause::ExtensionMissing("SMTPUTF8") => Ruling {
            kind: Kind::Always(Class::Permanent),
            scope: Scope::Message,
            hint: "Use ASCII addresses: this server takes no others.",
            code: 550,
            ..set_up("smtputf8_missing", (6, 7))
        },
        Cause::ExtensionMissing(_) => Ruling {
            hint: "Check MAILSHIM_UPSTREAM: the server lacks what Office 365 offers.",
            ..set_up("extension_missing", (3, 3))
        },
        Cause::Token(fault) => entra::rule_on(fault),
        Cause::SetUp(_) => set_up("set_up", (3, 5)),
        Cause::HoldEnded(_, last) => held(last.as_deref()),
        Cause::Remembered(fault, _) => remembered(fault.ruling()),
        Cause::WithoutFleet => Ruling {
            hint: "Bring PostgreSQL back (mailshim fleet status), or set MAILSHIM_FLEET_UNREACHABLE=share.",
            ..transient("fleet_not_reached", (3, 5))
        },
        Cause::Paced(_) => Ruling {
            kind: Kind::Always(Class::Throttled(Pause::NextMinute)),
            scope: Scope::Mailbox,
            hint: "Send less at once, or raise MAILSHIM_HOLD so that more mail can wait its turn.",
            ..transient("paced", (4, 2))
        },
        Cause::UsedUp(_) => Ruling {
            kind: Kind::Always(Class::Throttled(Pause::Day)),
            scope: Scope::Mailbox,
            hint: "Raise MAILSHIM_RECIPIENTS_PER_DAY if Office 365 allows more, or spread the mail over mailboxes.",
            ..transient("recipients_used_up", (7, 1))
        },
        Cause::TooManySenders => Ruling {
            hint: "Name fewer senders in MAILSHIM_LOGIN_AS_SENDER, or send for fewer at once.",
            ..transient("too_many_senders", (3, 2))
        },
        Cause::AppTooSlow => Ruling {
            scope: Scope::Message,
            hint: "Send the content without pauses: Office 365 ends a connection after 10 minutes.",
            ..transient("app_too_slow", (4, 2))
        },
        Cause::NoRoom => Ruling {
            hint: "Send fewer mails with long lists of recipients or long header blocks at once.",
            code: 452,
            ..transient("no_room", (3, 1))
        },
        Cause::Unsendable(refusal) => unsendable(refusal),
        Cause::Spool(fault) => spool(fault),
        Cause::ShuttingDown => transient("shutting_down", (3, 2)),
    }
}

/// RFC 5321 section 4.2.2: 452 for whatever keeps a message from being stored. Also a disk that did not say whether it
/// has it: nothing of it stays.
fn is_without_room(fault: &Fault) -> bool {
    use SpoolFault::{Disk, Full, NoSpace};
    matches!(fault.cause(), Cause::NoRoom | Cause::Spool(Full | NoSpace(_) | Disk(_)))
}

/// The app has the mail still, and tries again if it can.
const fn spool(fault: &SpoolFault) -> Ruling {
    let (name, enhanced, hint) = match fault {
        SpoolFault::Waiting => (
            "spool_waits",
            (3, 2),
            "Let the other mailshim end: two of them never use one MAILSHIM_SPOOL_DIR at once.",
        ),
        SpoolFault::Full => (
            "spool_full",
            (3, 1),
            "Find out why mail does not leave (the log, /readyz), or raise MAILSHIM_SPOOL_MAX_BYTES.",
        ),
        SpoolFault::NoSpace(_) => {
            ("spool_no_space", (3, 1), "Give the file system of MAILSHIM_SPOOL_DIR more room, or clear it.")
        }
        SpoolFault::Disk(_) => (
            "spool_disk",
            (3, 0),
            "Look at the file system of MAILSHIM_SPOOL_DIR: `mailshim check` tries it.",
        ),
    };
    Ruling { scope: Scope::Service, hint, ..transient(name, enhanced) }
}

/// What Exchange would say, where it would say something; RFC 3463 where the refusal is ours alone.
const fn unsendable(refusal: &Refusal) -> Ruling {
    let (name, code, enhanced, hint) = match refusal {
        Refusal::HeaderTooLong => ("header_too_long", 552, (3, 4), "Send fewer or shorter header fields."),
        Refusal::TooManyHops(_) | Refusal::Loop => (
            "mail_loop",
            554,
            (4, 6),
            "Find what forwards this mail back to the app: each round adds a Received field.",
        ),
        Refusal::BccShown => {
            ("bcc_shown", 554, (6, 0), "Put a blank line before the text, and nothing but fields before it.")
        }
        Refusal::Partial => ("message_partial", 554, (6, 1), "Send the message in one piece."),
        Refusal::SendersDiffer => (
            "senders_differ",
            550,
            (7, 1),
            "Give the app one sender, or leave it out of MAILSHIM_LOGIN_AS_SENDER.",
        ),
        Refusal::SenderNotAllowed(_) => (
            "sender_not_allowed",
            550,
            (7, 1),
            "Change the app's From, or add it to MAILSHIM_ALLOWED_SENDERS.",
        ),
        Refusal::SenderUnclear(_) | Refusal::NoSender => (
            "sender_unclear",
            550,
            (7, 1),
            "Let the app write one address there, such as Name <app@contoso.com>.",
        ),
    };
    let kind = Kind::Always(Class::Permanent);
    Ruling { kind, scope: Scope::Message, hint, code, ..transient(name, enhanced) }
}

fn by_reply(stage: Stage, reply: &Reply) -> Ruling {
    let rule = rules::find(stage, reply);
    let retry = if rule.fresh_token || (stage == Stage::Auth && reply.code == 535) {
        Retry::OnceWithFreshToken
    } else if reply.code >= 500 {
        Retry::Never
    } else {
        match rule.kind {
            Kind::Always(Class::Transient | Class::Throttled(Pause::Seconds | Pause::NextMinute)) => {
                Retry::Again
            }
            // A 4xx that stands until somebody acts, or for a day, will not pass within seconds.
            _ => Retry::Never,
        }
    };
    let unnamed = if stage == Stage::Auth { (7, 0) } else { (0, 0) };
    let enhanced = reply.enhanced().map_or(unnamed, |code| (code.1, code.2));
    let (name, kind, scope, hint) = (rule.name, rule.kind, rule.scope, rule.hint);
    Ruling { name, kind, scope, retry, hint, enhanced, code: reply.code }
}

/// A refusal that is repeated from memory. Never a 5xx: what was refused then may have been granted since.
fn remembered(ruling: &Ruling) -> Ruling {
    let kind = unless_permanent(ruling.kind);
    let enhanced = if kind == ruling.kind { ruling.enhanced } else { (7, 1) };
    Ruling { kind, enhanced, retry: Retry::Never, ..*ruling }
}

const fn unless_permanent(kind: Kind) -> Kind {
    match kind {
        Kind::Always(Class::Permanent) | Kind::Sender | Kind::RecipientCount => {
            Kind::Always(Class::Transient)
        }
        Kind::Always(_) => kind,
    }
}

/// The hold's end says nothing new: the last fault met while waiting does. What was tried again was not permanent.
fn held(last: Option<&Fault>) -> Ruling {
    let Some(last) = last else {
        return Ruling {
            hint: "If it lasts, raise MAILSHIM_HOLD, or let the app send less at once and try again later.",
            ..transient("hold_ended", (4, 5))
        };
    };
    let last = *last.ruling();
    Ruling { kind: unless_permanent(last.kind), retry: Retry::Never, ..last }
}
