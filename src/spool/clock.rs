//! The spool's clock.

use tokio::time::Instant;

/// Seconds since 1970 as the wall clock had them at the start, and only counted since: no jump of the wall clock makes a
/// message wait for longer or ends its life.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started_at: u64,
    started: Instant,
}

impl Clock {
    /// Starts now.
    pub fn start() -> Self {
        let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self { started_at: since_1970.unwrap_or_default().as_secs(), started: Instant::now() }
    }

    /// When it was started.
    pub const fn started_at(&self) -> u64 {
        self.started_at
    }

    /// What it shows.
    pub fn now(&self) -> u64 {
        self.started_at + self.started.elapsed().as_secs()
    }
}
