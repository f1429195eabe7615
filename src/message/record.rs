//! What is told of a message's way.

use std::time::Duration;

use super::repair::Note;

/// What is told of one message's way, in its one log line. Output only: nothing is decided by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryRecord {
    /// The Message-ID: the app's, or the one that was added.
    pub message_id: Option<String>,
    /// Octets of canonical content that came.
    pub octets: u64,
    /// From the beginning of the content until it was whole, or as much as is held.
    pub received: Duration,
    /// Waiting for a connection's turn and between attempts.
    pub waited: Duration,
    /// Opening connections: name, TCP, TLS, token, sign-in.
    pub connected: Duration,
    /// From MAIL to the verdict, last attempt.
    pub sent: Duration,
    /// From the beginning of the content to the verdict.
    pub total: Duration,
    /// Attempts that were made.
    pub attempts: u32,
    /// What was changed before it was sent.
    pub changes: Vec<Note>,
    /// Office 365 may have had it before this attempt.
    pub possible_duplicate: bool,
}
