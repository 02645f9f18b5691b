//! Spells logical keys as the targets do, and puts what is to be done to them into the plan.

use super::{Asking, Batch};
use crate::action::{Action, Object, Write};
use crate::glob::Glob;
use crate::key::{KeyError, Remover};
use crate::plan::{ActionKind, Of, RequestId, ShareBuilder, TargetId, TargetSet};
use crate::reserved;
use crate::resolver::Resolver;
use crate::rule::freshness::Mode;
use crate::rule::set::Cache;

/// Spells logical keys as the targets do, and puts them into the plan.
pub(super) struct Physical<'p> {
    resolver: &'p Resolver,
    shares: &'p mut [ShareBuilder],
    key: &'p mut String,
    /// Whose keys they are; `None` for those that a command names itself.
    cache: Option<&'p Cache>,
    targets: TargetSet,
    request: RequestId,
}

impl<'p> Physical<'p> {
    pub(super) fn new(asking: &'p mut Asking<'_, '_, '_>, cache: Option<&'p Cache>, targets: TargetSet) -> Self {
        let Batch { resolver, shares, physical, .. } = asking.batch;
        Self::everything(resolver, shares, physical, cache, targets, asking.request)
    }

    pub(super) const fn everything(
        resolver: &'p Resolver,
        shares: &'p mut [ShareBuilder],
        key: &'p mut String,
        cache: Option<&'p Cache>,
        targets: TargetSet,
        request: RequestId,
    ) -> Self {
        Self { resolver, shares, key, cache, targets, request }
    }

    /// Asks for something to be done to each physical key of a logical one.
    fn each(&mut self, logical: &str, kind: impl Fn(TargetId, &str) -> ActionKind) -> Result<(), KeyError> {
        let limit = self.resolver.limits.max_key_bytes;
        for target in self.targets.iter() {
            for prefix in self.resolver.prefixes(self.cache, target) {
                self.key.clear();
                self.key.push_str(prefix);
                self.key.push_str(logical);
                if self.key.len() > limit {
                    return Err(KeyError::TooLong { bytes: self.key.len(), limit });
                }
                let key = self.key.as_str();
                let kind = kind(target, key);
                // Configuration is refused that names such keys; a command may name any.
                if self.cache.is_none() && reserved::is(key, kind) {
                    return Err(KeyError::Reserved);
                }
                self.shares[usize::from(target.0)].ask(self.request, kind, (key, ""), || make(kind, key.into()));
            }
        }
        Ok(())
    }
}

/// The action of this kind on a key or a prefix.
fn make(kind: ActionKind, key: Box<str>) -> Action {
    let object = |of, key| if of == Of::Prefix { Object::Prefix(key) } else { Object::Key(key) };
    match kind {
        ActionKind::DeletePrefix => Action::DeletePrefix(key),
        ActionKind::Bump => Action::Bump(key),
        ActionKind::Set(write) => Action::Set { key, write },
        ActionKind::DeleteGuarded(of) => Action::DeleteGuarded(object(of, key)),
        ActionKind::Hold { ms, guarded } => Action::Hold { key, ms, guarded },
        ActionKind::Void(of, void) => Action::Void { object: object(of, key), void },
        // Patterns and publications are made elsewhere.
        ActionKind::Delete | ActionKind::DeletePattern | ActionKind::Publish => Action::Delete(key),
    }
}

impl Remover for Physical<'_> {
    fn delete(&mut self, key: &str) -> Result<(), KeyError> {
        let (resolver, cache) = (self.resolver, self.cache);
        self.each(key, |target, key| cache.map_or_else(|| resolver.mode_of(target, key), |cache| cache.mode).on_key())
    }

    fn delete_prefix(&mut self, prefix: &str) -> Result<(), KeyError> {
        let (resolver, cache) = (self.resolver, self.cache);
        self.each(prefix, |target, _| {
            cache.map_or_else(|| resolver.mode_of_some(target), |cache| cache.mode).on_pass(Of::Prefix)
        })
    }

    fn delete_pattern(&mut self, pattern: &Glob) -> Result<(), KeyError> {
        let limit = self.resolver.limits.max_key_bytes;
        let kind = self.cache.map_or_else(Mode::default, |cache| cache.mode).on_pass(Of::Pattern);
        for target in self.targets.iter() {
            for prefix in self.resolver.prefixes(self.cache, target) {
                let glob = pattern.behind(prefix);
                if glob.text().len() > limit {
                    return Err(KeyError::TooLong { bytes: glob.text().len(), limit });
                }
                let share = &mut self.shares[usize::from(target.0)];
                share.ask(self.request, kind, (glob.text(), ""), || {
                    let object = Object::Pattern(glob.clone());
                    match kind {
                        ActionKind::DeleteGuarded(_) => Action::DeleteGuarded(object),
                        ActionKind::Void(_, void) => Action::Void { object, void },
                        _ => Action::DeletePattern(glob.clone()),
                    }
                });
            }
        }
        Ok(())
    }

    fn bump(&mut self, tag: &str) -> Result<(), KeyError> {
        self.each(tag, |_, _| ActionKind::Bump)
    }

    fn set(&mut self, key: &str, write: Write) -> Result<(), KeyError> {
        self.each(key, |_, _| ActionKind::Set(write))
    }
}
