//! Mail that was given up: how much of it is kept, and for how long.
//!
//! A letter's age is counted in seconds in which a shim ran with this spool, as the lifetime of a mail is: a machine that
//! starts with its clock years ahead throws nothing away. The count stands in the lock's file, and a letter's name has
//! what it was when the letter was laid aside.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};

use super::index::{Key, Name, Value, entry, name};

/// Octets of all that is kept, beside MAILSHIM_SPOOL_MAX_BYTES.
const MOST_OCTETS: u64 = 100_000_000;
/// How long one is kept, in seconds that the spool was used: thirty days.
const LONGEST: u64 = 30 * 24 * 3600;
/// Digits of that count.
const DIGITS: usize = 20;

/// What was given up and is kept.
#[derive(Debug, Default)]
pub(super) struct Dead {
    letters: BTreeMap<Key, Value>,
    octets: u64,
}

impl Dead {
    /// Keeps one more.
    pub fn add(&mut self, new: Name) {
        let (key, value) = entry(new);
        if self.letters.insert(key, value).is_none() {
            self.octets += new.octets;
        }
    }

    /// Forgets one.
    pub fn remove(&mut self, old: Name) {
        if let Some((octets, _)) = self.letters.remove(&entry(old).0) {
            self.octets -= u64::from(octets);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.letters.len()
    }

    /// Those that were laid aside since then, at most so many: the newest, oldest first.
    pub fn since(&self, ran: u64, most: usize) -> Vec<Name> {
        let from = (u32::try_from(ran).unwrap_or(u32::MAX), 0);
        let newest = self.letters.range(from..).rev().take(most);
        let mut names: Vec<Name> = newest.map(|(key, value)| name(*key, *value)).collect();
        names.reverse();
        names
    }

    /// Those with these ids.
    pub fn find(&self, is_wanted: impl Fn(u64) -> bool) -> Vec<Name> {
        let found = self.letters.iter().filter(|(key, _)| is_wanted(key.1));
        found.map(|(key, value)| name(*key, *value)).collect()
    }

    /// The oldest, where it has to go. The newest stays, however long it is: nobody has seen it yet.
    pub fn too_much(&self, ran: u64) -> Option<(Name, &'static str)> {
        let (key, value) = self.letters.first_key_value()?;
        let oldest = name(*key, *value);
        if ran.saturating_sub(oldest.due) >= LONGEST {
            return Some((oldest, "it has lain there for 30 days"));
        }
        let is_over = self.octets > MOST_OCTETS && self.letters.len() > 1;
        is_over.then_some((oldest, "dead letters take more than 100 MB, and it is the oldest"))
    }
}

/// For how long the spool has been used.
#[derive(Debug, Default)]
pub(super) struct Ran {
    /// In seconds, before this process.
    pub before: AtomicU64,
    /// As it was written last.
    pub saved: AtomicU64,
}

impl Ran {
    /// Reads it from the lock's file. What cannot be read is none: letters are then kept for longer.
    pub fn read(&self, file: &File) {
        let mut digits = [0; DIGITS];
        let is_read = file.read_exact_at(&mut digits, 0).is_ok();
        let text = std::str::from_utf8(&digits).ok().filter(|_| is_read);
        let before = text.and_then(|text| text.parse().ok()).unwrap_or_default();
        self.before.store(before, Ordering::Relaxed);
        self.saved.store(before, Ordering::Relaxed);
    }

    /// Writes it. That it was not written makes letters be kept for longer.
    pub fn write(&self, file: &File, ran: u64) {
        self.saved.store(ran, Ordering::Relaxed);
        let _ = file.write_all_at(format!("{ran:0DIGITS$}\n").as_bytes(), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(ran: u64, number: u64, octets: u64) -> Name {
        Name { due: ran, id: number, octets, sender: 7 }
    }

    fn all_that_go(dead: &mut Dead, ran: u64) -> Vec<u64> {
        let gone = std::iter::from_fn(|| {
            let (letter, _) = dead.too_much(ran)?;
            dead.remove(letter);
            Some(letter.id)
        });
        gone.collect()
    }

    #[test]
    fn the_oldest_go_first_and_the_newest_stays() {
        let mut dead = Dead::default();
        for number in 0..5 {
            dead.add(letter(number, number, MOST_OCTETS / 3));
            dead.add(letter(number, number, MOST_OCTETS / 3));
        }
        assert_eq!(all_that_go(&mut dead, 5), [0, 1]);
        dead.add(letter(9, 9, 2 * MOST_OCTETS));
        assert_eq!(all_that_go(&mut dead, 9), [2, 3, 4]);
        assert_eq!(dead.len(), 1);
    }

    #[test]
    fn thirty_days_of_use_are_an_age() {
        let mut dead = Dead::default();
        (0..3).for_each(|number| dead.add(letter(number * 1000, number, 10)));
        assert_eq!(all_that_go(&mut dead, LONGEST - 1), [0; 0]);
        assert_eq!(all_that_go(&mut dead, LONGEST + 1000), [0, 1]);
        // Laid aside by a count that was lost since.
        assert_eq!(all_that_go(&mut dead, 0), [0; 0]);
        assert_eq!((dead.len(), dead.octets), (1, 10));
    }
}
