//! What became of one recipient, where the recipients of a message are each for itself.

use super::Outcome;

/// What became of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecipientOutcome {
    /// What became of the mail for this recipient.
    Settled(Outcome),
    /// Office 365 took no more recipients in that transaction: this one goes in another, at once. Somebody was settled in
    /// that transaction, so that this ends.
    NotTried,
}
