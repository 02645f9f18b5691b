//! Says what each cache promises of its entries once a change is applied, and refuses rules that could not keep it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use quash_config::{ConfigPath, Problem, Span};

use crate::action::GUARD;
use crate::glob::Glob;
use crate::key::{Reach, ReachBy};
use crate::plan::TargetId;
use crate::reserved::{RESERVED, may_begin};
use crate::resolver::Resolver;
use crate::rule::freshness::{Freshness, Layout, Mode};
use crate::rule::set::Cache;

/// What a cache promises: which entries that are older than a change readers may still get as fresh, once it is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guarantee {
    /// None, if loads see a change as soon as events tell of it.
    Exact {
        /// How long an old value may be served, marked as stale, while one reader loads.
        stale: Option<Duration>,
    },
    /// None, if what readers load from lags behind by less than this, and nothing evicts a hold.
    Hold(Duration),
    /// Those of loads that take longer than the last pass.
    Statistical(Vec<Duration>),
    /// Any, until their time to live ends.
    None,
}

impl Guarantee {
    pub(crate) fn of(cache: &Cache) -> Self {
        let Mode { freshness, stale_ms, hold_ms, .. } = cache.mode;
        match freshness {
            Freshness::None if cache.again_after.is_empty() => Self::None,
            Freshness::None => Self::Statistical(cache.again_after.clone()),
            Freshness::Lease if hold_ms > 0 => Self::Hold(Duration::from_millis(hold_ms)),
            Freshness::Generation | Freshness::Lease => {
                Self::Exact { stale: (stale_ms > 0).then(|| Duration::from_millis(stale_ms)) }
            }
        }
    }
}

impl fmt::Display for Guarantee {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact { stale: None } => out.write_str("exact"),
            Self::Exact { stale: Some(stale) } => write!(out, "exact, old values for {} while one loads", Span(*stale)),
            Self::Hold(hold) => write!(out, "bounded by hold {}", Span(*hold)),
            Self::Statistical(passes) => {
                let passes: Vec<String> = passes.iter().map(|due| Span(*due).to_string()).collect();
                write!(out, "statistical: again_after {}", passes.join(", "))
            }
            Self::None => out.write_str("none: TTL alone"),
        }
    }
}

/// As its text.
impl serde::Serialize for Guarantee {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Resolver {
    /// What each cache promises, by its name.
    #[must_use]
    pub fn guarantees(&self) -> BTreeMap<&str, Guarantee> {
        self.rules.caches.iter().map(|cache| (cache.name.as_str(), Guarantee::of(cache))).collect()
    }

    /// What is wrong with rules that could not keep what their caches promise, or that reach for keys of Quash's own.
    pub(crate) fn unkept(&self) -> Vec<Problem> {
        let mut problems = self.out_of_mode();
        problems.extend(self.shared_keys());
        problems.extend(self.reserved());
        problems
    }

    /// The caches whose guards cannot be removed together with their entries, because the target spreads keys over slots
    /// and the two may be in different ones. `has_slots` says which targets do.
    #[must_use]
    pub fn guards_apart(&self, has_slots: impl Fn(TargetId) -> bool) -> Vec<Problem> {
        let guarded = self.rules.caches.iter().filter(|cache| cache.mode.layout == Layout::Plain);
        let apart = guarded.filter_map(|cache| {
            let target = cache.targets.iter().find(|target| has_slots(*target) && !self.has_hash_tags(cache, *target))?;
            let name = &self.targets()[usize::from(target.0)];
            let message = format!(
                "target `{name}` is a cluster, in which a key and its guard, the key with `{GUARD}` behind it, may be on \
                 different servers"
            );
            let help = "write a hash tag into the key, as `key: \"product:{{{id}}}\"`, or take `layout: plain` out";
            Some(Problem::error(path(cache).key("layout"), message).help(help))
        });
        apart.collect()
    }

    /// Whether every key of the cache has a part in braces, which alone decides on its slot.
    fn has_hash_tags(&self, cache: &Cache, target: TargetId) -> bool {
        let keys = self.physical(cache, target, &cache.scheme.entries().keys);
        !keys.is_empty() && keys.iter().all(|key| has_hash_tag(key.text()))
    }

    fn physical(&self, cache: &Cache, target: TargetId, patterns: &[Glob]) -> Vec<Glob> {
        let prefixes = self.prefixes(Some(cache), target).iter();
        prefixes.flat_map(|prefix| patterns.iter().map(|pattern| pattern.behind(prefix))).collect()
    }

    /// Dependencies that remove entries in a way that their cache's promise does not survive.
    fn out_of_mode(&self) -> Vec<Problem> {
        let mode = |name: &str| self.rules.caches.iter().find(|cache| cache.name == name).map(|cache| cache.mode);
        let at = |name: &str, index: usize| ConfigPath::root().key("caches").key(name).key("depends_on").index(index);
        let reaches = self.reaches().into_iter();
        reaches.filter_map(|found| against(mode(&found.cache)?, &found.reach, at(&found.cache, found.index))).collect()
    }

    /// Caches that write the same keys, for readers that do not do the same: what makes an entry of one of them stale may
    /// not do so for the other, or takes its hold away.
    fn shared_keys(&self) -> Vec<Problem> {
        let mut writers: BTreeMap<(TargetId, Glob), &Cache> = BTreeMap::new();
        let mut problems: Vec<Problem> = Vec::new();
        for cache in &self.rules.caches {
            let entries = cache.scheme.entries();
            let targets = cache.targets.iter().filter(|_| !entries.shared);
            let keys = targets.flat_map(|target| {
                self.physical(cache, target, &entries.keys).into_iter().map(move |key| (target, key))
            });
            for (target, key) in keys {
                match writers.get(&(target, key.clone())) {
                    None => {
                        writers.insert((target, key), cache);
                    }
                    Some(other) if other.mode == cache.mode || other.name == cache.name => {}
                    Some(other) => {
                        let name = &self.targets()[usize::from(target.0)];
                        let message = format!(
                            "its keys are those of cache `{}` too (`{key}` on target `{name}`), whose `freshness` is another",
                            other.name
                        );
                        let help = "give both the same `freshness`, `stale`, `hold` and `layout`";
                        let problem = Problem::error(path(cache).key("freshness"), message).help(help);
                        if !problems.iter().any(|known| known.path == problem.path) {
                            problems.push(problem);
                        }
                    }
                }
            }
        }
        problems
    }

    /// Caches whose keys or tags may be Quash's own.
    fn reserved(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for cache in &self.rules.caches {
            let entries = cache.scheme.entries();
            for (key, patterns) in [("key", &entries.keys), ("tags", &entries.tags)] {
                let mut physical = cache.targets.iter().flat_map(|target| self.physical(cache, target, patterns));
                if let Some(pattern) = physical.find(concerns_reserved) {
                    let message =
                        format!("keys that begin with `{RESERVED}` are Quash's own, and `{pattern}` may be one");
                    let help = "begin with a name that no other keys begin with";
                    problems.push(Problem::error(path(cache).key(key), message).help(help));
                }
            }
        }
        problems
    }
}

fn path(cache: &Cache) -> ConfigPath {
    ConfigPath::root().key("caches").key(&cache.name)
}

/// What a way of removing entries has against the promise of their cache.
fn against(mode: Mode, reach: &Reach, path: ConfigPath) -> Option<Problem> {
    let passes = matches!(reach.by, ReachBy::Prefix | ReachBy::Pattern | ReachBy::WholeCache);
    if mode.freshness == Freshness::Generation && passes {
        let message = format!("no tag covers these entries: `{}` would be a pass over tags", reach.template);
        let help = "add a tag all of whose arguments this dependency maps, or a tag without arguments";
        return Some(Problem::error(path, message).help(help));
    }
    if mode.hold_ms > 0 && (passes || reach.by == ReachBy::Tag) {
        let message = format!("entries can only be held by their keys, and `{}` are many", reach.template);
        let help = "map every argument of the key, give `values` for those with few, or take `hold` out";
        return Some(Problem::error(path, message).help(help));
    }
    let unserved = mode.stale_ms > 0 && reach.by == ReachBy::Tag;
    unserved.then(|| {
        let message = format!("a new token of `{}` leaves no old value that `stale` could serve", reach.template);
        Problem::warning(path, message).help("map every argument of the key, if that matters")
    })
}

fn concerns_reserved(pattern: &Glob) -> bool {
    let matcher = pattern.matcher();
    let root = String::from_utf8_lossy(matcher.root());
    // A pattern without gaps is one key.
    if matcher.matches(matcher.root()) && !pattern.text().contains('*') {
        root.starts_with(RESERVED)
    } else {
        may_begin(&root)
    }
}

/// Whether a pattern has something between its first opening brace and the next closing one.
fn has_hash_tag(pattern: &str) -> bool {
    let inside = pattern.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
    inside.is_some_and(|(inside, _)| !inside.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guarantee_is_one_short_line() {
        let cases = [
            (Guarantee::Exact { stale: None }, "exact"),
            (Guarantee::Exact { stale: Some(Duration::from_secs(30)) }, "exact, old values for 30s while one loads"),
            (Guarantee::Hold(Duration::from_millis(1500)), "bounded by hold 1s 500ms"),
            (
                Guarantee::Statistical(vec![Duration::from_secs(1), Duration::from_secs(30)]),
                "statistical: again_after 1s, 30s",
            ),
            (Guarantee::None, "none: TTL alone"),
        ];
        for (guarantee, text) in cases {
            assert_eq!(guarantee.to_string(), text);
        }
    }

    #[test]
    fn a_hash_tag_is_not_empty() {
        for (pattern, has) in
            [("a:{*}", true), ("{a}b", true), ("a:{}:{*}", false), ("a:{*", false), ("a}b{", false), ("a", false)]
        {
            assert_eq!(has_hash_tag(pattern), has, "{pattern}");
        }
    }
}
