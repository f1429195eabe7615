//! A message's way into the spool: the app's 250 is ours, once it is durable.

use std::sync::Arc;

use super::directory::Accounts;
use crate::message::prepare::Prepared;
use crate::message::{Abandoned, Envelope, HeldContent, Message};
use crate::outcome::{Cause, Fault, Outcome, SpoolFault, Stage};
use crate::queue::entry::{Head, Sent, StoredEnvelope};
use crate::smtp::reply::Reply;
use crate::spool::{Phase, PutFault, Store};
use crate::telemetry;

/// Takes messages into the spool.
#[derive(Clone, Debug)]
pub struct Intake {
    store: Store,
    accounts: Arc<Accounts>,
}

impl Intake {
    /// Into this spool, which delivers through these mailboxes.
    pub const fn new(store: Store, accounts: Arc<Accounts>) -> Self {
        Self { store, accounts }
    }

    /// Whether mail is taken: not while another shim has the directory.
    pub fn is_open(&self) -> bool {
        self.store.phase() != Phase::Waiting
    }

    /// The mailbox that a message will be sent through.
    pub fn mailbox<'a>(&'a self, message: &'a Message) -> &'a str {
        self.accounts.mailbox_of(message.envelope.mail.reverse_path.as_ref())
    }

    /// Takes a message: an outcome of [`Outcome::Queued`] says that it is on the disk, file and directory.
    ///
    /// # Errors
    /// The app is gone, or its content will not become whole: nothing of it stays.
    pub async fn take(
        &self,
        given: &Envelope,
        prepared: &Prepared,
        content: &mut HeldContent<'_>,
    ) -> Result<Outcome, Abandoned> {
        let message = &prepared.message;
        let head = head(given, prepared, self.store.now());
        let fault = match self.store.put(message.id.number(), &head, content).await {
            Ok(()) => return Ok(Outcome::Queued(queued(message))),
            Err(PutFault::Abandoned(why)) => return Err(why),
            Err(PutFault::Waiting) => SpoolFault::Waiting,
            Err(PutFault::Full) => SpoolFault::Full,
            Err(PutFault::Unusable(fault)) => fault,
            Err(PutFault::Disk(error)) => SpoolFault::of(&error),
        };
        if fault == SpoolFault::Full {
            telemetry::spool_full(&fault.to_string());
        }
        Ok(Outcome::Failed(Fault::new(Stage::Spool, Cause::Spool(fault))))
    }
}

fn queued(message: &Message) -> Reply {
    Reply::new(250, format!("2.0.0 queued as {}", message.id))
}

/// The first line of the message's file.
fn head(given: &Envelope, prepared: &Prepared, now: u64) -> Head {
    let message = &prepared.message;
    let mut app = StoredEnvelope::of(given);
    let envelope = StoredEnvelope::of(&message.envelope);
    if app.recipients.is_empty() {
        // They were let go, since the message has the same.
        app.recipients.clone_from(&envelope.recipients);
    }
    Head {
        id: message.id.to_string(),
        created: now,
        message_id: prepared.message_id.clone(),
        app,
        header: String::from_utf8_lossy(&prepared.header).into_owned(),
        sent: Sent {
            envelope,
            from_is_ours: message.from_is_ours,
            was_null_sender: message.was_null_sender,
            changes: prepared.changes.iter().map(|note| note.name().to_string()).collect(),
        },
        report: false,
    }
}
