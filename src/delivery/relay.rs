//! A message's way to Office 365: a turn, a connection, an attempt, and another one where nothing can double.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use crate::delivery::Trail;
use crate::delivery::account::Account;
use crate::delivery::directory::Accounts;
use crate::life::Life;
use crate::message::MessageId;
use crate::message::{Abandoned, Envelope, HeldContent};
use crate::outcome::{Cause, Fault, Outcome, Retry, Stage};
use crate::smtp::path::Address;
use crate::telemetry;

/// The pause before the second attempt; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The most of the hold that is kept for getting a connection after the turn.
const MOST_TO_CONNECT: Duration = Duration::from_secs(10);

/// Sends messages through one mailbox's pool.
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
        self.accounts.of(sender).ok()?.used_up()
    }

    /// Takes a message to its outcome.
    ///
    /// # Errors
    /// The app is gone: nothing was sent.
    pub async fn send(
        &self,
        id: MessageId,
        envelope: &Envelope,
        content: &mut HeldContent<'_>,
        trail: &mut Trail,
    ) -> Result<Outcome, Abandoned> {
        let until = Instant::now() + self.hold;
        let Ok(account) = self.accounts.of(envelope.mail.reverse_path.as_ref()) else {
            return Ok(waited_in_vain(Cause::TooManySenders));
        };
        trail.mailbox = account.mailbox().to_string();
        let sender = trail.sender.clone();
        let mut last: Option<Fault> = None;
        let mut pause = FIRST_PAUSE;
        let mut renewed = false;
        loop {
            trail.attempts += 1;
            let (fault, again) = match self.attempt(&account, envelope, content, trail, until).await? {
                Attempt::Outcome(Outcome::Failed(fault)) => {
                    let again = fault.retry() == Retry::Again;
                    (fault, again)
                }
                Attempt::Outcome(outcome) => return Ok(outcome),
                Attempt::TokenRefused(fault) => (fault, !std::mem::replace(&mut renewed, true)),
                Attempt::HoldEnded => {
                    return Ok(waited_in_vain(Cause::HoldEnded(self.hold, last.map(Box::new))));
                }
                Attempt::ShuttingDown => return Ok(waited_in_vain(Cause::ShuttingDown)),
            };
            // Where content was let go, or no time is left, the fault itself is the better answer than "hold ended".
            if !again || content.rewind().is_err() || Instant::now() + pause >= until {
                let fault = if again { account.with_time(&sender, fault) } else { fault };
                return Ok(Outcome::Failed(fault));
            }
            telemetry::attempt_failed(id, trail.attempts, &fault, pause);
            last = Some(fault);
            let begun = Instant::now();
            tokio::select! {
                why = content.gone() => return Err(why),
                () = self.ending() => return Ok(waited_in_vain(Cause::ShuttingDown)),
                () = sleep(pause) => {}
            }
            trail.waited += begun.elapsed();
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One turn with one connection. Waiting and connecting end with the hold and with the app; once the dialogue has
    /// begun it has deadlines of its own.
    async fn attempt(
        &self,
        account: &Account,
        envelope: &Envelope,
        content: &mut HeldContent<'_>,
        trail: &mut Trail,
        until: Instant,
    ) -> Result<Attempt, Abandoned> {
        let begun = Instant::now();
        let sender = trail.sender.clone();
        let streamed = !content.is_complete();
        let (mut under_way, mut lease) = loop {
            let turn = tokio::select! {
                why = content.gone() => return Err(why),
                () = self.ending() => return Ok(Attempt::ShuttingDown),
                turn = account.turn(&sender, envelope.recipients.len(), self.turn_until(until)) => turn,
            };
            let under_way = match turn {
                Ok(under_way) => under_way,
                Err(fault) => {
                    trail.waited += begun.elapsed();
                    return Ok(Attempt::Outcome(Outcome::Failed(fault)));
                }
            };
            let lease = tokio::select! {
                why = content.gone() => return Err(why),
                () = self.ending() => return Ok(Attempt::ShuttingDown),
                lease = timeout_at(until, account.pool().lease(streamed)) => match lease {
                    Ok(lease) => lease,
                    Err(_) => return Ok(Attempt::HoldEnded),
                },
            };
            // Of many that wait for a connection the first may have been refused for what concerns them all: each more
            // try counts against the mailbox, and wrong passwords lock it.
            if !account.is_held_up(&sender, &under_way) {
                break (under_way, lease);
            }
        };
        let granted = Instant::now();
        trail.waited += granted - begun;
        let connection = tokio::select! {
            why = content.gone() => return Err(why),
            () = self.ending() => return Ok(Attempt::ShuttingDown),
            connection = timeout_at(until, lease.connection()) => match connection {
                Ok(Ok(connection)) => connection,
                Ok(Err(fault)) => {
                    trail.connected += granted.elapsed();
                    account.sign_in_failed(&fault);
                    return Ok(Attempt::Outcome(Outcome::Failed(fault)));
                }
                Err(_) => return Ok(Attempt::HoldEnded),
            },
        };
        if connection.is_new() {
            account.signed_in();
        }
        let connected = Instant::now();
        trail.connected += connected - granted;
        under_way.asks();
        let outcome = connection.send(envelope, content).await?;
        trail.sent = connected.elapsed();
        match &outcome {
            Outcome::Accepted(_) => account.accepted(&sender, envelope.recipients.len()),
            Outcome::Failed(fault) | Outcome::Unknown(fault) => account.failed(&sender, fault),
        }
        if let Outcome::Failed(fault) | Outcome::Unknown(fault) = &outcome
            && matches!(fault.cause(), Cause::TimedOut(_))
        {
            // What swallowed this connection without a word has swallowed the idle ones too: another attempt on one of
            // them would only use up the hold.
            account.pool().drop_idle().await;
        }
        match outcome {
            Outcome::Failed(fault)
                if fault.retry() == Retry::OnceWithFreshToken && connection.credential().is_token() =>
            {
                // The connection is signed in with the old token: neither may serve the next attempt.
                connection.retire();
                account.pool().connector().identity.refused(connection.credential());
                Ok(Attempt::TokenRefused(fault))
            }
            outcome => Ok(Attempt::Outcome(outcome)),
        }
    }

    /// Until when a mail may wait for its turn: the rest of its hold is for a connection, without which a mail that "goes
    /// at the end of its hold" would never get one.
    fn turn_until(&self, until: Instant) -> Instant {
        until - (self.hold / 4).min(MOST_TO_CONNECT)
    }

    /// Ends when nothing may wait any longer: an answer now is better than a connection that is cut.
    async fn ending(&self) {
        if self.life.clone().wait_for(|life| *life == Life::Ending).await.is_err() {
            std::future::pending().await
        }
    }
}

enum Attempt {
    /// Its verdict. Opening a connection has renewed the token already, where that could help.
    Outcome(Outcome),
    /// A mail was refused for what a new token may mend.
    TokenRefused(Fault),
    HoldEnded,
    ShuttingDown,
}

fn waited_in_vain(cause: Cause) -> Outcome {
    Outcome::Failed(Fault::new(Stage::Wait, cause))
}
