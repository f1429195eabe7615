//! A run of identical faults is counted, not repeated: the first is written, then one line a minute with the number.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Identical lines within this time are one.
const QUIET: Duration = Duration::from_secs(60);
/// Different lines that are remembered; beyond it nothing is held back.
const MAX_LINES: usize = 128;

#[derive(Debug, Default)]
struct Repeats(HashMap<String, (Instant, u64)>);

impl Repeats {
    /// How many identical lines were held back since the last one, if this one is to be written.
    fn due(&mut self, now: Instant, line: &str) -> Option<u64> {
        if let Some((written, held_back)) = self.0.get_mut(line)
            && now < *written + QUIET
        {
            *held_back += 1;
            return None;
        }
        if self.0.len() >= MAX_LINES {
            self.0.retain(|_, (written, _)| now < *written + QUIET);
        }
        let held_back = self.0.remove(line).map_or(0, |(_, held_back)| held_back);
        if self.0.len() < MAX_LINES {
            self.0.insert(line.to_string(), (now, 0));
        }
        Some(held_back)
    }
}

static REPEATS: Mutex<Option<Repeats>> = Mutex::new(None);

/// `None` to hold this line back; otherwise how many identical ones were held back before it.
pub(super) fn due(line: &str) -> Option<u64> {
    let mut repeats = REPEATS.lock().unwrap_or_else(PoisonError::into_inner);
    repeats.get_or_insert_default().due(Instant::now(), line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_written_and_the_others_are_counted() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        assert_eq!(repeats.due(start, "a"), Some(0));
        assert_eq!(repeats.due(start, "a"), None);
        assert_eq!(repeats.due(start + QUIET / 2, "a"), None);
        assert_eq!(repeats.due(start, "b"), Some(0));
        assert_eq!(repeats.due(start + QUIET, "a"), Some(2));
        assert_eq!(repeats.due(start + QUIET, "a"), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        for line in 0..1000 {
            assert_eq!(repeats.due(start, &line.to_string()), Some(0));
        }
        assert_eq!(repeats.0.len(), MAX_LINES);
        repeats.due(start + QUIET, "late");
        assert_eq!(repeats.0.len(), 1);
    }
}
