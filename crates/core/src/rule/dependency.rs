//! Decides whether one dependency makes its cache stale because of one event, and which key sets.

use smallvec::{SmallVec, smallvec};

use super::condition::{Condition, Truth};
use super::config::{Nulls, OnUnknown};
use super::known::{Side, may_have_changed};
use crate::event::{Event, Op, Relation, Row, Types, Value};
use crate::key::key_set::Arg;
use crate::key::key_set::add_widest;
use crate::key::{ArgSet, KeySet};

/// A compiled dependency on a row or a relation.
#[derive(Debug)]
pub(crate) struct Dependency {
    /// Its cache, by its place among the compiled caches.
    pub(crate) cache: u32,
    /// Its place in the cache's `depends_on`.
    pub(crate) place: usize,
    /// The entity it depends on: `shop.Book`.
    pub(crate) entity: String,
    /// The entity's relation, where it depends on one: `tags`.
    pub(crate) relation: Option<String>,
    /// The operations that count; none is all.
    pub(crate) ops: Vec<Op>,
    /// The columns of which one must have changed, for updates; none is any change.
    pub(crate) changed: Vec<String>,
    pub(crate) when: Option<Condition>,
    /// Where the arguments come from; each mapping gives key sets of its own.
    pub(crate) maps: Vec<Mapping>,
    /// The arguments of which a list is one value, and not one per element.
    pub(crate) whole: ArgSet,
    pub(crate) on_unknown: OnUnknown,
    pub(crate) nulls: Nulls,
}

/// Where each argument of a cache comes from, in their order.
pub(crate) type Mapping = Vec<Origin>;

/// Where an argument comes from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Origin {
    Any,
    Constant(Value<'static>),
    /// A path into the image; for relations its first step is `from` or `to`.
    Path(Vec<String>),
}

/// What became of a dependency and an event.
#[derive(Debug, PartialEq)]
pub(crate) enum Considered<'e> {
    Skipped(Clause),
    Stale(Stale<'e>),
}

/// The key sets that an event makes stale.
#[derive(Debug, PartialEq, Default)]
pub(crate) struct Stale<'e> {
    pub(crate) sets: SmallVec<[KeySet<'e>; 2]>,
    /// The paths of columns that were unknown and made an argument *any*.
    pub(crate) unknown_columns: SmallVec<[&'e [String]; 2]>,
    /// The condition could not be decided, and counts as true.
    pub(crate) unknown_condition: bool,
    /// There were too many key sets, and arguments in which they differ became *any*.
    pub(crate) too_many: bool,
}

impl<'e> Stale<'e> {
    /// Adds a key set; past `max_sets` one that covers all of them takes their place, because an event of a few kilobytes
    /// can name millions.
    fn add(&mut self, set: KeySet<'e>, max_sets: usize) {
        add_widest(&mut self.sets, set);
        if self.sets.len() > max_sets {
            self.too_many = true;
            if let Some((widest, rest)) = self.sets.split_first_mut() {
                rest.iter().for_each(|set| widest.widen_to_cover(set));
                self.sets.truncate(1);
            }
        }
    }
}

/// The clause of a dependency that an event did not meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clause {
    Ops,
    Changed,
    When,
    Nulls,
}

impl Dependency {
    /// Evaluates the clauses in the order in which they are declared, and the mapping on each image as a whole.
    ///
    /// `max_sets` bounds the key sets; past it arguments in which they differ become *any*.
    ///
    /// # Errors
    /// When the condition cannot be evaluated, or a column is unknown and `on_unknown` is `dead_letter`.
    pub(crate) fn consider<'e>(&'e self, event: &'e Event<'e>, max_sets: usize) -> Result<Considered<'e>, String> {
        if !self.ops.is_empty() && !self.ops.contains(&event.op) {
            return Ok(Considered::Skipped(Clause::Ops));
        }
        if event.op == Op::Update
            && !self.changed.is_empty()
            && !self.changed.iter().any(|name| may_have_changed(event, name))
        {
            return Ok(Considered::Skipped(Clause::Changed));
        }
        let mut stale = Stale::default();
        if let Some(condition) = self.when.as_ref().filter(|_| event.op != Op::Truncate) {
            match condition.evaluate(event)? {
                Truth::Yes => {}
                Truth::No => return Ok(Considered::Skipped(Clause::When)),
                Truth::Unknown => stale.unknown_condition = true,
            }
        }
        for map in &self.maps {
            match &event.relation {
                Some(relation) => self.map_relation(map, event, relation, max_sets, &mut stale)?,
                None => self.map_images(map, event, max_sets, &mut stale)?,
            }
        }
        Ok(if stale.sets.is_empty() { Considered::Skipped(Clause::Nulls) } else { Considered::Stale(stale) })
    }

    /// The union over the images that the operation has, each as a whole: a row that moves drops both its places.
    fn map_images<'e>(
        &'e self,
        map: &'e Mapping,
        event: &'e Event<'e>,
        max_sets: usize,
        stale: &mut Stale<'e>,
    ) -> Result<(), String> {
        let (before, after) = (Side::before(event), Side::after(event));
        let sides: &[Side<'e>] = match event.op {
            Op::Create => &[after],
            Op::Delete => &[before],
            Op::Update | Op::Add | Op::Remove | Op::Clear => &[before, after],
            Op::Truncate => &[],
        };
        for side in sides {
            let may_be_left_out = side.is_before() && event.op == Op::Update;
            self.map_one(map, &event.types, may_be_left_out, max_sets, stale, |path| side.at(path))?;
        }
        if sides.is_empty() {
            stale.add(constants(map), max_sets);
        }
        Ok(())
    }

    /// One key set per row at the other end; none of them is known when a relation is cleared.
    fn map_relation<'e>(
        &'e self,
        map: &'e Mapping,
        event: &'e Event<'e>,
        relation: &'e Relation<'e>,
        max_sets: usize,
        stale: &mut Stale<'e>,
    ) -> Result<(), String> {
        let at = |path: &'e [String], to: Option<&'e Row<'e>>| match path.split_first()? {
            (end, path) if end == "from" => relation.from.at(path).or_else(|| event.key.at(path)),
            (_, path) => to?.at(path),
        };
        if relation.to.is_empty() {
            return self.map_one(map, &event.types, false, max_sets, stale, |path| at(path, None));
        }
        let mut map_to = |to| self.map_one(map, &event.types, false, max_sets, stale, |path| at(path, Some(to)));
        relation.to.iter().try_for_each(&mut map_to)
    }

    fn map_one<'e>(
        &'e self,
        map: &'e Mapping,
        types: &Types<'_>,
        may_be_left_out: bool,
        max_sets: usize,
        stale: &mut Stale<'e>,
        at: impl Fn(&'e [String]) -> Option<&'e Value<'e>>,
    ) -> Result<(), String> {
        let mut sets: SmallVec<[KeySet<'e>; 2]> = smallvec![KeySet::all(map.len())];
        for (arg, origin) in map.iter().enumerate() {
            match origin {
                Origin::Any => {}
                Origin::Constant(value) => sets.iter_mut().for_each(|set| set.set(arg, value)),
                Origin::Path(path) => match at(path) {
                    Some(Value::Null) if self.nulls == Nulls::Skip => return Ok(()),
                    Some(Value::List(values)) if !self.whole.contains(arg) => {
                        if sets.len().saturating_mul(values.len()) > max_sets {
                            stale.too_many = true;
                        } else {
                            let elements = values.iter().map(|value| Arg { value, declared: types.at(path) });
                            sets = product(&sets, arg, elements, self.nulls);
                        }
                    }
                    Some(value) => {
                        let known = Arg { value, declared: types.at(path) };
                        sets.iter_mut().for_each(|set| set.set(arg, known));
                    }
                    None => match self.on_unknown {
                        OnUnknown::DeadLetter => {
                            return Err(format!("column {} is unknown, and on_unknown is dead_letter", path.join(".")));
                        }
                        OnUnknown::AfterOnly if may_be_left_out => return Ok(()),
                        OnUnknown::AfterOnly | OnUnknown::Widen => {
                            stale.unknown_columns.push(path);
                        }
                    },
                },
            }
        }
        sets.into_iter().for_each(|set| stale.add(set, max_sets));
        Ok(())
    }
}

/// Every set with every element of the list.
fn product<'e>(
    sets: &[KeySet<'e>],
    arg: usize,
    elements: impl Iterator<Item = Arg<'e>> + Clone,
    nulls: Nulls,
) -> SmallVec<[KeySet<'e>; 2]> {
    let elements = || elements.clone().filter(move |one| nulls == Nulls::Keep || *one.value != Value::Null);
    let with = |set: &KeySet<'e>, value: Arg<'e>| {
        let mut set = set.clone();
        set.set(arg, value);
        set
    };
    sets.iter().flat_map(|set| elements().map(move |value| with(set, value))).collect()
}

/// What a mapping gives when no row is known.
fn constants(map: &Mapping) -> KeySet<'_> {
    let mut set = KeySet::all(map.len());
    for (arg, origin) in map.iter().enumerate() {
        if let Origin::Constant(value) = origin {
            set.set(arg, value);
        }
    }
    set
}
