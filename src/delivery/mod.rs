//! Who answers for a message from here: the one place that decides.

pub mod relay;
pub mod account;
pub mod directory;
pub mod limits;

use std::time::Duration;

use crate::delivery::relay::Relay;
use crate::message::MessageId;
use crate::message::repair::Note;
use crate::message::{Abandoned, Envelope, HeldContent};
use crate::outcome::{Context, Outcome};
use crate::smtp::path::Address;
use crate::smtp::reply::Reply;

/// What is to be told of a message's way: for its one log line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trail {
    /// The mailbox that it was sent through.
    pub mailbox: String,
    /// Reverse-path and author as Office 365 will see them: what it refuses of one sender is remembered of that one alone.
    /// Empty where the author is not known.
    pub sender: String,
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
    /// MAILSHIM_FROM stands in From because of the policy: that it is refused is no fault of the message.
    pub from_is_ours: bool,
}

/// Who answers.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// Office 365's own reply is the app's.
    Direct(Relay),
}

impl Delivery {
    /// Takes a message to its outcome.
    ///
    /// # Errors
    /// The app is gone, or its content will not become whole: nobody waits for an answer, and nothing was sent.
    pub async fn deliver(
        &self,
        id: MessageId,
        envelope: &Envelope,
        content: &mut HeldContent<'_>,
        trail: &mut Trail,
    ) -> Result<Outcome, Abandoned> {
        match self {
            Self::Direct(relay) => relay.send(id, envelope, content, trail).await,
        }
    }

    /// The reply to a MAIL whose message could not be sent today.
    pub fn refuse_sender(&self, sender: Option<&Address>) -> Option<Reply> {
        let Self::Direct(relay) = self;
        let fault = relay.used_up(sender)?;
        Some(Outcome::Failed(fault).to_reply(&Context::default()))
    }

    /// The app's reply to an outcome.
    pub fn reply(&self, outcome: &Outcome, trail: &Trail) -> Reply {
        outcome.to_reply(&self.context(trail))
    }

    /// The outcome's word for logs and metrics.
    pub fn name(&self, outcome: &Outcome, trail: &Trail) -> &'static str {
        outcome.name(&self.context(trail))
    }

    fn context<'a>(&self, trail: &'a Trail) -> Context<'a> {
        Context { mailbox: &trail.mailbox, from_is_ours: trail.from_is_ours, spool: false }
    }
}
