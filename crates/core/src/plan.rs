//! Merges what a batch of events asks for into one deduplicated share per target.

mod unite;

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use smallvec::SmallVec;

use crate::action::{Action, ActionSet, Object, Void, Write};

/// The most targets that can be declared: [`TargetSet`] is 64 bits.
pub const TARGETS_MAX: usize = 64;

/// The index of a target in the configuration's order. At most 64 targets can be declared, see [`TargetSet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetId(pub u8);

/// A set of targets as 64 bits: copying and uniting it costs nothing, which is why at most 64 targets can be declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TargetSet(u64);

impl TargetSet {
    /// No target.
    pub const EMPTY: Self = Self(0);
    /// Every target that could be declared.
    pub const ALL: Self = Self(u64::MAX);

    /// Adds a target.
    pub fn insert(&mut self, target: TargetId) {
        self.0 |= 1 << target.0;
    }

    /// Takes a target out.
    pub fn remove(&mut self, target: TargetId) {
        self.0 &= !(1 << target.0);
    }

    /// Whether the target is in the set.
    #[must_use]
    pub const fn contains(self, target: TargetId) -> bool {
        self.0 & (1 << target.0) != 0
    }

    /// Whether no target is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The targets in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The targets in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The targets of this set that are not in the other.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The targets, in the configuration's order.
    pub fn iter(self) -> impl Iterator<Item = TargetId> {
        let mut bits = self.0;
        std::iter::from_fn(move || {
            let target = (bits != 0).then(|| TargetId(bits.trailing_zeros() as u8));
            bits &= bits.wrapping_sub(1);
            target
        })
    }
}

impl FromIterator<TargetId> for TargetSet {
    fn from_iter<I: IntoIterator<Item = TargetId>>(targets: I) -> Self {
        let mut set = Self::EMPTY;
        targets.into_iter().for_each(|target| set.insert(target));
        set
    }
}

/// A request by its index in the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u32);

impl RequestId {
    /// The index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The requests of a batch that asked for an action, ascending and without repeats.
pub type RequestIds = SmallVec<[RequestId; 2]>;

/// All actions that a batch asks for, one share per target that has anything to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The shares, each of another target, none of them empty.
    pub shares: Vec<Share>,
}

/// The actions of a plan on one target: deduplicated, and without keys that a prefix of the same requests removes anyway.
#[derive(Debug, PartialEq, Eq)]
pub struct Share {
    /// The target.
    pub target: TargetId,
    /// What to do; never empty.
    pub actions: Vec<Action>,
    /// Who asked for each of the actions, in the same order.
    pub asked_by: Vec<RequestIds>,
}

/// Up to so many actions are compared with one another; more are hashed.
const COMPARED_MAX: usize = 8;

/// Gathers the actions of a batch for one target, each of them once.
#[derive(Debug, Default)]
pub(crate) struct ShareBuilder {
    actions: Vec<Action>,
    asked_by: Vec<RequestIds>,
    /// The indices of the actions, found by what they do, so that an action that is there already allocates nothing. Empty
    /// while there are so few that comparing them is quicker.
    indices: HashTable<u32>,
    /// Seeded per batch: publishers choose the keys, and must not be able to choose collisions.
    hasher: DefaultHashBuilder,
    has_prefix: bool,
    /// Whether a key may be asked for in more than one way.
    has_frames: bool,
}

impl ShareBuilder {
    /// Notes that a delivery asks for an action, given as its kind and its object; `make` makes it if it is new.
    pub(crate) fn ask(
        &mut self,
        request: RequestId,
        kind: ActionKind,
        object: (&str, &str),
        make: impl FnOnce() -> Action,
    ) {
        let identity = Identity { kind, object };
        if let Some(index) = self.find(&identity) {
            let requests = &mut self.asked_by[index];
            if requests.last() != Some(&request) {
                requests.push(request);
            }
            return;
        }
        self.has_prefix |= kind == ActionKind::DeletePrefix;
        self.has_frames |=
            matches!(kind, ActionKind::DeleteGuarded(Of::Key) | ActionKind::Hold { .. } | ActionKind::Void(Of::Key, _));
        self.actions.push(make());
        self.asked_by.push(SmallVec::from_slice(&[request]));
        self.index();
    }

    /// The place of the action that does the same.
    fn find(&self, identity: &Identity<'_>) -> Option<usize> {
        let is_same = |action: &Action| kind_of(action).is(identity);
        if self.actions.len() <= COMPARED_MAX {
            return self.actions.iter().position(is_same);
        }
        let index = self.indices.find(identity.hash(&self.hasher), |index| is_same(&self.actions[*index as usize]));
        index.map(|index| *index as usize)
    }

    /// Makes the newest action known, and once there are too many to compare, all of them.
    fn index(&mut self) {
        let Self { actions, indices, hasher, .. } = self;
        let hash = |index: &u32| kind_of(&actions[*index as usize]).hash(hasher);
        // A batch is bounded far below 2^32 actions by the size and number of its messages.
        let count = actions.len() as u32;
        let new = match actions.len() {
            0..=COMPARED_MAX => return,
            len if len == COMPARED_MAX + 1 => 0..count,
            _ => count - 1..count,
        };
        for index in new {
            indices.insert_unique(hash(&index), index, hash);
        }
    }

    /// The share, without what its prefixes remove anyway; `None` when nothing was asked for.
    pub(crate) fn finish(self, target: TargetId) -> Option<Share> {
        let mut share = Share { target, actions: self.actions, asked_by: self.asked_by };
        if self.has_frames {
            unite::unite(&mut share);
        }
        if self.has_prefix {
            subsume(&mut share);
        }
        (!share.actions.is_empty()).then_some(share)
    }
}

/// The kinds of action that are told apart when they are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ActionKind {
    Delete,
    DeletePrefix,
    DeletePattern,
    Bump,
    Set(Write),
    Publish,
    DeleteGuarded(Of),
    Hold { ms: u64, guarded: bool },
    Void(Of, Void),
}

impl ActionKind {
    /// What it takes.
    pub(crate) const fn takes(self) -> ActionSet {
        match self {
            Self::Delete => ActionSet::DELETE,
            Self::DeletePrefix => ActionSet::DELETE_PREFIX,
            Self::DeletePattern => ActionSet::DELETE_PATTERN,
            Self::Bump => ActionSet::BUMP,
            Self::Set(_) => ActionSet::SET,
            Self::Publish => ActionSet::PUBLISH,
            Self::DeleteGuarded(Of::Key) => ActionSet::DELETE.and(ActionSet::GUARD),
            Self::DeleteGuarded(Of::Prefix) => ActionSet::DELETE_PREFIX.and(ActionSet::GUARD),
            Self::DeleteGuarded(Of::Pattern) => ActionSet::DELETE_PATTERN.and(ActionSet::GUARD),
            Self::Hold { guarded: false, .. } => ActionSet::HOLD,
            Self::Hold { guarded: true, .. } => ActionSet::HOLD.and(ActionSet::GUARD),
            Self::Void(Of::Key, _) => ActionSet::VOID,
            Self::Void(Of::Prefix, _) => ActionSet::VOID_PREFIX,
            Self::Void(Of::Pattern, _) => ActionSet::VOID_PATTERN,
        }
    }
}

/// What kind of [`Object`] an action has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Of {
    Key,
    Prefix,
    Pattern,
}

impl Of {
    const fn object(object: &Object) -> Self {
        match object {
            Object::Key(_) => Self::Key,
            Object::Prefix(_) => Self::Prefix,
            Object::Pattern(_) => Self::Pattern,
        }
    }
}

/// An action's identity: its kind, and the texts that tell it from others of its kind.
struct Identity<'a> {
    kind: ActionKind,
    object: (&'a str, &'a str),
}

impl Identity<'_> {
    fn is(&self, other: &Identity<'_>) -> bool {
        self.kind == other.kind && self.object == other.object
    }

    fn hash(&self, hasher: &DefaultHashBuilder) -> u64 {
        hasher.hash_one((self.kind, self.object.0, self.object.1))
    }
}

fn kind_of(action: &Action) -> Identity<'_> {
    let (kind, object): (_, (&str, &str)) = match action {
        Action::Delete(key) => (ActionKind::Delete, (key, "")),
        Action::DeletePrefix(prefix) => (ActionKind::DeletePrefix, (prefix, "")),
        Action::DeletePattern(pattern) => (ActionKind::DeletePattern, (pattern.text(), "")),
        Action::Bump(tag) => (ActionKind::Bump, (tag, "")),
        Action::Set { key, write } => (ActionKind::Set(*write), (key, "")),
        Action::Publish { channel, message } => (ActionKind::Publish, (channel, message)),
        Action::DeleteGuarded(object) => (ActionKind::DeleteGuarded(Of::object(object)), (object.text(), "")),
        Action::Hold { key, ms, guarded } => (ActionKind::Hold { ms: *ms, guarded: *guarded }, (key, "")),
        Action::Void { object, void } => (ActionKind::Void(Of::object(object), *void), (object.text(), "")),
    };
    Identity { kind, object }
}

/// Takes out longer prefixes that begin with a prefix of the share, whose requests now ask for that one, and keys whose
/// requests ask for such a prefix as well. Keys of others stay: they cost little, need not wait for the pass over all keys,
/// and must not fail because a stranger's prefix covers something that may not be removed.
fn subsume(share: &mut Share) {
    let mut prefixes: Vec<(Box<str>, RequestIds)> = Vec::new();
    let mut rest = Share { target: share.target, actions: Vec::new(), asked_by: Vec::new() };
    for (action, requests) in share.actions.drain(..).zip(share.asked_by.drain(..)) {
        match action {
            Action::DeletePrefix(prefix) => prefixes.push((prefix, requests)),
            other => {
                rest.actions.push(other);
                rest.asked_by.push(requests);
            }
        }
    }
    prefixes.sort();
    // Sorted, a prefix stands directly before everything that begins with it.
    let mut widest: Vec<(Box<str>, RequestIds)> = Vec::new();
    for (prefix, requests) in prefixes {
        match widest.last_mut().filter(|(wider, _)| prefix.starts_with(&**wider)) {
            Some((_, known)) => join(known, &requests),
            None => widest.push((prefix, requests)),
        }
    }
    for (action, requests) in rest.actions.into_iter().zip(rest.asked_by) {
        if !is_swallowed(&widest, &action, &requests) {
            share.actions.push(action);
            share.asked_by.push(requests);
        }
    }
    for (prefix, requests) in widest {
        share.actions.push(Action::DeletePrefix(prefix));
        share.asked_by.push(requests);
    }
}

/// Whether all who asked for this action asked for a prefix that removes the same. Only deletes are swallowed: a token
/// must be written.
fn is_swallowed(widest: &[(Box<str>, RequestIds)], action: &Action, requests: &RequestIds) -> bool {
    let Action::Delete(key) = action else { return false };
    let below = widest.partition_point(|(prefix, _)| **prefix <= **key);
    widest[..below].last().is_some_and(|(prefix, known)| {
        key.starts_with(&**prefix) && requests.iter().all(|request| known.binary_search(request).is_ok())
    })
}

fn join(known: &mut RequestIds, more: &RequestIds) {
    known.extend_from_slice(more);
    known.sort_unstable();
    known.dedup();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delete(key: &str) -> Action {
        Action::Delete(key.into())
    }

    fn prefix(text: &str) -> Action {
        Action::DeletePrefix(text.into())
    }

    /// The actions of a share, each with the numbers of the requests that asked for it.
    pub(super) fn requests(share: &Share) -> Vec<(Action, Vec<u32>)> {
        let numbers = |ids: &RequestIds| ids.iter().map(|request| request.0).collect();
        share.actions.iter().cloned().zip(share.asked_by.iter().map(numbers)).collect()
    }

    fn check(asked: &[(u32, Action)], expect: &[(Action, &[u32])]) {
        let mut builder = ShareBuilder::default();
        for (request, action) in asked {
            let Identity { kind, object } = kind_of(action);
            builder.ask(RequestId(*request), kind, object, || action.clone());
        }
        let share = builder.finish(TargetId(0));
        let given = share.as_ref().map(requests).unwrap_or_default();
        let expect: Vec<_> = expect.iter().map(|(action, by)| (action.clone(), by.to_vec())).collect();
        assert_eq!(given, expect);
    }

    #[test]
    fn an_action_is_done_once_for_all_who_ask() {
        check(
            &[(0, delete("a")), (0, delete("a")), (1, delete("b")), (2, delete("a"))],
            &[(delete("a"), &[0, 2]), (delete("b"), &[1])],
        );
        check(&[], &[]);
    }

    #[test]
    fn many_actions_are_each_done_once() {
        let mut builder = ShareBuilder::default();
        for request in 0..2 {
            for number in 0..3 * COMPARED_MAX {
                let key = number.to_string();
                builder.ask(RequestId(request), ActionKind::Delete, (&key, ""), || delete(&key));
            }
        }
        let share = builder.finish(TargetId(0)).unwrap();
        assert!(share.actions.iter().cloned().eq((0..3 * COMPARED_MAX).map(|number| delete(&number.to_string()))));
        assert!(share.asked_by.iter().all(|requests| requests.as_slice() == [RequestId(0), RequestId(1)]));
    }

    #[test]
    fn integers_are_told_apart_by_what_is_written_and_patterns_by_their_text() {
        let set = |write| Action::Set { key: "k".into(), write };
        let pattern = |text: &str| Action::DeletePattern(crate::glob::Glob::parse(text).unwrap());
        let (one, renew) = (set(Write::exactly(1)), set(Write::RENEW));
        check(
            &[(0, one.clone()), (1, renew.clone()), (2, one.clone()), (0, pattern("a*b")), (3, pattern("a*b"))],
            &[(one, &[0, 2]), (renew, &[1]), (pattern("a*b"), &[0, 3])],
        );
    }

    #[test]
    fn a_prefix_swallows_the_keys_of_its_requests_and_longer_prefixes() {
        check(
            &[
                (1, delete("a:1")),
                (1, prefix("a:")),
                (2, delete("a:3")),
                (2, prefix("a:2:")),
                (3, delete("b")),
                (4, Action::Bump("a:t".into())),
            ],
            &[(delete("b"), &[3]), (Action::Bump("a:t".into()), &[4]), (prefix("a:"), &[1, 2])],
        );
        check(
            &[(0, prefix("a:1")), (0, prefix("b")), (1, delete("a:2")), (0, delete("a:10")), (3, delete("a"))],
            &[(delete("a:2"), &[1]), (delete("a"), &[3]), (prefix("a:1"), &[0]), (prefix("b"), &[0])],
        );
    }

    #[test]
    fn a_key_is_not_charged_with_the_prefix_of_a_stranger() {
        check(
            &[(0, prefix("a")), (1, delete("a:1")), (0, delete("a:2")), (1, delete("a:2"))],
            &[(delete("a:1"), &[1]), (delete("a:2"), &[0, 1]), (prefix("a"), &[0])],
        );
    }
}
