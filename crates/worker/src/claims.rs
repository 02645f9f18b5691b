//! Tells which caches write a key on a target, from the rules alone.

use quash_config::Finding;
use quash_core::glob::Glob;
use quash_core::location::Location;
use quash_store::{Described, starts};
use serde::Serialize;

/// How many caches are told of one key; the most specific come first.
const CLAIMS_MAX: usize = 8;

/// What is known of a key on one target.
#[derive(Debug, Serialize)]
pub struct Known {
    /// The target.
    pub target: String,
    /// What is under the key; `null` when nothing is. Left out unless the target was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub there: Option<Option<Described>>,
    /// What is under its guard, where a cache that writes it keeps leases there; `null` when nothing is. Left out unless the
    /// target was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guard: Option<Option<Described>>,
    /// The caches that write such keys, the most specific first.
    pub caches: Vec<Claim>,
    /// The caches whose keys cannot be told from others: any of them may have written it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub untold: Vec<String>,
    /// Why it is not there, and what is.
    pub hints: Vec<Finding>,
}

/// What a cache has to do with a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claim {
    /// The cache.
    pub cache: String,
    /// What the key is to it.
    pub role: Role,
    /// What its keys look like.
    pub pattern: String,
    /// Whether other caches of its library write such keys too.
    pub shared: bool,
    /// The keys that it writes for the entry that is meant, where that is not the given one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub writes: Vec<Written>,
    /// What stands before the logical key in the given one.
    #[serde(skip)]
    pub prefix: String,
    /// The index of its location, among those of every cache.
    #[serde(skip)]
    pub location: usize,
}

/// A key in the place of the given one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Written {
    /// The key.
    pub key: String,
    /// What is under it, as in [`Known::there`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub there: Option<Option<Described>>,
}

/// What a key is to a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// An entry of it.
    Entry,
    /// A tag that its entries carry.
    Tag,
}

impl Known {
    /// What the rules say of a key; asks nobody.
    #[must_use]
    pub fn of(key: &str, target: &str, locations: &[Location]) -> Self {
        let here = locations.iter().enumerate().filter(|(_, location)| location.target == target);
        let mut ranked: Vec<_> = here.filter_map(|(index, location)| claim(key, index, location)).collect();
        ranked.sort_by_key(|(literal, claim)| (!claim.writes.is_empty(), claim.shared, std::cmp::Reverse(*literal)));
        // Where a cache writes just this key, no other one is meant.
        let is_meant = ranked.iter().any(|(_, claim)| claim.writes.is_empty());
        let meant = ranked.into_iter().map(|(_, claim)| claim).filter(|claim| !is_meant || claim.writes.is_empty());
        let caches = meant.take(CLAIMS_MAX).collect();
        let untold = locations.iter().filter(|location| location.target == target && location.entries.keys.is_empty());
        let untold = untold.map(|location| location.cache.clone()).collect();
        Self { target: target.to_owned(), there: None, guard: None, caches, untold, hints: Vec::new() }
    }
}

/// What a cache has to do with the key, and how much of the key it spells out.
fn claim(key: &str, index: usize, location: &Location) -> Option<(usize, Claim)> {
    let roles = [(Role::Entry, &location.entries.keys), (Role::Tag, &location.entries.tags)];
    let patterns = || roles.iter().flat_map(|(role, patterns)| patterns.iter().map(|pattern| (*role, pattern)));
    let configured: Vec<usize> =
        location.prefixes.iter().filter(|prefix| key.starts_with(&***prefix)).map(|prefix| prefix.len()).collect();
    let others = starts(key.as_bytes());
    let cuts = configured.iter().map(|cut| (*cut, true)).chain(others.iter().map(|cut| (*cut, false)));
    for (cut, is_configured) in cuts {
        let (prefix, logical) = key.split_at_checked(cut)?;
        let matching =
            patterns().filter_map(|(role, pattern)| matched(logical, pattern).map(|size| (size, role, pattern)));
        let Some((literal, role, pattern)) = matching.max_by_key(|(literal, ..)| *literal) else { continue };
        let written = |prefix: &str| Written { key: format!("{prefix}{logical}"), there: None };
        let ours = if is_configured { prefix } else { location.prefixes.first().map_or("", |prefix| prefix) };
        let claim = Claim {
            cache: location.cache.clone(),
            role,
            pattern: pattern.behind(ours).text().to_owned(),
            shared: location.entries.shared && role == Role::Entry,
            writes: if is_configured {
                Vec::new()
            } else {
                location.prefixes.iter().map(|prefix| written(prefix)).collect()
            },
            prefix: prefix.to_owned(),
            location: index,
        };
        return Some((literal, claim));
    }
    None
}

/// How many bytes a pattern spells out before its first gap, if the key matches it.
fn matched(logical: &str, pattern: &Glob) -> Option<usize> {
    let matcher = pattern.matcher();
    matcher.matches(logical.as_bytes()).then(|| matcher.root().len())
}
