//! What was lately: the mails of each minute of the last hour, and the last refusals. Both are rings of a fixed size, and
//! the texts in them are cut, so that a hundred thousand refusals take no more memory than twenty.

use std::collections::VecDeque;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use super::line::shortened;

/// Minutes that are counted, this one among them.
pub const MINUTES: usize = 60;
/// Refusals that are kept.
pub const REFUSALS: usize = 20;
/// Octets that are kept of an address.
const LONGEST_ADDRESS: usize = 120;
/// Octets that are kept of a sentence.
const LONGEST_SENTENCE: usize = 400;

/// A mail that was not accepted, made harmless and masked already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// When.
    pub at: SystemTime,
    /// The mail's name in the log.
    pub id: String,
    /// `refused`, `deferred`, `unknown` or `expired`.
    pub outcome: &'static str,
    /// The code that the app heard, with the enhanced one.
    pub code: String,
    /// The envelope's sender, as it went to Office 365.
    pub from: String,
    /// The first recipient, or the one that it is about.
    pub to: String,
    /// How many recipients.
    pub recipients: usize,
    /// What Office 365 said, or what went wrong.
    pub reason: String,
    /// What an administrator can do.
    pub fix: Option<String>,
}

/// Mails of each minute; the place of a minute is its number modulo [`MINUTES`].
struct Minutes {
    counts: [u32; MINUTES],
    newest: u64,
}

impl Minutes {
    const fn new() -> Self {
        Self { counts: [0; MINUTES], newest: 0 }
    }

    /// Goes on to this minute; those that nobody counted in are empty.
    fn turn(&mut self, minute: u64) {
        for _ in 0..minute.saturating_sub(self.newest).min(MINUTES as u64) {
            self.newest += 1;
            self.counts[place(self.newest)] = 0;
        }
        if minute > self.newest {
            // A gap of more than the ring is long: all of it is empty by now.
            self.newest = minute;
        }
    }

    fn count(&mut self, minute: u64) {
        self.turn(minute);
        let count = &mut self.counts[place(minute)];
        *count = count.saturating_add(1);
    }

    /// Oldest first; the last is the minute under way.
    fn last_hour(&mut self, minute: u64) -> [u32; MINUTES] {
        self.turn(minute);
        let oldest = place(self.newest) + 1;
        std::array::from_fn(|index| self.counts[(oldest + index) % MINUTES])
    }
}

#[expect(clippy::cast_possible_truncation, reason = "less than 60")]
const fn place(minute: u64) -> usize {
    (minute % MINUTES as u64) as usize
}

static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
static ACCEPTED: Mutex<Minutes> = Mutex::new(Minutes::new());
static REFUSED: Mutex<VecDeque<Refusal>> = Mutex::new(VecDeque::new());

fn minute() -> u64 {
    BEGAN.elapsed().as_secs() / 60
}

/// Office 365 took a mail.
pub(super) fn accepted() {
    ACCEPTED.lock().unwrap_or_else(PoisonError::into_inner).count(minute());
}

/// Mails that Office 365 took in each of the last [`MINUTES`] minutes, oldest first; all mailboxes together.
pub(super) fn per_minute() -> [u32; MINUTES] {
    ACCEPTED.lock().unwrap_or_else(PoisonError::into_inner).last_hour(minute())
}

/// A mail was not accepted.
pub(super) fn refused(refusal: Refusal) {
    keep(&mut REFUSED.lock().unwrap_or_else(PoisonError::into_inner), refusal);
}

/// The last refusals, newest first.
pub(super) fn refusals() -> Vec<Refusal> {
    REFUSED.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
}

fn keep(kept: &mut VecDeque<Refusal>, refusal: Refusal) {
    if kept.len() >= REFUSALS {
        kept.pop_front();
    }
    // Boxed to their length: a String keeps the room that it grew to.
    let cut = |text: &str, most| String::from(shortened(text, most).into_owned().into_boxed_str());
    kept.push_back(Refusal {
        code: cut(&refusal.code, LONGEST_ADDRESS),
        from: cut(&refusal.from, LONGEST_ADDRESS),
        to: cut(&refusal.to, LONGEST_ADDRESS),
        reason: cut(&refusal.reason, LONGEST_SENTENCE),
        fix: refusal.fix.map(|fix| cut(&fix, LONGEST_SENTENCE)),
        ..refusal
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_of_minutes_moves_on_with_the_clock() {
        let mut minutes = Minutes::new();
        (0..3).for_each(|_| minutes.count(0));
        minutes.count(2);
        let hour = minutes.last_hour(2);
        assert_eq!((hour[57], hour[58], hour[59]), (3, 0, 1));
        let hour = minutes.last_hour(59);
        assert_eq!((hour[0], hour[1], hour[2], hour.iter().sum()), (3, 0, 1, 4));
        assert_eq!(minutes.last_hour(60).iter().sum::<u32>(), 1);
        minutes.count(61);
        assert_eq!((minutes.last_hour(61)[0], minutes.last_hour(61)[59]), (1, 1));
        // A gap that is longer than the ring, to a minute of each place.
        for gap in 60..125 {
            minutes.count(1_000);
            assert_eq!(minutes.last_hour(1_000 + gap), [0; MINUTES], "{gap}");
            minutes = Minutes::new();
        }
    }

    #[test]
    fn a_hundred_thousand_refusals_take_the_room_of_twenty() {
        let mut kept = VecDeque::new();
        for number in 0..100_000 {
            let long = "x\u{e4}".repeat(if number % 1_000 == 0 { 10_000 } else { 300 });
            keep(
                &mut kept,
                Refusal {
                    at: SystemTime::UNIX_EPOCH,
                    id: number.to_string(),
                    outcome: "refused",
                    code: "550 5.7.1".to_string(),
                    from: long.clone(),
                    to: long.clone(),
                    recipients: 500,
                    reason: long.clone(),
                    fix: Some(long),
                },
            );
        }
        assert_eq!(kept.len(), REFUSALS);
        assert_eq!(kept.back().map(|last| last.id.as_str()), Some("99999"));
        let room = |text: &String| text.capacity();
        let octets: usize = kept
            .iter()
            .map(|one| {
                room(&one.code)
                    + room(&one.from)
                    + room(&one.to)
                    + room(&one.reason)
                    + one.fix.as_ref().map_or(0, room)
            })
            .sum();
        assert!(kept.capacity() <= 2 * REFUSALS && octets <= 1_100 * REFUSALS, "{octets}");
    }
}
