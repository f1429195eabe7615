//! How fast streamed content must come.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::link::fault;
use crate::deadlines::Deadlines;
use crate::message::{HeldContent, Piece};
use crate::outcome::{Cause, Fault, Stage};

/// The least speed of streamed content, in octets a second: a connection is too scarce to wait for less.
const LEAST_SPEED: u64 = 64 * 1024;

/// Watches the speed of streamed content. Only the time spent on waiting for the app counts: that Office 365 is slow to
/// take content is no fault of the app's.
pub(super) struct Pace {
    /// Of waiting, for the mail as a whole.
    left: Duration,
    window: Duration,
    waited: Duration,
    octets: u64,
}

impl Pace {
    pub(super) fn new(deadlines: &Deadlines) -> Self {
        let Deadlines { stream: left, stream_window: window, .. } = *deadlines;
        Self { left, window, waited: Duration::ZERO, octets: 0 }
    }

    /// The next piece of content.
    ///
    /// # Errors
    /// The app is too slow.
    pub(super) async fn next(&mut self, content: &mut HeldContent<'_>) -> Result<Piece, Fault> {
        let begun = Instant::now();
        let until = begun + self.window.saturating_sub(self.waited).min(self.left);
        let next = timeout_at(until, content.next()).await;
        self.waited += begun.elapsed();
        self.left = self.left.saturating_sub(begun.elapsed());
        let next = match next {
            Ok(next) if !self.left.is_zero() => next,
            _ => return Err(fault(Stage::Content, Cause::AppTooSlow)),
        };
        if let Piece::Chunk(chunk) = &next {
            self.octets += chunk.len() as u64;
        }
        if self.octets >= LEAST_SPEED * self.window.as_secs().max(1) {
            (self.octets, self.waited) = (0, Duration::ZERO);
        }
        Ok(next)
    }
}
