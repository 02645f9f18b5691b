//! Finds which caches are stale because of a change, without trying every rule.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::around::Around;
use super::cascade::{self, Edge};
use super::condition::Condition;
use super::dependency::{Bounds, Considered, Dependency, Origin};
use super::entity::Entities;
use super::freshness::Mode;
use super::known::may_have_changed;
use super::{RuleError, Widened};
use crate::event::problem::quoted;
use crate::event::{Change, Command, Event, Invalidate, Op, Row};
use crate::key::key_set::add;
use crate::key::{KeySet, Scheme};
use crate::plan::TargetSet;
use crate::scope::{CacheId, SourceId};

/// A compiled cache.
pub(crate) struct Cache {
    pub(crate) name: String,
    pub(crate) scheme: Box<dyn Scheme>,
    pub(crate) targets: TargetSet,
    /// What stands before a logical key, by target, where that is not what the targets say.
    pub(crate) prefixes: Option<Vec<Vec<Box<str>>>>,
    /// When the later passes are due, counted from the first; ascending.
    pub(crate) again_after: Vec<Duration>,
    pub(crate) publish: Option<Arc<str>>,
    /// What its readers do, and so what makes an entry stale.
    pub(crate) mode: Mode,
    /// The source that it names as its own.
    pub(crate) source: Option<SourceId>,
    /// See [`Dependency::exact_only`].
    pub(crate) exact_only: bool,
    /// The caches that depend on this one; they stand behind it.
    pub(crate) feeds: Vec<Edge>,
}

impl fmt::Debug for Cache {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.name)
    }
}

/// All compiled caches and what makes them stale.
#[derive(Debug, Default)]
pub(crate) struct RuleSet {
    /// Each cache stands behind those it depends on.
    pub(crate) caches: Vec<Cache>,
    pub(crate) dependencies: Vec<Dependency>,
    entities: FxHashMap<Box<str>, Entity>,
    /// What is declared of entities.
    pub(crate) known: Entities,
    /// Bounds the key sets of one event.
    pub(crate) bounds: Bounds,
    /// Every later pass that some cache asks for.
    passes: BTreeSet<Duration>,
    /// Whether some rule asks for a message's headers.
    pub(crate) reads_headers: bool,
}

/// The dependencies on one entity: on its rows, and on its relations by name.
#[derive(Debug, Default)]
struct Entity {
    rows: ByOp,
    relations: FxHashMap<Box<str>, ByOp>,
}

/// The dependencies that an operation may concern, so that the others cost nothing.
#[derive(Debug, Default)]
struct ByOp {
    /// By operation; for updates just those that any change concerns.
    any_column: [Vec<u32>; Op::ALL.len()],
    /// For updates: those that one column concerns.
    column: FxHashMap<Box<str>, Vec<u32>>,
    /// All of them, for explanations.
    all: Vec<u32>,
}

impl ByOp {
    fn add(&mut self, id: u32, dependency: &Dependency) {
        self.all.push(id);
        for op in Op::ALL.into_iter().filter(|op| dependency.ops.is_empty() || dependency.ops.contains(op)) {
            if op == Op::Update && !dependency.changed.is_empty() {
                for column in &dependency.changed {
                    self.column.entry(column.as_str().into()).or_default().push(id);
                }
            } else {
                self.any_column[op as usize].push(id);
            }
        }
    }

    fn candidates(&self, event: &Event<'_>) -> SmallVec<[u32; 16]> {
        let mut ids: SmallVec<[u32; 16]> = SmallVec::from_slice(&self.any_column[event.op as usize]);
        if event.op == Op::Update && !self.column.is_empty() {
            match &event.changed {
                Some(changed) => {
                    ids.extend(changed.iter().filter_map(|name| self.column.get(name.as_ref())).flatten().copied())
                }
                None => {
                    let changed = self.column.iter().filter(|(name, _)| may_have_changed(event, name));
                    ids.extend(changed.flat_map(|(_, ids)| ids.iter().copied()));
                }
            }
            ids.sort_unstable();
            ids.dedup();
        }
        ids
    }
}

/// What a change makes stale, gathered over the changes of one request.
#[derive(Debug, Default)]
pub(crate) struct Found<'e> {
    /// Caches, with the widest key sets of each.
    pub(crate) stale: SmallVec<[(CacheId, SmallVec<[KeySet<'e>; 2]>); 4]>,
    pub(crate) widened: SmallVec<[(CacheId, Widened); 2]>,
    /// The first rule that could not be applied; what the others found still counts.
    pub(crate) error: Option<RuleError>,
    /// Whether it is of an entity that no cache depends on.
    pub(crate) undeclared: bool,
}

impl<'e> Found<'e> {
    /// Adds a key set of a cache, of which just exact ones can be removed, or any.
    pub(crate) fn add(&mut self, cache: CacheId, set: KeySet<'e>, exact_only: bool) {
        match self.stale.iter_mut().find(|(known, _)| *known == cache) {
            Some((_, sets)) => {
                add(sets, set, exact_only);
            }
            None => self.stale.push((cache, SmallVec::from_iter([set]))),
        }
    }

    fn fail(&mut self, cache: Option<&str>, error: String) {
        self.error.get_or_insert_with(|| RuleError { cache: cache.map(str::to_owned), error });
    }
}

impl RuleSet {
    pub(crate) fn new(caches: Vec<Cache>, dependencies: Vec<Dependency>, known: Entities, bounds: Bounds) -> Self {
        let mut entities: FxHashMap<Box<str>, Entity> = FxHashMap::default();
        for (id, dependency) in (0..).zip(&dependencies) {
            match &dependency.relation {
                Some(relation) => {
                    let entity = entities.entry(dependency.entity.as_str().into()).or_default();
                    entity.relations.entry(relation.as_str().into()).or_default().add(id, dependency);
                }
                None => entities.entry(dependency.entity.as_str().into()).or_default().rows.add(id, dependency),
            }
        }
        let passes = caches.iter().flat_map(|cache| cache.again_after.iter().copied()).collect();
        let maps_around = |dependency: &Dependency| {
            dependency.maps.iter().flatten().any(|origin| matches!(origin, Origin::Around(_)))
        };
        let tests_around = |dependency: &Dependency| dependency.when.as_ref().is_some_and(Condition::reads_around);
        let reads_headers = dependencies.iter().any(|dependency| maps_around(dependency) || tests_around(dependency));
        Self { caches, dependencies, entities, known, bounds, passes, reads_headers }
    }

    /// Whether a cache's entries are to be removed in this pass. One that no cache asks for is from before a reload: the
    /// copy waited for it, and what it was to close must not stay open because the delays are others now.
    pub(crate) fn is_due(&self, cache: &Cache, pass: Duration) -> bool {
        let is_foreign = || !cache.again_after.is_empty() && !self.passes.contains(&pass);
        pass.is_zero() || cache.again_after.contains(&pass) || is_foreign()
    }

    /// Adds what a change makes stale, directly and through the caches that depend on those.
    pub(crate) fn find<'e>(&'e self, change: &'e Change<'e>, around: &'e Around<'e>, found: &mut Found<'e>) {
        match change {
            Change::Event(event) => self.find_event(event, around, found),
            Change::Command(command) => {
                if let Invalidate::Cache { cache, args } = &command.what {
                    self.find_command(cache, args, found);
                }
            }
        }
        cascade::expand(&self.caches, found);
    }

    /// The same for a later pass, whose commands may be from before a reload: caches that are gone ask for nothing, and
    /// arguments that are gone for any value.
    pub(crate) fn find_again<'e>(&'e self, change: &'e Change<'e>, around: &'e Around<'e>, found: &mut Found<'e>) {
        let Change::Command(Command { what: Invalidate::Cache { cache: name, args }, .. }) = change else {
            return self.find(change, around, found);
        };
        let Some((id, cache)) = (0..).map(CacheId).zip(&self.caches).find(|(_, cache)| cache.name == *name) else {
            return;
        };
        let known = cache.scheme.args();
        let mut set = KeySet::all(known.len());
        for (arg, value) in &args.0 {
            if let Some(index) = known.iter().position(|name| name == arg) {
                set.set(index, value);
            }
        }
        found.add(id, set, cache.exact_only);
        cascade::expand(&self.caches, found);
    }

    fn find_event<'e>(&'e self, event: &'e Event<'e>, around: &'e Around<'e>, found: &mut Found<'e>) {
        let Some(by_op) = self.by_op(event) else {
            found.undeclared = !self.is_declared(&event.entity);
            return;
        };
        for id in by_op.candidates(event) {
            let dependency = &self.dependencies[id as usize];
            match dependency.consider(event, around, self.bounds) {
                Ok(Considered::Skipped(_)) => {}
                Ok(Considered::Stale(stale)) => {
                    let reasons = [
                        (!stale.unknown_columns.is_empty(), Widened::UnknownColumn),
                        (stale.unknown_condition, Widened::UnknownCondition),
                        (stale.too_many, Widened::TooManyActions),
                    ];
                    found.widened.extend(reasons.iter().filter(|(is, _)| *is).map(|(_, why)| (dependency.cache, *why)));
                    stale.sets.into_iter().for_each(|set| found.add(dependency.cache, set, dependency.exact_only));
                }
                Err(error) => found.fail(Some(&self.caches[dependency.cache.index()].name), error),
            }
        }
    }

    /// Whether some cache depends on rows or relations of this entity.
    pub(crate) fn is_declared(&self, entity: &str) -> bool {
        self.entities.contains_key(entity)
    }

    /// The entities that caches depend on, in no order.
    pub(crate) fn entities(&self) -> impl Iterator<Item = &str> {
        self.entities.keys().map(AsRef::as_ref)
    }

    /// The dependencies that an explanation of this event walks through, matching or not.
    pub(crate) fn all_for<'s>(&'s self, event: &Event<'_>) -> impl Iterator<Item = &'s Dependency> + use<'s> {
        let ids = self.by_op(event).map(|by_op| by_op.all.as_slice()).unwrap_or_default();
        ids.iter().map(|id| &self.dependencies[*id as usize])
    }

    fn by_op(&self, event: &Event<'_>) -> Option<&ByOp> {
        let entity = self.entities.get(event.entity.as_ref())?;
        match &event.relation {
            Some(relation) => entity.relations.get(relation.name.as_ref()),
            None => Some(&entity.rows),
        }
    }

    fn find_command<'e>(&'e self, name: &str, args: &'e Row<'e>, found: &mut Found<'e>) {
        let Some((id, cache)) = (0..).map(CacheId).zip(&self.caches).find(|(_, cache)| cache.name == name) else {
            let known = self.caches.iter().map(|cache| cache.name.as_str());
            let hint = quash_config::nearest(name, known).map(|near| format!("; did you mean `{near}`?"));
            return found.fail(None, format!("no cache is called {}{}", quoted(name), hint.unwrap_or_default()));
        };
        let known = cache.scheme.args();
        let mut set = KeySet::all(known.len());
        for (arg, value) in &args.0 {
            match known.iter().position(|name| name == arg) {
                Some(index) => set.set(index, value),
                None => {
                    let error = format!("it has no argument {}, its arguments are: {}", quoted(arg), known.join(", "));
                    return found.fail(Some(name), error);
                }
            }
        }
        found.add(id, set, cache.exact_only);
    }
}
