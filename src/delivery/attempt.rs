//! How one attempt to send a message ended.

use std::time::Duration;

use crate::message::Abandoned;
use crate::outcome::{Fault, Outcome, RecipientOutcome, Retry};

/// How one attempt of a message of the spool ended, whose recipients are each for itself.
#[derive(Debug)]
pub enum Each {
    /// With what became of each, in the envelope's order.
    Done(Vec<RecipientOutcome>),
    /// Office 365 was not asked, and why: it may be in this time; in none where [`Account::opened`](super::account::Account::opened) says when.
    NotTried(Duration, Fault),
    /// The process ends.
    ShuttingDown,
    /// Its content did not become whole: nothing was sent.
    Abandoned,
}

/// How one attempt ended.
#[derive(Debug)]
pub enum Attempt {
    /// With what became of the message; another attempt would not help.
    Done(Outcome),
    /// In vain, and for certain: another attempt may pass.
    Again {
        /// Why.
        fault: Fault,
        /// How long Office 365 has paused the mailbox for, if it has.
        paused_for: Option<Duration>,
    },
    /// The hold ended while it waited.
    HoldEnded,
    /// The process ended while it waited.
    ShuttingDown,
    /// The app is gone, or its content will not become whole: nothing was sent.
    Abandoned(Abandoned),
}

impl From<Fault> for Attempt {
    fn from(fault: Fault) -> Self {
        match fault.retry() {
            Retry::Again => Self::Again { fault, paused_for: None },
            _ => Self::Done(Outcome::Failed(fault)),
        }
    }
}
