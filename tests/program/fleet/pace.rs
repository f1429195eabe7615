//! The sliding window against a model that knows nothing of how it is done.

use support::postgres::Postgres;

/// Microseconds that count as a minute.
const MINUTE: i64 = 61_000_000;
const HORIZON: i64 = 10_000_000;

/// Small and the same each time: what fails can be tried again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

/// What is asked, after a time in microseconds.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Book,
    /// Give the booking of this number back, if there is one.
    Back(usize),
}

fn questions(seed: u64) -> Vec<(i64, Asked)> {
    let mut dice = Dice(seed);
    let mut booked = 0;
    (0..300)
        .map(|_| {
            let after = match dice.below(4) {
                0 => 0,
                1 => dice.below(300_000),
                2 => dice.below(4_000_000),
                _ => dice.below(9_000_000),
            };
            let asked = match dice.below(8) {
                0 if booked > 0 => Asked::Back(dice.below(booked) as usize),
                _ => {
                    booked += 1;
                    Asked::Book
                }
            };
            (i64::try_from(after).unwrap(), asked)
        })
        .collect()
}

/// The earliest time, not before the last one, at which no window of a minute holds more than so many; `None` beyond the
/// horizon. By trying every time at which a window may open.
fn model(sent: &[i64], now: i64, per_minute: usize) -> Option<i64> {
    let first = sent.iter().map(|time| time + 1).chain([now]).max().unwrap();
    let fits = |time: i64| sent.iter().filter(|other| **other > time - MINUTE).count() < per_minute;
    let candidates = sent.iter().map(|time| time + MINUTE).chain([first]).filter(|time| *time >= first);
    candidates.filter(|time| fits(*time)).min().filter(|time| *time - now <= HORIZON)
}

#[test]
fn the_window_is_exact() {
    let Some(postgres) = Postgres::start() else { return };
    for (seed, per_minute) in [(1, 1), (2, 3), (3, 28), (4, 28), (5, 7)] {
        let questions = questions(seed);
        let list: Vec<String> = questions
            .iter()
            .map(|(after, asked)| match asked {
                Asked::Book => format!("({after}, -1)"),
                Asked::Back(number) => format!("({after}, {number})"),
            })
            .collect();
        // The two functions that `reserve` decides by, on a clock of the test's.
        let answers = postgres.sql(&format!(
            "create temp table asked (place serial, after bigint, back int); create temp table answered (place serial, at bigint);
             insert into asked (after, back) values {};
             do $$ declare q asked; sent timestamptz[] := '{{}}'; booked bigint[] := '{{}}'; free timestamptz;
                   clock timestamptz := timestamptz '2026-01-01 00:00:00Z';
             begin for q in select * from asked order by place loop
               clock := clock + q.after * interval '1 microsecond';
               if q.back >= 0 then
                 sent := mailshim.counted(sent, clock, booked[q.back + 1]);
               else
                 sent := mailshim.counted(sent, clock, null);
                 free := mailshim.next_free(sent, clock, {per_minute});
                 if free - clock <= interval '10 seconds' then
                   sent := sent || free; booked := booked || mailshim.stamp_of(free);
                 else booked := booked || null::bigint; end if;
                 insert into answered (at) values (booked[cardinality(booked)]);
               end if;
             end loop; end $$;
             select coalesce(at - mailshim.stamp_of(timestamptz '2026-01-01 00:00:00Z'), -1) from answered order by place",
            list.join(", ")
        ));
        let mut answers = answers.lines().map(|line| line.parse::<i64>().unwrap());
        let (mut now, mut sent, mut booked) = (0, Vec::new(), Vec::new());
        for (place, (after, asked)) in questions.into_iter().enumerate() {
            now += after;
            sent.retain(|time: &i64| *time > now - MINUTE);
            match asked {
                Asked::Back(number) => sent.retain(|time| booked[number] != Some(*time)),
                Asked::Book => {
                    let expected = model(&sent, now, per_minute);
                    let got = answers.next().unwrap();
                    assert_eq!(got, expected.unwrap_or(-1), "question {place} of {seed} at {now}");
                    sent.extend(expected);
                    booked.push(expected);
                }
            }
        }
    }
}
