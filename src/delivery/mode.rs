//! The two ways to answer for a message: the one place that decides between them.

use super::relay::Relay;
use crate::message::{Abandoned, DeliveryRecord, HeldContent, Message};
use crate::outcome::{Context, Outcome};
use crate::smtp::path::Address;
use crate::smtp::reply::Reply;

/// Who answers for a message from here.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// Office 365's own reply is the app's.
    Direct(Relay),
}

impl Delivery {
    /// Takes a message to its outcome, or finds that nobody waits for one: then the app is gone, or its content will not
    /// become whole, and nothing was sent. The record says what it took.
    pub async fn deliver(
        &self,
        message: &Message,
        content: &mut HeldContent<'_>,
    ) -> (Result<Outcome, Abandoned>, DeliveryRecord) {
        let mut record = DeliveryRecord::default();
        let outcome = match self {
            Self::Direct(relay) => relay.send(message, content, &mut record).await,
        };
        (outcome, record)
    }

    /// The reply to a MAIL whose message could not be sent today.
    pub fn refuse_sender(&self, sender: Option<&Address>) -> Option<Reply> {
        let Self::Direct(relay) = self;
        let fault = relay.used_up(sender)?;
        Some(Outcome::Failed(fault).to_reply(&Context::default()))
    }

    /// What the judgement of a message's outcome depends on.
    pub fn context<'a>(&'a self, message: &'a Message) -> Context<'a> {
        let Self::Direct(relay) = self;
        Context { mailbox: relay.mailbox(message), from_is_ours: message.from_is_ours, spool: false }
    }
}
