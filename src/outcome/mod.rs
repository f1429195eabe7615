//! What became of a message, and the only place where that is turned into a reply.
//!
//! A [`Fault`] says where and why, and carries its ruling from where it is made: what kind of trouble that is, whom it
//! concerns and whether to try again, by `rules` where Office 365 gave the reason, by `entra` where the token service
//! did, by `network` where neither was reached. [`judge()`] adds what depends on the message.
//! [`Outcome::to_reply`] words it for the app, `Display` for the log. `tests/golden/replies.txt` is the whole of it,
//! to be read as a document.

mod fault;
mod ruling;
mod rules;
mod entra;
mod network;
mod judge;
mod wording;
mod recipient;

pub use fault::{
    Alert, Cause, Fault, Outcome, ProxyFault, ProxyReason, SpoolFault, Stage, TlsFault, TlsReason, TokenFault,
};
pub use judge::{Context, Judgement, judge};
pub use recipient::RecipientOutcome;
pub use ruling::{Class, Pause, Retry, Scope};
pub use wording::WithoutAdvice;
