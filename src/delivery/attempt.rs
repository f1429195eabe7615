//! One attempt to send a message: what it may cost, and how it ended.

use std::time::Duration;

use tokio::time::Instant;

use crate::message::Abandoned;
use crate::outcome::{Fault, Outcome, RecipientOutcome, Retry};

/// What one message may still cost: the time of its hold, and one fresh token.
#[derive(Clone, Copy, Debug)]
pub struct Hold {
    /// Its end.
    pub until: Instant,
    pub(super) turn_until: Instant,
    /// At the end of its hold it does not go where our own pace says no.
    pub(super) pace_binds: bool,
    pub(super) renewed: bool,
}

/// The most of the hold that is kept for getting a connection after the turn.
const MOST_TO_CONNECT: Duration = Duration::from_secs(10);

impl Hold {
    /// Begins now. The last part of it is for a connection, without which a mail that "goes at the end of its hold"
    /// would never get one.
    pub fn begin(length: Duration) -> Self {
        let until = Instant::now() + length;
        let turn_until = until - (length / 4).min(MOST_TO_CONNECT);
        Self { until, turn_until, pace_binds: false, renewed: false }
    }

    /// For a message of the spool: nobody waits for it but the others behind it.
    pub(super) fn of_the_spool() -> Self {
        Self { pace_binds: true, ..Self::begin(SPOOL_HOLD) }
    }
}

/// The hold of a message of the spool; then it waits in its file.
pub(super) const SPOOL_HOLD: Duration = Duration::from_secs(180);
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
