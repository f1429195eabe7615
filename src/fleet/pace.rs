//! The pace: a time for each mail, out of the one minute that all replicas share.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tokio_postgres::types::Type;

use super::member::{FleetMailbox, Place, Told, jittered};
use crate::term::{BootTime, Term};

/// How far ahead a mail is booked. Longer horizons were tried: a replica that died took its bookings along.
const HORIZON: Duration = Duration::from_secs(10);
/// What is kept of a longer wait for the next question.
const ASK_BEFORE: Duration = Duration::from_secs(8);
/// A mail that goes so much later than it was booked for is booked anew.
const LATE: Duration = Duration::from_millis(500);

/// A mail's time.
pub enum Reserved {
    /// It has come.
    Now(Booking),
    /// Office 365 has paused the mailbox for this time; its words.
    Paused(Duration, String),
    /// Nobody signs in for this time; why.
    Refused(Duration, String),
    /// The day's recipients are used up for this time.
    UsedUp(Duration),
    /// The slot is another's by now.
    Lost,
    /// The engine is not reached.
    NotReached,
}

/// A place in the minute, given back where it is not used.
pub struct Booking {
    place: Arc<Place>,
    stamp: i64,
    recipients: i32,
    is_used: bool,
}

impl Booking {
    /// The mail goes: its place in the minute is used.
    #[must_use]
    pub fn used(mut self) -> Self {
        self.is_used = true;
        self
    }

    /// Office 365 did not take it: its recipients do not count for the day.
    pub fn recipients_refused(&self) {
        if self.place.fleet.shares().per_day == 0 {
            return;
        }
        let (place, recipients) = (Arc::clone(&self.place), self.recipients);
        self.place.fleet.tell(Told::Withdraw { place, stamp: 0, recipients });
    }
}

impl Drop for Booking {
    fn drop(&mut self) {
        if !self.is_used {
            let (place, stamp, recipients) = (Arc::clone(&self.place), self.stamp, self.recipients);
            self.place.fleet.tell(Told::Withdraw { place, stamp, recipients });
        }
    }
}

/// The engine's answer.
enum Answer {
    Booked(Duration, i64),
    Later(Duration),
    Other(Reserved),
}

impl FleetMailbox {
    /// Waits until a mail to so many recipients may go over the connection of this term. The last wait that was heard
    /// stands in `wait`, for when this is given up.
    pub async fn reserve(&self, term: &Term, recipients: usize, wait: &mut Option<Instant>) -> Reserved {
        let recipients = i32::try_from(recipients).unwrap_or(i32::MAX);
        let mut back: Option<Booking> = None;
        loop {
            // Never closed, so never an error.
            let front = self.0.front.acquire().await;
            let (booking, time) = loop {
                // It is given back in the same round trip.
                let stamp = back.take().map(|booking| booking.used().stamp);
                match self.0.ask(term, recipients, stamp).await {
                    Answer::Booked(after, stamp) => {
                        let place = Arc::clone(&self.0);
                        let booking = Booking { place, stamp, recipients, is_used: false };
                        break (booking, Instant::now() + after);
                    }
                    Answer::Later(after) => {
                        *wait = Some(Instant::now() + after);
                        let most = after.saturating_sub(ASK_BEFORE).max(Duration::from_millis(100));
                        sleep(jittered(most)).await;
                    }
                    Answer::Other(other) => return other,
                }
            };
            drop(front);
            *wait = Some(time);
            sleep_until(time).await;
            if time.elapsed() < LATE {
                return Reserved::Now(booking);
            }
            back = Some(booking);
        }
    }
}

impl Place {
    async fn ask(&self, term: &Term, recipients: i32, back: Option<i64>) -> Answer {
        let Ok(id) = self.id().await else { return Answer::Other(Reserved::NotReached) };
        let fleet = &self.fleet.0;
        let shares = self.fleet.shares();
        let per_minute = i32::try_from(shares.per_minute).unwrap_or(i32::MAX);
        let per_day = i64::try_from(shares.per_day).unwrap_or(i64::MAX);
        let horizon = i64::try_from(HORIZON.as_millis()).unwrap_or(i64::MAX);
        let (n, epoch) = term.number().unzip();
        let boot = BootTime::now();
        let rows = fleet.engine.call(
            &format!(
                "select state, wait, stamp, others, words from {}.reserve($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                fleet.options.schema
            ),
            &[
                (&id, Type::INT8),
                (&fleet.pod, Type::TEXT),
                (&n, Type::INT4),
                (&epoch, Type::INT8),
                (&per_minute, Type::INT4),
                (&per_day, Type::INT8),
                (&recipients, Type::INT4),
                (&back, Type::INT8),
                (&horizon, Type::INT8),
            ],
        ).await;
        let Ok(rows) = rows else { return Answer::Other(Reserved::NotReached) };
        let Some(row) = rows.first() else { return Answer::Other(Reserved::NotReached) };
        let (state, wait, others): (&str, i64, bool) = (row.get(0), row.get(1), row.get(3));
        let wait = Duration::from_millis(u64::try_from(wait).unwrap_or_default());
        if let Some((n, epoch)) = term.number() {
            match state {
                "lost" => self.lost(n, epoch),
                _ => self.renewed(n, epoch, boot, others),
            }
        }
        match state {
            "booked" => Answer::Booked(wait, row.get(2)),
            "later" => Answer::Later(wait),
            "paused" => {
                let (until, words): (Instant, String) = (Instant::now() + wait, row.get(4));
                self.news.send_modify(|news| news.paused = Some((until, words.clone())));
                Answer::Other(Reserved::Paused(wait, words))
            }
            "refused" => Answer::Other(Reserved::Refused(wait, row.get(4))),
            "used_up" => {
                self.news.send_modify(|news| news.used_up = Some(Instant::now() + wait));
                Answer::Other(Reserved::UsedUp(wait))
            }
            _ => Answer::Other(Reserved::Lost),
        }
    }
}
