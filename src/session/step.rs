//! What the machine and its driver say to each other.

use bytes::Bytes;

use crate::message::{Abandoned, Envelope};
use crate::smtp::path::Address;
use crate::smtp::reply::Reply;
use crate::smtp::sasl::Login;

/// What the machine needs to know of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The name in the greeting.
    pub hostname: String,
    /// SIZE, in octets.
    pub max_message_size: u64,
    /// Recipients of one transaction.
    pub max_recipients: usize,
    /// Whether the app must sign in; otherwise any credentials are accepted and forgotten.
    pub login_required: bool,
}

/// Who may send, and to whom: judged at MAIL and RCPT.
pub trait Guard: std::fmt::Debug + Send + Sync {
    /// The reply to a MAIL of this sender, if it may not send.
    fn refuse_sender(&self, sender: Option<&Address>) -> Option<Reply>;
    /// The reply to a RCPT of this recipient, if it may not be sent to.
    fn refuse_recipient(&self, recipient: &Address) -> Option<Reply>;
    /// Room for an envelope of so many octets in place of what there was; false, and nothing changes, if there is none.
    fn keep_envelope(&self, octets: usize) -> bool;
}

/// What the driver does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read the socket, then call [`Machine::received`] or [`Machine::eof`].
    NeedInput,
    /// Write this.
    Reply(Bytes),
    /// A newcomer wants to do more than look in: find it a place, then call [`Machine::seated`].
    TakePlace,
    /// Check these, then call [`Machine::signed_in`].
    SignIn(Login),
    /// DATA, or the first BDAT: the content follows.
    Begin(Envelope),
    /// Canonical content.
    Content(Bytes),
    /// The content is whole; the driver owes [`Machine::answer`], and nothing is parsed before.
    End,
    /// The content will not become whole: no answer is owed.
    Abandoned(Abandoned),
    /// Something an operator should hear of.
    Notice(Notice),
    /// Close the connection; there is no other step from here on.
    Close(Ending),
}

/// Something in the dialogue that calls for a change in the app's set-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The app asked for STARTTLS.
    StartTlsAsked,
    /// The app ended its content with a dot between line ends that are no CRLFs, and then waited in vain.
    EndNotSeen,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// QUIT.
    Quit,
    /// The app closed the connection.
    HungUp,
    /// An HTTP request came.
    Http,
    /// A TLS hello came.
    TlsHello,
    /// Too many refused commands.
    TooManyErrors,
    /// A BDAT whose size could not be read.
    OutOfStep,
    /// Nothing came for too long.
    Idle,
    /// The app sent its content too slowly.
    Cut,
    /// Silent between two transactions, it made room for another connection.
    MadeRoom,
    /// All places were taken.
    NoPlace,
    /// The shim is shutting down.
    ShuttingDown,
}

impl Ending {
    /// A stable word for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quit => "quit",
            Self::HungUp => "hung_up",
            Self::Http => "http",
            Self::TlsHello => "tls_hello",
            Self::TooManyErrors => "too_many_errors",
            Self::OutOfStep => "out_of_step",
            Self::Idle => "idle",
            Self::Cut => "cut",
            Self::MadeRoom => "made_room",
            Self::NoPlace => "no_place",
            Self::ShuttingDown => "shutting_down",
        }
    }
}
