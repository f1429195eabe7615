//! A mailbox that signs in: its connections, and its turns by the pure [`limits`](crate::delivery::limits).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep, sleep_until};

use crate::delivery::limits::{Limits, Turn};
use crate::outcome::{Cause, Fault, Stage};
use crate::telemetry::{self, Counted};
use crate::upstream::Pool;

/// One mailbox.
pub struct Account {
    mailbox: String,
    pool: Pool,
    limits: Mutex<Limits>,
    /// The place at the front: one mail waits for the next turn, the others behind it in the order they came.
    front: Semaphore,
    /// What was signed in with when a sign-in was refused.
    refused_with: Mutex<Option<u64>>,
    /// There while the breaker is open.
    open_breaker: Mutex<Option<Counted>>,
    /// A sign-in failed: [`Account::keep_ready`] has work.
    unready: Notify,
    /// Office 365 said something that may concern every mail that waits.
    learned: Notify,
    /// It is a sender's own: what is refused to it says nothing about the others' mail.
    is_a_senders: bool,
}

/// A mail that has had its turn; its recipients are reserved for as long as this lives.
pub struct UnderWay<'a> {
    account: &'a Account,
    recipients: usize,
    counted_at: std::time::Instant,
    asked: bool,
    trial: Trial<'a>,
}

impl UnderWay<'_> {
    /// Office 365 is asked now: dropped before, the mail gives its place in the minute back.
    pub fn asks(&mut self) {
        self.asked = true;
        self.account.limits().asked(self.counted_at, Instant::now().into_std());
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut limits = self.account.limits();
        limits.ended(self.recipients);
        if !self.asked {
            limits.withdrawn(self.counted_at);
            drop(limits);
            self.account.learned.notify_waiters();
        }
    }
}

/// Being the one that may try whether a sign-in works again, or not.
struct Trial<'a>(Option<&'a Account>);

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        if let Some(account) = self.0 {
            account.limits().trial_ended(Instant::now().into_std());
        }
    }
}

/// The pause after the first failed sign-in of [`Account::keep_ready`]; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// Its longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

impl Account {
    /// A mailbox with its pool and its limits.
    pub fn new(mailbox: String, pool: Pool, limits: Limits) -> Self {
        Self {
            mailbox,
            pool,
            limits: Mutex::new(limits),
            front: Semaphore::new(1),
            refused_with: Mutex::default(),
            open_breaker: Mutex::default(),
            unready: Notify::new(),
            learned: Notify::new(),
            is_a_senders: false,
        }
    }

    /// For a mailbox that an app names as its sender.
    #[must_use]
    pub fn of_a_sender(self) -> Self {
        let limits = self.limits.into_inner().unwrap_or_else(PoisonError::into_inner);
        Self { limits: Mutex::new(limits.of_a_sender()), is_a_senders: true, ..self }
    }

    /// The mailbox that signs in.
    pub fn mailbox(&self) -> &str {
        &self.mailbox
    }

    /// Its connections.
    pub const fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Waits until a mail of this sender may be submitted, and counts it. Our own pace delays and does not refuse: at
    /// `until`, the end of the mail's hold, it goes anyway, unless Office 365 counts as we do.
    ///
    /// # Errors
    /// Why it may not, at once where waiting has no use.
    pub async fn turn(&self, sender: &str, recipients: usize, until: Instant) -> Result<UnderWay<'_>, Fault> {
        let place = self.front.acquire();
        tokio::pin!(place);
        let mut front = None;
        loop {
            // Before the look, so that nothing that is learned after it is missed.
            let learned = self.learned.notified();
            self.forget_breaker_if_secret_changed();
            let now = Instant::now();
            let in_time = now < until;
            let turn = self.limits().turn(now.into_std(), sender);
            let wake = match turn {
                Turn::Refused(again, fault) => return Err(remembered(fault, again, now)),
                Turn::UsedUp(opens) => return Err(used_up(opens.saturating_duration_since(now.into_std()))),
                Turn::Paused(again, fault) if again >= until.into_std() => {
                    return Err(remembered(fault, again, now));
                }
                Turn::Paused(again, _) if front.is_some() => again.into(),
                Turn::Paced { until: again, .. } if in_time && front.is_some() => until.min(again.into()),
                Turn::Paced { until: again, believed: true } if !in_time => {
                    return Err(waiting(Cause::Paced(again.saturating_duration_since(now.into_std()))));
                }
                Turn::Now if front.is_some() => break,
                // At the end of the hold the place in the line is worth nothing any more.
                _ if !in_time => break,
                _ => until,
            };
            tokio::select! {
                biased;
                // Never closed, so never an error.
                permit = &mut place, if front.is_none() => front = permit.ok(),
                () = learned => {}
                () = sleep_until(wake) => {}
            }
        }
        let now = Instant::now().into_std();
        let mut limits = self.limits();
        limits.submitted(now, recipients);
        let trial = Trial(limits.begin_trial(now).then_some(self));
        self.pool.allow(limits.connections(now));
        Ok(UnderWay { account: self, recipients, counted_at: now, asked: false, trial })
    }

    /// Whether Office 365 has said something, since a mail had its turn, that keeps it back. The one that is to try
    /// whether a sign-in works again goes on.
    pub fn is_held_up(&self, sender: &str, under_way: &UnderWay<'_>) -> bool {
        let obstacle = self.limits().obstacle(Instant::now().into_std(), sender);
        under_way.trial.0.is_none() && obstacle.is_some()
    }

    /// A fault that another attempt may mend, for the app that has to make it: with the time to the pause's end, if the
    /// mailbox is paused.
    pub fn with_time(&self, sender: &str, fault: Fault) -> Fault {
        let now = Instant::now();
        match self.limits().obstacle(now.into_std(), sender) {
            Some(Turn::Paused(again, _)) => remembered(fault, again, now),
            _ => fault,
        }
    }

    /// The fault of a mail that cannot be sent today, at MAIL already.
    pub fn used_up(&self) -> Option<Fault> {
        let now = Instant::now().into_std();
        match self.limits().recipients_left(now)? {
            (0, opens) => Some(used_up(opens.saturating_duration_since(now))),
            _ => None,
        }
    }

    /// Signs in at once, and again after a failure, for as long as it is polled: so that an operator sees at the start
    /// whether mail will go out, and that it does again after an outage, without a mail that finds it out.
    pub async fn keep_ready(&self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let may = self.limits().may_sign_in(Instant::now().into_std());
            match may {
                Ok(()) => match self.try_sign_in().await {
                    Ok(()) => {
                        pause = FIRST_PAUSE;
                        self.unready.notified().await;
                    }
                    Err(fault) => self.sign_in_failed(&fault),
                },
                // A password is never tried again by itself: Office 365 locks the account.
                Err(_) if !self.pool.connector().identity.is_token() => self.unready.notified().await,
                Err(until) => sleep_until(until.into()).await,
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Opens a connection, which stays in the pool for the first mail.
    async fn try_sign_in(&self) -> Result<(), Fault> {
        let _trial = Trial(self.limits().begin_trial(Instant::now().into_std()).then_some(self));
        let mut lease = self.pool.lease(false).await;
        if lease.connection().await?.is_new() {
            self.signed_in();
        }
        Ok(())
    }

    /// A connection is signed in.
    pub fn signed_in(&self) {
        self.limits().signed_in();
        telemetry::signed_in();
        self.tell_breaker();
    }

    /// None could be opened and signed in.
    pub fn sign_in_failed(&self, fault: &Fault) {
        // One address that may not sign in must not make an operator believe that no mail goes out.
        match self.is_a_senders && fault.stage() == Stage::Auth {
            true => telemetry::sender_refused(),
            false => telemetry::sign_in_failed(fault),
        }
        self.failed("", fault);
        self.unready.notify_one();
    }

    /// Office 365 has taken a mail.
    pub fn accepted(&self, sender: &str, recipients: usize) {
        self.limits().accepted(Instant::now().into_std(), sender, recipients);
    }

    /// It has not.
    pub fn failed(&self, sender: &str, fault: &Fault) {
        let now = Instant::now().into_std();
        let mut limits = self.limits();
        limits.failed(now, sender, fault);
        self.pool.allow(limits.connections(now));
        if limits.is_breaker_open() && matches!(fault.stage(), Stage::Auth | Stage::Token) {
            *lock(&self.refused_with) = self.pool.connector().identity.fingerprint();
        }
        drop(limits);
        self.learned.notify_waiters();
        self.tell_breaker();
    }

    /// An administrator who has put a new secret in place must not wait for the breaker.
    fn forget_breaker_if_secret_changed(&self) {
        let mut limits = self.limits();
        if limits.is_breaker_open()
            && let refused_with @ Some(_) = *lock(&self.refused_with)
            && self.pool.connector().identity.fingerprint() != refused_with
        {
            limits.secret_changed();
            self.pool.connector().identity.secret_changed();
            drop(limits);
            self.tell_breaker();
        }
    }

    fn tell_breaker(&self) {
        let is_open = self.limits().is_breaker_open();
        let mut counted = lock(&self.open_breaker);
        match (is_open, counted.is_some()) {
            (true, false) => *counted = Some(telemetry::breaker_open()),
            (false, true) => *counted = None,
            _ => {}
        }
    }

    fn limits(&self) -> MutexGuard<'_, Limits> {
        lock(&self.limits)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn remembered(fault: Fault, again: std::time::Instant, now: Instant) -> Fault {
    let again_in = again.saturating_duration_since(now.into_std());
    Fault::new(fault.stage(), Cause::Remembered(Arc::new(fault), again_in))
}

fn used_up(opens_in: Duration) -> Fault {
    waiting(Cause::UsedUp(opens_in))
}

fn waiting(cause: Cause) -> Fault {
    Fault::new(Stage::Wait, cause)
}
