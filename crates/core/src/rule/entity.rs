//! Applies what is declared of entities to events before they are matched: other names, and what of an old row was logged.

use std::collections::{BTreeMap, BTreeSet};

use super::config::{EntityConfig, ReplicaIdentity};
use crate::event::pattern::Pattern;
use crate::event::{Change, Event, Op, Row};
use quash_config::{ConfigPath, Problem};

/// What is declared of entities, compiled.
#[derive(Debug, Default)]
pub(crate) struct Entities {
    /// The entities, by their index in `options` and `names`.
    names: Vec<Box<str>>,
    options: Vec<EntityConfig>,
    /// Other names of entities, each with the place of the entity; those that say most come first.
    also: Vec<(Pattern, usize)>,
    /// The entities that rules depend on: an event of one of them is never taken for another's.
    with_rules: BTreeSet<Box<str>>,
}

impl Entities {
    /// Compiles what is declared, and says what is wrong with it, at paths from the configuration's root. `with_rules` are the
    /// entities that rules depend on.
    pub(crate) fn compile(
        declared: &BTreeMap<String, EntityConfig>,
        with_rules: BTreeSet<Box<str>>,
    ) -> (Self, Vec<Problem>) {
        let mut entities = Self { with_rules, ..Self::default() };
        let mut problems = Vec::new();
        let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, config) in declared {
            let path = ConfigPath::root().key("entities").key(name);
            problems.extend(entities.without_rules(name, &path));
            for (index, also) in config.also.iter().enumerate() {
                let path = path.key("also").index(index);
                problems.extend(entities.wrong_name(name, also, path.clone()));
                if let Some(other) = taken.insert(also, name) {
                    let message = format!("`{also}` is taken for `{other}` already");
                    problems
                        .push(Problem::error(path, message).help("an event is of one entity; take one of them out"));
                }
                entities.also.push((Pattern::parse(also), entities.names.len()));
            }
            entities.names.push(name.as_str().into());
            entities.options.push(config.clone());
        }
        entities.also.sort_by_key(|(pattern, _)| std::cmp::Reverse((pattern.is_exact(), pattern.letters())));
        (entities, problems)
    }

    fn without_rules(&self, name: &str, path: &ConfigPath) -> Option<Problem> {
        let message = || format!("no dependency is on a row or a relation of `{name}`, so that this says nothing");
        let known = || self.with_rules.iter().map(|name| &**name);
        (!self.with_rules.contains(name)).then(|| Problem::warning(path.clone(), message()).did_you_mean(name, known()))
    }

    fn wrong_name(&self, name: &str, also: &str, path: ConfigPath) -> Option<Problem> {
        let pattern = Pattern::parse(also);
        if pattern.letters() == 0 {
            let problem = Problem::error(path, "would take events of every entity");
            return Some(problem.help("write what the names have in common, as `public.orders_*`"));
        }
        let own = self.with_rules.iter().find(|other| ***other != *name && pattern.matches(other))?;
        let message = format!("`{own}` has rules of its own, and its events are not taken for those of `{name}`");
        Some(Problem::warning(path, message).help("take its rules out, or write a pattern that leaves it out"))
    }

    /// Whether there is nothing to apply.
    pub(crate) const fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Applies what is declared to what was decoded.
    pub(crate) fn apply<'e>(&'e self, changes: &mut [Change<'e>]) {
        for change in changes {
            if let Change::Event(event) = change {
                self.apply_to(event);
            }
        }
    }

    fn apply_to<'e>(&'e self, event: &mut Event<'e>) {
        let index = self.index(&event.entity);
        if let Some(index) = index {
            event.entity = (&*self.names[index]).into();
        }
        if event.filled {
            forget_fillings(event, index.map(|index| &self.options[index]));
        }
    }

    fn index(&self, name: &str) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        let declared = self.names.binary_search_by(|known| (**known).cmp(name)).ok();
        let also = || {
            let has_rules = self.with_rules.contains(name);
            self.also.iter().filter(|_| !has_rules).find(|(pattern, _)| pattern.matches(name)).map(|(_, index)| *index)
        };
        declared.or_else(also)
    }
}

/// What Debezium says of a row of PostgreSQL before a change, as far as it was logged: without the whole old row it knows the
/// key alone, and fills in the other columns.
fn forget_fillings(event: &mut Event<'_>, declared: Option<&EntityConfig>) {
    let key = declared.map(|entity| entity.key.as_slice()).unwrap_or_default();
    let has_key = |row: &Row<'_>| !key.is_empty() && key.iter().all(|column| row.get(column).is_some());
    if event.key.is_empty()
        && let Some(row) = event.before.as_ref().or(event.after.as_ref()).filter(|row| has_key(row))
    {
        // A changed key comes as a delete and a create.
        event.key = Row(row.0.iter().filter(|(name, _)| key.iter().any(|column| column == name)).cloned().collect());
    }
    let is_whole = declared.is_some_and(|entity| entity.replica_identity == Some(ReplicaIdentity::Full));
    if event.op == Op::Delete && !is_whole {
        event.before = None;
    }
}
