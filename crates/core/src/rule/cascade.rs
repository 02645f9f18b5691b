//! Expands stale caches over the caches that depend on them, each once per key set, widest first.

use smallvec::SmallVec;

use super::set::{Cache, Found};

use crate::event::Value;
use crate::key::KeySet;
use crate::scope::CacheId;

/// A dependency of one cache on another.
#[derive(Debug)]
pub(crate) struct Edge {
    /// The cache that depends, always behind the one it depends on.
    pub(crate) to: CacheId,
    /// Its index in that cache's `depends_on`.
    pub(crate) index: usize,
    /// Where the arguments of that cache come from; each mapping gives key sets of its own.
    pub(crate) maps: Vec<Vec<EdgeOrigin>>,
}

/// Where an argument of a dependent cache comes from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum EdgeOrigin {
    Any,
    Constant(Value<'static>),
    /// An argument of the cache it depends on. What is computed from *any* is *any*.
    Arg(usize),
}

/// Adds what depends on what was found. Each cache stands behind those it depends on, so one walk in their order sees every
/// cache with all its key sets united before it is expanded.
pub(crate) fn expand<'e>(caches: &'e [Cache], found: &mut Found<'e>) {
    if found.stale.iter().all(|(cache, _)| caches[cache.index()].feeds.is_empty()) {
        return;
    }
    let mut next = found.stale.iter().map(|(cache, _)| *cache).min();
    while let Some(cache) = next {
        let sets =
            found.stale.iter().find(|(known, _)| *known == cache).map(|(_, sets)| sets.clone()).unwrap_or_default();
        for edge in &caches[cache.index()].feeds {
            for derived in edge.derive(&sets) {
                found.add(edge.to, derived, caches[edge.to.index()].exact_only);
            }
        }
        next = found.stale.iter().map(|(known, _)| *known).filter(|known| *known > cache).min();
    }
}

impl Edge {
    fn derive<'e>(&'e self, sets: &[KeySet<'e>]) -> SmallVec<[KeySet<'e>; 4]> {
        self.maps.iter().flat_map(|map| sets.iter().map(move |set| derive(map, set))).collect()
    }
}

fn derive<'e>(map: &'e [EdgeOrigin], upstream: &KeySet<'e>) -> KeySet<'e> {
    let mut set = KeySet::all(map.len());
    for (arg, origin) in map.iter().enumerate() {
        match origin {
            EdgeOrigin::Any => {}
            EdgeOrigin::Constant(value) => set.set(arg, value),
            EdgeOrigin::Arg(from) => {
                if let Some(value) = upstream.arg(*from) {
                    set.set(arg, value);
                }
            }
        }
    }
    set
}
