//! What can go wrong on a message's way: where, why, and what that means, found once where the fault is made.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::ruling::{Retry, Ruling};
use crate::message::refusal::Refusal;
use crate::secret::Looks;
use crate::smtp::reply::{BrokenReply, Reply};

/// Where in a message's path it went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Waiting for a connection or for another attempt.
    Wait,
    /// Getting a token.
    Token,
    /// Resolving the upstream's name.
    Resolve,
    /// The TCP connection.
    Connect,
    /// The greeting.
    Greeting,
    /// EHLO, before or after STARTTLS.
    Ehlo,
    /// The STARTTLS command.
    StartTls,
    /// The TLS handshake.
    Tls,
    /// AUTH.
    Auth,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA, or content that is not yet complete.
    Content,
    /// The answer to the end of the content.
    Verdict,
    /// Taking it into the spool.
    Spool,
}

impl Stage {
    /// A stable word for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Token => "token",
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Greeting => "greeting",
            Self::Ehlo => "ehlo",
            Self::StartTls => "start_tls",
            Self::Tls => "tls",
            Self::Auth => "auth",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Content => "content",
            Self::Verdict => "verdict",
            Self::Spool => "spool",
        }
    }
}

/// Why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Office 365 said so.
    Refused(Reply),
    /// Bytes that are no reply of RFC 5321.
    BrokenReply(BrokenReply),
    /// No answer in this time.
    TimedOut(Duration),
    /// The peer closed the connection.
    Closed,
    /// The operating system's words.
    Io(String),
    /// The fleet's engine did not prolong this replica's right to the connection in time.
    TermOver,
    /// Nothing may go without the fleet's engine, which is not reached.
    WithoutFleet,
    /// The egress proxy did not open the tunnel.
    Proxy(ProxyFault),
    /// TLS failed.
    Tls(TlsFault),
    /// The server does not offer STARTTLS.
    StartTlsMissing,
    /// Bytes came in the clear behind the reply to STARTTLS (an injection, CVE-2011-0411's kind).
    BytesAfterStartTls,
    /// The server offers no AUTH mechanism that we can use; what it offers.
    NoUsableAuth(String),
    /// The message needs an extension that the server does not offer.
    ExtensionMissing(&'static str),
    /// The token service's answer.
    Token(TokenFault),
    /// Something on our side that an administrator must mend (an unreadable secret file).
    SetUp(String),
    /// The hold ended; the last fault met while waiting, if any.
    HoldEnded(Duration, Option<Box<Fault>>),
    /// Not tried: the same was refused a moment ago, and is not asked again for this long.
    Remembered(Arc<Fault>, Duration),
    /// More mail than Office 365 takes in a minute; the next turn comes in this time.
    Paced(Duration),
    /// Today's recipients are used up; more may be sent to in this time.
    UsedUp(Duration),
    /// More senders sign in as themselves at once than are kept (`MAILSHIM_LOGIN_AS_SENDER`).
    TooManySenders,
    /// The app sent its content slower than a connection can be kept for.
    AppTooSlow,
    /// No memory is left for another envelope or header block.
    NoRoom,
    /// What the app sent will never pass: Office 365 was not asked.
    Unsendable(Refusal),
    /// The spool did not take it.
    Spool(SpoolFault),
    /// The shim is shutting down.
    ShuttingDown,
}

/// Why the spool did not take a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpoolFault {
    /// Another mailshim still has the directory.
    Waiting,
    /// MAILSHIM_SPOOL_MAX_BYTES is reached.
    Full,
    /// The file system has no room or no more files: the system's words.
    NoSpace(String),
    /// The disk would not, or did not say whether it did: the system's words.
    Disk(String),
}

impl SpoolFault {
    /// What the system's error means for a message that comes.
    pub fn of(error: &io::Error) -> Self {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded => Self::NoSpace(error.to_string()),
            _ => Self::Disk(error.to_string()),
        }
    }
}

/// Why no token could be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenFault {
    /// OAuth's error response (RFC 6749 section 5.2), with Entra's own description and codes.
    Refused {
        /// HTTP status.
        status: u16,
        /// `error`.
        error: String,
        /// `error_description`, first line.
        description: String,
        /// `error_codes`: AADSTS numbers.
        codes: Vec<u32>,
        /// How the client secret looks that was sent, where one was.
        secret: Option<Looks>,
    },
    /// A status without an OAuth body (429, 5xx, a proxy's page), with Retry-After in seconds.
    Status {
        /// HTTP status.
        status: u16,
        /// Retry-After.
        retry_after: Option<Duration>,
    },
    /// Name, connection or handshake failed on the way there.
    NotReached {
        /// The token service.
        host: String,
        /// Its port.
        port: u16,
        /// What failed.
        fault: Box<Fault>,
    },
    /// The connection broke, or none could be tried: a sentence.
    Unreachable(String),
    /// The egress proxy did not open the tunnel.
    Proxy(ProxyFault),
    /// An answer that is no token response: a sentence.
    Garbage(String),
    /// No answer in this time.
    TimedOut(Duration),
}

/// Why there is no TLS, or no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsFault {
    /// The handshake with this host failed.
    Handshake {
        /// Its name, without a trailing dot.
        host: String,
        /// Why it failed.
        reason: TlsReason,
    },
    /// An alert ended the connection after the handshake: in TLS 1.3 what a server says of our certificate comes so.
    Alert(Alert),
}

/// Why a handshake failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsReason {
    /// The host is not a name that a certificate can hold.
    NoName,
    /// The certificate's authority is none of those that are trusted here.
    UnknownIssuer,
    /// The certificate is for other names.
    WrongName {
        /// The first of them, harmless to print; none where the certificate tells none.
        names: Vec<String>,
        /// There are more than these.
        and_more: bool,
    },
    /// The certificate's time is over, by this machine's clock.
    Expired {
        /// For how long.
        ago: Duration,
    },
    /// The certificate's time has not begun, by this machine's clock.
    NotYetValid {
        /// Until it begins.
        wait: Duration,
    },
    /// The certificate is not acceptable for another reason: rustls' words.
    Certificate(String),
    /// The server speaks nothing newer than TLS 1.1.
    TooOld,
    /// What came is not TLS: rustls' words.
    NotTls(String),
    /// The server ended the handshake with an alert.
    Alert(Alert),
    /// Anything else: rustls' words.
    Other(String),
}

/// A fatal alert of the server's (RFC 8446 section 6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Its name.
    pub name: String,
    /// It says something about the certificate that we showed, or did not.
    pub is_about_our_certificate: bool,
}

/// Why the egress proxy opened no tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyFault {
    /// Host and port of the proxy.
    pub proxy: String,
    /// Its reason.
    pub reason: ProxyReason,
}

/// What the egress proxy said, or did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyReason {
    /// The proxy itself is not reached.
    NotReached(Box<Fault>),
    /// No tunnel to this destination within this time.
    TimedOut(String, Duration),
    /// HTTP 407 or 401: it wants a login, or another one.
    LoginWanted(u16),
    /// HTTP 403 or 405: it does not allow CONNECT to this destination.
    NotAllowed(u16, String),
    /// Another status: it did not reach this destination.
    Status(u16, String),
    /// SOCKS5 failed.
    Socks {
        /// The library's words.
        words: String,
        /// What was asked for.
        destination: String,
        /// It refuses us, or our login.
        is_refusal: bool,
    },
    /// What it says is no answer to CONNECT: the library's words.
    Broken(String),
}

impl ProxyFault {
    /// Whether an administrator must act: the proxy refuses us.
    pub const fn is_set_up(&self) -> bool {
        matches!(
            self.reason,
            ProxyReason::LoginWanted(_)
                | ProxyReason::NotAllowed(..)
                | ProxyReason::Socks { is_refusal: true, .. }
        )
    }
}

/// Stage and cause of one failure, with the ruling that follows from them. Made by [`Fault::new`] alone, which stands
/// beside the table; nothing of it changes afterwards, so that ruling and cause cannot differ.
///
/// Boxed: a fault is the error of nearly every function on a message's way.
#[derive(Clone, PartialEq, Eq)]
pub struct Fault(Box<Parts>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts {
    stage: Stage,
    recipient: Option<String>,
    cause: Cause,
    ruling: Ruling,
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Fault {
    /// A fault whose ruling was found: for [`Fault::new`].
    pub(super) fn ruled(stage: Stage, cause: Cause, ruling: Ruling) -> Self {
        Self(Box::new(Parts { stage, recipient: None, cause, ruling }))
    }

    /// The same fault, about this recipient, as the app gave it; about none where there is none.
    #[must_use]
    pub fn about(mut self, recipient: impl Into<Option<String>>) -> Self {
        self.0.recipient = recipient.into();
        self
    }

    /// Where it went wrong.
    pub const fn stage(&self) -> Stage {
        self.0.stage
    }

    /// The recipient it was about, as the app gave it.
    pub fn recipient(&self) -> Option<&str> {
        self.0.recipient.as_deref()
    }

    /// Why it went wrong.
    pub const fn cause(&self) -> &Cause {
        &self.0.cause
    }

    /// What it means, before it is known what was sent.
    pub(super) const fn ruling(&self) -> &Ruling {
        &self.0.ruling
    }

    /// The row that decided, a stable word for logs and metrics.
    pub const fn rule(&self) -> &'static str {
        self.0.ruling.name
    }

    /// Whether and how the same message may be tried again within seconds. Never where Office 365 may have it already.
    pub const fn retry(&self) -> Retry {
        self.0.ruling.retry
    }

    /// Office 365 said no. Any other failure, a 2xx or 3xx out of place among them, says nothing of what it has.
    pub const fn is_certain(&self) -> bool {
        matches!(&self.0.cause, Cause::Refused(reply) if reply.code >= 400)
    }

    /// What TLS says, on the way to Office 365 or to the token service.
    pub fn tls(&self) -> Option<&TlsFault> {
        match &self.0.cause {
            Cause::Tls(fault) => Some(fault),
            Cause::Token(TokenFault::NotReached { fault, .. }) => fault.tls(),
            _ => None,
        }
    }

    /// How long nothing of the kind is tried, where it was not tried now.
    pub const fn opens_in(&self) -> Option<Duration> {
        match &self.0.cause {
            Cause::Remembered(_, time) | Cause::Paced(time) | Cause::UsedUp(time) => Some(*time),
            Cause::WithoutFleet => Some(Duration::from_secs(5)),
            Cause::TermOver if matches!(self.0.stage, Stage::Wait) => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// What the token service's Retry-After asks for.
    pub const fn retry_after(&self) -> Option<Duration> {
        match &self.0.cause {
            Cause::Token(TokenFault::Status { retry_after, .. }) => *retry_after,
            _ => None,
        }
    }
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Office 365 has it: its reply.
    Accepted(Reply),
    /// The spool has it, durable: our reply. Delivery comes after it.
    Queued(Reply),
    /// Office 365 does not have it, for certain.
    Failed(Fault),
    /// The content went out whole and no reply came: Office 365 may have it.
    Unknown(Fault),
}

impl Outcome {
    /// The app could not keep up with its connection: the end of its content is not waited for.
    pub const fn is_app_too_slow(&self) -> bool {
        matches!(self, Self::Failed(fault) if matches!(fault.cause(), Cause::AppTooSlow))
    }
}
