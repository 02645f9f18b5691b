//! Puts into the plan what is named outright: by a direct command, or as everything that a target holds.

use super::Asking;
use super::physical::Physical;
use crate::action::Action;
use crate::event::problem::quoted;
use crate::event::{Command, Invalidate};
use crate::key::Remover;
use crate::plan::{RequestId, ShareBuilder, TargetId, TargetSet};
use crate::resolution::Refused;
use crate::resolver::Resolver;
use crate::rule::RuleError;

impl Asking<'_, '_, '_> {
    /// Asks for what a command names itself, and gives the targets that it allows.
    pub(super) fn command(&mut self, command: &Command<'_>) -> TargetSet {
        let resolver = self.batch.resolver;
        let named = match &command.target {
            None => (0..).map(TargetId).take(resolver.targets.len()).collect(),
            Some(name) => match resolver.target(name) {
                Some(target) => TargetSet::from_iter([target]),
                None => {
                    let known = resolver.targets().iter().map(String::as_str);
                    let hint = quash_config::nearest(name, known).map(|near| format!("; did you mean `{near}`?"));
                    let error = format!("no target is called {}{}", quoted(name), hint.unwrap_or_default());
                    self.refuse(Refused::Rule(RuleError { cache: None, error }));
                    TargetSet::EMPTY
                }
            },
        };
        let targets = named.intersection(self.remaining.targets);
        if !matches!(command.what, Invalidate::Cache { .. }) {
            self.targets = self.targets.union(targets);
        }
        let mut physical = Physical::new(self, None, targets);
        let asked = match &command.what {
            Invalidate::Cache { .. } => Ok(()),
            Invalidate::Key(key) => physical.delete(key),
            Invalidate::Prefix(prefix) => physical.delete_prefix(prefix),
            Invalidate::Tag(tag) => physical.bump(tag),
        };
        if let Err(error) = asked {
            self.refuse(Refused::Limit { cache: "a direct command".to_owned(), error: error.to_string() });
        }
        targets
    }
}

impl Resolver {
    /// What removes everything of every cache on a target: the last resort when the exact past is not known any more.
    #[must_use]
    pub fn everything_on(&self, target: TargetId) -> Vec<Action> {
        let mut shares: Vec<ShareBuilder> = self.targets.iter().map(|_| ShareBuilder::default()).collect();
        let mut key = String::new();
        let targets = TargetSet::from_iter([target]);
        for cache in self.rules.caches.iter().filter(|cache| cache.targets.contains(target)) {
            let (shares, cache) = (&mut shares, Some(cache));
            let mut physical = Physical::everything(self, shares, &mut key, cache, targets, RequestId(0));
            cache.into_iter().for_each(|cache| cache.scheme.remove_all(&mut physical));
        }
        let share = shares.into_iter().nth(usize::from(target.0)).and_then(|share| share.finish(target));
        share.map(|share| share.actions).unwrap_or_default()
    }
}
