//! What one mailbox may do now. Pure, with two doors: [`Limits::ask`] and [`Limits::learn`]. `now` is an argument, and what
//! Office 365 said comes in as faults.
//!
//! | what | when | a mail |
//! |---|---|---|
//! | pace | `MAILSHIM_MESSAGES_PER_MINUTE` in the last 60 s | waits its turn, and goes at the end of its hold |
//! | pause | Office 365 throttled the mailbox | waits if the pause ends within its hold, else hears the cause |
//! | breaker | a sign-in was refused | hears the cause at once |
//! | memory | a refusal that repetition turns into a throttled mailbox | hears it again at once |
//! | recipients | `MAILSHIM_RECIPIENTS_PER_DAY` in the last 24 h | is refused at MAIL, with the time |

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

pub use super::turn::{Breaker, Elsewhere, Event, Question, Standing, Told, Turn};
use crate::outcome::{Cause, Class, Context, Fault, Judgement, Pause, Retry, Scope, Stage, judge};

/// Office 365 counts messages over this time.
const MINUTE: Duration = Duration::from_secs(60);
/// Office 365 counts recipients over this time.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Recipients are counted in steps of this time, so that a day is a list of bounded length.
const STEP: Duration = Duration::from_secs(10 * 60);
/// 432: somebody else uses the mailbox's connections; seconds, says Microsoft.
const PAUSE_SECONDS: Duration = Duration::from_secs(3);
/// A daily quota slides open bit by bit: one mail looks, now and then.
const PAUSE_DAY: Duration = Duration::from_secs(60 * 60);
/// Microsoft does not publish how long continuous-error throttling lasts.
const PAUSE_CONTINUOUS: Duration = Duration::from_secs(15 * 60);
/// A mailbox without a 432 for this long is given back one connection.
const GROW_AFTER: Duration = Duration::from_secs(120);
/// The breaker's first time, and the memory's: they double with each repetition.
const BREAKER: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(600));
const MEMORY: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(15 * 60));
/// While one mail probes whether a sign-in works again, the others do not, for at most so long.
const PROBE: Duration = Duration::from_secs(60);
/// Senders whose refusals are remembered at once.
const MAX_REMEMBERED: usize = 256;

/// A refusal that is repeated locally, with the time to its next trial.
#[derive(Clone, Debug)]
pub(super) struct Remembered {
    /// The first refusal without a success since.
    pub since: Instant,
    /// When it is over.
    pub until: Instant,
    lasted: Duration,
    /// What was refused.
    pub fault: Fault,
}

impl Remembered {
    /// A refusal that comes after `last`, if there was one: it is remembered for twice as long.
    fn after(
        last: Option<&Self>,
        now: Instant,
        fault: &Fault,
        (first, longest): (Duration, Duration),
    ) -> Self {
        let lasted = last.map_or(first, |last| (last.lasted * 2).min(longest));
        let since = last.map_or(now, |last| last.since);
        Self { since, until: now + lasted, lasted, fault: fault.clone() }
    }
}

/// What keeps all mail of a mailbox back: outlives the mailbox's limits where these are forgotten to make room.
#[derive(Clone, Debug)]
pub struct KeptBack {
    refused_sign_in: Option<Remembered>,
    pause: Option<Remembered>,
}

impl KeptBack {
    /// When none of it holds any more.
    pub fn until(&self) -> Option<Instant> {
        let refused = self.refused_sign_in.as_ref().map(|refusal| refusal.until);
        refused.max(self.pause.as_ref().map(|pause| pause.until))
    }
}

/// The limits of one mailbox.
#[derive(Debug)]
pub struct Limits {
    per_minute: usize,
    per_day: u64,
    max_connections: usize,
    sent: VecDeque<Instant>,
    rate_refused: Option<Instant>,
    recipients: VecDeque<(Instant, u64)>,
    /// Recipients of mails that are on their way.
    under_way: u64,
    pub(super) pause: Option<Remembered>,
    pub(super) breaker: Breaker,
    /// The last refused sign-in, unless the breaker is closed.
    pub(super) refused_sign_in: Option<Remembered>,
    /// By sender (all that Exchange judges it by); the empty one is the mailbox as a whole.
    pub(super) memory: HashMap<String, Remembered>,
    breaker_lasts: (Duration, Duration),
    connections: usize,
    grow_at: Option<Instant>,
    /// What the fleet said last; `None` without one: then all counts are the process's own.
    fleet: Option<Elsewhere>,
    /// What the event under way means for the others.
    told: Option<Told>,
}

impl Limits {
    /// `per_minute` messages and `per_day` recipients, 0 for no limit; at most `max_connections`.
    pub fn new(per_minute: usize, per_day: u64, max_connections: usize) -> Self {
        Self {
            per_minute,
            per_day,
            max_connections,
            sent: VecDeque::new(),
            rate_refused: None,
            recipients: VecDeque::new(),
            under_way: 0,
            pause: None,
            breaker: Breaker::Closed,
            refused_sign_in: None,
            memory: HashMap::new(),
            breaker_lasts: BREAKER,
            connections: max_connections,
            grow_at: None,
            fleet: None,
            told: None,
        }
    }

    /// For a mailbox that an app names as its sender: one that is refused may not exist, and is left alone for longer.
    #[must_use]
    pub const fn of_a_sender(mut self) -> Self {
        self.breaker_lasts = (MEMORY.1, MEMORY.1);
        self
    }

    /// The breaker.
    pub const fn breaker(&self) -> Breaker {
        self.breaker
    }

    /// What keeps all mail of the mailbox back now, if anything does.
    pub fn kept_back(&self, now: Instant) -> Option<KeptBack> {
        let refused_sign_in = self.refused_sign_in.clone().filter(|refusal| now < refusal.until);
        let pause = self.pause.clone().filter(|pause| now < pause.until);
        (refused_sign_in.is_some() || pause.is_some()).then_some(KeptBack { refused_sign_in, pause })
    }

    /// The limits of a mailbox that was kept back so when it was forgotten.
    #[must_use]
    pub fn kept_back_by(mut self, last: KeptBack) -> Self {
        if last.refused_sign_in.is_some() {
            self.breaker = Breaker::Open;
        }
        (self.refused_sign_in, self.pause) = (last.refused_sign_in, last.pause);
        self
    }

    /// Whether what is asked for may be done now. To ask changes nothing.
    pub fn ask(&mut self, now: Instant, question: Question<'_>) -> Turn {
        match question {
            Question::Mail(sender) => self.obstacle(now, sender).unwrap_or_else(|| self.count(now)),
            Question::Recipients => self.recipients_until(now).map_or(Turn::Now, Turn::UsedUp),
            Question::SignIn => {
                let refused = self.refused_sign_in.as_ref().filter(|refusal| now < refusal.until);
                refused.map_or(Turn::Now, |refusal| Turn::Refused(refusal.until, refusal.fault.clone()))
            }
        }
    }

    /// Takes in what has happened, and says how the mailbox stands.
    pub fn learn(&mut self, now: Instant, event: Event<'_>) -> Standing {
        match event {
            Event::Submitted { recipients } => self.submitted(now, recipients),
            Event::Submitting { counted_at } => {
                if self.withdraw(counted_at) {
                    self.sent.push_back(now);
                }
            }
            Event::Withdrawn { counted_at } => drop(self.withdraw(counted_at)),
            Event::Ended { recipients } => {
                self.under_way = self.under_way.saturating_sub(recipients as u64);
            }
            Event::Accepted { sender, recipients } => self.accepted(now, sender, recipients),
            Event::Failed { sender, fault } => self.failed(now, sender, fault),
            Event::SignInBegins => {
                if let Some(refusal) = &mut self.refused_sign_in {
                    (refusal.until, self.breaker) = (now + PROBE, Breaker::HalfOpen);
                }
            }
            Event::ProbeEnded => {
                if let (Breaker::HalfOpen, Some(refusal)) = (self.breaker, &mut self.refused_sign_in) {
                    (refusal.until, self.breaker) = (now, Breaker::Open);
                }
            }
            Event::SignedIn | Event::SecretChanged => {
                (self.breaker, self.refused_sign_in) = (Breaker::Closed, None);
            }
            Event::Fleet(news) => self.heard(now, news),
        }
        let (connections, told) = (self.connections(now), self.told.take());
        Standing { connections, breaker: self.breaker, told }
    }

    /// What Office 365 said of the mailbox or of this sender that keeps a mail back, whatever our own counts are:
    /// [`Turn::Refused`] or [`Turn::Paused`].
    fn obstacle(&self, now: Instant, sender: &str) -> Option<Turn> {
        let remembered = [sender, ""].into_iter().filter_map(|key| self.memory.get(key));
        if let Some(refusal) = remembered.chain(&self.refused_sign_in).find(|refusal| now < refusal.until) {
            return Some(Turn::Refused(refusal.until, refusal.fault.clone()));
        }
        let paused = self.pause.as_ref().filter(|paused| now < paused.until);
        paused.map(|paused| Turn::Paused(paused.until, paused.fault.clone()))
    }

    /// What our own counts say of a mail.
    pub(super) fn count(&mut self, now: Instant) -> Turn {
        if let Some(opens) = self.recipients_until(now) {
            return Turn::UsedUp(opens);
        }
        match self.pace(now) {
            Some(until) => {
                let believed = self.rate_refused.is_some_and(|refused| now < refused + MINUTE);
                Turn::Paced { until, believed }
            }
            None => Turn::Now,
        }
    }

    fn heard(&mut self, now: Instant, news: &Elsewhere) {
        let was_refused = self.fleet.as_ref().is_some_and(|fleet| fleet.refused.is_some());
        if let Some((until, fault)) = &news.paused {
            self.pause_until(now, *until, fault);
        }
        match &news.refused {
            // This replica probes: what the others still hear is no news to it.
            Some(_) if self.breaker == Breaker::HalfOpen => {}
            Some((until, fault)) => {
                let lasted = self.breaker_lasts.0;
                let since = self.refused_sign_in.as_ref().map_or(now, |refusal| refusal.since);
                let fault = fault.clone();
                self.refused_sign_in = Some(Remembered { since, until: *until, lasted, fault });
                self.breaker = Breaker::Open;
            }
            None if was_refused => (self.breaker, self.refused_sign_in) = (Breaker::Closed, None),
            None => {}
        }
        self.fleet = Some(news.clone());
    }

    /// Whether the fleet's engine counts, not this process.
    pub fn are_the_fleets(&self) -> bool {
        self.fleet.as_ref().is_some_and(|fleet| fleet.is_reached)
    }

    /// What this process may use of a limit; `None` where the fleet's engine counts.
    fn share<T: TryFrom<usize> + std::ops::Div<Output = T> + Ord + From<u8>>(&self, limit: T) -> Option<T> {
        match &self.fleet {
            None => Some(limit),
            Some(fleet) if fleet.is_reached => None,
            Some(fleet) => {
                T::try_from(fleet.replicas).ok().map(|replicas| (limit / replicas).max(T::from(1)))
            }
        }
    }

    /// When the next message fits into the last 60 seconds; `None` if it does now.
    fn pace(&mut self, now: Instant) -> Option<Instant> {
        if self.per_minute == 0 {
            return None;
        }
        let per_minute = self.share(self.per_minute)?;
        while self.sent.front().is_some_and(|first| *first + MINUTE <= now) {
            self.sent.pop_front();
        }
        let behind = self.sent.len().checked_sub(per_minute)?;
        self.sent.get(behind).map(|time| *time + MINUTE)
    }

    fn submitted(&mut self, now: Instant, recipients: usize) {
        self.under_way += recipients as u64;
        if self.per_minute > 0 {
            self.sent.push_back(now);
            // Mails that went at the end of their hold add to the list; older ones no longer matter.
            while self.sent.len() > 2 * self.per_minute {
                self.sent.pop_front();
            }
        }
    }

    /// Takes the message counted at that time out of the minute, if it is in it.
    fn withdraw(&mut self, counted_at: Instant) -> bool {
        let place = self.sent.iter().rposition(|time| *time == counted_at);
        place.and_then(|place| self.sent.remove(place)).is_some()
    }

    fn accepted(&mut self, now: Instant, sender: &str, recipients: usize) {
        self.memory.remove(sender);
        self.memory.remove("");
        if self.per_day > 0 {
            match self.recipients.back_mut() {
                Some((begun, count)) if now < *begun + STEP => *count += recipients as u64,
                _ => self.recipients.push_back((now, recipients as u64)),
            }
        }
    }

    /// When recipients are free again, if today's are used up.
    fn recipients_until(&mut self, now: Instant) -> Option<Instant> {
        if self.per_day == 0 {
            return None;
        }
        // A step is let go when its last recipient is a day old.
        while self.recipients.front().is_some_and(|(begun, _)| *begun + STEP + DAY <= now) {
            self.recipients.pop_front();
        }
        let used: u64 = self.recipients.iter().map(|(_, count)| count).sum();
        let opens = self.recipients.front().map_or(now + STEP, |(begun, _)| *begun + STEP + DAY);
        match self.share(self.per_day) {
            Some(per_day) => (used + self.under_way >= per_day).then_some(opens),
            None => self.fleet.as_ref().and_then(|fleet| fleet.used_up).filter(|opens| now < *opens),
        }
    }

    /// One less after each 432, one more after a quiet time.
    fn connections(&mut self, now: Instant) -> usize {
        while let Some(at) = self.grow_at.filter(|at| *at <= now) {
            self.connections = (self.connections + 1).min(self.max_connections);
            self.grow_at = (self.connections < self.max_connections).then(|| at + GROW_AFTER);
        }
        self.connections
    }

    fn failed(&mut self, now: Instant, sender: &str, fault: &Fault) {
        let judgement = judge(fault, &Context::default());
        match judgement.class {
            Class::Throttled(pause) if judgement.scope != Scope::Message => self.throttled(now, pause, fault),
            Class::SetUp if matches!(fault.stage(), Stage::Auth | Stage::Token) && is_definite(fault) => {
                self.sign_in_refused(now, fault);
            }
            Class::SetUp | Class::Permanent if is_counted_by_exchange(fault, &judgement) => {
                let key = match (judgement.about_sender, sender) {
                    // Not known whose it was: the mailbox as a whole must not pay for it.
                    (true, "") => return,
                    (true, sender) => sender,
                    (false, _) => "",
                };
                let last = self.memory.remove(key);
                self.make_room(now);
                // Mails that were on their way together are refused together: that is one refusal, not one a mail.
                let same = last.as_ref().filter(|last| now < last.until).cloned();
                let refusal = same.unwrap_or_else(|| Remembered::after(last.as_ref(), now, fault, MEMORY));
                self.memory.insert(key.to_string(), refusal);
            }
            _ => {}
        }
    }

    /// Forgets what is over, and the refusal that is over next if there still is no room: never the mailbox's own, which
    /// an app could else displace with senders that it makes up.
    fn make_room(&mut self, now: Instant) {
        if self.memory.len() < MAX_REMEMBERED {
            return;
        }
        self.memory.retain(|_, remembered| now < remembered.until);
        if self.memory.len() >= MAX_REMEMBERED {
            let senders = self.memory.iter().filter(|(key, _)| !key.is_empty());
            let next = senders.min_by_key(|(_, remembered)| remembered.until).map(|(key, _)| key.clone());
            next.map(|key| self.memory.remove(&key));
        }
    }

    fn sign_in_refused(&mut self, now: Instant, fault: &Fault) {
        let last = self.refused_sign_in.as_ref();
        // Of those that were on their way together the first has opened it.
        if self.breaker == Breaker::Open && last.is_some_and(|last| now < last.until) {
            return;
        }
        self.refused_sign_in = Some(Remembered::after(last, now, fault, self.breaker_lasts));
        self.breaker = Breaker::Open;
        self.told = Some(Told::SignInRefused(self.breaker_lasts.0, self.breaker_lasts.1));
    }

    fn throttled(&mut self, now: Instant, pause: Pause, fault: &Fault) {
        let lasts = match pause {
            Pause::Seconds => {
                self.connections = self.connections.saturating_sub(1).max(1);
                self.grow_at = Some(now + GROW_AFTER);
                PAUSE_SECONDS
            }
            Pause::NextMinute => {
                self.rate_refused = Some(now);
                // Office 365's minute is no longer than what is left of ours; without a count of ours, all of it.
                let oldest = self.sent.iter().find(|time| now < **time + MINUTE);
                oldest.map_or(MINUTE, |oldest| (*oldest + MINUTE) - now).max(PAUSE_SECONDS)
            }
            Pause::Day => PAUSE_DAY,
            Pause::ContinuousErrors => PAUSE_CONTINUOUS,
        };
        self.told = Some(match pause {
            Pause::Seconds => Told::TooMany(lasts),
            _ => Told::Paused(lasts),
        });
        self.pause_until(now, now + lasts, fault);
    }

    fn pause_until(&mut self, now: Instant, until: Instant, fault: &Fault) {
        if self.pause.as_ref().is_none_or(|paused| paused.until < until) {
            let goes_on = self.pause.as_ref().filter(|paused| now <= paused.until);
            let since = goes_on.map_or(now, |paused| paused.since);
            let lasted = until.saturating_duration_since(now);
            self.pause = Some(Remembered { since, until, lasted, fault: fault.clone() });
        }
    }
}

/// A refusal, not a network that failed on the way to one.
fn is_definite(fault: &Fault) -> bool {
    use crate::outcome::TokenFault::Refused;
    matches!(fault.cause(), Cause::Refused(_) | Cause::Token(Refused { .. }))
}

/// Exchange throttles a whole mailbox for continuous SendAs and mailbox-full errors (Microsoft, "Continuous error
/// throttling for SMTP AUTH submissions"). A refused recipient is not repeated: other mail of the sender is good.
fn is_counted_by_exchange(fault: &Fault, judgement: &Judgement) -> bool {
    let of_the_message = matches!(fault.stage(), Stage::Mail | Stage::Content | Stage::Verdict);
    of_the_message
        && is_definite(fault)
        && judgement.scope == Scope::Mailbox
        && judgement.retry == Retry::Never
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
