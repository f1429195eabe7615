//! What the hanging up of apps tells of their time-outs. Pure.

use std::time::Duration;

/// How often about the same time must be seen before it is taken for a time-out.
const TIMES: usize = 3;
/// Of how many that are remembered.
const REMEMBERED: usize = 8;
/// Nobody's time-out is shorter; a client that never waits tells nothing.
const LEAST: Duration = Duration::from_secs(1);

/// How long apps waited for their verdict before they hung up.
#[derive(Debug, Default)]
pub struct Patience {
    waited: Vec<Duration>,
    told: bool,
}

impl Patience {
    /// An app hung up after this long. The time-out that several have in common, the first time that it is seen.
    pub fn hung_up(&mut self, after: Duration) -> Option<Duration> {
        if self.told || after < LEAST {
            return None;
        }
        if self.waited.len() == REMEMBERED {
            self.waited.remove(0);
        }
        self.waited.push(after);
        // Never before its time-out, and up to a second after it, when it is noticed.
        let is_alike = |other: &&Duration| other.abs_diff(after) <= (after / 10).max(Duration::from_secs(1));
        let alike: Vec<Duration> = self.waited.iter().filter(is_alike).copied().collect();
        self.told = alike.len() >= TIMES;
        if self.told { alike.into_iter().min() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_out_is_told_once_and_chance_is_none() {
        let mut patience = Patience::default();
        let seconds = Duration::from_secs_f64;
        for after in [0.1, 0.2, 0.1, 5.2, 20.0, 9.0, 5.0] {
            assert_eq!(patience.hung_up(seconds(after)), None, "{after}");
        }
        assert_eq!(patience.hung_up(seconds(5.9)), Some(seconds(5.0)));
        assert_eq!(patience.hung_up(seconds(5.0)), None);
    }
}
