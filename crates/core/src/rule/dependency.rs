//! Decides whether one dependency makes its cache stale because of one event, and which key sets.

use smallvec::{SmallVec, smallvec};

use super::around::Around;
use super::condition::{Condition, Truth};
use super::config::{Nulls, OnUnknown};
use super::known::{Side, may_have_changed};
use crate::event::{Event, Op, Relation, Row, Type, Value};
use crate::key::key_set::Arg;
use crate::key::key_set::add;
use crate::key::{ArgSet, KeySet};
use crate::scope::CacheId;

/// A compiled dependency on a row or a relation.
#[derive(Debug)]
pub(crate) struct Dependency {
    /// Its cache.
    pub(crate) cache: CacheId,
    /// Its index in the cache's `depends_on`.
    pub(crate) index: usize,
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
    /// A key set with an argument that is *any* cannot be removed, and must not take the place of those that can.
    pub(crate) exact_only: bool,
    /// The arguments of which a list is one value, and not one per element.
    pub(crate) whole: ArgSet,
    /// The arguments whose type the cache declares, which counts for more than that of the event.
    pub(crate) typed: ArgSet,
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
    /// What stands around the event, see [`super::around::path`].
    Around(Vec<String>),
}

/// What became of a dependency and an event.
#[expect(clippy::large_enum_variant, reason = "it lives for one dependency on the stack, where a box would be dearer")]
#[derive(Debug, PartialEq)]
pub(crate) enum Considered<'e> {
    Skipped(Clause),
    Stale(Stale<'e>),
}

/// Bounds the key sets of one event: a few kilobytes can name millions, and a long value can stand in each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Bounds {
    pub(crate) sets: usize,
    /// Of the values in them, taken together.
    pub(crate) bytes: usize,
}

/// A value with how many bytes it holds, so that a long one is measured once.
#[derive(Clone, Copy)]
struct Measured<'e> {
    value: &'e Value<'e>,
    bytes: usize,
}

impl<'e> Measured<'e> {
    fn of(value: &'e Value<'e>) -> Self {
        Self { value, bytes: value.bytes() }
    }
}

/// A mapping on its way through one event.
struct Mapper<'e> {
    map: &'e Mapping,
    /// The types that the event declares for what is mapped, by argument. Looked up once: an event may declare thousands.
    declared: SmallVec<[Option<Type>; 4]>,
    around: &'e Around<'e>,
    bounds: Bounds,
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
    /// What the values in the sets that were added hold.
    bytes: usize,
    /// See [`Dependency::exact_only`].
    exact_only: bool,
}

impl<'e> Stale<'e> {
    /// Adds a key set whose values hold so many bytes; past the bounds one that covers all of them takes their place.
    fn add(&mut self, set: KeySet<'e>, bytes: usize, bounds: Bounds) {
        let all = KeySet::all(set.len());
        if !add(&mut self.sets, set, self.exact_only) {
            return;
        }
        self.bytes = self.bytes.saturating_add(bytes);
        if self.sets.len() > bounds.sets || (self.bytes > bounds.bytes && self.sets.len() > 1) {
            self.too_many = true;
            if self.exact_only {
                // What there is no room for is what a key set of all stands for: a dead letter.
                self.sets.pop();
                self.sets.pop();
                self.sets.push(all);
            } else if let Some((widest, rest)) = self.sets.split_first_mut() {
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
    /// Past the bounds arguments in which key sets differ become *any*.
    ///
    /// # Errors
    /// When the condition cannot be evaluated, or a column is unknown and `on_unknown` is `dead_letter`.
    pub(crate) fn consider<'e>(
        &'e self,
        event: &'e Event<'e>,
        around: &'e Around<'e>,
        bounds: Bounds,
    ) -> Result<Considered<'e>, String> {
        if !self.ops.is_empty() && !self.ops.contains(&event.op) {
            return Ok(Considered::Skipped(Clause::Ops));
        }
        if event.op == Op::Update
            && !self.changed.is_empty()
            && !self.changed.iter().any(|name| may_have_changed(event, name))
        {
            return Ok(Considered::Skipped(Clause::Changed));
        }
        let mut stale = Stale { exact_only: self.exact_only, ..Stale::default() };
        if let Some(condition) = self.when.as_ref().filter(|_| event.op != Op::Truncate) {
            match condition.evaluate(event, around)? {
                Truth::Yes => {}
                Truth::No => return Ok(Considered::Skipped(Clause::When)),
                Truth::Unknown => stale.unknown_condition = true,
            }
        }
        for map in &self.maps {
            let mapper = Mapper::new(map, event, around, bounds);
            match &event.relation {
                Some(relation) => self.map_relation(&mapper, event, relation, &mut stale)?,
                None => self.map_images(&mapper, event, &mut stale)?,
            }
        }
        Ok(if stale.sets.is_empty() { Considered::Skipped(Clause::Nulls) } else { Considered::Stale(stale) })
    }

    /// The union over the images that the operation has, each as a whole: a row that moves drops both its places.
    fn map_images<'e>(
        &'e self,
        mapper: &Mapper<'e>,
        event: &'e Event<'e>,
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
            self.map_one(mapper, may_be_left_out, stale, |_, path| side.at(path).map(Measured::of))?;
        }
        if sides.is_empty() {
            stale.add(constants(mapper.map), 0, mapper.bounds);
        }
        Ok(())
    }

    /// One key set per row at the other end; none of them is known when a relation is cleared.
    fn map_relation<'e>(
        &'e self,
        mapper: &Mapper<'e>,
        event: &'e Event<'e>,
        relation: &'e Relation<'e>,
        stale: &mut Stale<'e>,
    ) -> Result<(), String> {
        let owner = |origin: &'e Origin| match origin {
            Origin::Path(path) => match path.split_first()? {
                (end, path) if end == "from" => relation.from.at(path).or_else(|| event.key.at(path)),
                _ => None,
            },
            Origin::Any | Origin::Constant(_) | Origin::Around(_) => None,
        };
        // The same for every row at the other end, of which there may be thousands.
        let from: SmallVec<[Option<Measured<'e>>; 4]> =
            mapper.map.iter().map(|origin| owner(origin).map(Measured::of)).collect();
        let at = |arg: usize, path: &'e [String], to: Option<&'e Row<'e>>| match path.split_first()? {
            (end, _) if end == "from" => from[arg],
            (_, path) => to?.at(path).map(Measured::of),
        };
        if relation.to.is_empty() {
            return self.map_one(mapper, false, stale, |arg, path| at(arg, path, None));
        }
        let mut map_to = |to| self.map_one(mapper, false, stale, |arg, path| at(arg, path, Some(to)));
        relation.to.iter().try_for_each(&mut map_to)
    }

    fn map_one<'e>(
        &'e self,
        mapper: &Mapper<'e>,
        may_be_left_out: bool,
        stale: &mut Stale<'e>,
        at: impl Fn(usize, &'e [String]) -> Option<Measured<'e>>,
    ) -> Result<(), String> {
        let Mapper { map, declared, around, bounds } = mapper;
        let mut sets: SmallVec<[KeySet<'e>; 2]> = smallvec![KeySet::all(map.len())];
        let of = |origin: &Origin, arg, path| match origin {
            Origin::Around(_) => around.at(path).map(Measured::of),
            _ => at(arg, path),
        };
        // What the values hold that all sets have in common.
        let mut shared = 0;
        let mut lists: SmallVec<[(usize, &'e [Value<'e>], usize); 2]> = SmallVec::new();
        for (arg, origin) in map.iter().enumerate() {
            match origin {
                Origin::Any => {}
                Origin::Constant(value) => sets.iter_mut().for_each(|set| set.set(arg, value)),
                Origin::Path(path) | Origin::Around(path) => match of(origin, arg, path) {
                    Some(Measured { value: Value::Null, .. }) if self.nulls == Nulls::Skip => return Ok(()),
                    Some(Measured { value: Value::List(values), bytes }) if !self.is_whole(arg, declared[arg]) => {
                        lists.push((arg, values, bytes));
                    }
                    Some(Measured { value, bytes }) => {
                        shared += bytes;
                        let known = Arg { value, declared: declared[arg] };
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
        // What the values in all sets hold, taken together.
        let mut bytes = shared;
        for (arg, values, of_list) in lists {
            let count = sets.len().saturating_mul(values.len());
            let expanded = bytes.saturating_mul(values.len()).saturating_add(of_list.saturating_mul(sets.len()));
            // What was widened already is not expanded again for the next row.
            if stale.too_many || count > bounds.sets || expanded.saturating_add(stale.bytes) > bounds.bytes {
                stale.too_many = true;
                continue;
            }
            let elements = values.iter().map(|value| Arg { value, declared: declared[arg] });
            (sets, bytes) = (product(&sets, arg, elements, self.nulls), expanded);
        }
        let each = bytes / sets.len().max(1);
        sets.into_iter().for_each(|set| stale.add(set, each, *bounds));
        Ok(())
    }

    /// Whether a list is one value of an argument, and not one per element: by the type that the cache declares, which is
    /// the argument's, else by that of the event.
    fn is_whole(&self, arg: usize, declared: Option<Type>) -> bool {
        self.whole.contains(arg) || (!self.typed.contains(arg) && declared.is_some_and(Type::is_whole))
    }
}

impl<'e> Mapper<'e> {
    fn new(map: &'e Mapping, event: &Event<'_>, around: &'e Around<'e>, bounds: Bounds) -> Self {
        let declared = |origin: &Origin| match origin {
            Origin::Path(path) => event.types.at(path),
            Origin::Any | Origin::Constant(_) | Origin::Around(_) => None,
        };
        Self { map, declared: map.iter().map(declared).collect(), around, bounds }
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
