//! Holds what one batch is handled with: a set of rules, and the lanes that they act through.

use std::sync::Arc;

use quash_core::action::Action;
use quash_core::event::EventLimits;
use quash_core::plan::{TargetId, TargetSet};
use quash_core::resolve::{Request, Resolution, Resolver};
use quash_core::scope::{QueueId, QueueSet};

use crate::lane::Lane;
use crate::metrics::CacheMetrics;
use quash_delivery::retry::RetryPolicy;

/// The rules in force, with everything that is made from the same configuration. Immutable; a reload makes another one.
pub struct Snapshot {
    /// The rules.
    pub rules: Arc<dyn Rules>,
    /// The lanes, by the rules' target ids.
    pub lanes: Vec<Arc<Lane>>,
    /// When and how often to try again.
    pub policy: RetryPolicy,
    /// What decoding refuses.
    pub limits: EventLimits,
    /// The caches' counters, by their places in the rules.
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

/// What the worker needs of a set of rules; [`Resolver`] says what each of these means. A trait, so that handling can be
/// tested with rules that panic.
pub trait Rules: Send + Sync {
    /// See [`Resolver::resolve`].
    fn resolve(&self, requests: &[Request<'_>]) -> Resolution;
    /// See [`Resolver::targets`].
    fn targets(&self) -> &[String];
    /// See [`Resolver::target`].
    fn target(&self, name: &str) -> Option<TargetId>;
    /// See [`Resolver::caches`].
    fn caches(&self) -> &[String];
    /// See [`Resolver::cache`].
    fn cache(&self, name: &str) -> Option<u32>;
    /// See [`Resolver::queues`].
    fn queues(&self) -> &[String];
    /// See [`Resolver::queue_of`].
    fn queue_of(&self, cache: u32) -> Option<QueueId>;
    /// See [`Resolver::queues_but`].
    fn queues_but(&self, name: &str) -> QueueSet;
    /// See [`Resolver::everything_on`].
    fn everything_on(&self, target: TargetId) -> Vec<Action>;
    /// See [`Resolver::meant_by`].
    fn meant_by(&self, entity: &str) -> Option<&str>;
    /// See [`Resolver::trace`].
    fn trace(&self, request: &Request<'_>) -> Vec<String>;
}

impl Rules for Resolver {
    fn resolve(&self, requests: &[Request<'_>]) -> Resolution {
        Self::resolve(self, requests)
    }

    fn targets(&self) -> &[String] {
        Self::targets(self)
    }

    fn target(&self, name: &str) -> Option<TargetId> {
        Self::target(self, name)
    }

    fn caches(&self) -> &[String] {
        Self::caches(self)
    }

    fn cache(&self, name: &str) -> Option<u32> {
        Self::cache(self, name)
    }

    fn queues(&self) -> &[String] {
        Self::queues(self)
    }

    fn queue_of(&self, cache: u32) -> Option<QueueId> {
        Self::queue_of(self, cache)
    }

    fn queues_but(&self, name: &str) -> QueueSet {
        Self::queues_but(self, name)
    }

    fn everything_on(&self, target: TargetId) -> Vec<Action> {
        Self::everything_on(self, target)
    }

    fn meant_by(&self, entity: &str) -> Option<&str> {
        Self::meant_by(self, entity)
    }

    fn trace(&self, request: &Request<'_>) -> Vec<String> {
        Self::trace(self, request)
    }
}
