//! Names of a message.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Names one message in the log and in the spool: the second in which it came, and a number of 20 bits.
///
/// The number begins with the microsecond. A count from zero would give a process that was started again within the same
/// second the names of the mail that it finds in the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageId(u64);

/// Bits below the second.
const NUMBER: u32 = 20;

/// The last one that was given.
static LAST: AtomicU64 = AtomicU64::new(0);

impl MessageId {
    /// The next one, at this time.
    pub fn next(now: SystemTime) -> Self {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let earliest = (since.as_secs() << NUMBER) | u64::from(since.subsec_micros());
        let next = |last: u64| earliest.max(last + 1);
        // The closure always gives one.
        let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
        Self(next(last.unwrap_or_default()))
    }

    /// Reads one as it is shown.
    pub fn parse(text: &str) -> Option<Self> {
        u64::from_str_radix(text, 16).ok().map(Self)
    }

    /// As a number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn no_two_are_the_same_and_a_new_process_takes_none_of_the_last_ones() {
        let second = UNIX_EPOCH + Duration::from_secs(4_000_000_000);
        let first = MessageId::next(second);
        assert_eq!(first.number() >> NUMBER, 4_000_000_000);
        let others: Vec<u64> = (0..5).map(|_| MessageId::next(second).number()).collect();
        assert!(others.is_sorted_by(|a, b| a < b) && others[0] > first.number());
        // What a process would give that is started 30 ms later.
        let later = MessageId::next(second + Duration::from_millis(30));
        assert_eq!(later.number(), (4_000_000_000 << NUMBER) | 30_000);
        assert_eq!(MessageId::parse(&later.to_string()), Some(later));
        assert_eq!(MessageId::parse("x"), None);
    }
}
