//! Asks targets which of the entries that an explanation names exist. Removes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quash_core::explain::{Explanation, PlannedAction};
use quash_core::glob::Glob;
use quash_core::resolve::Resolver;
use quash_store::{Store, StoreError, TargetConfig};
use serde::Serialize;

use super::hint::{self, Hint};
use crate::CliError;
use quash_dispatch::config::Config;

/// What exists, by target, kind of action and its object.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub(super) struct Live(BTreeMap<String, BTreeMap<String, BTreeMap<String, u64>>>);

/// What the targets answered.
#[derive(Debug, Default, Serialize)]
pub(super) struct Answers {
    pub(super) live: Live,
    /// Why nothing of a cache exists, one per cache and target of which that is true.
    pub(super) hints: Vec<Hint>,
}

impl Live {
    /// How many entries the action would find; `None` for actions that find nothing.
    pub(super) fn found(&self, action: &PlannedAction) -> Option<u64> {
        self.0.get(&action.target)?.get(action.action)?.get(&action.object).copied()
    }

    pub(super) fn note(&mut self, target: &str, kind: &str, object: &str, found: u64) {
        let kinds = self.0.entry(target.to_owned()).or_default();
        kinds.entry(kind.to_owned()).or_default().insert(object.to_owned(), found);
    }
}

/// The kinds of action that act on one key.
pub(super) const ON_A_KEY: [&str; 5] = ["delete", "bump", "set", "hold", "void"];
/// The kinds of action on what begins with a text, and on what a pattern matches.
pub(super) const ON_PREFIXES: [&str; 2] = ["delete_prefix", "void_prefix"];
pub(super) const ON_PATTERNS: [&str; 2] = ["delete_pattern", "void_pattern"];

/// Asks every target that the explanation names.
///
/// # Errors
/// [`CliError::Unreachable`] and [`CliError::Refused`] as the target says, [`CliError::Configuration`] when it cannot be
/// used as configured.
pub(super) async fn ask(config: &Config, resolver: &Resolver, explanation: &Explanation) -> Result<Answers, CliError> {
    let locations = resolver.locations();
    let changes = explanation.changes.iter();
    let actions: Vec<&PlannedAction> = changes
        .flat_map(|change| change.caches.iter().flat_map(|cache| &cache.actions).chain(&change.command))
        .collect();
    let names: BTreeSet<&str> = actions.iter().map(|action| action.target.as_str()).collect();
    let Answers { mut live, mut hints } = Answers::default();
    for name in names {
        let Some(target) = config.targets.get(name) else { continue };
        let store = store(name, target)?;
        let objects = |is: fn(&str) -> bool| {
            let on = actions.iter().filter(|action| action.target == name && is(action.action));
            on.map(|action| (action.action, action.object.as_str())).collect::<BTreeSet<_>>().into_iter().collect()
        };
        let keys = objects(|kind| ON_A_KEY.contains(&kind));
        let prefixes = objects(|kind| ON_PREFIXES.contains(&kind));
        let patterns = objects(|kind| ON_PATTERNS.contains(&kind));
        look(&*store, name, [keys, prefixes, patterns], &mut live).await.map_err(|error| failed(name, &error))?;
        let found = hint::hints(&*store, name, explanation, &locations, &live).await;
        hints.extend(found.map_err(|error| failed(name, &error))?);
    }
    Ok(Answers { live, hints })
}

/// The store of a target.
///
/// # Errors
/// [`CliError::Configuration`] when it cannot be used as configured.
pub(super) fn store(name: &str, target: &TargetConfig) -> Result<Arc<dyn Store>, CliError> {
    let built = target.kind.build();
    built.map_err(|problem| CliError::Configuration(format!("target {name}: {}", problem.message)))
}

async fn look(
    store: &dyn Store,
    target: &str,
    [keys, prefixes, patterns]: [Vec<(&str, &str)>; 3],
    live: &mut Live,
) -> Result<(), StoreError> {
    if !keys.is_empty() {
        let exist = store.ask()?.exist(&keys.iter().map(|(_, key)| *key).collect::<Vec<_>>()).await?;
        keys.iter().zip(exist).for_each(|((kind, key), is)| live.note(target, kind, key, u64::from(is)));
    }
    if !prefixes.is_empty() {
        let counts =
            store.ask()?.count_prefixes(&prefixes.iter().map(|(_, prefix)| *prefix).collect::<Vec<_>>()).await?;
        prefixes.iter().zip(counts).for_each(|((kind, prefix), count)| live.note(target, kind, prefix, count));
    }
    let globs: Vec<(&str, &str, Glob)> =
        patterns.into_iter().filter_map(|(kind, text)| Some((kind, text, Glob::parse(text)?))).collect();
    if !globs.is_empty() {
        let counts =
            store.ask()?.count_patterns(&globs.iter().map(|(_, _, glob)| glob.clone()).collect::<Vec<_>>()).await?;
        globs.iter().zip(counts).for_each(|((kind, text, _), count)| live.note(target, kind, text, count));
    }
    Ok(())
}

/// A question that a target did not answer.
pub(super) fn failed(target: &str, error: &StoreError) -> CliError {
    match error {
        StoreError::Unreachable(_) => CliError::Unreachable(format!("target {target}: {error}")),
        _ => CliError::Refused(format!("target {target}: {error}")),
    }
}
