//! Connections as leases: a slot of the mailbox, held for 30 s at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep};
use tokio_postgres::types::Type;

use super::member::{FleetMailbox, HeldSlot, News, Place, Told, jittered, lock};
use crate::term::{BootTime, Lasts, Term};

/// How long a slot is used after it was granted or renewed: the engine's 30 s, less what the connection takes to close.
pub(super) const USED_FOR: Duration = Duration::from_secs(25);

/// Why there is no slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The engine is not reached.
    NotReached,
    /// Nobody signs in until then; why.
    Refused(Instant, String),
}

impl FleetMailbox {
    /// Waits for a slot, in the fleet's line. May be dropped at any time: a slot that comes too late is given back.
    ///
    /// # Errors
    /// Why waiting has no use.
    pub async fn slot(&self) -> Result<Term, Denied> {
        // Never closed, so never an error.
        let _line = self.0.line.acquire().await;
        loop {
            self.asked_once().await;
            let (give, given) = oneshot::channel();
            let place = Arc::clone(&self.0);
            tokio::spawn(async move { drop(give.send(place.take().await)) });
            match given.await.unwrap_or(Ok(Taken::NotReached)) {
                Ok(Taken::Slot(term)) => return Ok(term),
                Ok(Taken::Later(wait)) => sleep(jittered(wait)).await,
                Ok(Taken::NotReached) => return Err(Denied::NotReached),
                Err(denied) => return Err(denied),
            }
        }
    }

    /// Ends once the engine was asked for the first time, successfully or not.
    async fn asked_once(&self) {
        let mut news = self.0.news.subscribe();
        // The sender lives as long as this does.
        let _ = news.wait_for(|news| news.is_reached.is_some()).await;
    }

    /// The right to one mail without the engine: one connection at a time, of which nobody else is told.
    pub async fn alone(&self) -> Term {
        let permit = Arc::clone(&self.0.alone).acquire_owned().await.ok();
        Term::for_one_mail(move || drop(permit))
    }
}

enum Taken {
    Slot(Term),
    Later(Duration),
    NotReached,
}

impl Place {
    async fn take(self: Arc<Self>) -> Result<Taken, Denied> {
        let Ok(id) = self.id().await else { return Ok(Taken::NotReached) };
        let fleet = &self.fleet.0;
        let connections = i32::try_from(self.fleet.shares().connections).unwrap_or(i32::MAX);
        let (asked, boot) = (Instant::now(), BootTime::now());
        let rows = fleet
            .engine
            .call(
                &format!(
                    "select state, n_, epoch_, wait, words from {}.take($1, $2, $3)",
                    fleet.options.schema
                ),
                &[(&id, Type::INT8), (&fleet.pod, Type::TEXT), (&connections, Type::INT4)],
            )
            .await;
        let Ok(rows) = rows else { return Ok(Taken::NotReached) };
        let Some(row) = rows.first() else { return Ok(Taken::NotReached) };
        let (state, wait): (&str, i64) = (row.get(0), row.get(3));
        let wait = Duration::from_millis(u64::try_from(wait).unwrap_or_default());
        match state {
            "taken" => {
                self.is_probe.store(row.get::<_, &str>(4) == "probe", Ordering::Relaxed);
                Ok(Taken::Slot(self.hold(row.get(1), row.get(2), boot)))
            }
            "refused" => {
                let (until, words): (Instant, String) = (asked + wait, row.get(4));
                let refused = Some((until, words.clone()));
                self.news.send_if_modified(|news| {
                    let is_new = news.refused.as_ref().map(|(_, words)| words) != Some(&words);
                    *news = News { refused, ..news.clone() };
                    is_new
                });
                Err(Denied::Refused(until, words))
            }
            _ => Ok(Taken::Later(wait)),
        }
    }

    fn hold(self: &Arc<Self>, n: i32, epoch: i64, boot: BootTime) -> Term {
        let lasts = Lasts { until: Some(boot.plus(USED_FOR)), is_recalled: false };
        let (lasts, seen) = watch::channel(lasts);
        let idle = Arc::new(AtomicBool::new(false));
        lock(&self.slots).push(HeldSlot { n, epoch, lasts, idle: Arc::clone(&idle) });
        let place = Arc::clone(self);
        Term::new(seen, idle, (n, epoch), move || {
            lock(&place.slots).retain(|slot| (slot.n, slot.epoch) != (n, epoch));
            place.fleet.tell(Told::Release { place: Arc::clone(&place), n, epoch });
        })
    }

    /// This one was renewed, `boot` being before the question; or others wait for it.
    pub(super) fn renewed(&self, n: i32, epoch: i64, boot: BootTime, others: bool) {
        let slots = lock(&self.slots);
        let Some(slot) = slots.iter().find(|slot| (slot.n, slot.epoch) == (n, epoch)) else { return };
        slot.lasts.send_modify(|lasts| {
            // A slot that has ended stays ended: its connection is being closed.
            if lasts.until.is_some_and(|until| until > BootTime::now()) {
                lasts.until = Some(boot.plus(USED_FOR));
            }
            lasts.is_recalled |= others;
        });
    }

    /// The engine has given this one to another replica, or knows nothing of it.
    pub(super) fn lost(&self, n: i32, epoch: i64) {
        let slots = lock(&self.slots);
        if let Some(slot) = slots.iter().find(|slot| (slot.n, slot.epoch) == (n, epoch)) {
            slot.lasts.send_replace(Lasts { until: Some(BootTime::at_boot()), is_recalled: true });
        }
    }
}
