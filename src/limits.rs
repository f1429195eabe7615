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
/// While one mail tries whether a sign-in works again, the others do not.
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
    /// By sender; the empty one is the mailbox as a whole.
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
        for key in [sender, ""] {
            if let Some(remembered) = self.memory.get(key).filter(|remembered| now < remembered.until) {
                return Turn::Refused(remembered.until, remembered.fault.clone());
            }
        }
        if let Err((until, fault)) = self.may_sign_in(now) {
            return Turn::Refused(until, fault);
        }
        match &self.pause {
            Some((until, fault)) if now < *until => return Turn::Paused(*until, fault.clone()),
            _ => self.pause = None,
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

    /// Whether a sign-in may be tried now. Who asks is the one to try: until it is known what became of it, the others
    /// hear the last refusal.
    ///
    /// # Errors
    /// When one may be tried, and the last refusal.
    #[expect(clippy::result_large_err, reason = "once a sign-in, and the fault is what is told")]
    pub fn may_sign_in(&mut self, now: Instant) -> Result<(), (Instant, Fault)> {
        let Some(breaker) = &mut self.breaker else { return Ok(()) };
        if now < breaker.until {
            return Err((breaker.until, breaker.fault.clone()));
        }
        breaker.until = now + PROBE;
        Ok(())
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

    /// A message for so many recipients is about to be submitted: it counts, whatever becomes of it. Its recipients
    /// count for today only if it is accepted: [`Limits::ended`] says so.
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
            Class::SetUp if matches!(fault.stage, Stage::Auth | Stage::Token) && is_definite(fault) => {
                let last = self.breaker.take();
                self.breaker = Some(remember(now, last, fault, self.breaker_lasts));
            }
            Class::SetUp | Class::Permanent if is_counted_by_exchange(fault, &judgement) => {
                let key = if judgement.about_sender { sender } else { "" };
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
    let lasted = last.map_or(first, |last| (last.lasted * 2).min(longest));
    Remembered { until: now + lasted, lasted, fault: fault.clone() }
}

/// A refusal, not a network that failed on the way to one.
fn is_definite(fault: &Fault) -> bool {
    use crate::outcome::TokenFault::Refused;
    matches!(fault.cause, Cause::Refused(_) | Cause::Token(Refused { .. }))
}

/// Exchange throttles a whole mailbox for continuous SendAs and mailbox-full errors (Microsoft, "Continuous error
/// throttling for SMTP AUTH submissions"). A refused recipient is not repeated: other mail of the sender is good.
fn is_counted_by_exchange(fault: &Fault, judgement: &Judgement) -> bool {
    let of_the_message = matches!(fault.stage, Stage::Mail | Stage::Content | Stage::Verdict);
    of_the_message
        && is_definite(fault)
        && judgement.scope == Scope::Mailbox
        && judgement.retry == Retry::Never
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::TokenFault;
    use crate::smtp::reply::Reply;

    const SECOND: Duration = Duration::from_secs(1);

    fn refused(stage: Stage, code: u16, text: &str) -> Fault {
        Fault { stage, recipient: None, cause: Cause::Refused(Reply::new(code, text)) }
    }

    fn limits() -> Limits {
        Limits::new(0, 0, 3)
    }

    #[test]
    fn a_burst_up_to_the_budget_goes_at_once_and_the_rest_is_paced() {
        let (start, mut limits) = (Instant::now(), Limits::new(3, 0, 3));
        for second in 0..3 {
            let now = start + SECOND * second;
            assert_eq!(limits.turn(now, "a"), Turn::Now);
            limits.submitted(now, 1);
        }
        let now = start + SECOND * 10;
        assert_eq!(limits.turn(now, "a"), Turn::Paced { until: start + MINUTE, believed: false });
        assert_eq!(limits.turn(start + MINUTE, "a"), Turn::Now);
        limits.submitted(start + MINUTE, 1);
        assert_eq!(
            limits.turn(start + MINUTE, "a"),
            Turn::Paced { until: start + MINUTE + SECOND, believed: false }
        );
    }

    #[test]
    fn never_more_than_the_budget_in_any_minute() {
        let (mut now, mut limits) = (Instant::now(), Limits::new(28, 0, 3));
        let mut times = Vec::new();
        for _ in 0..120 {
            while let Turn::Paced { until, .. } = limits.turn(now, "a") {
                now = until;
            }
            limits.submitted(now, 1);
            times.push(now);
        }
        for window in times.windows(29) {
            assert!(window[28] - window[0] >= MINUTE);
        }
        assert_eq!(times[119] - times[0], MINUTE * 4);
    }

    #[test]
    fn mails_that_went_at_the_end_of_their_hold_are_counted() {
        let (now, mut limits) = (Instant::now(), Limits::new(2, 0, 3));
        (0..3).for_each(|_| limits.submitted(now, 1));
        let later = now + SECOND;
        limits.submitted(later, 1);
        assert_eq!(limits.turn(later, "a"), Turn::Paced { until: now + MINUTE, believed: false });
        assert_eq!(limits.turn(now + MINUTE, "a"), Turn::Now);
    }

    #[test]
    fn a_refusal_for_rate_pauses_and_is_believed_for_a_minute() {
        let (now, mut limits) = (Instant::now(), Limits::new(2, 0, 3));
        limits.submitted(now, 1);
        limits.submitted(now + SECOND, 1);
        let fault = refused(
            Stage::Mail,
            421,
            "4.4.2 Message submission rate for this client has exceeded the configured limit",
        );
        limits.failed(now + SECOND * 20, "a", &fault);
        assert_eq!(limits.turn(now + SECOND * 30, "a"), Turn::Paused(now + MINUTE, fault));
        limits.submitted(now + MINUTE, 1);
        assert_eq!(
            limits.turn(now + MINUTE, "a"),
            Turn::Paced { until: now + MINUTE + SECOND, believed: true }
        );
    }

    #[test]
    fn a_432_costs_a_connection_and_a_quiet_time_gives_it_back() {
        let (now, mut limits) = (Instant::now(), limits());
        let fault = refused(Stage::Verdict, 432, "4.3.2 Concurrent connections limit exceeded.");
        limits.failed(now, "a", &fault);
        assert_eq!(limits.connections(now), 2);
        assert_eq!(limits.turn(now, "a"), Turn::Paused(now + PAUSE_SECONDS, fault.clone()));
        assert_eq!(limits.turn(now + PAUSE_SECONDS, "a"), Turn::Now);
        (0..5).for_each(|_| limits.failed(now, "a", &fault));
        assert_eq!(limits.connections(now), 1);
        assert_eq!(limits.connections(now + GROW_AFTER), 2);
        assert_eq!(limits.connections(now + GROW_AFTER * 5), 3);
    }

    #[test]
    fn quotas_and_continuous_errors_pause_for_long() {
        for (text, lasts) in [
            ("5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException", PAUSE_DAY),
            ("5.1.90 Your message can't be sent because you've reached your daily limit", PAUSE_DAY),
            ("5.2.252 Sender throttled due to continuous send as denied errors", PAUSE_CONTINUOUS),
        ] {
            let (now, mut limits) = (Instant::now(), limits());
            let fault = refused(Stage::Verdict, 554, text);
            limits.failed(now, "a", &fault);
            assert_eq!(limits.turn(now, "b"), Turn::Paused(now + lasts, fault), "{text}");
            assert_eq!(limits.turn(now + lasts, "b"), Turn::Now);
        }
    }

    #[test]
    fn the_breaker_grows_lets_one_try_and_closes() {
        let (mut now, mut limits) = (Instant::now(), limits());
        let fault = refused(Stage::Auth, 535, "5.7.3 Authentication unsuccessful");
        let mut lasted = Vec::new();
        for _ in 0..8 {
            assert_eq!(limits.turn(now, "a"), Turn::Now);
            limits.failed(now, "a", &fault);
            let Turn::Refused(until, cause) = limits.turn(now, "a") else { panic!("closed") };
            assert_eq!(cause, fault);
            lasted.push((until - now).as_secs());
            now = until;
        }
        assert_eq!(lasted, [10, 20, 40, 80, 160, 320, 600, 600]);
        assert_eq!(limits.turn(now, "a"), Turn::Now, "one may try");
        assert!(matches!(limits.turn(now, "b"), Turn::Refused(..)), "the others wait for what it finds");
        limits.signed_in();
        assert_eq!(limits.turn(now, "b"), Turn::Now);
        limits.failed(now, "a", &fault);
        limits.secret_changed();
        assert_eq!(limits.turn(now, "a"), Turn::Now);
    }

    #[test]
    fn only_a_definite_refusal_of_the_sign_in_opens_the_breaker() {
        let (now, mut limits) = (Instant::now(), limits());
        let fault = |cause| Fault { stage: Stage::Token, recipient: None, cause };
        limits.failed(now, "a", &fault(Cause::Token(TokenFault::TimedOut(SECOND))));
        limits.failed(now, "a", &fault(Cause::SetUp("the secret file is empty".into())));
        limits.failed(now, "a", &refused(Stage::Auth, 454, "4.7.0 Temporary authentication failure"));
        assert_eq!(limits.turn(now, "a"), Turn::Now);
        let refused = TokenFault::Refused {
            status: 401,
            error: "invalid_client".into(),
            description: "AADSTS7000215".into(),
            codes: vec![7_000_215],
        };
        limits.failed(now, "a", &fault(Cause::Token(refused)));
        assert!(matches!(limits.turn(now, "a"), Turn::Refused(..)));
    }

    #[test]
    fn a_send_as_refusal_is_remembered_for_its_sender_alone() {
        let (now, mut limits) = (Instant::now(), limits());
        let fault = refused(Stage::Verdict, 554, "5.2.252 SendAsDenied; a not allowed to send as b");
        limits.failed(now, "b", &fault);
        assert_eq!(limits.turn(now, "b"), Turn::Refused(now + MINUTE, fault.clone()));
        assert_eq!(limits.turn(now, "a"), Turn::Now);
        assert_eq!(limits.turn(now + MINUTE, "b"), Turn::Now);
        limits.failed(now + MINUTE, "b", &fault);
        assert_eq!(limits.turn(now + MINUTE, "b"), Turn::Refused(now + MINUTE * 3, fault));
        limits.accepted(now + MINUTE * 3, "b", 1);
        assert_eq!(limits.turn(now + MINUTE * 3, "b"), Turn::Now);
    }

    #[test]
    fn a_full_mailbox_is_remembered_for_everybody_and_a_refused_recipient_for_nobody() {
        let (now, mut limits) = (Instant::now(), limits());
        limits.failed(now, "a", &refused(Stage::Rcpt, 550, "5.1.10 Recipient not found"));
        limits.failed(now, "a", &refused(Stage::Verdict, 554, "5.6.0 Invalid message content"));
        assert_eq!(limits.turn(now, "a"), Turn::Now);
        limits.failed(now, "a", &refused(Stage::Verdict, 554, "5.2.2 mailbox full; STOREDRV"));
        assert!(matches!(limits.turn(now, "b"), Turn::Refused(..)));
    }

    #[test]
    fn recipients_are_counted_over_24_hours() {
        let (start, mut limits) = (Instant::now(), Limits::new(0, 50, 3));
        assert_eq!(limits.recipients_left(start).unwrap().0, 50);
        limits.accepted(start, "a", 30);
        limits.accepted(start + DAY / 2, "a", 25);
        let (left, opens) = limits.recipients_left(start + DAY / 2).unwrap();
        assert_eq!((left, opens), (0, start + STEP + DAY));
        assert_eq!(limits.recipients_left(opens).unwrap().0, 25);
        limits.submitted(opens, 25);
        assert_eq!(
            limits.turn(opens, "a"),
            Turn::UsedUp(start + DAY / 2 + STEP + DAY),
            "mail under way counts"
        );
        limits.ended(25);
        assert_eq!(limits.turn(opens, "a"), Turn::Now);
        assert_eq!(Limits::new(0, 0, 3).recipients_left(start), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (now, mut limits) = (Instant::now(), limits());
        let fault = refused(Stage::Verdict, 554, "5.2.252 SendAsDenied; a not allowed to send as b");
        (0..1000).for_each(|sender| limits.failed(now, &sender.to_string(), &fault));
        assert_eq!(limits.memory.len(), MAX_REMEMBERED);
        limits.failed(now + MINUTE, "late", &fault);
        assert_eq!(limits.memory.len(), 1);
    }
}
