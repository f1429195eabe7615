//! What is left of a mailbox that is forgotten to make room for others.

use tokio::time::Instant;

use super::limits::KeptBack;

/// What must not be forgotten with a mailbox whose mail is kept back: a refused sign-in would be made again by whoever
/// names enough other senders, and Office 365 locks the mailbox.
#[derive(Clone, Debug)]
pub struct Left {
    /// What its limits keep back.
    pub kept_back: KeptBack,
    /// What was signed in with when that was refused, as [`Identity::fingerprint`](crate::identity::Identity::fingerprint).
    pub refused_with: Option<u64>,
}

impl Left {
    /// Whether it still holds.
    pub fn holds(&self, now: Instant) -> bool {
        self.until().is_some_and(|until| now.into_std() < until)
    }

    /// When it no longer holds.
    pub fn until(&self) -> Option<std::time::Instant> {
        self.kept_back.until()
    }
}
