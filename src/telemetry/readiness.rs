//! Whether mail would go out now, as far as the spool's disk and the last sign-in say: for people and alerts. No orchestrator should take the
//! app out of service for it.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::addresses::shown;
use super::alerts::alert;
use super::mail::in_words;
use super::metrics::metrics;
use crate::outcome::{Context, Fault, judge};

/// The same trouble is told again after this long.
const AGAIN_AFTER: Duration = Duration::from_secs(600);

/// Why mail would not go out now: made harmless and masked already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotReady {
    /// What went wrong.
    pub reason: String,
    /// What an administrator can do.
    pub fix: Option<String>,
}

impl NotReady {
    /// A fault of this mailbox, which its hint names; empty for what is of none.
    pub(super) fn of(mailbox: &str, fault: &Fault) -> Self {
        let fix = judge(fault, &Context { mailbox, ..Context::default() }).hint;
        Self { reason: shown(&fault.to_string()), fix: fix.map(|fix| shown(&fix)) }
    }
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        self.fix.as_ref().map_or(Ok(()), |fix| write!(f, " | Fix: {fix}"))
    }
}

/// The last sign-in's result, what the spool's disk refused, and the troubles that hold.
struct State {
    result: Option<Result<(), NotReady>>,
    trouble: Option<Trouble>,
    disk: Option<(NotReady, Trouble)>,
    /// What was shown last, and since when it has been so.
    shown: Option<(bool, SystemTime)>,
}

impl State {
    fn readiness(&self) -> Result<(), NotReady> {
        if let Some((why, _)) = &self.disk {
            return Err(NotReady { reason: format!("spool: {}", why.reason), fix: why.fix.clone() });
        }
        let none = || NotReady { reason: "the first sign-in is under way".to_string(), fix: None };
        self.result.clone().unwrap_or_else(|| Err(none()))
    }

    fn show(&mut self) {
        let is_ready = self.readiness().is_ok();
        metrics().ready.set(i64::from(is_ready));
        if self.shown.is_none_or(|(was_ready, _)| was_ready != is_ready) {
            self.shown = Some((is_ready, SystemTime::now()));
        }
    }
}

static STATE: Mutex<State> = Mutex::new(State { result: None, trouble: None, disk: None, shown: None });

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether mail would be taken and go out, as far as the spool's disk and the last sign-in say.
///
/// # Errors
/// It would not, with the reason; or there was no sign-in yet.
pub fn readiness() -> Result<(), NotReady> {
    state().readiness()
}

/// The same, and since when it has been so, or not; `None` before anything is known.
pub(super) fn readiness_since() -> (Result<(), NotReady>, Option<SystemTime>) {
    let state = state();
    (state.readiness(), state.shown.map(|(_, since)| since))
}

/// Whether the last sign-in was fine, whatever else is wrong.
pub(super) fn is_signed_in() -> bool {
    state().result == Some(Ok(()))
}

/// The spool's disk refuses mail for this reason. What is to be told, if anything, as for [`failed`].
pub(super) fn disk_failed(why: NotReady) -> Option<(Duration, u64)> {
    let mut state = state();
    let mut trouble = state.disk.take().map(|(_, trouble)| trouble);
    let told = Trouble::met(&mut trouble, &why.to_string(), Instant::now());
    state.disk = trouble.map(|trouble| (why, trouble));
    state.show();
    told
}

/// The spool's disk can be used; for how long it could not, if it could not.
pub(super) fn disk_works() -> Option<Duration> {
    let mut state = state();
    let over = state.disk.take()?.1;
    state.show();
    Some(over.began.elapsed())
}

/// A sign-in failed for this reason, and this cause of it. What is to be told, if anything: for how long, and how many
/// tries; the first one of a cause is always told.
pub(super) fn failed(why: NotReady, cause: &str) -> Option<(Duration, u64)> {
    let mut state = state();
    state.result = Some(Err(why));
    state.show();
    Trouble::met(&mut state.trouble, cause, Instant::now())
}

/// A sign-in passed; for how long there was trouble before it, if there was.
pub(super) fn signed_in() -> Option<Duration> {
    let mut state = state();
    state.result = Some(Ok(()));
    state.show();
    state.trouble.take().map(|trouble| trouble.began.elapsed())
}

/// Whoever was woken by what is over now hears that it is, unless something else still holds.
pub(super) fn tell_ready(mailbox: &str, after: Duration) {
    if readiness().is_ok() {
        alert("ready", mailbox, &format!("it took {}", in_words(after)), None);
    }
}

/// Something that keeps mail from going out.
struct Trouble {
    cause: String,
    /// The first failure, whatever its cause was.
    began: Instant,
    /// When this cause was met first.
    since: Instant,
    told: Instant,
    /// Tries that failed for this cause.
    tries: u64,
}

impl Trouble {
    fn met(trouble: &mut Option<Self>, cause: &str, now: Instant) -> Option<(Duration, u64)> {
        match trouble {
            Some(known) if known.cause == cause => {
                known.tries += 1;
                let is_due = now.duration_since(known.told) >= AGAIN_AFTER;
                is_due.then(|| {
                    known.told = now;
                    (now.duration_since(known.since), known.tries)
                })
            }
            other => {
                let began = other.as_ref().map_or(now, |other| other.began);
                *other = Some(Self { cause: cause.to_string(), began, since: now, told: now, tries: 1 });
                Some((Duration::ZERO, 1))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_told_when_it_begins_or_changes_and_every_ten_minutes() {
        let (mut trouble, start) = (None, Instant::now());
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        let mut met = |cause, after| Trouble::met(&mut trouble, cause, start + after);
        assert_eq!(met("connect", minutes(0)), Some((minutes(0), 1)));
        assert_eq!(met("connect", minutes(4)), None);
        assert_eq!(met("connect", minutes(9)), None);
        assert_eq!(met("connect", minutes(12)), Some((minutes(12), 4)));
        assert_eq!(met("connect", minutes(21)), None);
        assert_eq!(met("auth", minutes(22)), Some((minutes(0), 1)));
        assert_eq!(met("auth", minutes(32)), Some((minutes(10), 2)));
        assert_eq!(trouble.map(|trouble| trouble.began), Some(start));
    }
}
