//! Defines the key set: a cache's arguments, each exact or any, a product set of entries.

use smallvec::SmallVec;

use crate::event::{Type, Value};

/// The most arguments that a cache may have, because [`ArgSet`] is 64 bits.
pub const MAX_ARGS: usize = 64;

/// A set of a cache's entries: each argument is exact (`Some`) or any (`None`). With every argument *any* it is all of them.
///
/// Values are borrowed from the event or from the rules, so that a key set is copied without allocating.
#[derive(Debug, Clone, PartialEq)]
pub struct KeySet<'a>(SmallVec<[Option<Arg<'a>>; 4]>);

/// The value of an exact argument, with the type that the event declares for it.
#[derive(Debug, Clone, Copy)]
pub struct Arg<'a> {
    /// The value.
    pub value: &'a Value<'a>,
    /// Its type, where the event says it.
    pub declared: Option<Type>,
}

/// The same value of the same event is not compared text by text.
impl PartialEq for Arg<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.declared == other.declared && (std::ptr::eq(self.value, other.value) || self.value == other.value)
    }
}

impl<'a> From<&'a Value<'a>> for Arg<'a> {
    fn from(value: &'a Value<'a>) -> Self {
        Self { value, declared: None }
    }
}

impl<'a> KeySet<'a> {
    /// All entries of a cache with this many arguments.
    #[must_use]
    pub fn all(args: usize) -> Self {
        Self(SmallVec::from_elem(None, args))
    }

    /// How many arguments there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no argument, and so one entry alone.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of an argument; `None` is any.
    #[must_use]
    pub fn get(&self, arg: usize) -> Option<&'a Value<'a>> {
        self.0[arg].map(|arg| arg.value)
    }

    /// The value of an argument with its declared type; `None` is any.
    #[must_use]
    pub fn arg(&self, arg: usize) -> Option<Arg<'a>> {
        self.0[arg]
    }

    /// Makes an argument exact.
    pub fn set(&mut self, arg: usize, value: impl Into<Arg<'a>>) {
        self.0[arg] = Some(value.into());
    }

    /// Whether every entry of the other set is in this one.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(mine, theirs)| mine.is_none() || mine == theirs)
    }

    /// Makes every argument *any* in which the other set differs, so that this set covers both.
    pub fn widen_to_cover(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            if mine != theirs {
                *mine = None;
            }
        }
    }

    /// How many bytes the values of its exact arguments hold: what a key that spells them takes, and what spelling it costs.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.iter().flatten().map(|arg| arg.value.bytes()).fold(0, usize::saturating_add)
    }

    /// The arguments that are exact.
    #[must_use]
    pub fn exact(&self) -> ArgSet {
        ArgSet((0..).zip(&self.0).fold(0, |bits, (arg, value)| bits | u64::from(value.is_some()) << arg))
    }
}

/// With how many key sets a new one is compared: comparing each with all would make a list of ten thousand values cost a
/// hundred million comparisons.
const COMPARED_MAX: usize = 256;

/// Adds a key set, unless one of those that are there covers it; those that it covers go. Among very many some that are
/// covered may stay: that costs nothing, since the plan asks for each key once.
///
/// Says whether it was added.
pub(crate) fn add_widest<'a, const N: usize>(sets: &mut SmallVec<[KeySet<'a>; N]>, set: KeySet<'a>) -> bool {
    if sets.iter().take(COMPARED_MAX).any(|known| known.covers(&set)) {
        return false;
    }
    if sets.len() <= COMPARED_MAX {
        sets.retain(|known| !set.covers(known));
    } else if set.exact().is_empty() {
        sets.clear();
    }
    sets.push(set);
    true
}

/// Adds a key set; where just exact ones can be removed, it takes the place of none and none takes its place.
pub(crate) fn add<'a, const N: usize>(sets: &mut SmallVec<[KeySet<'a>; N]>, set: KeySet<'a>, exact_only: bool) -> bool {
    if !exact_only {
        return add_widest(sets, set);
    }
    let is_new = !sets.iter().take(COMPARED_MAX).chain(sets.last()).any(|known| *known == set);
    if is_new {
        sets.push(set);
    }
    is_new
}

/// A set of a cache's arguments, by their index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ArgSet(pub u64);

impl ArgSet {
    /// No argument.
    pub const EMPTY: Self = Self(0);

    /// The set with one more argument.
    #[must_use]
    pub const fn with(self, arg: usize) -> Self {
        Self(self.0 | 1 << arg)
    }

    /// Whether the argument is in the set.
    #[must_use]
    pub const fn contains(self, arg: usize) -> bool {
        self.0 & (1 << arg) != 0
    }

    /// Whether all arguments of this set are in the other.
    #[must_use]
    pub const fn is_subset_of(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// The arguments in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The arguments of this set that are not in the other.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// How many there are.
    #[must_use]
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Their places, ascending.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        let mut bits = self.0;
        std::iter::from_fn(move || {
            let arg = (bits != 0).then(|| bits.trailing_zeros() as usize);
            bits &= bits.wrapping_sub(1);
            arg
        })
    }
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;

    fn set<'a>(args: &[Option<&'a Value<'a>>]) -> KeySet<'a> {
        KeySet(args.iter().map(|arg| arg.map(Arg::from)).collect())
    }

    #[test]
    fn the_widest_set_swallows_those_it_covers() {
        let (one, two) = (Value::Int(1), Value::Int(2));
        let mut sets: SmallVec<[KeySet<'_>; 2]> = smallvec![];
        add_widest(&mut sets, set(&[Some(&one), Some(&two)]));
        add_widest(&mut sets, set(&[Some(&one), Some(&two)]));
        add_widest(&mut sets, set(&[Some(&two), None]));
        assert_eq!(sets.len(), 2);
        add_widest(&mut sets, set(&[Some(&one), None]));
        assert_eq!(sets.as_slice(), [set(&[Some(&two), None]), set(&[Some(&one), None])]);
        add_widest(&mut sets, KeySet::all(2));
        assert_eq!(sets.as_slice(), [KeySet::all(2)]);
    }

    #[test]
    fn very_many_sets_are_kept_and_all_of_them_is_one() {
        let values: Vec<Value<'_>> = (0..10_000).map(Value::Int).collect();
        let mut sets: SmallVec<[KeySet<'_>; 2]> = smallvec![];
        assert!(values.iter().all(|value| add_widest(&mut sets, set(&[Some(value), None]))));
        assert_eq!(sets.len(), values.len());
        add_widest(&mut sets, set(&[None, None]));
        assert_eq!(sets.as_slice(), [KeySet::all(2)]);
    }

    #[test]
    fn widening_keeps_what_two_sets_share() {
        let (one, two) = (Value::Int(1), Value::Int(2));
        let mut wide = set(&[Some(&one), Some(&two)]);
        wide.widen_to_cover(&set(&[Some(&one), Some(&one)]));
        assert_eq!(wide, set(&[Some(&one), None]));
        assert_eq!(wide.exact(), ArgSet::EMPTY.with(0));
    }
}
