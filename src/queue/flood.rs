//! How many reports one person gets: after ten within an hour about the same reason one report lists the rest. Pure.

use std::collections::HashMap;

use super::entry::Attempt;
use super::report::{Listed, MOST_LISTED};

/// Reports of an hour about one reason before the rest is listed.
const MOST: usize = 10;
/// That hour, in seconds.
const HOUR: u64 = 3600;
/// Reasons and persons that are told apart. Beyond that each failure has its report, and the pace of reports bounds them.
const MOST_KEYS: usize = 256;
/// Mails that are listed in all reports together; beyond that they are counted.
const MOST_IN_ALL: usize = 500;
/// Letters in which a report is noted, of all reports together. More would only be told again after a crash within the hour.
const MOST_NOTED: usize = 5_000;

/// Who is told, and why.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The address that gets the report.
    pub to: String,
    /// The reason, in a word.
    pub reason: String,
}

/// What is owed to one person about one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owed {
    /// The first of them.
    pub listed: Vec<Listed>,
    /// All, those that are not listed included.
    pub all: usize,
    /// Their letters, and what is noted there when this has been told.
    pub letters: Vec<(u64, Attempt)>,
}

#[derive(Debug)]
struct Hour {
    begun: u64,
    told: usize,
    owed: Owed,
}

/// The reports of the last hour.
#[derive(Debug, Default)]
pub struct Flood {
    hours: HashMap<Key, Hour>,
}

impl Flood {
    /// Whether this failure has a report of its own; else it is to be [owed](Flood::owe).
    pub fn may_tell(&mut self, key: &Key, now: u64) -> bool {
        self.hours.retain(|_, hour| hour.owed.all > 0 || now < hour.begun + HOUR);
        if let Some(hour) = self.hours.get_mut(key) {
            let may = hour.told < MOST && hour.owed.all == 0;
            hour.told += usize::from(may);
            return may;
        }
        if self.hours.len() < MOST_KEYS {
            self.hours.insert(key.clone(), Hour { begun: now, told: 1, owed: Owed::default() });
        }
        true
    }

    /// This failure is listed in the report that comes at the end of the hour.
    pub fn owe(&mut self, key: &Key, listed: Listed, letter: (u64, Attempt), now: u64) {
        let all = || self.hours.values().map(|hour| &hour.owed);
        let listed_in_all: usize = all().map(|owed| owed.listed.len()).sum();
        let noted_in_all: usize = all().map(|owed| owed.letters.len()).sum();
        let hour = Hour { begun: now, told: MOST, owed: Owed::default() };
        let owed = &mut self.hours.entry(key.clone()).or_insert(hour).owed;
        owed.all += 1;
        // The first is always there: it has the reason.
        if owed.listed.is_empty() || owed.listed.len() < MOST_LISTED && listed_in_all < MOST_IN_ALL {
            owed.listed.push(listed);
        }
        if noted_in_all < MOST_NOTED {
            owed.letters.push(letter);
        }
    }

    /// It could not be told, and comes again.
    pub fn owe_again(&mut self, key: Key, owed: Owed) {
        if let Some(hour) = self.hours.get_mut(&key).filter(|hour| hour.owed.all == 0) {
            hour.owed = owed;
        }
    }

    /// Takes what is to be told now: what is owed since an hour, or all where the process ends.
    pub fn due(&mut self, now: u64, all: bool) -> Vec<(Key, Owed)> {
        let is_due = |hour: &Hour| hour.owed.all > 0 && (all || now >= hour.begun + HOUR);
        let due = self.hours.iter_mut().filter(|(_, hour)| is_due(hour)).map(|(key, hour)| {
            // It counts as the first of the next hour.
            (hour.begun, hour.told) = (now, 1);
            (key.clone(), std::mem::take(&mut hour.owed))
        });
        due.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::entry::State;

    fn listed(id: usize) -> Listed {
        let state = State { verdict: None, reply: String::new(), fix: None, detail: None, reported: false };
        let (message_id, recipients) = (None, Vec::new());
        Listed { id: id.to_string(), message_id, created: 0, at: 0, recipients, all: 1, state }
    }

    fn key(reason: &str) -> Key {
        Key { to: "a@b.c".into(), reason: reason.into() }
    }

    #[test]
    fn the_eleventh_of_an_hour_is_listed_and_another_reason_is_told() {
        let mut flood = Flood::default();
        let told = (0..10).filter(|_| flood.may_tell(&key("x"), 1000)).count();
        assert_eq!(told, 10);
        for id in 0..250 {
            assert!(!flood.may_tell(&key("x"), 1000));
            flood.owe(&key("x"), listed(id), (7, Attempt::default()), 1000);
        }
        assert!(flood.may_tell(&key("y"), 1000));
        assert_eq!(flood.due(1000 + HOUR - 1, false), []);
        let due = flood.due(1000 + HOUR, false);
        assert_eq!((due.len(), due[0].1.all, due[0].1.listed.len()), (1, 250, MOST_LISTED));
        assert_eq!(flood.due(1000 + HOUR, true), []);
        // The next hour begins with the one that listed them.
        let told = (0..20).filter(|_| flood.may_tell(&key("x"), 1000 + HOUR)).count();
        assert_eq!(told, 9);
    }

    #[test]
    fn what_is_owed_about_many_reasons_is_bounded_together() {
        let mut flood = Flood::default();
        for number in 0..200_000 {
            let key = key(&(number % 200).to_string());
            if !flood.may_tell(&key, 1000) {
                flood.owe(&key, listed(number), (7, Attempt::default()), 1000);
            }
        }
        let due = flood.due(1000, true);
        let listed: usize = due.iter().map(|(_, owed)| owed.listed.len()).sum();
        let letters: usize = due.iter().map(|(_, owed)| owed.letters.len()).sum();
        assert_eq!(due.iter().map(|(_, owed)| owed.all).sum::<usize>(), 200 * (1000 - MOST));
        assert!(listed <= MOST_IN_ALL + 200 && letters <= MOST_NOTED, "{listed} {letters}");
        assert!(due.iter().all(|(_, owed)| !owed.listed.is_empty()));
    }

    #[test]
    fn a_quiet_hour_forgets_and_the_table_is_bounded() {
        let mut flood = Flood::default();
        for number in 0..1000 {
            assert!(flood.may_tell(&key(&number.to_string()), 5));
        }
        assert_eq!(flood.hours.len(), MOST_KEYS);
        assert!(flood.may_tell(&key("late"), 5 + HOUR));
        assert_eq!(flood.hours.len(), 1);
    }
}
