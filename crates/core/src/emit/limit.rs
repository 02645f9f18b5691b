//! Keeps what a message asks for within its bounds: past them key sets are widened, and work is never dropped.

use super::Asking;
use crate::key::KeySet;
use crate::plan::{TargetId, TargetSet};
use crate::rule::Widened;
use crate::rule::set::Cache;
use crate::scope::CacheId;

/// What an action takes in memory beside its key: itself, its requests, its place among the others.
const BYTES_PER_ACTION: usize = 128;

impl Asking<'_, '_, '_> {
    /// The sets, or one that covers them all if they would take more actions, or more bytes, than may still be asked for.
    pub(super) fn within_limit<'s, 'e>(
        &mut self,
        id: CacheId,
        cache: &Cache,
        targets: TargetSet,
        sets: &'s mut [KeySet<'e>],
    ) -> &'s [KeySet<'e>] {
        let prefixes = |target: TargetId| self.batch.resolver.prefixes(Some(cache), target).len();
        let keys_each: usize = targets.iter().map(prefixes).sum();
        let max_keys = self.actions_left / keys_each.max(1);
        let mut sets = sets;
        let mut cost = Cost::of(cache, sets, max_keys, keys_each);
        if let Some(why) = self.too_much(cost).filter(|_| sets.len() > 1) {
            self.widened(id, why);
            if cache.exact_only {
                return self.as_many_as_fit(cache, sets, max_keys, keys_each);
            }
            let (widest, rest) = sets.split_at_mut(1);
            rest.iter().for_each(|set| widest[0].widen_to_cover(set));
            sets = widest;
            cost = Cost::of(cache, sets, max_keys, keys_each);
        }
        self.max_keys = max_keys;
        if cost.bytes > self.bytes_left && cost.actions > keys_each {
            // One set with many values to enumerate: only as many as there is room for, or what covers them.
            self.max_keys = self.bytes_left / (cost.bytes / cost.actions.max(1)).max(1) / keys_each.max(1);
            self.widened(id, Widened::TooManyBytes);
            cost = Cost::of(cache, sets, self.max_keys, keys_each);
        }
        self.spend(cost);
        sets
    }

    /// The first of the sets, where no other covers them; the event becomes a dead letter for the rest.
    fn as_many_as_fit<'s, 'e>(
        &mut self,
        cache: &Cache,
        sets: &'s mut [KeySet<'e>],
        max_keys: usize,
        keys_each: usize,
    ) -> &'s [KeySet<'e>] {
        self.max_keys = max_keys;
        let mut count = 0;
        for set in sets.iter() {
            let cost = Cost::of(cache, std::slice::from_ref(set), max_keys, keys_each);
            if self.too_much(cost).is_some() {
                break;
            }
            self.spend(cost);
            count += 1;
        }
        if count < sets.len() {
            // Says by itself why it cannot be removed.
            sets[count] = KeySet::all(sets[count].len());
            count += 1;
        }
        &sets[..count]
    }

    fn spend(&mut self, cost: Cost) {
        self.actions_left = self.actions_left.saturating_sub(cost.actions);
        self.bytes_left = self.bytes_left.saturating_sub(cost.bytes);
        self.batch.bytes = self.batch.bytes.saturating_add(cost.bytes);
    }

    fn too_much(&self, cost: Cost) -> Option<Widened> {
        let reasons = [
            (cost.actions > self.actions_left, Widened::TooManyActions),
            (cost.bytes > self.bytes_left, Widened::TooManyBytes),
        ];
        reasons.into_iter().find(|(is, _)| *is).map(|(_, why)| why)
    }
}

/// What removing key sets takes.
#[derive(Clone, Copy)]
struct Cost {
    actions: usize,
    bytes: usize,
}

impl Cost {
    fn of(cache: &Cache, sets: &[KeySet<'_>], max_keys: usize, keys_each: usize) -> Self {
        let mut cost = Self { actions: 0, bytes: 0 };
        for set in sets {
            let actions = cache.scheme.actions(set.exact(), max_keys).saturating_mul(keys_each);
            cost.actions = cost.actions.saturating_add(actions);
            cost.bytes = cost.bytes.saturating_add(actions.saturating_mul(BYTES_PER_ACTION + set.bytes()));
        }
        cost
    }
}
