//! Lets others see a worker while it runs: its counters, rules, lanes and sources.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::drain::Stop;
use crate::metrics::Metrics;
use crate::snapshot::Snapshot;
use crate::source::Source;

/// What can be seen of a worker. Cheap to clone; it changes nothing, and keeps nothing from ending.
#[derive(Clone)]
pub struct View {
    /// Every metric.
    pub metrics: Arc<Metrics>,
    /// The rules and lanes in force; a reload swaps them.
    pub rules: Arc<ArcSwap<Snapshot>>,
    /// The sources, in the order of their names.
    pub sources: Vec<Arc<Source>>,
    /// Whether it stops.
    pub stop: Stop,
}

impl View {
    /// The rules and lanes in force now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.rules.load_full()
    }
}
