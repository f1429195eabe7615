//! The two ways to answer for a message: the one place that decides between them.

use super::intake::Intake;
use super::relay::Relay;
use crate::message::prepare::Prepared;
use crate::message::{Abandoned, DeliveryRecord, Envelope, HeldContent, Message};
use crate::outcome::{Context, Outcome};
use crate::smtp::path::Address;
use crate::smtp::reply::Reply;

/// Who answers for a message from here.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// Office 365's own reply is the app's.
    Direct(Relay),
    /// The spool has it, durable, and delivers it behind the app's 250.
    Spooled(Intake),
}

impl Delivery {
    /// Takes a message to its outcome, or finds that nobody waits for one: then the app is gone, or its content will not
    /// become whole, and nothing was sent. The record says what it took. `given` is the envelope that the app gave.
    pub async fn deliver(
        &self,
        given: &Envelope,
        prepared: &Prepared,
        content: &mut HeldContent<'_>,
    ) -> (Result<Outcome, Abandoned>, DeliveryRecord) {
        let mut record = DeliveryRecord::default();
        let outcome = match self {
            Self::Direct(relay) => relay.send(&prepared.message, content, &mut record).await,
            Self::Spooled(intake) => intake.take(given, prepared, content).await,
        };
        (outcome, record)
    }

    /// Whether mail can be taken at all; what a new connection hears if not.
    pub fn is_open(&self) -> bool {
        match self {
            Self::Direct(_) => true,
            Self::Spooled(intake) => intake.is_open(),
        }
    }

    /// The reply to a MAIL whose message could not be sent today. A spool delays it instead.
    pub fn refuse_sender(&self, sender: Option<&Address>) -> Option<Reply> {
        match self {
            Self::Direct(relay) => {
                let fault = relay.used_up(sender)?;
                Some(Outcome::Failed(fault).to_reply(&Context::default()))
            }
            Self::Spooled(_) => None,
        }
    }

    /// What the judgement of a message's outcome depends on.
    pub fn context<'a>(&'a self, message: &'a Message) -> Context<'a> {
        let (mailbox, spool) = match self {
            Self::Direct(relay) => (relay.mailbox(message), false),
            Self::Spooled(intake) => (intake.mailbox(message), true),
        };
        Context { mailbox, from_is_ours: message.from_is_ours, spool }
    }
}
