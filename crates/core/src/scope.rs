//! Says which caches a request is about: all of them, or what is left when some are done or somebody else's.

use smallvec::SmallVec;

/// A cache by its index in [`crate::resolve::Resolver::caches`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CacheId(pub u32);

impl CacheId {
    /// The index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A set of declared caches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CacheSet(SmallVec<[u64; 2]>);

impl CacheSet {
    /// Adds a cache.
    pub fn insert(&mut self, cache: CacheId) {
        let (word, bit) = split(cache);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= bit;
    }

    /// Whether the cache is in the set.
    #[must_use]
    pub fn contains(&self, cache: CacheId) -> bool {
        let (word, bit) = split(cache);
        self.0.get(word).is_some_and(|bits| bits & bit != 0)
    }

    /// Whether no cache is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|bits| *bits == 0)
    }
}

impl FromIterator<CacheId> for CacheSet {
    fn from_iter<I: IntoIterator<Item = CacheId>>(caches: I) -> Self {
        let mut set = Self::default();
        caches.into_iter().for_each(|cache| set.insert(cache));
        set
    }
}

const fn split(cache: CacheId) -> (usize, u64) {
    ((cache.0 / 64) as usize, 1 << (cache.0 % 64))
}

/// The most sources that caches can name: [`SourceSet`] is 64 bits.
pub const SOURCES_MAX: usize = 64;

/// The index of a source in [`crate::resolve::Resolver::sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub u8);

/// A set of sources as 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SourceSet(u64);

impl SourceSet {
    /// No source.
    pub const NONE: Self = Self(0);

    /// All sources but this one.
    #[must_use]
    pub fn all_but(source: Option<SourceId>) -> Self {
        Self(source.map_or(u64::MAX, |source| !(1 << source.0)))
    }

    /// Whether the source is in the set.
    #[must_use]
    pub const fn contains(self, source: SourceId) -> bool {
        self.0 & (1 << source.0) != 0
    }
}

/// What is left of a request whose caches are not all to do here. A fresh event has none of this.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope {
    /// Just these caches, where any are named.
    pub only: Option<CacheSet>,
    /// These are done in this pass; their later passes are still to do.
    pub done: CacheSet,
    /// These went to the sources that they name. Those of them that are in `only` went to this one, and are done here.
    pub handed_over: CacheSet,
}

/// What of a cache is to do here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// This pass and the later ones.
    All,
    /// The later passes.
    Later,
    /// Nothing: it has a source of its own, and has to go there.
    HandOver {
        /// Whether this pass is done already.
        done: bool,
    },
    /// Nothing.
    None,
}

impl Scope {
    /// What of a cache is to do here; `elsewhere` says whether the source that it names is another one.
    pub(crate) fn part(scope: Option<&Self>, cache: CacheId, elsewhere: bool) -> Part {
        let Some(Self { only, done, handed_over }) = scope else {
            return if elsewhere { Part::HandOver { done: false } } else { Part::All };
        };
        let (named, handed_over) = (only.as_ref().map(|only| only.contains(cache)), handed_over.contains(cache));
        let done = done.contains(cache);
        match (named, handed_over) {
            (Some(false), _) | (None, true) => Part::None,
            (None, false) | (Some(true), false) if elsewhere => Part::HandOver { done },
            _ if done => Part::Later,
            _ => Part::All,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_there() {
        let set: CacheSet = [0, 63, 64, 1000].map(CacheId).into_iter().collect();
        assert!([0, 63, 64, 1000].iter().all(|cache| set.contains(CacheId(*cache))));
        assert!(![1, 62, 65, 999, 1001, u32::MAX].iter().any(|cache| set.contains(CacheId(*cache))));
        assert!(CacheSet::default().is_empty() && !set.is_empty());
    }

    #[test]
    fn all_sources_but_one_are_elsewhere() {
        let elsewhere = SourceSet::all_but(Some(SourceId(3)));
        assert!(
            elsewhere.contains(SourceId(2)) && !elsewhere.contains(SourceId(3)) && elsewhere.contains(SourceId(63))
        );
        assert!(SourceSet::all_but(None).contains(SourceId(3)));
        assert!(!SourceSet::NONE.contains(SourceId(3)));
    }

    #[test]
    fn what_is_left_of_a_cache_follows_from_what_the_request_says() {
        let set = |caches: &[u32]| caches.iter().copied().map(CacheId).collect::<CacheSet>();
        let scope = |only: Option<&[u32]>, done: &[u32], handed: &[u32]| Scope {
            only: only.map(set),
            done: set(done),
            handed_over: set(handed),
        };
        let hand_over = |done| Part::HandOver { done };
        // What the request says of cache 7; what is to do of it where it belongs, and at another source.
        let cases = [
            (None, Part::All, hand_over(false)),
            (Some(scope(None, &[], &[])), Part::All, hand_over(false)),
            (Some(scope(None, &[7], &[])), Part::Later, hand_over(true)),
            (Some(scope(None, &[], &[7])), Part::None, Part::None),
            (Some(scope(None, &[7], &[7])), Part::None, Part::None),
            (Some(scope(Some(&[7]), &[], &[])), Part::All, hand_over(false)),
            (Some(scope(Some(&[7]), &[7], &[])), Part::Later, hand_over(true)),
            // It was handed over to this source: it never wanders on, whatever this configuration says.
            (Some(scope(Some(&[7]), &[], &[7])), Part::All, Part::All),
            (Some(scope(Some(&[7]), &[7], &[7])), Part::Later, Part::Later),
            (Some(scope(Some(&[1]), &[], &[])), Part::None, Part::None),
            (Some(scope(Some(&[1]), &[], &[7])), Part::None, Part::None),
        ];
        for (scope, here, there) in cases {
            assert_eq!(Scope::part(scope.as_ref(), CacheId(7), false), here, "{scope:?}");
            assert_eq!(Scope::part(scope.as_ref(), CacheId(7), true), there, "{scope:?}");
        }
    }
}
