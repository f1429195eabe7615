//! The words of a ruling: what kind of trouble it is, whom it concerns, whether another attempt makes sense.

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

/// Who is to blame, where that depends on the [`Context`](super::Context).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Always this.
    Always(Class),
    /// The sender was refused: the message's fault if the app chose it, a set-up fault if `MAILSHIM_FROM` did.
    Sender,
    /// Too many recipients. An app that retries the same mail meets the same limit; the spool can split it.
    RecipientCount,
}

/// A row's verdict, before it is known what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// It passes by itself, and says nothing about the message.
pub(super) const fn transient(name: &'static str, enhanced: (u16, u16)) -> Ruling {
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

/// An administrator must act.
pub(super) const fn set_up(name: &'static str, enhanced: (u16, u16)) -> Ruling {
    Ruling { kind: Kind::Always(Class::SetUp), ..transient(name, enhanced) }
}
