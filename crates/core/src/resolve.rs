//! The whole flow of this crate on one screen: bytes to a plan. Pure: no I/O, no clock, no randomness.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::action::Action;
use crate::event::{Change, DecodeError, Format, Payload, Row, decode};
use crate::key::KeyFormat;
use crate::plan::{Plan, TARGETS_MAX, TargetId, TargetSet};
use crate::rule::RuleError;
use crate::rule::around::{self, Around};
use crate::rule::config::{CacheConfig, EntityConfig, Limits, OnUnknown};
use crate::rule::set::{Cache, Found, RuleSet};
use crate::rule::{compile, emit};
use crate::scope::{QUEUES_MAX, QueueId, QueueSet, Scope};
use crate::undeclared::Undeclared;
use quash_config::{ConfigPath, Problem, Secret, Severity};

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
}

/// What the rules are compiled from.
#[derive(Debug, Clone, Copy)]
pub struct Declared<'a> {
    /// The targets by name, with their key formats. Their order makes the [`TargetId`]s.
    pub targets: &'a BTreeMap<String, KeyFormat>,
    /// The caches by name.
    pub caches: &'a BTreeMap<String, CacheConfig>,
    /// What is known of entities beside their events, by name.
    pub entities: &'a BTreeMap<String, EntityConfig>,
    /// What an unknown column means where neither dependency nor cache says it.
    pub on_unknown: Option<OnUnknown>,
    /// The secrets that keys depend on, by name.
    pub secrets: &'a BTreeMap<String, Secret>,
    /// The bounds.
    pub limits: Limits,
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
            targets: declared.targets.values().map(|format| Target { prefixes: format.prefixes() }).collect(),
            limits: declared.limits,
            queue_names,
            rules,
        };
        let usable = |problems: &[Problem]| problems.iter().all(|problem| problem.severity < Severity::Error);
        if usable(&problems) {
            problems.extend(resolver.doubts());
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

    /// Resolves a batch: decodes each request, finds what its changes make stale and merges what that takes.
    ///
    /// A batch whose plan would take more than `limits.max_plan_bytes` is split: only the first requests have outcomes then,
    /// at least one, and the caller resolves the rest when it is done with these.
    #[must_use]
    pub fn resolve(&self, requests: &[Request<'_>]) -> Resolution {
        let mut batch = emit::Batch::new(self);
        let mut outcomes = Vec::with_capacity(requests.len());
        for (asker, request) in (0..).zip(requests) {
            outcomes.push(self.resolve_one(asker, request, &mut batch));
            if batch.is_full() {
                break;
            }
        }
        batch.finish(outcomes)
    }

    /// Resolves the changes of one message that its publisher holds as they would be decoded. Whoever makes them answers for
    /// the limits of messages.
    #[must_use]
    pub fn resolve_changes(&self, changes: &[Change<'_>], scope: Option<&Scope>) -> Resolution {
        let mut batch = emit::Batch::new(self);
        let terms = Terms { scope, ..Terms::FRESH };
        let outcome = if self.rules.known.is_empty() {
            self.resolve_decoded(0, changes, &[], terms, &mut batch)
        } else {
            let mut changes = changes.to_vec();
            self.rules.known.apply(&mut changes);
            self.resolve_decoded(0, &changes, &[], terms, &mut batch)
        };
        batch.finish(vec![outcome])
    }

    /// What can be resolved is asked for even if the request is refused because of the rest: its entries are stale all the same.
    fn resolve_one(&self, asker: u32, request: &Request<'_>, batch: &mut emit::Batch<'_>) -> Resolved {
        match self.read(request) {
            Ok(changes) => self.resolve_decoded(asker, &changes, request.payload.headers, request.terms(), batch),
            Err(error) => Resolved::Refused(Refused::Decode(error)),
        }
    }

    /// The changes of a message, with what is declared of their entities.
    pub(crate) fn read<'c>(&'c self, request: &Request<'c>) -> Result<Vec<Change<'c>>, DecodeError> {
        let mut changes = Vec::new();
        decode(request.payload, request.format, &self.limits.event(), &mut changes)?;
        self.rules.known.apply(&mut changes);
        Ok(changes)
    }

    fn resolve_decoded(
        &self,
        asker: u32,
        changes: &[Change<'_>],
        headers: &[(Cow<'static, str>, String)],
        terms: Terms<'_>,
        batch: &mut emit::Batch<'_>,
    ) -> Resolved {
        let headers = self.headers(headers);
        let mut asked = batch.ask(asker, terms, changes.len());
        for change in changes {
            let around = Around::of(change, &headers);
            let mut found = Found::default();
            self.rules.find(change, &around, &mut found);
            asked.emit(change, found);
        }
        asked.resolved(changes.iter().filter_map(time_us).min())
    }

    /// The headers of a message, where some rule asks for them.
    pub(crate) fn headers<'h>(&self, headers: &'h [(Cow<'static, str>, String)]) -> Row<'h> {
        if self.rules.reads_headers { around::headers(headers) } else { Row::default() }
    }

    /// What stands before a logical key of a cache on a target: one physical key each.
    pub(crate) fn prefixes<'p>(&'p self, cache: Option<&'p Cache>, target: TargetId) -> &'p [Box<str>] {
        let target = usize::from(target.0);
        match cache.and_then(|cache| cache.prefixes.as_ref()) {
            Some(prefixes) => &prefixes[target],
            None => &self.targets[target].prefixes,
        }
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

    /// The caches' names, in the order of [`Resolution::cache_matches`].
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

    /// What removes everything of every cache on a target: the last resort when the exact past is not known any more.
    #[must_use]
    pub fn everything_on(&self, target: TargetId) -> Vec<Action> {
        emit::everything_on(self, target)
    }
}

/// The queues that caches name as theirs. What all caches have in common, the configuration's own `dispatch`, names none:
/// it says where applications publish.
fn queues(caches: &BTreeMap<String, CacheConfig>) -> Vec<String> {
    let named: BTreeSet<&str> = caches.values().filter_map(CacheConfig::queue).collect();
    named.into_iter().map(str::to_owned).collect()
}

fn time_us(change: &Change<'_>) -> Option<i64> {
    match change {
        Change::Event(event) => event.time_us,
        Change::Command(command) => command.time_us,
    }
}

/// One delivery, as the resolver sees it.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The message.
    pub payload: Payload<'a>,
    /// Its format.
    pub format: Format,
    /// The targets still to do; [`TargetSet::ALL`] on the first attempt.
    pub targets: TargetSet,
    /// Which pass this is: zero for the first, else the entry of `again_after` that came due.
    pub pass: Duration,
    /// Which caches it is about; `None` is all of them, as in a fresh event.
    pub scope: Option<&'a Scope>,
    /// The queues that count as somebody else's: caches that name one of them are not done, but reported in
    /// [`Resolution::handed_over`].
    pub elsewhere: QueueSet,
}

impl<'a> Request<'a> {
    /// A fresh event, of which everything is to do here.
    #[must_use]
    pub const fn fresh(payload: Payload<'a>, format: Format) -> Self {
        let Terms { targets, pass, scope, elsewhere } = Terms::FRESH;
        Self { payload, format, targets, pass, scope, elsewhere }
    }

    pub(crate) const fn terms(&self) -> Terms<'a> {
        let Self { targets, pass, scope, elsewhere, .. } = *self;
        Terms { targets, pass, scope, elsewhere }
    }
}

/// What of a message is to do; see [`Request`].
#[derive(Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub(crate) targets: TargetSet,
    pub(crate) pass: Duration,
    pub(crate) scope: Option<&'a Scope>,
    pub(crate) elsewhere: QueueSet,
}

impl Terms<'_> {
    const FRESH: Self = Self { targets: TargetSet::ALL, pass: Duration::ZERO, scope: None, elsewhere: QueueSet::NONE };
}

/// What a batch asks for.
#[derive(Debug, Default)]
pub struct Resolution {
    /// All actions of the batch, one share per target.
    pub plan: Plan,
    /// What became of each request, in their order; of the first ones only, where the batch was split.
    pub outcomes: Vec<Resolved>,
    /// How often each cache matched, by its place in [`Resolver::caches`]; caches that did not match are left out.
    pub cache_matches: Vec<(u32, u32)>,
    /// How often a cache was widened and why, by its place in [`Resolver::caches`].
    pub widened: Vec<(u32, Widened)>,
    /// The requests, by their places, and the caches, by theirs, that have to go to the queues that these caches name.
    /// Ascending by request; usually none.
    pub handed_over: Vec<(u32, u32)>,
    /// The entities of its events that no cache depends on.
    pub undeclared: Undeclared,
}

/// Why more is removed than the event names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Widened {
    /// A mapped column is unknown.
    UnknownColumn,
    /// A condition needs a column that is unknown, and counts as true.
    UnknownCondition,
    /// More actions than `limits.max_actions_per_event`.
    TooManyActions,
    /// Keys of more bytes than `limits.max_plan_bytes`.
    TooManyBytes,
}

impl Widened {
    /// The name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnknownColumn => "unknown_column",
            Self::UnknownCondition => "unknown_condition",
            Self::TooManyActions => "too_many_actions",
            Self::TooManyBytes => "too_many_bytes",
        }
    }
}

/// What became of one request.
#[derive(Debug, Clone, PartialEq)]
pub enum Resolved {
    /// Nothing declared depends on it.
    Unmatched {
        /// See [`Asked::time_us`].
        time_us: Option<i64>,
    },
    /// It asks for actions on these targets.
    Asked(Asked),
    /// It cannot be resolved, or not wholly; trying again cannot help.
    Refused(Refused),
}

/// What one request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The targets with at least one action for it, in this pass or a later one; none when all of it is to be handed over.
    pub targets: TargetSet,
    /// When the next pass of `again_after` is due, counted from the first pass like [`Request::pass`]; `None` after the last.
    pub next_pass: Option<Duration>,
    /// The earliest commit time among its events, in microseconds since the Unix epoch.
    pub time_us: Option<i64>,
}

/// Why a request cannot be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The message is not an event, or over a limit of decoding.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A key is over a limit.
    #[error("cache {cache}: {error}")]
    Limit {
        /// The cache whose key it is.
        cache: String,
        /// What is over which limit.
        error: String,
    },
    /// A rule cannot be applied to the event.
    #[error(transparent)]
    Rule(#[from] RuleError),
}

#[cfg(test)]
mod tests;
