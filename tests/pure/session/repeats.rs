//! Told once, under random interleavings of coming, hanging up, verdicts and coming again.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mailshim::testing::message::MessageId;
use mailshim::testing::session::repeats::{Coming, Digest, MAX_REMEMBERED, REMEMBERED, Table, Told};
use mailshim::testing::smtp::reply::Reply;

/// A small generator: the same numbers each time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn told() -> Told {
    Told { reply: Reply::new(250, "2.0.0 OK"), id: MessageId::next(std::time::SystemTime::now()) }
}

#[test]
fn at_most_one_copy_and_never_an_answer_without_a_mail() {
    for seed in 0..200 {
        let (mut random, mut table) = (Random(seed), Table::default());
        let mut now = Instant::now();
        // Of each mail: whether one is with Office 365, and how many answers nobody has heard.
        let mut sending: HashMap<Digest, bool> = HashMap::new();
        let mut unheard: HashMap<Digest, Vec<Told>> = HashMap::new();
        for _ in 0..500 {
            let digest = [random.below(3), 0];
            now += Duration::from_secs(random.below(3));
            if random.below(2) == 0 {
                match table.comes(digest, now) {
                    Coming::New => {
                        assert!(!sending.insert(digest, true).unwrap_or_default(), "two copies at once");
                        let forgotten = unheard.entry(digest).or_default();
                        assert!(forgotten.is_empty(), "a copy of what was accepted");
                    }
                    Coming::UnderWay => assert!(sending.get(&digest).copied().unwrap_or_default()),
                    Coming::Told(told) => {
                        let known = unheard.entry(digest).or_default();
                        let at =
                            known.iter().position(|known| *known == told).expect("somebody has that mail");
                        known.remove(at);
                        // It may not be heard either.
                        if random.below(3) == 0 {
                            table.remember(digest, told.clone(), now);
                            known.push(told);
                        }
                    }
                }
            } else if sending.insert(digest, false).unwrap_or_default() {
                let accepted = (random.below(2) == 0).then(told);
                unheard.entry(digest).or_default().extend(accepted.clone());
                table.ended(digest, accepted, now);
            }
        }
    }
}

#[test]
fn what_is_remembered_is_bounded_in_number_and_time() {
    let (mut table, now) = (Table::default(), Instant::now());
    for number in 0..=MAX_REMEMBERED as u64 {
        table.remember([number, 0], told(), now);
    }
    assert_eq!(table.remembered(), MAX_REMEMBERED);
    assert_eq!(table.comes([0, 0], now), Coming::New, "the oldest went");
    assert!(matches!(table.comes([1, 0], now), Coming::Told(_)));
    assert_eq!(table.comes([1, 0], now), Coming::New, "used up");
    assert_eq!(table.comes([2, 0], now + REMEMBERED), Coming::New);
    assert_eq!(table.remembered(), 0);
}
