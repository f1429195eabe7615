//! How much of its lifetime a message has used up: seconds in which a shim ran and no set-up fault held its mailbox. Pure.
//!
//! Nothing here is asked of a wall clock, so that none can expire a mail: times are those of a clock that begins with the
//! wall's when the process starts and then only counts. What another process has written may lie before the start, then
//! only the time since the start counts; or after now, where the wall clock was put back between the two, then none does.
//! The mistake is always that a message lives for longer.

use std::collections::HashMap;

/// Stretches that are kept; the two that lie nearest to each other become one beyond that.
const MOST_STRETCHES: usize = 64;

/// When a mailbox was held by a set-up fault, in seconds of that clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetUpFaults {
    /// In order, from and until.
    over: Vec<(u64, u64)>,
    since: Option<u64>,
}

impl SetUpFaults {
    /// An attempt met one. It holds from the first on; whether this was it.
    pub fn met(&mut self, now: u64) -> bool {
        let begins = self.since.is_none();
        self.since.get_or_insert(now);
        begins
    }

    /// An attempt got past it.
    pub fn passed(&mut self, now: u64) {
        let Some(since) = self.since.take().filter(|since| *since < now) else { return };
        self.over.push((since, now));
        if self.over.len() > MOST_STRETCHES {
            let gap = |place: &usize| self.over[place + 1].0 - self.over[*place].1;
            if let Some(place) = (0..self.over.len() - 1).min_by_key(gap) {
                let (_, until) = self.over.remove(place + 1);
                self.over[place].1 = until;
            }
        }
    }

    /// Seconds between these two times in which none held.
    fn without(&self, from: u64, now: u64) -> u64 {
        let all = self.over.iter().copied().chain(self.since.map(|since| (since, now)));
        let held: u64 = all.map(|(begun, over)| over.min(now).saturating_sub(begun.max(from))).sum();
        now.saturating_sub(from).saturating_sub(held)
    }
}

/// Mailboxes whose faults are kept. Apps name them, where each sender signs in as its own.
const MOST_MAILBOXES: usize = 256;

/// The set-up faults of all mailboxes.
#[derive(Clone, Debug, Default)]
pub struct Mailboxes {
    of: HashMap<String, SetUpFaults>,
    /// When faults that were over were forgotten, to make room: no time before it counts.
    forgotten: u64,
}

impl Mailboxes {
    /// Learns whether an attempt met a set-up fault of its mailbox. Seconds that its message has lived since `last`, in a
    /// process that was started at `started`; none where nothing more can be kept. And whether such a fault begins with it.
    pub fn attempt(
        &mut self,
        mailbox: &str,
        is_held: bool,
        last: u64,
        started: u64,
        now: u64,
    ) -> (u64, bool) {
        let key = mailbox.to_ascii_lowercase();
        if self.of.len() >= MOST_MAILBOXES && !self.of.contains_key(&key) {
            self.of.retain(|_, faults| faults.since.is_some());
            self.forgotten = now;
            if self.of.len() >= MOST_MAILBOXES {
                return (0, false);
            }
        }
        let faults = self.of.entry(key).or_default();
        let begins = is_held && faults.met(now);
        if !is_held {
            faults.passed(now);
        }
        (since(last, started.max(self.forgotten), now, faults), begins)
    }

    /// Seconds that a message which was not tried has lived since `last`.
    pub fn lived(&self, mailbox: &str, last: u64, started: u64, now: u64) -> u64 {
        let none = SetUpFaults::default();
        let faults = self.of.get(&mailbox.to_ascii_lowercase()).unwrap_or(&none);
        since(last, started.max(self.forgotten), now, faults)
    }
}

/// Seconds that a message has lived since `last`, when it was accepted or last tried, in a process that was started at
/// `started`.
pub fn since(last: u64, started: u64, now: u64, faults: &SetUpFaults) -> u64 {
    faults.without(last.max(started), now)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_764_000_000;
    const DAY: u64 = 86_400;

    #[test]
    fn only_this_process_s_time_counts() {
        let none = SetUpFaults::default();
        assert_eq!(since(START + 10, START, START + 40, &none), 30);
        // It lay there while nothing ran.
        assert_eq!(since(START - 90 * DAY, START, START + 40, &none), 40);
        // The wall clock was put back between two processes.
        assert_eq!(since(START + 90 * DAY, START, START + 40, &none), 0);
    }

    #[test]
    fn a_set_up_fault_stops_the_clock() {
        let mut faults = SetUpFaults::default();
        faults.met(START + 10);
        faults.met(START + 20);
        assert_eq!(since(START, START, START + 9 * DAY, &faults), 10);
        faults.passed(START + 9 * DAY);
        faults.passed(START + 9 * DAY + 5);
        assert_eq!(since(START, START, START + 9 * DAY + 7, &faults), 17);
        // What came in the middle of it.
        assert_eq!(since(START + 4 * DAY, START, START + 9 * DAY + 7, &faults), 7);
    }

    #[test]
    fn mailboxes_are_bounded_and_the_mistake_is_to_live_longer() {
        let mut mailboxes = Mailboxes::default();
        // One that is held, and many that were.
        assert_eq!(mailboxes.attempt("HELD@contoso.com", true, START, START, START + 100), (100, true));
        for number in 0..3 * MOST_MAILBOXES as u64 {
            let mailbox = format!("{number}@contoso.com");
            mailboxes.attempt(&mailbox, true, START, START, START + number);
            mailboxes.attempt(&mailbox, false, START, START, START + number + 50);
            assert!(mailboxes.of.len() <= MOST_MAILBOXES);
        }
        // Its clock has stood still all along, whoever came.
        let now = START + 10_000;
        assert_eq!(mailboxes.attempt("held@contoso.com", false, START + 200, START, now), (0, false));
        assert!(mailboxes.attempt("7@contoso.com", false, START, START, now).0 < 10_000);
        // All are held: who comes then lives, as long as that lasts.
        for number in 0..2 * MOST_MAILBOXES as u64 {
            mailboxes.attempt(&format!("{number}@fabrikam.com"), true, now, START, now);
        }
        assert_eq!(mailboxes.attempt("late@contoso.com", false, START, START, now + 9), (0, false));
        assert!(mailboxes.of.len() <= MOST_MAILBOXES);
    }

    #[test]
    fn stretches_are_bounded_and_the_mistake_is_to_live_longer() {
        let mut faults = SetUpFaults::default();
        for minute in 0..10_000 {
            faults.met(START + minute * 60);
            faults.passed(START + minute * 60 + 30);
        }
        assert_eq!(faults.over.len(), MOST_STRETCHES);
        assert!(since(START, START, START + 10_000 * 60, &faults) <= 10_000 * 30);
    }
}
