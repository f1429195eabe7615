//! What one message may still cost.

use std::time::Duration;

use tokio::time::Instant;

/// What one message may still cost: the time of its hold, and one fresh token.
#[derive(Clone, Copy, Debug)]
pub struct Hold {
    /// Its end.
    pub until: Instant,
    /// The last moment for its turn: what is left then is for a connection.
    pub(super) turn_until: Instant,
    /// At the end of its hold it does not go where our own pace says no.
    pub(super) pace_binds: bool,
    /// Its one fresh token was used up.
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
