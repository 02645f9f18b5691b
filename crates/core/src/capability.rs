//! Compares what the rules ask for with what the targets can do, so that a rule that can never work is a mistake in the
//! configuration and not a dead letter later.

use quash_config::{ConfigPath, Problem};

use crate::action::{ActionSet, Write};
use crate::glob::Glob;
use crate::key::template::Readers;
use crate::key::{KeyError, Reach, ReachBy, Remover};
use crate::plan::{Of, TargetId};
use crate::resolver::Resolver;
use crate::rule::freshness::Mode;
use crate::rule::set::Cache;

impl Resolver {
    /// What some target cannot do though a rule asks it to: as errors where the rule can never work, as warnings where it
    /// cannot when an event leaves a column out. `can` says what each target can do.
    #[must_use]
    pub fn beyond(&self, can: impl Fn(TargetId) -> ActionSet) -> Vec<Problem> {
        let caches = ConfigPath::root().key("caches");
        let mut problems = Vec::new();
        for cache in &self.rules.caches {
            let path = caches.key(&cache.name);
            let whole = removing_all(cache);
            for target in cache.targets.iter() {
                let (can, name) = (can(target), &self.targets()[usize::from(target.0)]);
                let missing = |takes: ActionSet| (!can.contains(takes)).then(|| kinds(takes.without(can)));
                let publishes = if cache.publish.is_some() { ActionSet::PUBLISH } else { ActionSet::NONE };
                problems.extend(missing(publishes).map(|kinds| {
                    Problem::error(path.key("publish"), format!("target `{name}` cannot {kinds}"))
                        .help("leave `publish` out, or name targets that can")
                }));
                problems.extend(self.out_of_reach(cache, whole).filter_map(|(index, reach, takes)| {
                    let message = format!("this needs `{}` of `{}`, which target `{name}` cannot", missing(takes)?, reach.template);
                    let help = "map every argument of the key, give the cache a tag that its readers check, or name other targets";
                    Some(Problem::error(path.key("depends_on").index(index), message).help(help))
                }));
                problems.extend(missing(whole).map(|kinds| {
                    let message = format!(
                        "where an event leaves a mapped column out, this takes {kinds}, which target `{name}` cannot"
                    );
                    Problem::warning(path.clone(), message)
                        .help("such an event becomes a dead letter: let publishers send whole rows")
                }));
            }
        }
        problems
    }

    /// What rules ask of a target; of one that nobody knows, nothing.
    #[must_use]
    pub fn needs(&self, target: &str) -> ActionSet {
        let Some(target) = self.target(target) else { return ActionSet::NONE };
        let here = self.rules.caches.iter().filter(|cache| cache.targets.contains(target));
        here.fold(ActionSet::NONE, |needs, cache| {
            let publishes = if cache.publish.is_some() { ActionSet::PUBLISH } else { ActionSet::NONE };
            needs.and(removing_all(cache)).and(cache.mode.on_key().takes()).and(publishes)
        })
    }

    /// What each dependency of a cache takes when every mapped column is known, by its index.
    fn out_of_reach(&self, cache: &Cache, whole: ActionSet) -> impl Iterator<Item = (usize, Reach, ActionSet)> {
        let reaches = self.reaches().into_iter().filter(|at| at.cache == cache.name);
        reaches.map(move |at| {
            let takes = match at.reach.by {
                ReachBy::Keys => cache.mode.on_key().takes(),
                ReachBy::Tag => tokens(cache, whole),
                ReachBy::Prefix => cache.mode.on_pass(Of::Prefix).takes(),
                ReachBy::Pattern => cache.mode.on_pass(Of::Pattern).takes(),
                ReachBy::WholeCache => whole,
                ReachBy::Nothing => ActionSet::NONE,
            };
            (at.index, at.reach, takes)
        })
    }
}

/// How tokens are renewed: some schemes write one, the others bump; and what readers make themselves is written.
fn tokens(cache: &Cache, whole: ActionSet) -> ActionSet {
    let writes = whole.contains(ActionSet::SET) || cache.mode.readers() != Readers::Unknown;
    if writes && !whole.contains(ActionSet::BUMP) { ActionSet::SET } else { ActionSet::BUMP }
}

fn removing_all(cache: &Cache) -> ActionSet {
    let mut kinds = Kinds { all: ActionSet::NONE, mode: cache.mode };
    cache.scheme.remove_all(&mut kinds);
    kinds.all
}

fn kinds(set: ActionSet) -> String {
    set.names().collect::<Vec<_>>().join(", ")
}

/// Remembers what kinds of actions it is asked for.
struct Kinds {
    all: ActionSet,
    mode: Mode,
}

impl Kinds {
    fn note(&mut self, kind: ActionSet) -> Result<(), KeyError> {
        self.all = self.all.and(kind);
        Ok(())
    }
}

impl Remover for Kinds {
    fn delete(&mut self, _: &str) -> Result<(), KeyError> {
        self.note(self.mode.on_key().takes())
    }

    fn delete_prefix(&mut self, _: &str) -> Result<(), KeyError> {
        self.note(self.mode.on_pass(Of::Prefix).takes())
    }

    fn delete_pattern(&mut self, _: &Glob) -> Result<(), KeyError> {
        self.note(self.mode.on_pass(Of::Pattern).takes())
    }

    fn bump(&mut self, _: &str) -> Result<(), KeyError> {
        self.note(ActionSet::BUMP)
    }

    fn set(&mut self, _: &str, _: Write) -> Result<(), KeyError> {
        self.note(ActionSet::SET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::Declared;
    use crate::rule::config::Limits;

    /// What is wrong with a cache on a target that can only do this, as `severity path: message`.
    fn beyond(cache: &str, can: ActionSet) -> Vec<String> {
        let targets = [("web".to_owned(), Default::default())].into();
        let caches = serde_json::from_str(&format!(r#"{{"page": {cache}}}"#)).unwrap();
        let declared = Declared {
            targets: &targets,
            caches: &caches,
            entities: &[].into(),
            on_unknown: None,
            secrets: &[].into(),
            limits: Limits::default(),
        };
        let (resolver, problems) = Resolver::compile(declared);
        let resolver = resolver.unwrap_or_else(|| panic!("{problems:?}"));
        let shown = |problem: Problem| format!("{:?} {}: {}", problem.severity, problem.path, problem.message);
        resolver.beyond(|_| can).into_iter().map(shown).collect()
    }

    #[test]
    fn what_a_target_cannot_do_is_said_at_the_rule_that_asks_for_it() {
        let exact = r#"{"key": "page:{id}", "depends_on": [{"row": "shop.Page"}]}"#;
        let below = r#"{"key": "page:{author}:{id}", "depends_on": [{"row": "shop.Author", "map": {"author": "id"}}]}"#;
        let tagged = r#"{"key": "page:{author}:{id}", "tags": ["author:{author}"],
            "depends_on": [{"row": "shop.Author", "map": {"author": "id"}}]}"#;
        let shown = r#"{"key": "page:{id}", "publish": "changes", "depends_on": [{"row": "shop.Page"}]}"#;
        let keys = ActionSet::DELETE;
        let tags = ActionSet::BUMP;
        let widened = "Warning caches.page: where an event leaves a mapped column out, this takes delete_prefix, which target \
                       `web` cannot";
        let cases: [(&str, ActionSet, &[&str]); 6] = [
            (exact, ActionSet::ALL, &[]),
            (exact, keys, &[widened]),
            (
                below,
                keys,
                &[
                    "Error caches.page.depends_on[0]: this needs `delete_prefix` of `page:{author}:*`, which target `web` cannot",
                    widened,
                ],
            ),
            (
                exact,
                tags,
                &[
                    "Error caches.page.depends_on[0]: this needs `delete` of `page:{id}`, which target `web` cannot",
                    widened,
                ],
            ),
            (tagged, tags.and(ActionSet::DELETE_PREFIX), &[]),
            (
                shown,
                ActionSet::ALL.without(ActionSet::PUBLISH),
                &["Error caches.page.publish: target `web` cannot publish"],
            ),
        ];
        for (cache, can, expected) in cases {
            assert_eq!(beyond(cache, can), expected, "{cache} on {:?}", can.names().collect::<Vec<_>>());
        }
    }
}
