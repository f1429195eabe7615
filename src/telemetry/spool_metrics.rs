//! What is counted of the spool. Without one all of it stays 0.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// What an attempt from the spool comes to.
const OUTCOMES: [&str; 5] = ["accepted", "refused", "deferred", "unknown", "expired"];
/// From a disk with a cache of its own to one that is about to fail, in seconds.
const SYNC_BUCKETS: [f64; 9] = [0.0005, 0.002, 0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 30.0];

/// The spool's gauges and counters.
pub struct SpoolMetrics {
    /// Messages that wait.
    pub messages: Gauge,
    /// Their octets.
    pub octets: Gauge,
    /// How long the oldest has waited, in seconds.
    pub oldest: Gauge<f64, AtomicU64>,
    /// Messages that were given up and are kept.
    pub dead_letters: Gauge,
    /// How long it took to make a batch durable.
    pub syncs: Histogram,
    /// 1 while the disk takes mail.
    pub usable: Gauge,
    attempts: Family<[(&'static str, &'static str); 1], Counter>,
}

impl Default for SpoolMetrics {
    fn default() -> Self {
        let (messages, octets, oldest) = (Gauge::default(), Gauge::default(), Gauge::default());
        let (syncs, attempts) = (Histogram::new(SYNC_BUCKETS), Family::default());
        let (dead_letters, usable) = (Gauge::default(), Gauge::default());
        Self { messages, octets, oldest, dead_letters, syncs, usable, attempts }
    }
}

impl SpoolMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("spool");
        registry.register("messages", "Messages that wait in the spool", self.messages.clone());
        registry.register("bytes", "Octets of what waits in the spool", self.octets.clone());
        registry.register_with_unit(
            "oldest",
            "How long the oldest message has been in the spool",
            Unit::Seconds,
            self.oldest.clone(),
        );
        registry.register(
            "dead_letters",
            "Messages that were given up and are kept in dead/",
            self.dead_letters.clone(),
        );
        registry.register(
            "attempts",
            "Attempts to deliver from the spool, by outcome",
            self.attempts.clone(),
        );
        registry.register_with_unit(
            "sync",
            "Time to make a batch of changes durable",
            Unit::Seconds,
            self.syncs.clone(),
        );
        registry.register("usable", "1 while the spool's disk takes mail", self.usable.clone());
        for outcome in OUTCOMES {
            drop(self.attempts.get_or_create(&[("outcome", outcome)]));
        }
    }

    pub(super) fn tried(&self, outcome: &'static str) {
        self.attempts.get_or_create(&[("outcome", outcome)]).inc();
    }
}
