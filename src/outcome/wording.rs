//! The words: an outcome as a reply for the app, a fault as a sentence for the log.

use std::fmt::{self, Write as _};
use std::time::Duration;

use super::fault::{
    Cause, Fault, Outcome, ProxyFault, ProxyReason, SpoolFault, Stage, TlsFault, TlsReason, TokenFault,
};
use super::judge::{Context, judge};
use crate::redact::{printable, without_secrets};
use crate::smtp::reply::{EnhancedCode, Reply};

/// RFC 5321 section 4.5.3.1.5: a reply line is at most 512 octets; CRLF, the code and a space are written around this.
const LONGEST_TEXT: usize = 512 - 2 - 4;
/// An address in a reply; the log has the whole.
const LONGEST_ADDRESS: usize = 100;

impl Outcome {
    /// The app's reply: the only place where an outcome becomes one.
    ///
    /// One line of ASCII: Office 365's own words without its diagnostics, then one hint, which is never what is cut off.
    pub fn to_reply(&self, context: &Context<'_>) -> Reply {
        match self {
            Self::Queued(reply) => reply.clone(),
            Self::Accepted(reply) => Reply::new(reply.code, shorten(&plain(&reply.text()), LONGEST_TEXT)),
            Self::Unknown(fault) => {
                let text = format!(
                    "4.4.2 Office 365 may have this mail: {}",
                    without_traces(&plain(&fault.to_string()))
                );
                let text = shorten(&text, LONGEST_TEXT - DUPLICATE.len());
                Reply::new(451, text + DUPLICATE)
            }
            Self::Failed(fault) => refusal(fault, context),
        }
    }
}

const DUPLICATE: &str = " | Another attempt may deliver it twice.";

fn refusal(fault: &Fault, context: &Context<'_>) -> Reply {
    let judgement = judge(fault, context);
    let (who, words) = match fault.cause() {
        Cause::Refused(reply) if reply.code >= 400 => {
            let theirs = reply.enhanced();
            let same = reply.code == judgement.code && theirs.is_none_or(|code| code == judgement.enhanced);
            let mut who = String::from("Office 365");
            if !same {
                let _ = write!(who, " ({}", reply.code);
                let _ = theirs.map(|code| write!(who, " {code}"));
                who.push(')');
            }
            let text = reply.text();
            let text = EnhancedCode::split(&text).map_or(text.as_str(), |(_, rest)| rest);
            (who, without_command(text))
        }
        _ => ("mailshim".to_string(), fault.to_string()),
    };
    let mut text = format!("{} {who}", judgement.enhanced);
    let about_it = matches!(fault.cause(), Cause::Refused(_) | Cause::ExtensionMissing(_));
    if let Some(recipient) = fault.recipient().filter(|_| about_it) {
        let _ = write!(text, " about <{}>", shorten(&plain(recipient), LONGEST_ADDRESS));
    }
    let _ = write!(text, ": {}", without_traces(&plain(&words)));
    let hint = judgement.hint.map(|hint| format!(" | Fix: {}", clean(&hint))).unwrap_or_default();
    Reply::new(judgement.code, shorten(&text, LONGEST_TEXT - hint.len()) + &hint)
}

/// One clean line without secrets, of words that others wrote.
fn plain(text: &str) -> String {
    clean(&without_secrets(text))
}

/// Printable ASCII, single spaces.
fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !clean.is_empty() {
            clean.push(' ');
        }
        if word.is_ascii() {
            clean.push_str(word);
        } else {
            clean.extend(word.chars().map(|c| if c.is_ascii() { c } else { '?' }));
        }
    }
    clean
}

/// Cut at a word where one ends near; `text` is ASCII.
fn shorten(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_string();
    }
    let room = &text[..longest.saturating_sub(3)];
    let end = room.rfind(' ').filter(|end| room.len() - end < 40).unwrap_or(room.len());
    format!("{}...", room[..end].trim_end_matches([' ', ',', ';', ':', '.']))
}

/// Drops what only Microsoft's support can read: `[BeginDiagnosticData]…`, `[Hostname=…]`, `[HOST time id]`, and the
/// words that lead there. Other brackets stay (`Client host [192.0.2.1] blocked`).
fn without_traces(text: &str) -> String {
    let text = text.split(" Trace ID:").next().unwrap_or(text);
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('[') {
        kept.push_str(&rest[..open]);
        let inside = &rest[open + 1..];
        if inside.starts_with("BeginDiagnosticData]") {
            const END: &str = "[EndDiagnosticData]";
            rest = inside.find(END).map_or("", |end| &inside[end + END.len()..]);
            continue;
        }
        let end = inside.find(']').unwrap_or(inside.len());
        let bracket = &inside[..end];
        let after = inside.get(end + 1..).unwrap_or("");
        if !is_trace(bracket) {
            kept.push_str(&rest[..rest.len() - after.len()][open..]);
        }
        rest = after;
    }
    kept.push_str(rest);
    let kept = kept.split("; Failed to process message due to").next().unwrap_or("");
    kept.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_trace(bracket: &str) -> bool {
    let words: Vec<&str> = bracket.split_whitespace().collect();
    bracket.starts_with("Hostname=")
        || matches!(words[..], [host, time, _] if host.contains('.') && time.ends_with('Z') && time.contains('T'))
        || (bracket.len() == 16 && bracket.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// A server that took our AUTH for something else says it back: `500 5.3.3 Unrecognized command 'AUTH XOAUTH2 dXNl…'`.
fn without_command(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let Some(at) = lower.find("command '").map(|at| at + "command '".len()) else {
        return text.to_string();
    };
    let end = text[at..].rfind('\'').map_or(text.len(), |end| at + end);
    format!("{}[redacted]{}", &text[..at], &text[end..])
}

struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.subsec_millis() == 0 {
            write!(f, "{} s", self.0.as_secs())
        } else {
            write!(f, "{:.3} s", self.0.as_secs_f64())
        }
    }
}

/// What was being asked for.
const fn request(stage: Stage) -> &'static str {
    match stage {
        Stage::Wait => "the wait for a connection",
        Stage::Token => "the request for a token",
        Stage::Resolve => "the name look-up",
        Stage::Connect => "the TCP connection",
        Stage::Greeting => "the connection",
        Stage::Ehlo => "EHLO",
        Stage::StartTls => "STARTTLS",
        Stage::Tls => "the TLS handshake",
        Stage::Auth => "the sign-in",
        Stage::Mail => "the sender",
        Stage::Rcpt => "the recipient",
        Stage::Content => "the content",
        Stage::Verdict | Stage::Spool => "the message",
    }
}

/// What was being done when the connection fell silent or broke.
const fn doing(stage: Stage) -> &'static str {
    match stage {
        Stage::Wait => "waiting for a connection",
        Stage::Token => "getting a token",
        Stage::Resolve => "looking up the name",
        Stage::Connect => "connecting",
        Stage::Greeting => "waiting for the greeting",
        Stage::Ehlo => "waiting for the reply to EHLO",
        Stage::StartTls => "waiting for the reply to STARTTLS",
        Stage::Tls => "making the TLS handshake",
        Stage::Auth => "waiting for the reply to AUTH",
        Stage::Mail => "waiting for the reply to MAIL",
        Stage::Rcpt => "waiting for the reply to RCPT",
        Stage::Content => "sending the content",
        Stage::Verdict => "waiting for the answer to the whole message",
        Stage::Spool => "writing to the spool",
    }
}

impl fmt::Display for Fault {
    /// One sentence for the log, with Office 365's whole text, as its support asks for the trace identifiers. The
    /// recipient is left to the log's own field, which knows how much of an address may be shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", WithoutAdvice(self), advice(self))
    }
}

impl Fault {
    /// What happened, for a person whose mail came back: the log's sentence without what only Microsoft's support can
    /// read.
    pub fn in_plain_words(&self) -> String {
        without_traces(&printable(&WithoutAdvice(self).to_string()))
    }

    /// Office 365's refusal, now or the last time that it was asked.
    pub fn refusal(&self) -> Option<&Reply> {
        match self.cause() {
            Cause::Refused(reply) => Some(reply),
            Cause::Remembered(fault, _) => fault.refusal(),
            Cause::HoldEnded(_, Some(fault)) => fault.refusal(),
            _ => None,
        }
    }
}

/// What the log's sentence goes on to advise, where the hint has no room for it.
fn advice(fault: &Fault) -> &'static str {
    match fault.tls() {
        Some(TlsFault::Handshake { reason: TlsReason::UnknownIssuer, .. }) => {
            "; where a firewall or proxy inspects TLS, put its root certificate into a file and name that in \
             MAILSHIM_CA_FILE"
        }
        _ => "",
    }
}

/// The sentence of a fault for a reader who gets better advice: `mailshim check` has seen the certificates.
#[derive(Clone, Copy, Debug)]
pub struct WithoutAdvice<'a>(pub &'a Fault);

impl fmt::Display for WithoutAdvice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = self.0;
        let stage = fault.stage();
        match fault.cause() {
            Cause::Refused(reply) if reply.code >= 400 => {
                let text = without_command(&reply.text());
                write!(f, "Office 365 refused {}: {} {}", request(stage), reply.code, printable(&text))
            }
            Cause::Refused(reply) => {
                write!(
                    f,
                    "Office 365 gave an unexpected reply while {}: {}",
                    doing(stage),
                    printable(&reply.to_string())
                )
            }
            Cause::BrokenReply(what) => {
                write!(f, "a broken reply while {}: {}", doing(stage), printable(&what.to_string()))
            }
            Cause::TimedOut(time) => write!(f, "no answer within {} while {}", Seconds(*time), doing(stage)),
            Cause::Closed => write!(f, "Office 365 closed the connection while {}", doing(stage)),
            Cause::Io(words) => write!(f, "the network failed while {}: {}", doing(stage), printable(words)),
            Cause::Proxy(fault) => write!(f, "{fault}"),
            Cause::Tls(fault) => write!(f, "TLS failed: {fault}"),
            Cause::StartTlsMissing => {
                f.write_str("the server does not offer STARTTLS; nothing is sent in the clear")
            }
            Cause::BytesAfterStartTls => f.write_str(
                "bytes came in the clear behind the reply to STARTTLS; the connection was given up",
            ),
            Cause::NoUsableAuth(offered) if offered.trim().is_empty() => {
                f.write_str("the server offers no sign-in")
            }
            Cause::NoUsableAuth(offered) => {
                write!(f, "the server offers no sign-in that we can use, only {}", printable(offered))
            }
            Cause::ExtensionMissing("SMTPUTF8") => {
                f.write_str("the message has a non-ASCII address and the server no SMTPUTF8")
            }
            Cause::ExtensionMissing(name) => {
                write!(f, "the message needs {name}, which the server does not offer")
            }
            Cause::Token(fault) => write!(f, "{fault}"),
            Cause::SetUp(words) => f.write_str(&printable(words)),
            Cause::HoldEnded(time, None) => {
                write!(f, "the mail waited {} for its turn in vain", Seconds(*time))
            }
            Cause::HoldEnded(time, Some(last)) => {
                write!(f, "the mail waited {} in vain; at the last: {last}", Seconds(*time))
            }
            Cause::Remembered(fault, again_in) => {
                write!(
                    f,
                    "not tried for another {} s, since a moment ago: {fault}",
                    again_in.as_secs().max(1)
                )
            }
            Cause::TermOver => f.write_str(
                "this replica lost its right to the connection: the fleet's PostgreSQL did not prolong it in time",
            ),
            Cause::WithoutFleet => {
                f.write_str("the fleet's PostgreSQL is not reached, and nothing is sent without it")
            }
            Cause::Paced(again_in) => write!(
                f,
                "more mail than Office 365 takes from this mailbox in a minute; try again in {} s",
                again_in.as_secs().max(1)
            ),
            Cause::UsedUp(opens_in) => write!(
                f,
                "the recipients of these 24 hours are used up (MAILSHIM_RECIPIENTS_PER_DAY); more may be sent to in {} min",
                opens_in.as_secs().div_ceil(60).max(1)
            ),
            Cause::TooManySenders => f.write_str(
                "more senders sign in as themselves at once than mailshim keeps (MAILSHIM_LOGIN_AS_SENDER)",
            ),
            Cause::AppTooSlow => {
                f.write_str("the app sent its content slower than a connection can be kept for")
            }
            Cause::NoRoom => f.write_str("no memory is left for another envelope or header block"),
            Cause::Unsendable(refusal) => write!(f, "{refusal}"),
            Cause::Spool(fault) => write!(f, "{fault}"),
            Cause::ShuttingDown => f.write_str("mailshim is shutting down"),
        }
    }
}

impl fmt::Display for SpoolFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting => f.write_str("another mailshim still has the spool"),
            Self::Full => f.write_str("the spool is full (MAILSHIM_SPOOL_MAX_BYTES)"),
            Self::NoSpace(words) => {
                write!(f, "the spool's file system has no more room: {}", printable(words))
            }
            Self::Disk(words) => write!(f, "the spool's disk does not take the mail: {}", printable(words)),
        }
    }
}

impl fmt::Display for TokenFault {
    /// One sentence for the log, with Entra's own description.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { status, error, description, .. } => {
                let (error, description) = (printable(error), printable(description));
                write!(f, "the token service refused (HTTP {status} {error}): {description}")
            }
            Self::Status { status, .. } => write!(f, "the token service answered with HTTP {status}"),
            Self::NotReached { host, port, fault } => {
                let doing = match fault.stage() {
                    Stage::Resolve => "resolving the name",
                    Stage::Tls => "the TLS handshake",
                    _ => "connecting",
                };
                write!(
                    f,
                    "the token service was not reached: the token service at {host}:{port}: {doing}: "
                )?;
                match fault.cause() {
                    Cause::TimedOut(within) => write!(f, "no answer within {} s", within.as_secs_f32()),
                    Cause::Closed => f.write_str("the connection was closed"),
                    Cause::Io(words) => f.write_str(&printable(words)),
                    Cause::Tls(fault) => write!(f, "{fault}"),
                    _ => write!(f, "{}", WithoutAdvice(fault)),
                }
            }
            Self::Unreachable(words) => write!(f, "the token service was not reached: {}", printable(words)),
            Self::Proxy(fault) => write!(f, "{fault}"),
            Self::Garbage(words) => write!(f, "the token service's answer is no token: {}", printable(words)),
            Self::TimedOut(time) => write!(f, "no answer from the token service within {}", Seconds(*time)),
        }
    }
}

impl fmt::Display for TlsFault {
    /// What failed, and what to look at.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, reason) = match self {
            Self::Handshake { host, reason } => (host, reason),
            Self::Alert(alert) => return write!(f, "received fatal alert: {}", alert.name),
        };
        let shown = format_args!("the certificate shown for {host}");
        match reason {
            TlsReason::NoName => write!(f, "{host:?} is not a name that a certificate can hold"),
            TlsReason::UnknownIssuer => {
                write!(f, "{shown} is signed by an authority that is not trusted here")
            }
            TlsReason::WrongName { names, .. } if names.is_empty() => {
                write!(f, "{shown} is for another name")
            }
            TlsReason::WrongName { names, and_more } => {
                let more = if *and_more { ", …" } else { "" };
                write!(f, "{shown} is for other names ({}{more})", names.join(", "))
            }
            TlsReason::Expired { ago } => {
                write!(f, "{shown} expired {} ago, by this machine's clock: is the clock right?", Long(*ago))
            }
            TlsReason::NotYetValid { wait } => write!(
                f,
                "{shown} is valid only in {}, by this machine's clock: is the clock right?",
                Long(*wait)
            ),
            TlsReason::Certificate(words) => write!(f, "{shown} is not acceptable: {}", printable(words)),
            TlsReason::TooOld => {
                write!(f, "{host} does not speak TLS 1.2 or 1.3, and nothing older is accepted")
            }
            TlsReason::NotTls(words) => write!(
                f,
                "{host} did not answer with TLS ({}): is the port right, or does something in between answer?",
                printable(words)
            ),
            TlsReason::Alert(alert) => {
                write!(f, "{host} refused the handshake with the TLS alert {}", alert.name)
            }
            TlsReason::Other(words) => write!(f, "the handshake with {host} failed: {}", printable(words)),
        }
    }
}

/// A time that nobody wants to the second.
struct Long(Duration);

impl fmt::Display for Long {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            seconds @ 0..120 => write!(f, "{seconds} seconds"),
            seconds @ 120..7200 => write!(f, "{} minutes", seconds / 60),
            seconds @ 7200..172_800 => write!(f, "{} hours", seconds / 3600),
            seconds => write!(f, "{} days", seconds / 86_400),
        }
    }
}

impl fmt::Display for ProxyFault {
    /// What the egress proxy said, with its address, never with its password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the egress proxy {}: ", printable(&self.proxy))?;
        match &self.reason {
            ProxyReason::NotReached(fault) => match fault.cause() {
                Cause::Io(words) => write!(f, "it is not reached: {}", printable(words)),
                _ => write!(f, "it is not reached: {fault}"),
            },
            ProxyReason::TimedOut(to, within) => {
                write!(f, "no tunnel to {} within {} s", printable(to), within.as_secs())
            }
            ProxyReason::LoginWanted(code) => write!(
                f,
                "{code}: it wants a user name and a password, or others than MAILSHIM_EGRESS_PROXY has"
            ),
            ProxyReason::NotAllowed(code, to) => {
                write!(f, "{code}: it does not allow CONNECT to {}", printable(to))
            }
            ProxyReason::Status(code, to) => write!(f, "{code}: it did not reach {}", printable(to)),
            ProxyReason::Socks { words, destination, .. } => {
                write!(f, "{} (asked for {})", printable(words), printable(destination))
            }
            ProxyReason::Broken(words) => f.write_str(&printable(words)),
        }
    }
}
