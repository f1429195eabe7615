//! A mailbox that signs in: its connections, and its turns by the pure [`limits`](crate::limits).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::limits::{Limits, Turn};
use crate::outcome::{Cause, Fault, Stage};
use crate::telemetry;
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
    /// A sign-in failed: [`Account::keep_ready`] has work.
    unready: Notify,
    /// It is a sender's own: what is refused to it says nothing about the others' mail.
    is_a_senders: bool,
}

/// A mail that has had its turn; its recipients are reserved for as long as this lives.
pub struct UnderWay<'a> {
    account: &'a Account,
    recipients: usize,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.account.limits().ended(self.recipients);
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
            unready: Notify::new(),
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
        // At the end of the hold the place in the line is worth nothing any more.
        let _front = timeout_at(until, self.front.acquire()).await;
        loop {
            self.forget_breaker_if_secret_changed();
            let now = Instant::now();
            let turn = self.limits().turn(now.into_std(), sender);
            match turn {
                Turn::Now => break,
                Turn::Refused(again, fault) => return Err(remembered(fault, again, now)),
                Turn::UsedUp(opens) => return Err(used_up(opens.saturating_duration_since(now.into_std()))),
                Turn::Paused(again, fault) if again >= until.into_std() => {
                    return Err(remembered(fault, again, now));
                }
                Turn::Paused(again, _) => sleep_until(again.into()).await,
                Turn::Paced { until: again, .. } if now < until => sleep_until(until.min(again.into())).await,
                Turn::Paced { until: again, believed: true } => {
                    return Err(waiting(Cause::Paced(again.saturating_duration_since(now.into_std()))));
                }
                Turn::Paced { .. } => break,
            }
        }
        let now = Instant::now().into_std();
        let mut limits = self.limits();
        limits.submitted(now, recipients);
        self.pool.allow(limits.connections(now));
        Ok(UnderWay { account: self, recipients })
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
                Err((until, _)) => sleep_until(until.into()).await,
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Opens a connection, which stays in the pool for the first mail.
    async fn try_sign_in(&self) -> Result<(), Fault> {
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
        match self.is_a_senders && fault.stage == Stage::Auth {
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
        if limits.is_breaker_open() && matches!(fault.stage, Stage::Auth | Stage::Token) {
            *lock(&self.refused_with) = self.pool.connector().identity.fingerprint();
        }
        drop(limits);
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
        }
    }

    fn tell_breaker(&self) {
        if !self.is_a_senders {
            telemetry::breaker(self.limits().is_breaker_open());
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
    let (stage, recipient) = (fault.stage, None);
    let again_in = again.saturating_duration_since(now.into_std());
    Fault { stage, recipient, cause: Cause::Remembered(Arc::new(fault), again_in) }
}

fn used_up(opens_in: Duration) -> Fault {
    waiting(Cause::UsedUp(opens_in))
}

fn waiting(cause: Cause) -> Fault {
    Fault { stage: Stage::Wait, recipient: None, cause }
}
