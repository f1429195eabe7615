//! What became of recipients in an attempt, and why.

use serde::{Deserialize, Serialize};

/// What became of some recipients in an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Office 365 has taken the message for them.
    Delivered,
    /// It never will.
    Refused,
    /// It may later.
    Deferred,
    /// The connection died between the last octet and the reply: it may have, and is asked again.
    Unknown,
    /// Given up at the end of the message's lifetime.
    Expired,
    /// Dropped by the operator.
    Dropped,
}

/// Why a message was not delivered, for a report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// The row of the table of replies that decided.
    pub rule: String,
    /// The enhanced status code (RFC 3463).
    pub status: String,
    /// What happened, in a sentence without what only Microsoft's support can read.
    pub words: String,
    /// The reply, where the other side gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
}
