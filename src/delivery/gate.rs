//! The turns of one mailbox: locks and waits around its pure [`limits`](super::limits).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep_until};

use super::ledger::{Ledger, NoTime};
use super::limits::{Breaker, Event, KeptBack, Limits, Question, Standing, Turn};
use super::obstacles::ObstacleKind;
use super::waiting::{remembered, used_up, waiting};
use crate::fleet::Booking;
use crate::outcome::{Cause, Fault};
use crate::telemetry::{self, Counted};
use crate::term::Term;

/// What keeps mail back is looked at as often as this, whatever was known.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Where mails wait for their turn.
pub struct Gate {
    limits: Mutex<Limits>,
    ledger: Ledger,
    /// The place at the front: one mail waits for the next turn, the others behind it in the order they came.
    front: Semaphore,
    /// Wakes every waiting mail: Office 365 throttled us, a breaker opened or closed, or a place in the minute is free
    /// again.
    wake: Notify,
    /// There while the breaker is open.
    open_breaker: Mutex<Option<Counted>>,
}

/// A mail that has had its turn; its recipients are reserved for as long as this lives.
pub struct UnderWay<'a> {
    gate: &'a Gate,
    recipients: usize,
    counted_at: std::time::Instant,
    submitting: bool,
    connections: usize,
    probe: Option<Probe<'a>>,
    /// The fleet's engine kept the count when it had its turn.
    in_fleet: bool,
}

impl UnderWay<'_> {
    /// Office 365 is asked now: dropped before, the mail gives its place in the minute back.
    pub fn submitting(&mut self) {
        self.submitting = true;
        self.gate.learn(Event::Submitting { counted_at: self.counted_at });
    }

    /// Connections that the mailbox may use now.
    pub const fn connections(&self) -> usize {
        self.connections
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.gate.learn(Event::Ended { recipients: self.recipients });
        if !self.submitting {
            self.gate.learn(Event::Withdrawn { counted_at: self.counted_at });
        }
    }
}

/// The right to probe whether a sign-in works again, while everybody else hears the last refusal.
pub struct Probe<'a>(&'a Gate);

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        self.0.learn(Event::ProbeEnded);
    }
}

impl Gate {
    /// The gate of a mailbox with these limits, whose counts are in this ledger.
    pub fn new(limits: Limits, ledger: Ledger) -> Self {
        let open_breaker = Mutex::new((limits.breaker() != Breaker::Closed).then(telemetry::breaker_open));
        let limits = Mutex::new(limits);
        Self { limits, ledger, front: Semaphore::new(1), wake: Notify::new(), open_breaker }
    }

    /// Waits until a mail of this sender may be submitted, and counts it. Our own pace delays and does not refuse: at
    /// `until`, the end of the mail's hold, it goes anyway, unless Office 365 counts as we do.
    ///
    /// # Errors
    /// Why it may not, at once where waiting has no use.
    pub async fn turn(&self, sender: &str, recipients: usize, until: Instant) -> Result<UnderWay<'_>, Fault> {
        self.turn_of(sender, recipients, until, false).await
    }

    /// The same for a mail that can wait for longer than it does here: our own pace binds it.
    ///
    /// # Errors
    /// Why it may not.
    pub async fn turn_in_pace(
        &self,
        sender: &str,
        recipients: usize,
        until: Instant,
    ) -> Result<UnderWay<'_>, Fault> {
        self.turn_of(sender, recipients, until, true).await
    }

    async fn turn_of(
        &self,
        sender: &str,
        recipients: usize,
        until: Instant,
        pace_binds: bool,
    ) -> Result<UnderWay<'_>, Fault> {
        let place = self.front.acquire();
        tokio::pin!(place);
        let mut front = None;
        loop {
            // Before the look, so that nothing that is learned after it is missed.
            let woken = self.wake.notified();
            let now = Instant::now();
            let in_time = now < until;
            let turn = self.ask(now, Question::Mail(sender));
            let is_held = self.ledger.is_held();
            let wake = match turn {
                Turn::Refused(again, fault) => return Err(remembered(fault, left(again, now))),
                Turn::UsedUp(opens) => return Err(used_up(left(opens, now))),
                Turn::Paused(again, fault) if again >= until.into_std() => {
                    return Err(remembered(fault, left(again, now)));
                }
                Turn::Paused(again, _) if front.is_some() => again.into(),
                Turn::Paced { until: again, .. } if in_time && front.is_some() => until.min(again.into()),
                Turn::Paced { until: again, believed }
                    if !in_time && (believed || pace_binds || self.ledger.is_fleet()) =>
                {
                    return Err(waiting(Cause::Paced(left(again, now))));
                }
                _ if is_held && in_time => until,
                _ if is_held => return Err(waiting(Cause::WithoutFleet)),
                Turn::Now if front.is_some() => break,
                // At the end of the hold the place in the line is worth nothing any more.
                _ if !in_time => break,
                _ => until,
            };
            tokio::select! {
                biased;
                // Never closed, so never an error.
                permit = &mut place, if front.is_none() => front = permit.ok(),
                () = woken => {}
                () = self.ledger.changed() => {}
                () = sleep_until(wake) => {}
            }
        }
        let counted_at = Instant::now().into_std();
        let connections = self.learn_at(counted_at, Event::Submitted { recipients }).connections;
        let probe = self.sign_in_begins();
        let in_fleet = lock(&self.limits).are_the_fleets();
        Ok(UnderWay { gate: self, recipients, counted_at, submitting: false, connections, probe, in_fleet })
    }

    /// Permission to sign in, and the probe where the breaker is not closed.
    ///
    /// # Errors
    /// When somebody may.
    pub fn sign_in(&self) -> Result<Option<Probe<'_>>, Instant> {
        match self.ask(Instant::now(), Question::SignIn) {
            Turn::Refused(until, _) => Err(until.into()),
            _ => Ok(self.sign_in_begins()),
        }
    }

    /// When the breaker lets somebody sign in; `None` for now.
    pub fn sign_in_opens(&self) -> Option<Instant> {
        match self.ask(Instant::now(), Question::SignIn) {
            Turn::Refused(until, _) => Some(until.into()),
            _ => None,
        }
    }

    fn sign_in_begins(&self) -> Option<Probe<'_>> {
        let standing = self.learn(Event::SignInBegins);
        (standing.breaker == Breaker::HalfOpen).then(|| Probe(self))
    }

    /// Whether Office 365 has said something, since a mail had its turn, that keeps it back. The probe goes on.
    pub fn is_held_up(&self, sender: &str, under_way: &UnderWay<'_>) -> bool {
        let turn = self.ask(Instant::now(), Question::Mail(sender));
        under_way.probe.is_none() && matches!(turn, Turn::Refused(..) | Turn::Paused(..))
    }

    /// Waits until a mail may go, whoever its sender is: nothing is taken out of a spool to find that it may not.
    pub async fn open(&self) {
        loop {
            // Before the look, so that nothing that is learned after it is missed.
            let woken = self.wake.notified();
            let now = Instant::now();
            let again = match self.ask(now, Question::Mail("")) {
                Turn::Now if !self.ledger.is_held() => return,
                Turn::Now => now.into_std() + LOOK_AGAIN,
                Turn::Refused(again, _) | Turn::Paused(again, _) | Turn::UsedUp(again) => again,
                Turn::Paced { until, .. } => until,
            };
            tokio::select! {
                () = woken => {}
                () = self.ledger.changed() => {}
                // Looked at again now and then: a day opens bit by bit.
                () = sleep_until((now + LOOK_AGAIN).min(again.into())) => {}
            }
        }
    }

    /// How long a mail of this sender is kept back by more than our own pace, and why, if it is.
    pub fn kept_back(&self, sender: &str) -> Option<(Duration, Fault)> {
        let now = Instant::now();
        match self.ask(now, Question::Mail(sender)) {
            Turn::Refused(again, fault) | Turn::Paused(again, fault) => {
                Some((left(again, now), remembered(fault, left(again, now))))
            }
            Turn::UsedUp(again) => Some((left(again, now), used_up(left(again, now)))),
            Turn::Now | Turn::Paced { .. } => None,
        }
    }

    /// What keeps all mail back now, to be remembered where this gate is not.
    pub fn keeps_back(&self) -> Option<KeptBack> {
        lock(&self.limits).kept_back(Instant::now().into_std())
    }

    /// How long Office 365 has paused the mailbox for, if it has.
    pub fn paused_for(&self, sender: &str) -> Option<Duration> {
        let now = Instant::now();
        match self.ask(now, Question::Mail(sender)) {
            Turn::Paused(again, _) => Some(left(again, now)),
            _ => None,
        }
    }

    /// All that keeps mail of this mailbox back now, for people.
    pub fn obstacles(&self, mailbox: &str) -> Vec<telemetry::Obstacle> {
        let (now, clock) = (Instant::now().into_std(), SystemTime::now());
        let all = lock(&self.limits).obstacles(now);
        all.into_iter()
            .map(|obstacle| telemetry::Obstacle {
                kind: match obstacle.kind {
                    ObstacleKind::SignIn(Breaker::HalfOpen) => "half_open",
                    ObstacleKind::SignIn(_) => "open",
                    ObstacleKind::Throttled => "throttled",
                    ObstacleKind::Refused => "refused",
                    ObstacleKind::Paced => "paced",
                    ObstacleKind::UsedUp => "used_up",
                },
                mailbox: mailbox.to_string(),
                sender: obstacle.sender,
                since: obstacle.since.map(|since| clock - now.saturating_duration_since(since)),
                until: clock + obstacle.until.saturating_duration_since(now),
                fault: obstacle.fault,
            })
            .collect()
    }

    /// The fault of a mail that cannot be sent today, at MAIL already.
    pub fn used_up(&self) -> Option<Fault> {
        let now = Instant::now();
        match self.ask(now, Question::Recipients) {
            Turn::UsedUp(opens) => Some(used_up(left(opens, now))),
            _ => None,
        }
    }

    /// Takes in what has happened, and tells those whom it concerns.
    pub fn learn(&self, event: Event<'_>) -> Standing {
        self.learn_at(Instant::now().into_std(), event)
    }

    /// The right to open one more connection; `None` without a fleet.
    ///
    /// # Errors
    /// Why nobody may sign in now.
    pub async fn slot(&self) -> Result<Option<Term>, Fault> {
        self.ledger.slot().await
    }

    /// The time by the fleet's count of a mail that has had its turn, over the connection of this term; `None` where this
    /// process has counted it. The last wait that was heard stands in `wait`.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn reserve(
        &self,
        under_way: &UnderWay<'_>,
        term: Option<&Term>,
        wait: &mut Option<Instant>,
    ) -> Result<Option<Booking>, NoTime> {
        let in_fleet = lock(&self.limits).are_the_fleets();
        match term {
            Some(term) if in_fleet => self.ledger.reserve(term, under_way.recipients, wait).await,
            // Nobody has counted it: the engine went away meanwhile.
            _ if under_way.in_fleet => Err(NoTime::Again(waiting(Cause::WithoutFleet))),
            _ => Ok(None),
        }
    }

    /// Whether nothing goes now for want of the fleet's engine.
    pub fn is_held(&self) -> bool {
        self.ledger.is_held()
    }

    fn learn_at(&self, now: std::time::Instant, event: Event<'_>) -> Standing {
        let standing = lock(&self.limits).learn(now, event);
        self.ledger.tell(event, standing.told);
        if let Event::Failed { .. }
        | Event::Withdrawn { .. }
        | Event::SignedIn
        | Event::SecretChanged
        | Event::ProbeEnded = event
        {
            self.wake.notify_waiters();
        }
        let mut counted = lock(&self.open_breaker);
        match (standing.breaker, counted.is_some()) {
            (Breaker::Open | Breaker::HalfOpen, false) => *counted = Some(telemetry::breaker_open()),
            (Breaker::Closed, true) => *counted = None,
            _ => {}
        }
        standing
    }

    fn ask(&self, now: Instant, question: Question<'_>) -> Turn {
        if let Some(news) = self.ledger.heard() {
            self.learn_at(now.into_std(), Event::Fleet(&news));
        }
        lock(&self.limits).ask(now.into_std(), question)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn left(until: std::time::Instant, now: Instant) -> Duration {
    until.saturating_duration_since(now.into_std())
}
