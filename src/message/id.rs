//! Names of a message.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Names one message in the log, unique over restarts for all practical purposes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageId(u64);

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

impl MessageId {
    /// The next one, at this time.
    pub fn next(now: SystemTime) -> Self {
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self((seconds << 20) | (NEXT_ID.fetch_add(1, Ordering::Relaxed) & 0xf_ffff))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}
