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
use crate::scope::{CacheId, SOURCES_MAX, SourceId, SourceSet};

pub use crate::rule::compile::Declared;

/// The compiled rules. Immutable and cheap to share; a reload makes another one.
#[derive(Debug)]
pub struct Resolver {
    pub(crate) rules: RuleSet,
    pub(crate) targets: Vec<Target>,
    pub(crate) limits: Limits,
    target_names: Vec<String>,
    cache_names: Vec<String>,
    source_names: Vec<String>,
}

/// A target as the rules see it.
#[derive(Debug)]
pub(crate) struct Target {
    /// What stands before a logical key: one physical key each.
    pub(crate) prefixes: Vec<Box<str>>,
    /// The caches whose entries are not merely removed, for commands that name a key themselves: what their physical keys
    /// look like.
    special: Vec<(Matcher, Mode)>,
    /// Whether some cache keeps leases in guards.
    has_guards: bool,
    /// Whether one of these writes keys that look like any.
    guards_any: bool,
}

impl Target {
    fn new(target: TargetId, format: &KeyFormat, rules: &RuleSet) -> Self {
        let prefixes = format.prefixes();
        let (mut special, mut has_guards, mut guards_any) = (Vec::new(), false, false);
        for cache in rules.caches.iter().filter(|cache| cache.targets.contains(target) && cache.mode.is_special()) {
            let keys = cache.scheme.entries().keys;
            let is_guarded = cache.mode.layout == Layout::Plain;
            has_guards |= is_guarded;
            guards_any |= is_guarded && keys.is_empty();
            let own = cache.prefixes.as_ref().map_or(&prefixes, |own| &own[usize::from(target.0)]);
            let physical = own.iter().flat_map(|prefix| keys.iter().map(|key| key.behind(prefix).matcher()));
            special.extend(physical.map(|keys| (keys, cache.mode)));
        }
        Self { prefixes, special, has_guards, guards_any }
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
        let source_names = sources(declared.caches);
        if source_names.len() > SOURCES_MAX {
            let message = format!("caches name {} sources; a worker knows at most {SOURCES_MAX}", source_names.len());
            return (None, vec![Problem::error(ConfigPath::root().key("caches"), message)]);
        }
        let (rules, mut problems) = compile::compile(declared, &source_names);
        let resolver = Self {
            cache_names: rules.caches.iter().map(|cache| cache.name.clone()).collect(),
            target_names: declared.targets.keys().cloned().collect(),
            targets: (0..)
                .map(TargetId)
                .zip(declared.targets.values())
                .map(|(target, format)| Target::new(target, format, &rules))
                .collect(),
            limits: declared.limits,
            source_names,
            rules,
        };
        let usable = |problems: &[Problem]| problems.iter().all(|problem| problem.severity < Severity::Error);
        if usable(&problems) {
            let unkept = resolver.unkept();
            let is_worse =
                |warning: &Problem, other: &Problem| other.severity > warning.severity && other.path == warning.path;
            let warnings = resolver.warnings().into_iter();
            problems.extend(warnings.filter(|warning| !unkept.iter().any(|other| is_worse(warning, other))));
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
        let Target { special, guards_any, .. } = &self.targets[usize::from(target.0)];
        let known = special.iter().find(|(keys, _)| keys.matches(key.as_bytes()));
        known.map_or_else(|| Mode::guarded(*guards_any), |(_, mode)| *mode)
    }

    /// How entries are made stale that a command names by what they begin with: together with their guards, if any cache of
    /// the target has some. Other keys have none, and removing what is not there is harmless.
    pub(crate) fn mode_of_some(&self, target: TargetId) -> Mode {
        Mode::guarded(self.targets[usize::from(target.0)].has_guards)
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

    /// The id of a cache in [`Resolver::caches`].
    #[must_use]
    pub fn cache(&self, name: &str) -> Option<CacheId> {
        (0..).map(CacheId).zip(&self.cache_names).find(|(_, known)| *known == name).map(|(id, _)| id)
    }

    /// The sources that caches name as theirs, in the order of their ids.
    #[must_use]
    pub fn sources(&self) -> &[String] {
        &self.source_names
    }

    /// The source that a cache names as its own.
    #[must_use]
    pub fn source_of(&self, cache: CacheId) -> Option<SourceId> {
        self.rules.caches.get(cache.index())?.source
    }

    /// The sources that are elsewhere for whoever works on this one.
    #[must_use]
    pub fn sources_but(&self, name: &str) -> SourceSet {
        let own = (0..).map(SourceId).zip(&self.source_names).find(|(_, known)| *known == name);
        SourceSet::all_but(own.map(|(id, _)| id))
    }

    /// The targets that some cache is on: those that events can be waiting for.
    #[must_use]
    pub fn used_targets(&self) -> TargetSet {
        self.rules.caches.iter().fold(TargetSet::EMPTY, |used, cache| used.union(cache.targets))
    }
}

/// The sources that caches name as theirs. What all caches have in common, the configuration's own `dispatch`, names none:
/// it says where applications publish.
fn sources(caches: &BTreeMap<String, CacheConfig>) -> Vec<String> {
    let named: BTreeSet<&str> = caches.values().filter_map(CacheConfig::source).collect();
    named.into_iter().map(str::to_owned).collect()
}
