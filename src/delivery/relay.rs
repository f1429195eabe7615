//! A message's way to Office 365: an attempt, and another one where nothing can double, within its hold.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::attempt::Attempt;
use super::directory::Accounts;
use super::hold::Hold;
use super::waiting::{remembered, waiting};
use crate::life::{Life, ending};
use crate::message::{Abandoned, DeliveryRecord, HeldContent, Message};
use crate::outcome::{Cause, Fault, Outcome};
use crate::smtp::path::Address;
use crate::telemetry;

/// The pause before the second attempt; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Sends messages through the mailboxes of their senders.
#[derive(Clone, Debug)]
pub struct Relay {
    accounts: Arc<Accounts>,
    hold: Duration,
    life: watch::Receiver<Life>,
}

impl Relay {
    /// A relay that lets one message wait for `hold` in all, and for no longer than the process has to live.
    pub const fn new(accounts: Arc<Accounts>, hold: Duration, life: watch::Receiver<Life>) -> Self {
        Self { accounts, hold, life }
    }

    /// Why no mail of this sender can be sent today, if so: it is told at MAIL.
    pub fn used_up(&self, sender: Option<&Address>) -> Option<Fault> {
        self.accounts.used_up(sender)
    }

    /// The mailbox that a message is sent through.
    pub fn mailbox<'a>(&'a self, message: &'a Message) -> &'a str {
        self.accounts.mailbox_of(message.envelope.mail.reverse_path.as_ref())
    }

    /// Takes a message to its outcome.
    ///
    /// # Errors
    /// The app is gone: nothing was sent.
    pub async fn send(
        &self,
        message: &Message,
        content: &mut HeldContent<'_>,
        record: &mut DeliveryRecord,
    ) -> Result<Outcome, Abandoned> {
        let mut hold = Hold::begin(self.hold);
        let Ok(account) = self.accounts.of(message.envelope.mail.reverse_path.as_ref()) else {
            return Ok(waited_in_vain(Cause::TooManySenders));
        };
        let mut last: Option<Fault> = None;
        let mut pause = FIRST_PAUSE;
        loop {
            record.attempts += 1;
            let (fault, paused_for) = match account.attempt(message, content, &mut hold, record).await {
                Attempt::Done(outcome) => return Ok(outcome),
                Attempt::Again { fault, paused_for } => (fault, paused_for),
                Attempt::HoldEnded => {
                    return Ok(waited_in_vain(Cause::HoldEnded(self.hold, last.map(Box::new))));
                }
                Attempt::ShuttingDown => return Ok(waited_in_vain(Cause::ShuttingDown)),
                Attempt::Abandoned(why) => return Err(why),
            };
            // Where content was let go, or no time is left, the fault itself is the better answer than "hold ended".
            if content.rewind().is_err() || Instant::now() + pause >= hold.until {
                return Ok(Outcome::Failed(match paused_for {
                    Some(again_in) => remembered(fault, again_in),
                    None => fault,
                }));
            }
            telemetry::attempt_failed(message.id, record.attempts, &fault, pause);
            last = Some(fault);
            let begun = Instant::now();
            tokio::select! {
                why = content.gone() => return Err(why),
                () = ending(&self.life) => return Ok(waited_in_vain(Cause::ShuttingDown)),
                () = sleep(pause) => {}
            }
            record.waited += begun.elapsed();
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

fn waited_in_vain(cause: Cause) -> Outcome {
    Outcome::Failed(waiting(cause))
}
