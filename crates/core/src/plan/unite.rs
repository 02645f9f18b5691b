//! Makes one removal of several removals of the same key, so that none undoes what another promises.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::{RequestIds, Share, join};
use crate::action::{Action, Object, Void};

/// Unites the removals of each key: a hold removes as well, as does removing it with its guard; of several times the longest
/// hold counts, the shortest time in which an old value is served, and the last version. A plain removal beside a void
/// stays: it is done first, and then there is nothing left that could be served.
pub(super) fn unite(share: &mut Share) {
    let mut united: HashMap<Box<str>, Removal> = HashMap::new();
    let mut actions = Vec::with_capacity(share.actions.len());
    let mut asked_by: Vec<RequestIds> = Vec::with_capacity(share.actions.len());
    for (action, requests) in share.actions.drain(..).zip(share.asked_by.drain(..)) {
        let Some((key, removal)) = Removal::of(&action) else {
            actions.push(action);
            asked_by.push(requests);
            continue;
        };
        match united.entry(key.into()) {
            Entry::Occupied(mut known) => known.get_mut().add(removal, &requests),
            Entry::Vacant(new) => {
                let index = actions.len();
                actions.push(action);
                asked_by.push(RequestIds::new());
                new.insert(Removal { index, requests, ..removal });
            }
        }
    }
    let mut later = Vec::new();
    for (key, removal) in united {
        let index = removal.index;
        asked_by[index].clone_from(&removal.requests);
        let (first, second) = removal.actions(key);
        actions[index] = first;
        later.extend(second.map(|action| (action, removal.requests)));
    }
    later.sort_unstable();
    for (action, requests) in later {
        actions.push(action);
        asked_by.push(requests);
    }
    (share.actions, share.asked_by) = (actions, asked_by);
}

/// All that is asked for of one key.
#[derive(Debug, Default)]
struct Removal {
    /// Where it stands among the actions.
    index: usize,
    requests: RequestIds,
    /// Whether somebody wants it gone.
    delete: bool,
    guarded: bool,
    hold_ms: u64,
    void: Option<Void>,
}

impl Removal {
    /// What an action asks for of one key; `None` for what is no removal of one.
    fn of(action: &Action) -> Option<(&str, Self)> {
        Some(match action {
            Action::Delete(key) => (key, Self { delete: true, ..Self::default() }),
            Action::DeleteGuarded(Object::Key(key)) => (key, Self { delete: true, guarded: true, ..Self::default() }),
            Action::Hold { key, ms, guarded } => (key, Self { hold_ms: *ms, guarded: *guarded, ..Self::default() }),
            Action::Void { object: Object::Key(key), void } => (key, Self { void: Some(*void), ..Self::default() }),
            _ => return None,
        })
    }

    fn add(&mut self, other: Self, requests: &RequestIds) {
        join(&mut self.requests, requests);
        self.delete |= other.delete;
        self.guarded |= other.guarded;
        self.hold_ms = self.hold_ms.max(other.hold_ms);
        self.void = match (self.void, other.void) {
            (Some(one), Some(other)) => Some(Void {
                version: one.version.max(other.version),
                hold_ms: one.hold_ms.max(other.hold_ms),
                stale_ms: one.stale_ms.min(other.stale_ms),
            }),
            (one, other) => one.or(other),
        };
    }

    /// What to do, one after the other.
    fn actions(&self, key: Box<str>) -> (Action, Option<Action>) {
        let Self { delete, guarded, hold_ms, void, .. } = *self;
        let void = void.map(|void| Action::Void { object: Object::Key(key.clone()), void });
        match void {
            _ if hold_ms > 0 => (Action::Hold { key, ms: hold_ms, guarded }, None),
            Some(void) if !delete => (void, None),
            void if guarded => (Action::DeleteGuarded(Object::Key(key)), void),
            void => (Action::Delete(key), void),
        }
    }
}

#[cfg(test)]
mod tests {
    use smallvec::SmallVec;

    use super::*;
    use crate::plan::tests::requests;
    use crate::plan::{RequestId, TargetId};

    fn check(asked: &[(u32, Action)], expect: &[(Action, &[u32])]) {
        let mut share = Share {
            target: TargetId(0),
            actions: asked.iter().map(|(_, action)| action.clone()).collect(),
            asked_by: asked.iter().map(|(request, _)| SmallVec::from_slice(&[RequestId(*request)])).collect(),
        };
        unite(&mut share);
        let expect: Vec<_> = expect.iter().map(|(action, by)| (action.clone(), by.to_vec())).collect();
        let united = requests(&share);
        assert_eq!(united, expect, "{asked:?}");
    }

    fn key() -> Object {
        Object::Key("a".into())
    }

    fn delete() -> Action {
        Action::Delete("a".into())
    }

    fn hold(ms: u64, guarded: bool) -> Action {
        Action::Hold { key: "a".into(), ms, guarded }
    }

    fn void(version: u64, hold_ms: u64, stale_ms: u64) -> Action {
        Action::Void { object: key(), void: Void { version, hold_ms, stale_ms } }
    }

    #[test]
    fn a_hold_removes_as_well_and_the_longest_counts() {
        let other = Action::Delete("b".into());
        check(
            &[(0, delete()), (1, other.clone()), (2, hold(5, false)), (1, hold(7, false))],
            &[(hold(7, false), &[0, 1, 2]), (other, &[1])],
        );
        check(&[(0, hold(5, true)), (1, delete())], &[(hold(5, true), &[0, 1])]);
        check(&[(0, void(0, 0, 9)), (1, hold(5, false))], &[(hold(5, false), &[0, 1])]);
    }

    #[test]
    fn an_entry_goes_with_its_guard_if_anybody_says_so() {
        let guarded = Action::DeleteGuarded(key());
        check(&[(0, delete()), (1, guarded.clone())], &[(guarded.clone(), &[0, 1])]);
        check(&[(0, guarded.clone()), (1, delete())], &[(guarded, &[0, 1])]);
    }

    #[test]
    fn of_several_voids_the_last_version_counts() {
        check(&[(0, void(3, 1, 9)), (1, void(8, 2, 7)), (2, void(4, 0, 8))], &[(void(8, 2, 7), &[0, 1, 2])]);
    }

    #[test]
    fn what_is_to_go_goes_before_it_is_void() {
        let last = Action::Bump("t".into());
        check(
            &[(0, void(3, 0, 9)), (1, delete()), (0, last.clone())],
            &[(delete(), &[0, 1]), (last, &[0]), (void(3, 0, 9), &[0, 1])],
        );
    }

    #[test]
    fn other_keys_and_passes_stay_as_they_are() {
        let pass =
            Action::Void { object: Object::Prefix("a".into()), void: Void { version: 0, hold_ms: 0, stale_ms: 9 } };
        let asked = [(0, pass.clone()), (1, Action::DeletePrefix("a".into())), (2, void(0, 0, 9))];
        let same: Vec<_> = [pass, Action::DeletePrefix("a".into()), void(0, 0, 9)].to_vec();
        check(&asked, &[(same[0].clone(), &[0]), (same[1].clone(), &[1]), (same[2].clone(), &[2])]);
    }
}
