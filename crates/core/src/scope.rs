//! Says which caches a request is about: all of them, or what is left when some are done or somebody else's.

use smallvec::SmallVec;

/// A set of declared caches, by their places in [`crate::resolve::Resolver::caches`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CacheSet(SmallVec<[u64; 2]>);

impl CacheSet {
    /// Adds a cache.
    pub fn insert(&mut self, place: u32) {
        let (word, bit) = split(place);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= bit;
    }

    /// Whether the cache is in the set.
    #[must_use]
    pub fn contains(&self, place: u32) -> bool {
        let (word, bit) = split(place);
        self.0.get(word).is_some_and(|bits| bits & bit != 0)
    }

    /// Whether no cache is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|bits| *bits == 0)
    }
}

impl FromIterator<u32> for CacheSet {
    fn from_iter<I: IntoIterator<Item = u32>>(places: I) -> Self {
        let mut set = Self::default();
        places.into_iter().for_each(|place| set.insert(place));
        set
    }
}

const fn split(place: u32) -> (usize, u64) {
    ((place / 64) as usize, 1 << (place % 64))
}

/// The most queues that caches can name: [`QueueSet`] is 64 bits.
pub const QUEUES_MAX: usize = 64;

/// The place of a queue in [`crate::resolve::Resolver::queues`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(pub u8);

/// A set of queues as 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueSet(u64);

impl QueueSet {
    /// No queue.
    pub const NONE: Self = Self(0);

    /// All queues but this one.
    #[must_use]
    pub fn all_but(queue: Option<QueueId>) -> Self {
        Self(queue.map_or(u64::MAX, |queue| !(1 << queue.0)))
    }

    /// Whether the queue is in the set.
    #[must_use]
    pub const fn contains(self, queue: QueueId) -> bool {
        self.0 & (1 << queue.0) != 0
    }
}

/// What is left of a request whose caches are not all to do here. A fresh event has none of this.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope {
    /// Just these caches, where any are named.
    pub only: Option<CacheSet>,
    /// These are done in this pass; their later passes are still to do.
    pub done: CacheSet,
    /// These went to the queues that they name. Those of them that are in `only` went to this one, and are done here.
    pub handed_over: CacheSet,
}

/// What of a cache is to do here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// This pass and the later ones.
    All,
    /// The later passes.
    Later,
    /// Nothing: it has a queue of its own, and has to go there.
    HandOver {
        /// Whether this pass is done already.
        done: bool,
    },
    /// Nothing.
    None,
}

impl Scope {
    /// What of a cache is to do here; `elsewhere` says whether the queue that it names is another one.
    pub(crate) fn part(scope: Option<&Self>, place: u32, elsewhere: bool) -> Part {
        let Some(Self { only, done, handed_over }) = scope else {
            return if elsewhere { Part::HandOver { done: false } } else { Part::All };
        };
        let (named, handed_over) = (only.as_ref().map(|only| only.contains(place)), handed_over.contains(place));
        let done = done.contains(place);
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
        let set: CacheSet = [0, 63, 64, 1000].into_iter().collect();
        assert!([0, 63, 64, 1000].iter().all(|place| set.contains(*place)));
        assert!(![1, 62, 65, 999, 1001, u32::MAX].iter().any(|place| set.contains(*place)));
        assert!(CacheSet::default().is_empty() && !set.is_empty());
    }

    #[test]
    fn all_queues_but_one_are_elsewhere() {
        let elsewhere = QueueSet::all_but(Some(QueueId(3)));
        assert!(elsewhere.contains(QueueId(2)) && !elsewhere.contains(QueueId(3)) && elsewhere.contains(QueueId(63)));
        assert!(QueueSet::all_but(None).contains(QueueId(3)));
        assert!(!QueueSet::NONE.contains(QueueId(3)));
    }

    #[test]
    fn what_is_left_of_a_cache_follows_from_what_the_request_says() {
        let set = |places: &[u32]| places.iter().copied().collect::<CacheSet>();
        let scope = |only: Option<&[u32]>, done: &[u32], handed: &[u32]| Scope {
            only: only.map(set),
            done: set(done),
            handed_over: set(handed),
        };
        let hand_over = |done| Part::HandOver { done };
        // What the request says of cache 7; what is to do of it where it belongs, and at another queue.
        let cases = [
            (None, Part::All, hand_over(false)),
            (Some(scope(None, &[], &[])), Part::All, hand_over(false)),
            (Some(scope(None, &[7], &[])), Part::Later, hand_over(true)),
            (Some(scope(None, &[], &[7])), Part::None, Part::None),
            (Some(scope(None, &[7], &[7])), Part::None, Part::None),
            (Some(scope(Some(&[7]), &[], &[])), Part::All, hand_over(false)),
            (Some(scope(Some(&[7]), &[7], &[])), Part::Later, hand_over(true)),
            // It was handed over to this queue: it never wanders on, whatever this configuration says.
            (Some(scope(Some(&[7]), &[], &[7])), Part::All, Part::All),
            (Some(scope(Some(&[7]), &[7], &[7])), Part::Later, Part::Later),
            (Some(scope(Some(&[1]), &[], &[])), Part::None, Part::None),
            (Some(scope(Some(&[1]), &[], &[7])), Part::None, Part::None),
        ];
        for (scope, here, there) in cases {
            assert_eq!(Scope::part(scope.as_ref(), 7, false), here, "{scope:?}");
            assert_eq!(Scope::part(scope.as_ref(), 7, true), there, "{scope:?}");
        }
    }
}
