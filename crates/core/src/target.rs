//! Names targets by number, and holds sets of them as 64 bits.

/// The most targets that can be declared: [`TargetSet`] is 64 bits.
pub const TARGETS_MAX: usize = 64;

/// The index of a target in the configuration's order. At most 64 targets can be declared, see [`TargetSet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetId(pub u8);

/// A set of targets as 64 bits: copying and uniting it costs nothing, which is why at most 64 targets can be declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
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
        let mut bits = self.0;
        std::iter::from_fn(move || {
            let target = (bits != 0).then(|| TargetId(bits.trailing_zeros() as u8));
            bits &= bits.wrapping_sub(1);
            target
        })
    }
}

impl FromIterator<TargetId> for TargetSet {
    fn from_iter<I: IntoIterator<Item = TargetId>>(targets: I) -> Self {
        let mut set = Self::EMPTY;
        targets.into_iter().for_each(|target| set.insert(target));
        set
    }
}
