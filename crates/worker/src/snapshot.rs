//! Holds what one batch is handled with: a set of rules, and the lanes that they act through.

use std::sync::Arc;

use quash_core::event::EventLimits;
use quash_core::plan::TargetSet;
use quash_core::resolve::Resolver;

use crate::lane::Lane;
use crate::metrics::CacheMetrics;
use quash_delivery::retry::RetryPolicy;

/// The rules in force, with everything that is made from the same configuration. Immutable; a reload makes another one.
pub struct Snapshot {
    /// The rules.
    pub rules: Arc<Resolver>,
    /// The lanes, by the rules' target ids.
    pub lanes: Vec<Arc<Lane>>,
    /// When and how often to try again.
    pub policy: RetryPolicy,
    /// What decoding refuses.
    pub limits: EventLimits,
    /// The caches' counters, by their index in the rules.
    pub caches: Vec<CacheMetrics>,
}

impl Snapshot {
    /// The lanes of these targets.
    pub fn lanes_of(&self, targets: TargetSet) -> impl Iterator<Item = &Arc<Lane>> {
        targets.iter().filter_map(|target| self.lanes.get(usize::from(target.0)))
    }

    /// Whether any of the targets that the rules act on can be reached, as far as is known. Targets that no cache is on
    /// count only if there are no others.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        let mut used = self.lanes.iter().filter(|lane| lane.is_used()).peekable();
        match used.peek() {
            Some(_) => used.any(|lane| !lane.is_open()),
            None => self.lanes.is_empty() || self.lanes.iter().any(|lane| !lane.is_open()),
        }
    }
}
