//! What kind of trouble a fault is. Pure: a fault and what was sent in, a judgement out.

use super::{Cause, Fault, Stage, TokenFault, entra, rules};
use crate::message::repair::Refusal;
use crate::smtp::reply::{EnhancedCode, Reply};
use std::time::Duration;

/// How long Office 365 will go on refusing, as far as Microsoft says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pause {
    /// Too many at once: a few seconds.
    Seconds,
    /// 30 messages a minute: until the next one.
    NextMinute,
    /// A limit over 24 hours: until the window slides.
    Day,
    /// Continuous-error throttling of the whole mailbox: a time that Microsoft does not publish.
    ContinuousErrors,
}

/// What a fault means for the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// This message will never pass. The only class that is answered with 5xx.
    Permanent,
    /// It may pass later, and nobody need act.
    Transient,
    /// The message is good; an administrator must act first.
    SetUp,
    /// The message is good; too much was sent.
    Throttled(Pause),
}

impl Class {
    /// A stable word for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Permanent => "permanent",
            Self::Transient => "transient",
            Self::SetUp => "set_up",
            Self::Throttled(Pause::Seconds) => "throttled_seconds",
            Self::Throttled(Pause::NextMinute) => "throttled_next_minute",
            Self::Throttled(Pause::Day) => "throttled_day",
            Self::Throttled(Pause::ContinuousErrors) => "throttled_continuous_errors",
        }
    }
}

/// What a fault is about: another message, another recipient, another connection may fare better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// This message alone.
    Message,
    /// One recipient.
    Recipient,
    /// This connection: close it, another may do.
    Connection,
    /// Everything this mailbox sends.
    Mailbox,
    /// Everything: the tenant, the network, the token service, Office 365, this program's set-up.
    Service,
}

impl Scope {
    /// A stable word for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Recipient => "recipient",
            Self::Connection => "connection",
            Self::Mailbox => "mailbox",
            Self::Service => "service",
        }
    }
}

/// Whether another attempt within seconds makes sense and cannot double the message. The caller knows the rest: that
/// the content is still in memory, that the hold has time left, that there is a token to renew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Not now.
    Never,
    /// Yes.
    Again,
    /// One time, on a new connection with a new token.
    OnceWithFreshToken,
}

impl Retry {
    /// A stable word for logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Again => "again",
            Self::OnceWithFreshToken => "once_with_fresh_token",
        }
    }
}

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

/// Who is to blame, where that depends on the [`Context`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Always this.
    Always(Class),
    /// The sender was refused: the message's fault if the app chose it, a set-up fault if `MAILSHIM_FROM` did.
    Sender,
    /// Too many recipients. An app that retries the same mail meets the same limit; the spool can split it.
    RecipientCount,
}

/// A row's verdict, before the context is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ruling {
    pub name: &'static str,
    pub kind: Kind,
    pub scope: Scope,
    pub retry: Retry,
    pub hint: &'static str,
    /// Subject and detail of the enhanced code.
    pub enhanced: (u16, u16),
    /// Office 365's code, kept where the class allows.
    pub code: u16,
}

/// Classifies a fault: the one place where that is done.
pub fn judge(fault: &Fault, context: &Context<'_>) -> Judgement {
    let ruling = rule_on(fault);
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
        Class::SetUp if matches!(fault.stage, Stage::Auth | Stage::Token) => 454,
        // Never 421: that would announce that the app's connection ends (RFC 5321 section 3.8).
        Class::SetUp | Class::Transient | Class::Throttled(_) => 451,
    };
    Judgement {
        rule: ruling.name,
        class,
        scope: ruling.scope,
        retry: ruling.retry,
        about_sender: ruling.kind == Kind::Sender,
        hint: fill(ruling.hint, context),
        code,
        enhanced: EnhancedCode(if code >= 500 { 5 } else { 4 }, enhanced.0, enhanced.1),
    }
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
    /// Whether and how the same message may be tried again within seconds. Never where Office 365 may have it already.
    pub fn retry(&self) -> Retry {
        rule_on(self).retry
    }

    /// [`Fault::retry`] is not [`Retry::Never`].
    pub fn may_retry_now(&self) -> bool {
        self.retry() != Retry::Never
    }

    /// What the token service's Retry-After asks for.
    pub const fn retry_after(&self) -> Option<Duration> {
        match &self.cause {
            Cause::Token(TokenFault::Status { retry_after, .. }) => *retry_after,
            _ => None,
        }
    }
}

fn rule_on(fault: &Fault) -> Ruling {
    // Once the content is out whole, silence is no refusal: a second copy could arrive.
    let unless_complete = if fault.stage == Stage::Verdict { Retry::Never } else { Retry::Again };
    match &fault.cause {
        Cause::Refused(reply) if matches!(reply.code, 400..=599) => by_reply(fault.stage, reply),
        Cause::Refused(_) | Cause::BrokenReply(_) => Ruling {
            retry: unless_complete,
            scope: Scope::Connection,
            hint: "Look whether something on the way rewrites SMTP (a firewall's inspection of port 587).",
            ..transient("broken_reply", (5, 0))
        },
        Cause::TimedOut(_) | Cause::Closed | Cause::Io(_) => network(fault.stage, unless_complete),
        Cause::Proxy { is_set_up, .. } => egress_proxy(*is_set_up),
        Cause::Tls(words) => by_tls(words),
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
        Cause::Remembered(fault, _) => Ruling { retry: Retry::Never, ..rule_on(fault) },
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
        Cause::Unsendable(refusal) => unsendable(refusal),
        Cause::ShuttingDown => transient("shutting_down", (3, 2)),
    }
}

/// The egress proxy, on the way to Office 365 or to the token service.
pub(super) const fn egress_proxy(is_set_up: bool) -> Ruling {
    if is_set_up {
        return Ruling {
            hint: "Check user name and password in MAILSHIM_EGRESS_PROXY, and let the proxy allow CONNECT to smtp.office365.com:587 and login.microsoftonline.com:443.",
            ..set_up("egress_proxy_refused", (7, 0))
        };
    }
    Ruling {
        hint: "Check the address in MAILSHIM_EGRESS_PROXY, and what the proxy itself can reach.",
        retry: Retry::Again,
        ..transient("egress_proxy", (4, 1))
    }
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
        Refusal::Partial => ("message_partial", 554, (6, 1), "Send the message in one piece."),
        Refusal::SendersDiffer => (
            "senders_differ",
            550,
            (7, 1),
            "Give the app one sender, or leave it out of MAILSHIM_LOGIN_AS_SENDER.",
        ),
        Refusal::SenderNotAllowed => (
            "sender_not_allowed",
            550,
            (7, 1),
            "Change the app's From, or add it to MAILSHIM_ALLOWED_SENDERS.",
        ),
    };
    let kind = Kind::Always(Class::Permanent);
    Ruling { kind, scope: Scope::Message, hint, code, ..transient(name, enhanced) }
}

const fn transient(name: &'static str, enhanced: (u16, u16)) -> Ruling {
    Ruling {
        name,
        kind: Kind::Always(Class::Transient),
        scope: Scope::Service,
        retry: Retry::Never,
        hint: "",
        enhanced,
        code: 451,
    }
}

const fn set_up(name: &'static str, enhanced: (u16, u16)) -> Ruling {
    Ruling { kind: Kind::Always(Class::SetUp), ..transient(name, enhanced) }
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

const fn network(stage: Stage, retry: Retry) -> Ruling {
    let ruling = match stage {
        Stage::Resolve => Ruling {
            hint: "Check DNS inside the container: the upstream's name must resolve.",
            ..transient("name_not_resolved", (4, 3))
        },
        Stage::Connect => Ruling {
            hint: "Open outbound TCP port 587 to the upstream, or set MAILSHIM_EGRESS_PROXY.",
            ..transient("not_reached", (4, 1))
        },
        Stage::Tls => Ruling {
            scope: Scope::Connection,
            hint: "If it lasts, let the firewall pass port 587 without TLS inspection.",
            ..transient("tls_interrupted", (4, 2))
        },
        _ => Ruling { scope: Scope::Connection, ..transient("connection_lost", (4, 2)) },
    };
    Ruling { retry, ..ruling }
}

/// A handshake that fails for what the peer is will fail again within seconds, so none of these is tried again.
fn by_tls(words: &str) -> Ruling {
    let words = words.to_ascii_lowercase();
    let of_ours =
        ["alert: unknownca", "alert: badcertificate", "alert: certificate", "alert: unsupportedcert"];
    if of_ours.iter().any(|word| words.contains(word)) {
        return Ruling {
            hint: "Give a certificate of a public CA for an accepted domain, with all its intermediates, in MAILSHIM_TLS_CERT_FILE.",
            ..set_up("client_certificate", (7, 5))
        };
    }
    let certificate = ["certificate", "unknownissuer", "notvalidforname", "expired", "protocolversion"];
    if certificate.iter().any(|word| words.contains(word)) {
        return Ruling {
            hint: "Let the firewall pass port 587 without TLS inspection, or give its root in MAILSHIM_CA_FILE; check the clock.",
            ..set_up("certificate", (7, 5))
        };
    }
    Ruling {
        hint: "If it lasts, let the firewall pass port 587 without TLS inspection; run mailshim check.",
        ..transient("tls", (7, 5))
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
    let last = rule_on(last);
    let kind = match last.kind {
        Kind::Always(Class::Permanent) | Kind::Sender | Kind::RecipientCount => {
            Kind::Always(Class::Transient)
        }
        kind @ Kind::Always(_) => kind,
    };
    Ruling { kind, retry: Retry::Never, ..last }
}
