//! Finds out why none of the entries that an event names exist on a target.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quash_config::Finding;
use quash_core::explain::{Explanation, PlannedAction};
use quash_core::key::entries::exactly;
use quash_core::location::Location;
use quash_store::{KeyCount, KeyPattern, Store, StoreError, Survey};
use serde::Serialize;

use super::live::{Live, ON_A_KEY};
use crate::absence::{self, Seen, is_of_another, mismatch, whose};

/// How long looking further may take.
pub(super) const SURVEY_MAX: Duration = Duration::from_secs(5);
/// How many missing keys of one cache are looked for elsewhere: what one of them tells, the others tell again.
const KEYS_MAX: usize = 8;
/// How many caches of one target are looked for; each is tried on every key.
const CACHES_MAX: usize = 16;

/// Why nothing of a cache is there, or what else is.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Hint {
    pub(super) cache: String,
    pub(super) target: String,
    #[serde(flatten)]
    pub(super) finding: Finding,
}

/// Looks for what the explanation names and does not find on one target.
///
/// # Errors
/// When the target cannot be reached; that it does not let us look is a hint.
pub(super) async fn hints(
    store: &dyn Store,
    target: &str,
    explanation: &Explanation,
    locations: &[Location],
    live: &Live,
) -> Result<Vec<Hint>, StoreError> {
    let missing = missing(target, explanation, locations, live);
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let patterns: Vec<KeyPattern> = missing.iter().flat_map(Missing::patterns).collect();
    let hint = |missing: &Missing<'_>, finding| Hint {
        cache: missing.location.cache.clone(),
        target: target.to_owned(),
        finding,
    };
    match absence::survey(store, &patterns, SURVEY_MAX).await {
        Ok(survey) => {
            let mut counts = survey.counts.iter();
            let mut take = |number| counts.by_ref().take(number).cloned().collect::<Vec<KeyCount>>();
            let hints_of = missing.iter().map(|missing| {
                let (keys, cache) = (take(missing.keys.len()), take(missing.location.entries.keys.len()));
                hint(missing, missing.finding(&keys, &cache, &survey, locations))
            });
            Ok(hints_of.collect())
        }
        Err(StoreError::Refused(why)) => {
            Ok(missing.iter().map(|missing| hint(missing, absence::unanswered(&why))).collect())
        }
        Err(error) => Err(error),
    }
}

/// The caches of which the explanation names keys on a target and none exists.
fn missing<'e>(target: &str, explanation: &'e Explanation, locations: &'e [Location], live: &Live) -> Vec<Missing<'e>> {
    let mut actions: BTreeMap<&str, Vec<&PlannedAction>> = BTreeMap::new();
    for cache in explanation.changes.iter().flat_map(|change| &change.caches) {
        let here = cache.actions.iter().filter(|action| action.target == target);
        actions.entry(&cache.cache).or_default().extend(here);
    }
    let location = |cache: &str| locations.iter().find(|location| location.target == target && location.cache == cache);
    let absent = |actions: &[&PlannedAction]| {
        let mut found = actions.iter().filter_map(|action| live.found(action)).peekable();
        found.peek().is_some() && found.all(|keys| keys == 0)
    };
    let absent = actions.into_iter().filter(|(_, actions)| absent(actions));
    let named = absent.filter_map(|(cache, actions)| Some(Missing::of(location(cache)?, &actions)));
    named.take(CACHES_MAX).collect()
}

/// A cache of which nothing was found.
struct Missing<'e> {
    location: &'e Location,
    /// Keys that do not exist: their prefixes and what is behind those.
    keys: Vec<(&'e str, &'e str)>,
}

impl<'e> Missing<'e> {
    fn of(location: &'e Location, actions: &[&'e PlannedAction]) -> Self {
        let on_a_key = actions.iter().filter(|action| ON_A_KEY.contains(&action.action));
        let named: BTreeSet<&str> = on_a_key.map(|action| action.object.as_str()).collect();
        let split = |key: &'e str| {
            let prefixes = location.prefixes.iter().filter(|prefix| key.starts_with(&***prefix));
            let prefix = prefixes.max_by_key(|prefix| prefix.len())?;
            Some(key.split_at(prefix.len())).filter(|(_, logical)| !logical.is_empty())
        };
        Self { location, keys: named.into_iter().filter_map(split).take(KEYS_MAX).collect() }
    }

    fn patterns(&self) -> Vec<KeyPattern> {
        let exact = self.keys.iter().filter_map(|(_, logical)| exactly(logical));
        let keys = exact.map(|logical| KeyPattern { logical, prefixes: self.location.prefixes.clone() });
        keys.chain(absence::patterns(self.location)).collect()
    }

    fn finding(&self, keys: &[KeyCount], cache: &[KeyCount], survey: &Survey, all: &[Location]) -> Finding {
        let seen = Seen::of(self.location, cache, survey, all);
        let strange = |prefix: &&String| !is_of_another(self.location, prefix, all);
        let twin = |counts: &'_ KeyCount| counts.elsewhere.keys().find(strange).cloned();
        let twin = self.keys.iter().zip(keys).find_map(|(key, counts)| Some((key, twin(counts)?)));
        let Some(((prefix, logical), other)) = twin else {
            return match seen.counts.here {
                0 => seen.finding(),
                _ => {
                    let mut hints_of = seen.finding();
                    hints_of.what = format!("not cached now; {}", hints_of.what);
                    hints_of
                }
            };
        };
        let (why, mend) = mismatch(&self.location.prefixes, &other, whose(self.location));
        let what = format!("`{prefix}{logical}` is not there, `{other}{logical}` is");
        let (what, mend) = match seen.counts.here {
            0 => (format!("{what}: {why}"), mend),
            here => {
                let others = crate::output::count(here, "other entry", "other entries");
                let what = format!("{what}; {others} of cache {} stand as configured", self.location.cache);
                (what, format!("if the application that the events come from writes both: {mend}"))
            }
        };
        Finding::warning(what, mend)
    }
}

#[cfg(test)]
mod tests {
    use quash_config::Severity;
    use quash_core::explain::{ExplainedCache, ExplainedChange};
    use quash_core::glob::Glob;
    use quash_core::key::Entries;
    use quash_core::rule::freshness::{Freshness, Layout};
    use quash_store::memory::Memory;

    use super::*;

    fn explanation(key: &str) -> Explanation {
        let action = PlannedAction { target: "main".to_owned(), action: "delete", object: key.to_owned() };
        let cache = ExplainedCache {
            cache: "product".to_owned(),
            through: Vec::new(),
            key_sets: Vec::new(),
            reach: Vec::new(),
            notes: Vec::new(),
            actions: vec![action],
            again_after_ms: Vec::new(),
            guarantee: quash_core::guarantee::Guarantee::None,
        };
        let change = String::new();
        let change =
            ExplainedChange { change, rules: Vec::new(), caches: vec![cache], command: Vec::new(), refused: None };
        Explanation { changes: vec![change] }
    }

    async fn hints_of(prefix: &str, keys: &[&str]) -> Vec<Finding> {
        let memory = Memory::new();
        keys.iter().for_each(|key| memory.set(*key, "1"));
        let location = Location {
            cache: "product".to_owned(),
            target: "main".to_owned(),
            prefixes: vec![prefix.into()],
            own_format: false,
            entries: Entries { keys: vec![Glob::parse("product:*").unwrap()], tags: Vec::new(), shared: false },
            freshness: Freshness::None,
            layout: Layout::Framed,
        };
        let (key, mut live) = (format!("{prefix}product:42"), Live::default());
        live.note("main", "delete", &key, u64::from(memory.get(&key).is_some()));
        let hints = hints(&memory, "main", &explanation(&key), &[location], &live).await.unwrap();
        hints.into_iter().map(|hint| hint.finding).collect()
    }

    #[tokio::test]
    async fn the_same_key_behind_another_head_is_named() {
        for (prefix, other, why) in [
            (":1:", ":2:", "version 1, the application writes version 2"),
            ("shop:1:", ":1:", "prefix `shop`, the application writes no prefix"),
            ("", ":1:", "plain keys, the application writes no prefix and version 1"),
            (":1:", "", "the application writes plain keys"),
        ] {
            let key = format!("{other}product:42");
            let found = hints_of(prefix, &[&key, "noise"]).await;
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].severity, Severity::Warning, "{found:?}");
            for words in [why, &format!("`{prefix}product:42` is not there, `{key}` is")] {
                assert!(found[0].what.contains(words), "{words} in {found:?}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_just_not_cached_is_no_mistake() {
        assert_eq!(hints_of(":1:", &[":1:product:42"]).await, []);
        let found = hints_of(":1:", &[":1:product:7", ":2:product:7"]).await;
        assert_eq!(found[0].severity, Severity::Ok, "{found:?}");
        assert!(found[0].what.starts_with("not cached now; cache product: 1 entry"), "{found:?}");
        let found = hints_of(":1:", &[":1:product:7", ":2:product:42"]).await;
        assert!(found[0].what.contains("1 other entry of cache product"), "{found:?}");
    }

    #[tokio::test]
    async fn another_database_is_suspected_where_no_key_has_the_head() {
        let found = hints_of("shop:1:", &["session:1", "session:2"]).await;
        assert!(found[0].what.contains("none of the 2 keys of the database begins with `shop:1:`"), "{found:?}");
        let found = hints_of("shop:1:", &["shop:1:page:1", "session:2"]).await;
        assert!(found[0].what.contains("looks like shop:1:product:*"), "{found:?}");
        assert!(hints_of("shop:1:", &[]).await[0].what.contains("the database is empty"));
    }
}
