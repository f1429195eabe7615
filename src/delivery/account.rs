//! A mailbox that signs in: who it is, its connections, and its turns. [`Account::attempt`] is the only door to it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::attempt::{Attempt, Each};
use super::gate::{Gate, Probe, UnderWay};
use super::hold::{Hold, SPOOL_HOLD};
use super::ledger::{Ledger, NoTime};
use super::left::Left;
use super::limits::{Breaker, Event, Limits};
use super::opening::{once_more, open};
use super::waiting::{in_vain, waiting};
use crate::fleet::Booking;
use crate::identity::Identity;
use crate::life::{Life, ending};
use crate::message::{Awaited, DeliveryRecord, HeldContent, Message};
use crate::outcome::{Cause, Class, Context, Fault, Outcome, Pause, RecipientOutcome, Retry, Stage, judge};
use crate::telemetry;
use crate::term::{self, Term};
use crate::upstream::connection::Connection;
use crate::upstream::{Lease, Pool};

/// One mailbox.
pub struct Account {
    identity: Arc<Identity>,
    pool: Pool,
    gate: Gate,
    life: watch::Receiver<Life>,
    /// What was signed in with when a sign-in was refused.
    refused_with: Mutex<Option<u64>>,
    /// Wakes [`Account::keep_ready`]: a sign-in failed.
    unready: Notify,
    /// It is a sender's own: what is refused to it says nothing about the others' mail.
    is_a_senders: bool,
}

/// How long a message of the spool waits that found no connection within its hold.
const NO_CONNECTION: Duration = Duration::from_secs(30);
/// The least that a message of the spool waits that was not tried and could be.
const LEAST_WAIT: Duration = Duration::from_secs(1);
/// How often a changed secret is looked for while mail is kept back.
const LOOK_AT_SECRET: Duration = Duration::from_secs(5);

/// The pause after the first failed sign-in of [`Account::keep_ready`]; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// Its longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

impl Account {
    /// A mailbox with its connections and its limits; a mail waits for no longer than the process has to live.
    pub fn new(
        identity: Arc<Identity>,
        pool: Pool,
        (limits, ledger): (Limits, Ledger),
        life: watch::Receiver<Life>,
    ) -> Self {
        let (gate, refused_with, unready) = (Gate::new(limits, ledger), Mutex::default(), Notify::new());
        Self { identity, pool, gate, life, refused_with, unready, is_a_senders: false }
    }

    /// What must not be forgotten with it.
    pub fn left(&self) -> Option<Left> {
        let refused_with = *self.refused_with.lock().unwrap_or_else(PoisonError::into_inner);
        self.gate.keeps_back().map(|kept_back| Left { kept_back, refused_with })
    }

    /// For a mailbox that an app names as its sender.
    #[must_use]
    pub fn of_a_sender(self) -> Self {
        Self { is_a_senders: true, ..self }
    }

    /// For one whose sign-in was refused with this before it was forgotten.
    #[must_use]
    pub fn refused_with(self, fingerprint: Option<u64>) -> Self {
        Self { refused_with: Mutex::new(fingerprint), ..self }
    }

    /// The mailbox that signs in.
    pub fn mailbox(&self) -> &str {
        self.identity.mailbox()
    }

    /// All that keeps its mail back now, for people.
    pub fn obstacles(&self) -> Vec<telemetry::Obstacle> {
        self.gate.obstacles(self.mailbox())
    }

    /// The fault of a mail that cannot be sent today, at MAIL already.
    pub fn used_up(&self) -> Option<Fault> {
        self.gate.used_up()
    }

    /// Closes all idle connections with QUIT.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// One attempt: a turn, a connection, the message; and what Office 365 said of it is learned. Waiting and connecting
    /// end with the hold, the app and the process; once the dialogue has begun it has deadlines of its own.
    pub async fn attempt(
        &self,
        message: &Message,
        content: &mut HeldContent<'_>,
        hold: &mut Hold,
        record: &mut DeliveryRecord,
    ) -> Attempt {
        let sender = message.sender.as_str();
        let attempt = self.submit(sender, message, content, hold, record).await;
        match attempt.unwrap_or_else(|stopped| stopped) {
            Attempt::Again { fault, .. } => {
                Attempt::Again { fault, paused_for: self.gate.paused_for(sender) }
            }
            attempt => attempt,
        }
    }

    async fn submit(
        &self,
        sender: &str,
        message: &Message,
        content: &mut HeldContent<'_>,
        hold: &mut Hold,
        record: &mut DeliveryRecord,
    ) -> Result<Attempt, Attempt> {
        let recipients = message.envelope.recipients.len();
        let (mut under_way, mut lease) = self.leased(sender, recipients, content, hold, record).await?;
        let connection = self.connected(&mut lease, content, hold, record).await?;
        let term = connection.term().cloned();
        let booking = self.in_pace(&under_way, term, content, hold, record).await?;
        let connected = Instant::now();
        under_way.submitting();
        let outcome = connection.send(&message.envelope, content).await.map_err(Attempt::Abandoned)?;
        record.sent = connected.elapsed();
        if !matches!(outcome, Outcome::Accepted(_)) {
            booking.inspect(Booking::recipients_refused);
        }
        let fault = match outcome {
            Outcome::Accepted(_) | Outcome::Queued(_) => {
                self.gate.learn(Event::Accepted { sender, recipients });
                return Ok(Attempt::Done(outcome));
            }
            Outcome::Failed(ref fault) | Outcome::Unknown(ref fault) => fault,
        };
        self.submission_failed(sender, fault).await;
        let Outcome::Failed(fault) = outcome else { return Ok(Attempt::Done(outcome)) };
        if self.once_more(connection, &fault, hold) {
            return Ok(Attempt::Again { fault, paused_for: None });
        }
        Ok(fault.into())
    }

    /// Waits until a mail may go, whoever its sender is.
    pub async fn opened(&self) {
        loop {
            self.forget_refusal_if_secret_changed();
            if timeout(LOOK_AT_SECRET, self.gate.open()).await.is_ok() {
                return;
            }
        }
    }

    /// One attempt of a message of the spool. Its turn, a connection and the message, as in [`Account::attempt`]; once
    /// more, at once, where an idle connection turns out to be none or a token to be old. `begins` is asked right before
    /// Office 365 is; where it says no the message waits.
    pub async fn attempt_each(
        &self,
        message: &Message,
        content: &mut HeldContent<'_>,
        record: &mut DeliveryRecord,
        begins: &mut (dyn FnMut() -> Awaited<'static, bool> + Send),
    ) -> Each {
        let sender = message.sender.as_str();
        if let Some((wait, fault)) = self.gate.kept_back(sender) {
            return self.not_tried(wait, fault);
        }
        let mut hold = Hold::of_the_spool();
        let mut is_first = true;
        loop {
            let submitted = self.submit_to_each(sender, message, content, &mut hold, record, begins).await;
            let (outcomes, passes) = match submitted {
                Ok(submitted) => submitted,
                Err(Attempt::Again { fault, .. } | Attempt::Done(Outcome::Failed(fault))) => {
                    if let Some(wait) = fault.opens_in() {
                        return self.not_tried(wait, fault);
                    }
                    let each = RecipientOutcome::Settled(Outcome::Failed(fault));
                    return Each::Done(vec![each; message.envelope.recipients.len()]);
                }
                Err(Attempt::HoldEnded) => return Each::NotTried(NO_CONNECTION, in_vain(SPOOL_HOLD)),
                Err(Attempt::ShuttingDown) => return Each::ShuttingDown,
                Err(Attempt::Abandoned(_) | Attempt::Done(_)) => return Each::Abandoned,
            };
            if !(passes && std::mem::take(&mut is_first) && content.rewind().is_ok()) {
                return Each::Done(outcomes);
            }
        }
    }

    /// What keeps the whole mailbox back may be over at any moment (a probe that succeeds, a new secret), and the worker
    /// claims nothing before: a message that waited in its file for as long as was said would wait for too long.
    fn not_tried(&self, wait: Duration, fault: Fault) -> Each {
        let is_the_mailbox_s = !self.is_a_senders && self.gate.kept_back("").is_some();
        Each::NotTried(if is_the_mailbox_s { Duration::ZERO } else { wait.max(LEAST_WAIT) }, fault)
    }

    /// What became of each recipient, and whether another attempt at once may fare better.
    async fn submit_to_each(
        &self,
        sender: &str,
        message: &Message,
        content: &mut HeldContent<'_>,
        hold: &mut Hold,
        record: &mut DeliveryRecord,
        begins: &mut (dyn FnMut() -> Awaited<'static, bool> + Send),
    ) -> Result<(Vec<RecipientOutcome>, bool), Attempt> {
        let recipients = message.envelope.recipients.len();
        let (mut under_way, mut lease) = self.leased(sender, recipients, content, hold, record).await?;
        let connection = self.connected(&mut lease, content, hold, record).await?;
        let term = connection.term().cloned();
        let booking = self.in_pace(&under_way, term, content, hold, record).await?;
        let was_idle = !connection.is_new();
        if !begins().await {
            // As one that found no connection: it waits in its file.
            return Err(Attempt::HoldEnded);
        }
        let connected = Instant::now();
        under_way.submitting();
        let outcomes =
            connection.send_to_each(&message.envelope, content).await.map_err(Attempt::Abandoned)?;
        record.sent = connected.elapsed();
        let settled = || {
            outcomes.iter().filter_map(|outcome| match outcome {
                RecipientOutcome::Settled(outcome) => Some(outcome),
                RecipientOutcome::NotTried => None,
            })
        };
        let accepted = settled().filter(|outcome| matches!(outcome, Outcome::Accepted(_))).count();
        if accepted == 0 {
            booking.inspect(Booking::recipients_refused);
        } else {
            self.gate.learn(Event::Accepted { sender, recipients: accepted });
        }
        let mut last: Option<&Fault> = None;
        for outcome in settled() {
            // What is said of all at once is one refusal, not one a recipient.
            if let Outcome::Failed(fault) | Outcome::Unknown(fault) = outcome
                && last != Some(fault)
            {
                self.submission_failed(sender, fault).await;
                last = Some(fault);
            }
        }
        // Where nobody can have it, and it was the connection or the token that failed.
        let nobody_has_it = settled().all(|outcome| matches!(outcome, Outcome::Failed(_)));
        let last = last.filter(|_| nobody_has_it).cloned();
        let passes = last
            .is_some_and(|fault| (was_idle && is_closed(&fault)) || self.once_more(connection, &fault, hold));
        Ok((outcomes, passes))
    }

    /// Its turn, and permission to use a connection.
    async fn leased(
        &self,
        sender: &str,
        recipients: usize,
        content: &mut HeldContent<'_>,
        hold: &Hold,
        record: &mut DeliveryRecord,
    ) -> Result<(UnderWay<'_>, Lease), Attempt> {
        let begun = Instant::now();
        let streamed = !content.is_complete();
        loop {
            let turn = self.turn(sender, recipients, hold);
            let under_way = self.unless_ended(content, turn).await?.inspect_err(|_| {
                record.waited += begun.elapsed();
            })?;
            let lease = timeout_at(hold.until, self.pool.lease(streamed));
            let lease = self.unless_ended(content, lease).await?.map_err(|_| Attempt::HoldEnded)?;
            // Of many that wait for a connection the first may have been refused for what concerns them all: each more
            // try counts against the mailbox, and wrong passwords lock it.
            if !self.gate.is_held_up(sender, &under_way) {
                record.waited += begun.elapsed();
                return Ok((under_way, lease));
            }
        }
    }

    /// A connection of this lease that is signed in.
    async fn connected<'lease>(
        &self,
        lease: &'lease mut Lease,
        content: &mut HeldContent<'_>,
        hold: &Hold,
        record: &mut DeliveryRecord,
    ) -> Result<&'lease mut Connection, Attempt> {
        let granted = Instant::now();
        let connection = timeout_at(hold.until, self.connect(lease));
        let connection =
            self.unless_ended(content, connection).await?.map_err(|_| match self.gate.is_held() {
                true => Attempt::Done(Outcome::Failed(waiting(Cause::WithoutFleet))),
                false => Attempt::HoldEnded,
            })?;
        record.connected += granted.elapsed();
        let connection = connection.inspect_err(|fault| self.sign_in_failed(fault, FIRST_PAUSE))?;
        if connection.is_new() {
            self.signed_in();
        }
        Ok(connection)
    }

    /// Waits for the mail's time by the fleet's count, taken last: nothing may come between it and the mail.
    async fn in_pace(
        &self,
        under_way: &UnderWay<'_>,
        term: Option<Arc<Term>>,
        content: &mut HeldContent<'_>,
        hold: &Hold,
        record: &mut DeliveryRecord,
    ) -> Result<Option<Booking>, Attempt> {
        let begun = Instant::now();
        let mut wait = None;
        let reserved = timeout_at(hold.until, self.gate.reserve(under_way, term.as_deref(), &mut wait));
        let reserved = self.unless_ended(content, reserved).await?;
        record.waited += begun.elapsed();
        match reserved {
            Ok(Ok(booking)) => Ok(booking.map(Booking::used)),
            Ok(Err(NoTime::Answer(fault))) => Err(Attempt::Done(Outcome::Failed(fault))),
            Ok(Err(NoTime::Again(fault))) => Err(Attempt::Again { fault, paused_for: None }),
            // In a fleet the pace binds.
            Err(_) => {
                let left = wait.map_or(Duration::ZERO, |time| time.saturating_duration_since(Instant::now()));
                Err(Attempt::Done(Outcome::Failed(waiting(Cause::Paced(left)))))
            }
        }
    }

    async fn submission_failed(&self, sender: &str, fault: &Fault) {
        self.failed(sender, fault);
        if matches!(fault.cause(), Cause::TimedOut(_)) {
            // What swallowed this connection without a word has swallowed the idle ones too: another attempt on one of
            // them would only use up the hold.
            self.pool.drop_idle().await;
        }
    }

    /// Whether this fault may pass with a fresh token.
    fn once_more(&self, connection: &mut Connection, fault: &Fault, hold: &mut Hold) -> bool {
        if fault.retry() == Retry::OnceWithFreshToken && connection.credential().is_token() {
            // The connection is signed in with the old token: neither may serve the next attempt.
            connection.retire();
        }
        once_more(&self.identity, fault, connection.credential(), &mut hold.renewed)
    }

    /// Waits, unless the app goes or the process ends meanwhile.
    async fn unless_ended<T>(
        &self,
        content: &mut HeldContent<'_>,
        wait: impl Future<Output = T>,
    ) -> Result<T, Attempt> {
        tokio::select! {
            why = content.gone() => Err(Attempt::Abandoned(why)),
            () = ending(&self.life) => Err(Attempt::ShuttingDown),
            done = wait => Ok(done),
        }
    }

    async fn turn(&self, sender: &str, recipients: usize, hold: &Hold) -> Result<UnderWay<'_>, Fault> {
        self.forget_refusal_if_secret_changed();
        let under_way = match hold.pace_binds {
            true => self.gate.turn_in_pace(sender, recipients, hold.turn_until).await?,
            false => self.gate.turn(sender, recipients, hold.turn_until).await?,
        };
        self.pool.allow(under_way.connections());
        Ok(under_way)
    }

    /// An idle connection, or a new one.
    async fn connect<'lease>(&self, lease: &'lease mut Lease) -> Result<&'lease mut Connection, Fault> {
        loop {
            let comes = self.pool.kept();
            if let Some(connection) = lease.idle().await {
                return Ok(lease.hold(connection));
            }
            // While this replica waits in the fleet's line, another of its mails may be done with a connection.
            let term = tokio::select! {
                biased;
                term = self.gate.slot() => term?,
                () = comes => continue,
            };
            let opened = tokio::select! {
                biased;
                () = term::over(term.as_ref()) => return Err(waiting(Cause::TermOver)),
                opened = open(self.pool.connector(), &self.identity) => opened,
            };
            let mut connection = opened?;
            connection.bind(term.map(Arc::new));
            return Ok(lease.hold(connection));
        }
    }

    /// Signs in at once, and again after a failure, for as long as it is polled: so that an operator sees at the start
    /// whether mail will go out, and that it does again after an outage, without a mail that finds it out.
    pub async fn keep_ready(&self) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.gate.sign_in() {
                Ok(probe) => match self.try_sign_in(probe).await {
                    Ok(()) => {
                        pause = FIRST_PAUSE;
                        self.unready.notified().await;
                    }
                    Err(fault) => self.sign_in_failed(&fault, pause),
                },
                // A password is never tried again by itself: Office 365 locks the account.
                Err(_) if !self.identity.is_token() => self.unready.notified().await,
                Err(until) => sleep_until(until).await,
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Opens a connection, which stays in the pool for the first mail.
    async fn try_sign_in(&self, _probe: Option<Probe<'_>>) -> Result<(), Fault> {
        let mut lease = self.pool.lease(false).await;
        if self.connect(&mut lease).await?.is_new() {
            self.signed_in();
        }
        Ok(())
    }

    fn signed_in(&self) {
        *self.refused_with.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.gate.learn(Event::SignedIn);
        telemetry::signed_in(self.mailbox());
    }

    /// Learns and tells it; [`Account::keep_ready`] tries again after the pause, if it may.
    fn sign_in_failed(&self, fault: &Fault, pause: Duration) {
        self.failed("", fault);
        // One address that may not sign in must not make an operator believe that no mail goes out.
        match self.is_a_senders && fault.stage() == Stage::Auth {
            true => telemetry::sender_refused(),
            false => telemetry::sign_in_failed(self.mailbox(), fault, self.next_sign_in(pause)),
        }
        self.unready.notify_one();
    }

    /// How long until somebody signs in unasked; `None` where only a mail does.
    fn next_sign_in(&self, pause: Duration) -> Option<Duration> {
        match self.gate.sign_in_opens() {
            None => Some(pause),
            Some(_) if !self.identity.is_token() => None,
            Some(until) => Some(pause.max(until.saturating_duration_since(Instant::now()))),
        }
    }

    fn failed(&self, sender: &str, fault: &Fault) {
        let standing = self.gate.learn(Event::Failed { sender, fault });
        self.pool.allow(standing.connections);
        if let Class::Throttled(Pause::Day | Pause::ContinuousErrors) =
            judge(fault, &Context::default()).class
        {
            telemetry::mailbox_held(self.mailbox(), fault);
        }
        if standing.breaker != Breaker::Closed && matches!(fault.stage(), Stage::Auth | Stage::Token) {
            *self.refused_with.lock().unwrap_or_else(PoisonError::into_inner) = self.identity.fingerprint();
        }
    }

    /// An administrator who has put a new secret in place must not wait for the breaker.
    fn forget_refusal_if_secret_changed(&self) {
        let mut refused_with = self.refused_with.lock().unwrap_or_else(PoisonError::into_inner);
        if refused_with.is_some() && self.identity.fingerprint() != *refused_with {
            *refused_with = None;
            self.identity.secret_changed();
            self.gate.learn(Event::SecretChanged);
        }
    }
}

/// The connection was closed, maybe long before the message.
fn is_closed(fault: &Fault) -> bool {
    let closed = match fault.cause() {
        Cause::Closed | Cause::Io(_) => true,
        Cause::Refused(reply) => reply.code == 421,
        _ => false,
    };
    closed && fault.retry() == Retry::Again
}
