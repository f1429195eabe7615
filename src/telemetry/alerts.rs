//! What somebody is to be woken for, until somebody is told: one entry for each kind of event, so that a storm of them is
//! one with a count. [`alert`] is the one door for all rooms: it takes values, waits for nobody, and does nothing where
//! `MAILSHIM_ALERT_URL` is not set.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::Notify;
use tracing::{debug, warn};

use super::addresses::shown;
use super::line::shortened;
use super::metrics::metrics;

/// Every event there is.
pub const EVENTS: [&str; 6] = ["ready", "not_ready", "dead_letter", "held", "degraded", "disk"];
/// Octets that are kept of each text.
const LONGEST: usize = 600;

/// Something to wake somebody for, harmless and masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// One of [`EVENTS`].
    pub event: &'static str,
    /// Whose mail it is about; of several that were merged the last one's, as the texts are.
    pub mailbox: String,
    /// What happened.
    pub reason: String,
    /// What an administrator can do.
    pub fix: Option<String>,
    /// How many were merged into this one, itself among them.
    pub count: u64,
    /// When the last one happened.
    pub at: SystemTime,
}

/// What waits to be told, in the order in which it last happened; `None` where nobody is to be told.
static WAITING: Mutex<Option<VecDeque<Alert>>> = Mutex::new(None);
static WAKE: Notify = Notify::const_new();

fn waiting() -> MutexGuard<'static, Option<VecDeque<Alert>>> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Somebody is to be woken for this event, one of `ready`, `not_ready`, `dead_letter`, `held`, `degraded` and `disk`. The
/// texts may be anybody's: they are made harmless here, and their addresses shown as `MAILSHIM_LOG_ADDRESSES` says.
pub fn alert(event: &'static str, mailbox: &str, reason: &str, fix: Option<&str>) {
    debug_assert!(EVENTS.contains(&event), "{event}");
    let mut waiting = waiting();
    let Some(waiting) = waiting.as_mut() else { return };
    let cut = |text: &str| shortened(&shown(text), LONGEST).into_owned();
    let (mailbox, reason, fix) = (cut(mailbox), cut(reason), fix.map(cut));
    merge(waiting, Alert { event, mailbox, reason, fix, count: 1, at: SystemTime::now() });
    WAKE.notify_one();
}

/// The last one's words count, and it goes to the end: who is told of `not_ready` and `ready` ends with what holds.
fn merge(waiting: &mut VecDeque<Alert>, mut alert: Alert) {
    if let Some(place) = waiting.iter().position(|known| known.event == alert.event) {
        let before = waiting.remove(place).map_or(0, |known| known.count);
        alert.count = alert.count.saturating_add(before);
    }
    waiting.push_back(alert);
}

/// From here on events are kept until they are taken.
pub fn alerts_are_wanted() {
    waiting().get_or_insert_default();
}

/// The event that has waited longest; waits for one.
pub async fn next_alert() -> Alert {
    loop {
        // Before the look, so that nothing that comes after it is missed.
        let woken = WAKE.notified();
        if let Some(alert) = waiting().as_mut().and_then(VecDeque::pop_front) {
            return alert;
        }
        woken.await;
    }
}

/// An alert was delivered.
pub fn alert_sent(event: &'static str) {
    metrics().alert("sent");
    debug!(event, "an alert was sent");
}

/// An alert was given up after its last try. `why` is a word of ours: what the server or the resolver said may hold the
/// address, which is a secret.
pub fn alert_failed(event: &'static str, why: &str) {
    metrics().alert("failed");
    warn!(event, "an alert could not be sent to MAILSHIM_ALERT_URL: {why}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(event: &'static str, reason: &str) -> Alert {
        let (mailbox, reason) = ("a@contoso.com".to_string(), reason.to_string());
        Alert { event, mailbox, reason, fix: None, count: 1, at: SystemTime::UNIX_EPOCH }
    }

    #[test]
    fn a_storm_is_one_of_each_kind_with_a_count_and_the_last_state_comes_last() {
        let mut waiting = VecDeque::new();
        for number in 0..100_000 {
            merge(&mut waiting, one(EVENTS[number % EVENTS.len()], "x"));
        }
        assert_eq!(waiting.len(), EVENTS.len());
        assert_eq!(waiting.iter().map(|alert| alert.count).sum::<u64>(), 100_000);
        let mut waiting = VecDeque::new();
        for (event, reason) in [("not_ready", "a"), ("ready", "b"), ("not_ready", "c"), ("ready", "d")] {
            merge(&mut waiting, one(event, reason));
        }
        let told: Vec<_> =
            waiting.iter().map(|alert| (alert.event, alert.reason.as_str(), alert.count)).collect();
        assert_eq!(told, [("not_ready", "c", 2), ("ready", "d", 2)]);
    }
}
