//! Doubts, before an event is sent, whether it names an entity that some cache depends on.

use quash_core::event::Change;
use quash_core::resolve::Resolver;
use quash_core::undeclared::Undeclared;

/// What the events so far named that the rules do not know.
pub(super) struct Warnings {
    rules: Resolver,
    named: Undeclared,
}

impl Warnings {
    /// None yet.
    pub(super) fn new(rules: Resolver) -> Self {
        Self { rules, named: Undeclared::default() }
    }

    /// What is to be said about the entities of a message; about each once, and about a hundred at most.
    pub(super) fn about(&mut self, changes: &[Change<'_>]) -> Vec<String> {
        let mut warnings = Vec::new();
        for change in changes {
            let Change::Event(event) = change else { continue };
            if self.rules.is_declared(&event.entity) || !self.named.add(&event.entity) {
                continue;
            }
            let meant = self.rules.meant_by(&event.entity);
            let meant = meant.map_or_else(String::new, |name| format!(", did you mean `{name}`?"));
            warnings.push(format!("no cache depends on `{}`{meant}", event.entity));
        }
        warnings
    }
}
