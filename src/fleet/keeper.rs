//! The renewal of what a replica has, in a task of its own; and the teller of what nobody waits for.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::types::Type;

use super::engine::{Failed, ServerFacts};
use super::member::{Concern, Fleet, Place, Shares, Told, jittered, lock};
use super::options::Unreachable;
use super::schema;
use crate::telemetry;
use crate::term::BootTime;

/// How often slots are renewed.
const RENEW: Duration = Duration::from_secs(10);
/// How often it is looked whether others wait, where this replica has a slot that it does not use.
const LOOK: Duration = Duration::from_secs(2);
/// The first pause before another connection, and the longest; each is jittered.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

impl Fleet {
    /// Connects, renews and tells, for as long as it is polled.
    ///
    /// # Errors
    /// The engine would lose what it has acknowledged: nobody may begin on it.
    pub async fn keep(&self) -> Result<(), String> {
        let tells = lock(&self.0.tells).take();
        let telling = async {
            let Some(mut tells) = tells else { return std::future::pending().await };
            while let Some(told) = tells.recv().await {
                self.say(told).await;
            }
        };
        tokio::select! {
            refused = self.keep_connected() => Err(refused),
            () = telling => Ok(()),
        }
    }

    /// Ends when all that was told has been said, or the time is over.
    pub async fn finish(&self, within: Duration) {
        let (said, all) = oneshot::channel();
        self.tell(Told::Flush(said));
        let _ = timeout(within, all).await;
    }

    async fn keep_connected(&self) -> String {
        let mut pause = RECONNECT.0;
        let mut is_first = true;
        loop {
            match self.connect().await {
                Ok(facts) if !facts.fsync => {
                    let words = format!(
                        "the fleet's PostgreSQL at {} runs with fsync = off: after a crash it forgets what it has acknowledged, \
                         and two replicas use one connection; set fsync = on",
                        facts.host
                    );
                    if is_first {
                        return words;
                    }
                    self.not_reached(&words);
                }
                Ok(facts) => {
                    pause = RECONNECT.0;
                    telemetry::fleet_reached(&facts.host, &facts.version, self.replicas());
                    let failed = self.keep_renewing().await;
                    self.not_reached(&failed.to_string());
                }
                Err(failed) => self.not_reached(&failed.to_string()),
            }
            is_first = false;
            sleep(jittered(pause)).await;
            pause = (pause * 2).min(RECONNECT.1);
        }
    }

    async fn connect(&self) -> Result<ServerFacts, Failed> {
        let facts = self.0.engine.connect(&self.0.options.schema).await?;
        let begun = async {
            schema::judge(&facts, &self.0.options)?;
            // It may be another database than the last one.
            self.places().iter().for_each(|place| *lock(&place.id) = None);
            if facts.fsync { self.renew().await } else { Ok(()) }
        };
        let begun = begun.await;
        // No mail may use what is not fit to be used.
        if begun.is_err() || !facts.fsync {
            self.0.engine.disconnect();
        }
        begun.map(|()| facts)
    }

    async fn keep_renewing(&self) -> Failed {
        let mut renewed = Instant::now();
        loop {
            tokio::select! {
                () = sleep(LOOK) => {}
                // It may tell of the connection before this one, whose loss was seen already.
                () = self.0.engine.lost.notified() => {}
            }
            if let Some(failed) = self.0.engine.why_lost() {
                return failed;
            }
            let idle = self
                .places()
                .iter()
                .any(|place| lock(&place.slots).iter().any(|slot| slot.idle.load(Ordering::Relaxed)));
            if idle || renewed.elapsed() + LOOK > RENEW {
                renewed = Instant::now();
                if let Err(failed) = self.renew().await {
                    return failed;
                }
            }
        }
    }

    fn replicas(&self) -> usize {
        self.0.standing.borrow().replicas
    }

    fn not_reached(&self, words: &str) {
        telemetry::fleet_not_reached(
            words,
            self.0.options.unreachable == Unreachable::Share,
            self.replicas(),
        );
        self.stands(false, None);
    }

    fn stands(&self, is_reached: bool, seen: Option<(usize, Shares)>) {
        self.0.standing.send_modify(|standing| {
            standing.is_reached = Some(is_reached);
            if let Some((replicas, shares)) = seen {
                if shares != standing.shares && shares != self.0.own {
                    telemetry::fleet_differs(shares.connections, shares.per_minute, shares.per_day);
                }
                (standing.replicas, standing.shares) = (replicas, shares);
            }
        });
        let replicas = self.replicas();
        for place in self.places() {
            place.news.send_if_modified(|news| {
                let is_new = news.is_reached != Some(is_reached) || news.replicas != replicas;
                (news.is_reached, news.replicas) = (Some(is_reached), replicas);
                is_new
            });
        }
    }

    /// One heartbeat: renews all slots, and learns how things stand.
    async fn renew(&self) -> Result<(), Failed> {
        let shared = &self.0;
        let places = self.places();
        let mut by_id = Vec::new();
        for place in &places {
            by_id.push((place.id().await?, place));
        }
        let (mut ids, mut slots, mut epochs) = (Vec::new(), Vec::new(), Vec::new());
        for (id, place) in &by_id {
            for slot in lock(&place.slots).iter() {
                ids.push(*id);
                slots.push(slot.n);
                epochs.push(slot.epoch);
            }
        }
        let mailboxes: Vec<i64> = by_id.iter().map(|(id, _)| *id).collect();
        let own = shared.own;
        let connections = i32::try_from(own.connections).unwrap_or(i32::MAX);
        let per_minute = i32::try_from(own.per_minute).unwrap_or(i32::MAX);
        let per_day = i64::try_from(own.per_day).unwrap_or(i64::MAX);
        let (asked, boot) = (Instant::now(), BootTime::now());
        let rows = shared.engine.call(
            &format!(
                "select kind, mailbox, n, epoch, a, b, c, words from {}.renew($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                shared.options.schema
            ),
            &[
                (&shared.pod, Type::TEXT),
                (&env!("CARGO_PKG_VERSION"), Type::TEXT),
                (&connections, Type::INT4),
                (&per_minute, Type::INT4),
                (&per_day, Type::INT8),
                (&mailboxes, Type::INT8_ARRAY),
                (&ids, Type::INT8_ARRAY),
                (&slots, Type::INT4_ARRAY),
                (&epochs, Type::INT8_ARRAY),
            ],
        ).await?;
        let place_of = |id: i64| by_id.iter().find(|(known, _)| *known == id).map(|(_, place)| *place);
        let mut kept = Vec::new();
        for row in &rows {
            let (kind, id, n, epoch): (&str, i64, i32, i64) =
                (row.get(0), row.get(1), row.get(2), row.get(3));
            let (a, b, c): (i64, i64, i64) = (row.get(4), row.get(5), row.get(6));
            let natural = |number: i64| usize::try_from(number).unwrap_or_default();
            match kind {
                "fleet" => {
                    let per_day = u64::try_from(c).unwrap_or_default();
                    let shares = Shares { connections: natural(a), per_minute: natural(b), per_day };
                    let replicas = usize::try_from(n).unwrap_or(1).max(1);
                    telemetry::fleet_stands(replicas, slots.len());
                    self.stands(true, Some((replicas, shares)));
                }
                "slot" => kept.push((id, n, epoch)),
                _ => {
                    let Some(place) = place_of(id) else { continue };
                    let words: String = row.get(7);
                    let ends = |ms: i64| asked + Duration::from_millis(u64::try_from(ms).unwrap_or_default());
                    place.heard(kind, (a, ends(if kind == "refused" { a } else { b }), b > 0), words);
                }
            }
        }
        for (id, place) in &by_id {
            let others = rows.iter().any(|row| {
                row.get::<_, &str>(0) == "mailbox" && row.get::<_, i64>(1) == *id && row.get::<_, i64>(4) == 1
            });
            let refused =
                rows.iter().any(|row| row.get::<_, &str>(0) == "refused" && row.get::<_, i64>(1) == *id);
            if !refused {
                place.news.send_if_modified(|news| news.refused.take().is_some());
            }
            let held: Vec<_> = lock(&place.slots).iter().map(|slot| (slot.n, slot.epoch)).collect();
            for (n, epoch) in held {
                if kept.contains(&(*id, n, epoch)) {
                    place.renewed(n, epoch, boot, others);
                } else if slots.contains(&n) && epochs.contains(&epoch) {
                    telemetry::fleet_slot_lost(&place.name);
                    place.lost(n, epoch);
                }
            }
        }
        Ok(())
    }

    async fn say(&self, told: Told) {
        let shared = &self.0;
        let schema = &shared.options.schema;
        match told {
            Told::Flush(said) => drop(said.send(())),
            Told::Release { place, n, epoch } => {
                let Ok(id) = place.id().await else { return };
                let sql = format!("select {schema}.release($1, $2, $3, $4)");
                let parameters = [
                    (&id as _, Type::INT8),
                    (&shared.pod as _, Type::TEXT),
                    (&n as _, Type::INT4),
                    (&epoch as _, Type::INT8),
                ];
                drop(shared.engine.call(&sql, &parameters).await);
            }
            Told::Withdraw { place, stamp, recipients } => {
                let Ok(id) = place.id().await else { return };
                let sql = format!("select {schema}.withdraw($1, $2, $3)");
                let parameters =
                    [(&id as _, Type::INT8), (&stamp as _, Type::INT8), (&recipients as _, Type::INT4)];
                drop(shared.engine.call(&sql, &parameters).await);
            }
            Told::Concern { place, concern, words } => {
                let Ok(id) = place.id().await else { return };
                let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
                let connections = i64::try_from(self.shares().connections).unwrap_or(i64::MAX);
                let (what, lasts, most) = match concern {
                    Concern::Paused(time) => ("pause", ms(time), 0),
                    Concern::TooMany(time) => ("fewer", ms(time), connections),
                    Concern::SignInRefused(first, most) => ("breaker", ms(first), ms(most)),
                    Concern::SignedIn => ("signed_in", 0, 0),
                    Concern::ProbeEnded => ("probe_ended", 0, 0),
                };
                // PostgreSQL's text holds no NUL.
                let words = words.replace('\0', " ");
                let sql = format!("select {schema}.tell($1, $2, $3, $4, $5, $6)");
                let parameters = [
                    (&id as _, Type::INT8),
                    (&shared.pod as _, Type::TEXT),
                    (&what as _, Type::TEXT),
                    (&lasts as _, Type::INT8),
                    (&most as _, Type::INT8),
                    (&words as _, Type::TEXT),
                ];
                drop(shared.engine.call(&sql, &parameters).await);
            }
        }
    }
}

impl Place {
    fn heard(&self, kind: &str, (_, until, is_paused): (i64, Instant, bool), words: String) {
        self.news.send_if_modified(|news| {
            let before = news.clone();
            match kind {
                "refused" => news.refused = Some((until, words)),
                _ => news.paused = is_paused.then_some((until, words)),
            }
            let same = |a: &Option<(Instant, String)>, b: &Option<(Instant, String)>| {
                a.as_ref().map(|(_, words)| words) == b.as_ref().map(|(_, words)| words)
            };
            !(same(&before.paused, &news.paused) && same(&before.refused, &news.refused))
        });
    }
}
