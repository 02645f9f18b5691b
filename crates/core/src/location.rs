//! Says where the entries of each cache are: on which targets, behind what, and what their keys look like.

use crate::key::Entries;
use crate::plan::TargetId;
use crate::resolver::Resolver;
use crate::rule::freshness::{Freshness, Layout, Mode};
use crate::rule::set::Cache;

/// Where the entries of one cache are on one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The cache.
    pub cache: String,
    /// The target.
    pub target: String,
    /// What stands before its logical keys: one physical key each.
    pub prefixes: Vec<Box<str>>,
    /// Whether that is the cache's own, or its library's, and not what the target says.
    pub own_format: bool,
    /// What its logical keys look like.
    pub entries: Entries,
    /// What its readers do.
    pub freshness: Freshness,
    /// Where they keep leases, if they take any.
    pub layout: Layout,
}

impl Resolver {
    /// Where the entries of every cache are: one for each target that it is on.
    #[must_use]
    pub fn locations(&self) -> Vec<Location> {
        let caches = self.rules.caches.iter();
        let mut all: Vec<_> =
            caches.flat_map(|cache| cache.targets.iter().map(|target| self.location_of(cache, target))).collect();
        all.sort_by(|one, other| (&one.cache, &one.target).cmp(&(&other.cache, &other.target)));
        all
    }

    /// What stands before a logical key on a target, where no cache says something else.
    #[must_use]
    pub fn prefixes_on(&self, target: &str) -> Vec<Box<str>> {
        self.target(target).map(|target| self.prefixes(None, target).to_vec()).unwrap_or_default()
    }

    fn location_of(&self, cache: &Cache, target: TargetId) -> Location {
        let Mode { freshness, layout, .. } = cache.mode;
        Location {
            cache: cache.name.clone(),
            target: self.targets()[usize::from(target.0)].clone(),
            prefixes: self.prefixes(Some(cache), target).to_vec(),
            own_format: cache.prefixes.is_some(),
            entries: cache.scheme.entries(),
            freshness,
            layout,
        }
    }
}
