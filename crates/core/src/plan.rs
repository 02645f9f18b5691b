//! Merges what a batch of events asks for into one deduplicated share per target.

use smallvec::SmallVec;

use crate::action::Action;

/// The place of a target in the configuration's order. At most 64 targets can be declared, see [`TargetSet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetId(pub u8);

/// A set of targets as 64 bits: copying and uniting it costs nothing, which is why at most 64 targets can be declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TargetSet(u64);

impl TargetSet {
    /// No target.
    pub const EMPTY: Self = Self(0);
    /// Every target that could be declared.
    pub const ALL: Self = Self(u64::MAX);

    /// Adds a target.
    pub fn insert(&mut self, target: TargetId) {
        self.0 |= 1 << target.0;
    }

    /// Takes a target out.
    pub fn remove(&mut self, target: TargetId) {
        self.0 &= !(1 << target.0);
    }

    /// Whether the target is in the set.
    #[must_use]
    pub const fn contains(self, target: TargetId) -> bool {
        self.0 & (1 << target.0) != 0
    }

    /// Whether no target is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The targets in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The targets in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The targets of this set that are not in the other.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The targets, in the configuration's order.
    pub fn iter(self) -> impl Iterator<Item = TargetId> {
        (0..64).map(TargetId).filter(move |target| self.contains(*target))
    }
}

impl FromIterator<TargetId> for TargetSet {
    fn from_iter<I: IntoIterator<Item = TargetId>>(targets: I) -> Self {
        let mut set = Self::EMPTY;
        targets.into_iter().for_each(|target| set.insert(target));
        set
    }
}

/// The deliveries of the batch that asked for an action, as indices into the batch, ascending and without repeats.
pub type Askers = SmallVec<[u32; 2]>;

/// All actions that a batch asks for, one share per target that has anything to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The shares, each of another target, none of them empty.
    pub shares: Vec<Share>,
}

/// The actions of a plan on one target: deduplicated, and without keys that a prefix of the share removes anyway.
#[derive(Debug, PartialEq, Eq)]
pub struct Share {
    /// The target.
    pub target: TargetId,
    /// What to do; never empty.
    pub actions: Vec<Action>,
    /// Who asked for each of the actions, in the same order.
    pub asked_by: Vec<Askers>,
}
