//! What is counted of the fleet. Without one all of it stays 0.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The fleet's gauges and counters. Without one all of it stays 0.
#[derive(Default)]
pub struct FleetMetrics {
    pub(super) reached: Gauge,
    pub(super) replicas: Gauge,
    pub(super) slots: Gauge,
    pub(super) lost: Counter,
}

impl FleetMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("fleet");
        registry.register("reached", "1 where the fleet's PostgreSQL answers", self.reached.clone());
        registry.register("replicas", "Replicas that were seen last", self.replicas.clone());
        registry.register(
            "connections",
            "Connections to Office 365 that this replica holds",
            self.slots.clone(),
        );
        registry.register(
            "engine_failures",
            "How often the fleet's PostgreSQL was lost, or could not be connected to",
            self.lost.clone(),
        );
    }
}
