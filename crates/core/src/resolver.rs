//! Holds the compiled rules, with the names of what they speak of.

use std::collections::{BTreeMap, BTreeSet};

use quash_config::{ConfigPath, Problem, Severity};

use crate::glob::Matcher;
use crate::key::KeyFormat;
use crate::plan::{TARGETS_MAX, TargetId, TargetSet};
use crate::rule::compile;
use crate::rule::config::{CacheConfig, Limits};
use crate::rule::freshness::{Layout, Mode};
use crate::rule::set::{Cache, RuleSet};
use crate::scope::{QUEUES_MAX, QueueId, QueueSet};

pub use crate::rule::compile::Declared;

/// The compiled rules. Immutable and cheap to share; a reload makes another one.
#[derive(Debug)]
pub struct Resolver {
    pub(crate) rules: RuleSet,
    pub(crate) targets: Vec<Target>,
    pub(crate) limits: Limits,
    target_names: Vec<String>,
    cache_names: Vec<String>,
    queue_names: Vec<String>,
}

/// A target as the rules see it.
#[derive(Debug)]
pub(crate) struct Target {
    /// What stands before a logical key: one physical key each.
    pub(crate) prefixes: Vec<Box<str>>,
    /// The caches whose entries are not merely removed, for commands that name a key themselves: what their physical keys
    /// look like.
    special: Vec<(Matcher, Mode)>,
}

impl Target {
    fn new(target: TargetId, format: &KeyFormat, rules: &RuleSet) -> Self {
        let prefixes = format.prefixes();
        let here = rules.caches.iter().filter(|cache| cache.targets.contains(target) && cache.mode.is_special());
        let special = here.flat_map(|cache| {
            let own = cache.prefixes.as_ref().map(|own| &own[usize::from(target.0)]);
            let (keys, mode) = (cache.scheme.entries().keys, cache.mode);
            let heads = own.unwrap_or(&prefixes).iter();
            heads.flat_map(|head| keys.iter().map(|key| (key.behind(head).matcher(), mode))).collect::<Vec<_>>()
        });
        Self { special: special.collect(), prefixes }
    }
}

impl Resolver {
    /// Compiles the rules. Problems are at paths from the configuration's root (`caches.product.key`); with an error among
    /// them there is no resolver, warnings come beside one.
    #[must_use]
    pub fn compile(declared: Declared<'_>) -> (Option<Self>, Vec<Problem>) {
        if declared.targets.len() > TARGETS_MAX {
            let message = format!("{} targets; a worker takes at most {TARGETS_MAX}", declared.targets.len());
            return (None, vec![Problem::error(ConfigPath::root().key("targets"), message)]);
        }
        let queue_names = queues(declared.caches);
        if queue_names.len() > QUEUES_MAX {
            let message = format!("caches name {} queues; a worker knows at most {QUEUES_MAX}", queue_names.len());
            return (None, vec![Problem::error(ConfigPath::root().key("caches"), message)]);
        }
        let (rules, mut problems) = compile::compile(declared, &queue_names);
        let resolver = Self {
            cache_names: rules.caches.iter().map(|cache| cache.name.clone()).collect(),
            target_names: declared.targets.keys().cloned().collect(),
            targets: (0..)
                .map(TargetId)
                .zip(declared.targets.values())
                .map(|(target, format)| Target::new(target, format, &rules))
                .collect(),
            limits: declared.limits,
            queue_names,
            rules,
        };
        let usable = |problems: &[Problem]| problems.iter().all(|problem| problem.severity < Severity::Error);
        if usable(&problems) {
            let unkept = resolver.unkept();
            let is_worse =
                |doubt: &Problem, other: &Problem| other.severity > doubt.severity && other.path == doubt.path;
            let doubts = resolver.doubts().into_iter();
            problems.extend(doubts.filter(|doubt| !unkept.iter().any(|other| is_worse(doubt, other))));
            problems.extend(unkept);
        }
        (usable(&problems).then_some(resolver), problems)
    }

    /// The same rules with another scheme for one cache: for tests of what happens when a scheme misbehaves.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn with_scheme(mut self, cache: &str, scheme: Box<dyn crate::key::Scheme>) -> Self {
        if let Some(cache) = self.rules.caches.iter_mut().find(|known| known.name == cache) {
            cache.scheme = scheme;
        }
        self
    }

    /// What stands before a logical key of a cache on a target: one physical key each.
    pub(crate) fn prefixes<'p>(&'p self, cache: Option<&'p Cache>, target: TargetId) -> &'p [Box<str>] {
        let target = usize::from(target.0);
        match cache.and_then(|cache| cache.prefixes.as_ref()) {
            Some(prefixes) => &prefixes[target],
            None => &self.targets[target].prefixes,
        }
    }

    /// How an entry is made stale that a command names itself: as the cache says whose it is.
    pub(crate) fn mode_of(&self, target: TargetId, key: &str) -> Mode {
        let mut special = self.targets[usize::from(target.0)].special.iter();
        special.find(|(keys, _)| keys.matches(key.as_bytes())).map_or_else(Mode::default, |(_, mode)| *mode)
    }

    /// How entries are made stale that a command names by what they begin with: together with their guards, if any cache of
    /// the target has some. Other keys have none, and removing what is not there is harmless.
    pub(crate) fn mode_of_some(&self, target: TargetId) -> Mode {
        let mut guarded = self.targets[usize::from(target.0)].special.iter().map(|(_, mode)| *mode);
        guarded.find(|mode| mode.layout == Layout::Plain).unwrap_or_default()
    }

    /// The targets' names, in the order of their ids.
    #[must_use]
    pub fn targets(&self) -> &[String] {
        &self.target_names
    }

    /// The id of a target.
    #[must_use]
    pub fn target(&self, name: &str) -> Option<TargetId> {
        (0..).map(TargetId).zip(&self.target_names).find(|(_, known)| *known == name).map(|(id, _)| id)
    }

    /// The caches' names, in the order of [`Resolution::cache_matches`](crate::resolve::Resolution::cache_matches).
    #[must_use]
    pub fn caches(&self) -> &[String] {
        &self.cache_names
    }

    /// The place of a cache in [`Resolver::caches`].
    #[must_use]
    pub fn cache(&self, name: &str) -> Option<u32> {
        (0..).zip(&self.cache_names).find(|(_, known)| *known == name).map(|(place, _)| place)
    }

    /// The queues that caches name as theirs, in the order of their ids.
    #[must_use]
    pub fn queues(&self) -> &[String] {
        &self.queue_names
    }

    /// The queue that a cache names as its own.
    #[must_use]
    pub fn queue_of(&self, cache: u32) -> Option<QueueId> {
        self.rules.caches.get(cache as usize)?.queue
    }

    /// The queues that are elsewhere for whoever works on this one.
    #[must_use]
    pub fn queues_but(&self, name: &str) -> QueueSet {
        let own = (0..).map(QueueId).zip(&self.queue_names).find(|(_, known)| *known == name);
        QueueSet::all_but(own.map(|(id, _)| id))
    }

    /// The targets that some cache is on: those that events can be waiting for.
    #[must_use]
    pub fn used_targets(&self) -> TargetSet {
        self.rules.caches.iter().fold(TargetSet::EMPTY, |used, cache| used.union(cache.targets))
    }
}

/// The queues that caches name as theirs. What all caches have in common, the configuration's own `dispatch`, names none:
/// it says where applications publish.
fn queues(caches: &BTreeMap<String, CacheConfig>) -> Vec<String> {
    let named: BTreeSet<&str> = caches.values().filter_map(CacheConfig::queue).collect();
    named.into_iter().map(str::to_owned).collect()
}
