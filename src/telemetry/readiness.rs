//! Whether mail would go out now, as far as the last sign-in says: for people and alerts. No orchestrator should take the
//! app out of service for it.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::metrics::metrics;

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

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        self.fix.as_ref().map_or(Ok(()), |fix| write!(f, " | Fix: {fix}"))
    }
}

/// The last sign-in's result, since when it has been so, and the trouble that holds.
struct State {
    result: Option<Result<(), NotReady>>,
    since: Option<SystemTime>,
    trouble: Option<Trouble>,
}

static STATE: Mutex<State> = Mutex::new(State { result: None, since: None, trouble: None });

/// The last sign-in's result.
///
/// # Errors
/// It failed, with the reason; or there was none yet.
pub fn readiness() -> Result<(), NotReady> {
    readiness_since().0
}

/// The last sign-in's result, and since when it has been fine, or not; `None` before the first.
pub(super) fn readiness_since() -> (Result<(), NotReady>, Option<SystemTime>) {
    let state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    let first = || NotReady { reason: "the first sign-in is under way".to_string(), fix: None };
    (state.result.clone().unwrap_or_else(|| Err(first())), state.since)
}

/// A sign-in failed for this reason, and this cause of it. What is to be told, if anything: for how long, and how many
/// tries; the first one of a cause is always told.
pub(super) fn failed(why: NotReady, cause: &str) -> Option<(Duration, u64)> {
    metrics().ready.set(0);
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    if !matches!(state.result, Some(Err(_))) {
        state.since = Some(SystemTime::now());
    }
    state.result = Some(Err(why));
    Trouble::met(&mut state.trouble, cause, Instant::now())
}

/// A sign-in passed; for how long there was trouble before it, if there was.
pub(super) fn signed_in() -> Option<Duration> {
    metrics().ready.set(1);
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    if state.result != Some(Ok(())) {
        state.since = Some(SystemTime::now());
    }
    state.result = Some(Ok(()));
    state.trouble.take().map(|trouble| trouble.began.elapsed())
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
