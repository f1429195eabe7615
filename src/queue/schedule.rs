//! When a message that was not delivered is tried again, and when it is given up. Pure: the reason and the attempts so far
//! in, a time from now out.

use std::time::Duration;

/// Why an attempt did not deliver, as far as the next one depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nothing was wrong with the message or the set-up: trouble on the way, that may pass.
    Passing,
    /// An administrator must act: the message is kept, and its lifetime stands still.
    SetUp,
    /// Too much was sent: nothing may be tried before this has passed.
    Paused(Duration),
    /// Some recipients did not fit into one transaction: the rest go at once.
    Rest,
}

/// The pauses of [`Reason::Passing`] after the first, second … attempt, in seconds; the last is that of all further ones.
const PASSING: [u64; 9] = [30, 60, 120, 300, 600, 1200, 1800, 2700, 3600];
/// Those of [`Reason::SetUp`]: an administrator who has mended it waits for the next one.
const SET_UP: [u64; 5] = [60, 120, 300, 600, 900];
/// The most by which a pause is shortened or lengthened, so that what failed together does not come again together: a
/// share of it.
const JITTER: f64 = 0.2;
/// Nothing that a server says makes a message wait for longer.
pub const LONGEST: Duration = Duration::from_secs(6 * 3600);

/// How long to wait after so many attempts. `chance` is from 0 to 1; `asked` is what the other side asked for
/// (Retry-After), which is the least.
pub fn pause(reason: Reason, attempts: usize, asked: Option<Duration>, chance: f64) -> Duration {
    let table: &[u64] = match reason {
        Reason::Rest => return Duration::ZERO,
        Reason::SetUp => &SET_UP,
        Reason::Passing | Reason::Paused(_) => &PASSING,
    };
    let seconds = table[attempts.saturating_sub(1).min(table.len() - 1)];
    let spread = 1.0 + JITTER * (2.0 * chance.clamp(0.0, 1.0) - 1.0);
    let pause = Duration::from_secs(seconds).mul_f64(spread);
    let least = match reason {
        Reason::Paused(pause) => pause.max(asked.unwrap_or_default()),
        _ => asked.unwrap_or_default(),
    };
    pause.max(least).min(LONGEST)
}

/// Whether a message has come to the end of its lifetime (`MAILSHIM_SPOOL_LIFETIME`).
pub const fn is_over(lived: u64, lifetime: Duration) -> bool {
    lived >= lifetime.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(reason: Reason, attempts: usize) -> u64 {
        pause(reason, attempts, None, 0.5).as_secs()
    }

    #[test]
    fn pauses_grow_to_an_hour() {
        let pauses: Vec<u64> = (0..12).map(|attempts| seconds(Reason::Passing, attempts)).collect();
        assert!(pauses.is_sorted(), "{pauses:?}");
        assert_eq!((pauses[1], pauses[11]), (30, 3600));
        assert!((1..20).all(|attempts| seconds(Reason::SetUp, attempts) <= 900));
        assert_eq!(seconds(Reason::Rest, 3), 0);
    }

    #[test]
    fn chance_spreads_and_never_goes_below_what_was_asked() {
        for attempts in 1..12 {
            let (least, most) =
                (pause(Reason::Passing, attempts, None, 0.0), pause(Reason::Passing, attempts, None, 1.0));
            assert!(least < most && most.as_secs_f64() / least.as_secs_f64() < 1.6);
        }
        let asked = Duration::from_secs(100);
        assert_eq!(pause(Reason::Passing, 1, Some(asked), 0.0), asked);
        assert_eq!(pause(Reason::Paused(asked), 1, None, 0.0), asked);
        assert_eq!(pause(Reason::Paused(Duration::MAX), 1, Some(Duration::MAX), 0.0), LONGEST);
    }

    #[test]
    fn a_lifetime_ends_to_the_second() {
        let hour = Duration::from_secs(3600);
        assert!(is_over(3600, hour) && !is_over(3599, hour));
    }
}
