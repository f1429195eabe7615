//! What one mailbox may do now. Pure: `now` is an argument, and what Office 365 said comes in as faults.
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
/// While one mail tries whether a sign-in works again, the others do not, for at most so long.
const PROBE: Duration = Duration::from_secs(60);
/// Senders whose refusals are remembered at once.
const MAX_REMEMBERED: usize = 256;

/// What a mail may do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Go.
    Now,
    /// Its turn by our own pace comes then. At the end of its hold it goes anyway, unless `believed`: Office 365 has
    /// refused for rate within the last minute.
    Paced {
        /// When.
        until: Instant,
        /// Office 365 counts as we do.
        believed: bool,
    },
    /// Office 365 throttled the mailbox until then, as far as is known.
    Paused(Instant, Fault),
    /// Nothing is tried before then.
    Refused(Instant, Fault),
    /// Today's recipients are used up until then.
    UsedUp(Instant),
}

/// A refusal that is repeated locally, with the time to its next trial.
#[derive(Clone, Debug)]
struct Remembered {
    until: Instant,
    lasted: Duration,
    fault: Fault,
    /// Of the breaker: somebody tries whether it still holds.
    on_trial: bool,
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
    pause: Option<(Instant, Fault)>,
    breaker: Option<Remembered>,
    /// By sender (reverse-path and author); the empty one is the mailbox as a whole.
    memory: HashMap<String, Remembered>,
    breaker_lasts: (Duration, Duration),
    connections: usize,
    grow_at: Option<Instant>,
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
            breaker: None,
            memory: HashMap::new(),
            breaker_lasts: BREAKER,
            connections: max_connections,
            grow_at: None,
        }
    }

    /// For a mailbox that an app names as its sender: one that is refused may not exist, and is left alone for longer.
    #[must_use]
    pub const fn of_a_sender(mut self) -> Self {
        self.breaker_lasts = (MEMORY.1, MEMORY.1);
        self
    }

    /// Whether a mail of this sender may go now.
    pub fn turn(&mut self, now: Instant, sender: &str) -> Turn {
        if let Some(obstacle) = self.obstacle(now, sender) {
            return obstacle;
        }
        if let Some((0, opens)) = self.recipients_left(now) {
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

    /// What Office 365 said of the mailbox or of this sender that keeps a mail back, whatever our own counts are:
    /// [`Turn::Refused`] or [`Turn::Paused`].
    pub fn obstacle(&self, now: Instant, sender: &str) -> Option<Turn> {
        let remembered = [sender, ""].into_iter().filter_map(|key| self.memory.get(key));
        if let Some(refusal) = remembered.chain(&self.breaker).find(|refusal| now < refusal.until) {
            return Some(Turn::Refused(refusal.until, refusal.fault.clone()));
        }
        let paused = self.pause.as_ref().filter(|(until, _)| now < *until);
        paused.map(|(until, fault)| Turn::Paused(*until, fault.clone()))
    }

    /// Whether a sign-in may be tried now.
    ///
    /// # Errors
    /// When one may be tried.
    pub fn may_sign_in(&self, now: Instant) -> Result<(), Instant> {
        match &self.breaker {
            Some(breaker) if now < breaker.until => Err(breaker.until),
            _ => Ok(()),
        }
    }

    /// Somebody goes to sign in. After a refusal it is the one to try, and true is returned: until it is known what
    /// became of it, the others hear the last refusal. Its [`Limits::trial_ended`] must follow.
    pub fn begin_trial(&mut self, now: Instant) -> bool {
        let Some(breaker) = &mut self.breaker else { return false };
        (breaker.until, breaker.on_trial) = (now + PROBE, true);
        true
    }

    /// Who was to try is done. If it never got as far (its app hung up, no connection came about, it used one that was
    /// signed in before), the next one may try at once.
    pub fn trial_ended(&mut self, now: Instant) {
        if let Some(breaker) = self.breaker.as_mut().filter(|breaker| breaker.on_trial) {
            (breaker.until, breaker.on_trial) = (now, false);
        }
    }

    /// When the next message fits into the last 60 seconds; `None` if it does now.
    fn pace(&mut self, now: Instant) -> Option<Instant> {
        if self.per_minute == 0 {
            return None;
        }
        while self.sent.front().is_some_and(|first| *first + MINUTE <= now) {
            self.sent.pop_front();
        }
        let behind = self.sent.len().checked_sub(self.per_minute)?;
        self.sent.get(behind).map(|time| *time + MINUTE)
    }

    /// A message for so many recipients is about to be submitted: it counts, whatever Office 365 says of it
    /// ([`Limits::withdrawn`] if it is not asked). Its recipients are reserved until [`Limits::ended`], and count for
    /// today only if it is accepted.
    pub fn submitted(&mut self, now: Instant, recipients: usize) {
        self.under_way += recipients as u64;
        if self.per_minute > 0 {
            self.sent.push_back(now);
            // Mails that went at the end of their hold add to the list; older ones no longer matter.
            while self.sent.len() > 2 * self.per_minute {
                self.sent.pop_front();
            }
        }
    }

    /// What became of that message is known.
    pub fn ended(&mut self, recipients: usize) {
        self.under_way = self.under_way.saturating_sub(recipients as u64);
    }

    /// Office 365 is asked about the message counted at that time: its minute begins now. Mails that were counted
    /// together and then waited for a connection would else come too close to those of the next minute.
    pub fn asked(&mut self, submitted: Instant, now: Instant) {
        if let Some(place) = self.sent.iter().rposition(|time| *time == submitted) {
            self.sent.remove(place);
            self.sent.push_back(now);
        }
    }

    /// The message counted at that time has not reached Office 365: another one may have its place in the minute.
    pub fn withdrawn(&mut self, submitted: Instant) {
        if let Some(place) = self.sent.iter().rposition(|time| *time == submitted) {
            self.sent.remove(place);
        }
    }

    /// Office 365 has taken a message for so many recipients.
    pub fn accepted(&mut self, now: Instant, sender: &str, recipients: usize) {
        self.memory.remove(sender);
        self.memory.remove("");
        if self.per_day > 0 {
            match self.recipients.back_mut() {
                Some((begun, count)) if now < *begun + STEP => *count += recipients as u64,
                _ => self.recipients.push_back((now, recipients as u64)),
            }
        }
    }

    /// A sign-in succeeded.
    pub fn signed_in(&mut self) {
        self.breaker = None;
    }

    /// Whether a sign-in was refused, and none has succeeded since.
    pub const fn is_breaker_open(&self) -> bool {
        self.breaker.is_some()
    }

    /// The secret has changed: what was refused may pass.
    pub fn secret_changed(&mut self) {
        self.breaker = None;
    }

    /// Recipients that are left of today's, and when more are free if there are none; `None` for no limit.
    pub fn recipients_left(&mut self, now: Instant) -> Option<(u64, Instant)> {
        if self.per_day == 0 {
            return None;
        }
        // A step is let go when its last recipient is a day old.
        while self.recipients.front().is_some_and(|(begun, _)| *begun + STEP + DAY <= now) {
            self.recipients.pop_front();
        }
        let used: u64 = self.recipients.iter().map(|(_, count)| count).sum();
        let opens = self.recipients.front().map_or(now + STEP, |(begun, _)| *begun + STEP + DAY);
        Some((self.per_day.saturating_sub(used + self.under_way), opens))
    }

    /// Connections that may be used now: one less after each 432, one more after a quiet time.
    pub fn connections(&mut self, now: Instant) -> usize {
        while let Some(at) = self.grow_at.filter(|at| *at <= now) {
            self.connections = (self.connections + 1).min(self.max_connections);
            self.grow_at = (self.connections < self.max_connections).then(|| at + GROW_AFTER);
        }
        self.connections
    }

    /// Learns from what Office 365 said of a mail of this sender.
    pub fn failed(&mut self, now: Instant, sender: &str, fault: &Fault) {
        let judgement = judge(fault, &Context::default());
        match judgement.class {
            Class::Throttled(pause) if judgement.scope != Scope::Message => self.throttled(now, pause, fault),
            Class::SetUp if matches!(fault.stage(), Stage::Auth | Stage::Token) && is_definite(fault) => {
                let last = self.breaker.take();
                self.breaker = Some(remember(now, last, fault, self.breaker_lasts));
            }
            Class::SetUp | Class::Permanent if is_counted_by_exchange(fault, &judgement) => {
                let key = match (judgement.about_sender, sender) {
                    // Not known whose it was: the mailbox as a whole must not pay for it.
                    (true, "") => return,
                    (true, sender) => sender,
                    (false, _) => "",
                };
                let last = self.memory.remove(key);
                if self.memory.len() >= MAX_REMEMBERED {
                    self.memory.retain(|_, remembered| now < remembered.until);
                }
                if self.memory.len() < MAX_REMEMBERED {
                    self.memory.insert(key.to_string(), remember(now, last, fault, MEMORY));
                }
            }
            _ => {}
        }
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
        let until = now + lasts;
        if self.pause.as_ref().is_none_or(|(paused, _)| *paused < until) {
            self.pause = Some((until, fault.clone()));
        }
    }
}

fn remember(
    now: Instant,
    last: Option<Remembered>,
    fault: &Fault,
    (first, longest): (Duration, Duration),
) -> Remembered {
    // Mails that were on their way together are refused together: that is one refusal, not one a mail.
    if let Some(last) = last.as_ref().filter(|last| now < last.until && !last.on_trial) {
        return last.clone();
    }
    let lasted = last.map_or(first, |last| (last.lasted * 2).min(longest));
    Remembered { until: now + lasted, lasted, fault: fault.clone(), on_trial: false }
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
