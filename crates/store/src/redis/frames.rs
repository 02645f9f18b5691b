//! Decides what is done to a key that a pass finds, of what several actions of the pass ask.

use std::borrow::Cow;

use super::order::Key;
use super::wanted::Wanted;
use quash_core::action::{Action, GUARD, Object, Void};

/// What the actions of a pass do to the keys that they find, by their index.
pub(super) struct Frames(Vec<Way>);

/// What one action does to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Remove,
    RemoveGuarded,
    Void(Void),
}

/// The keys to remove, and those to make stale.
type Found<'a> = (Vec<Key<'a>>, Vec<(Void, Key<'a>)>);

impl Frames {
    /// What these actions do.
    pub(super) fn of(actions: &[Action]) -> Self {
        let way = |action: &Action| match action {
            Action::DeleteGuarded(Object::Prefix(_) | Object::Pattern(_)) => Way::RemoveGuarded,
            Action::Void { void, object: Object::Prefix(_) | Object::Pattern(_) } => Way::Void(*void),
            _ => Way::Remove,
        };
        let ways: Vec<Way> = actions.iter().map(way).collect();
        // Nearly all passes just remove.
        Self(if ways.iter().all(|way| *way == Way::Remove) { Vec::new() } else { ways })
    }

    /// What to do with the keys that a step found.
    pub(super) fn owned<'a>(&self, wanted: &Wanted<'_>, names: Vec<Vec<u8>>) -> Found<'a> {
        let (mut removed, mut voided) = (Vec::new(), Vec::new());
        for name in names {
            let Some(owner) = wanted.owner(&name) else { continue };
            match self.way(wanted, &name) {
                Way::Remove => removed.push(Key::plain(owner, Cow::Owned(name))),
                Way::RemoveGuarded => removed.push(guarded(owner, name)),
                Way::Void(void) => voided.push((void, Key::plain(owner, Cow::Owned(name)))),
            }
        }
        if !self.0.is_empty() {
            // An entry and its guard were both found, and go in one command.
            removed.sort_by(|one, other| one.name.cmp(&other.name));
            removed.dedup_by(|one, other| one.name == other.name && one.guarded == other.guarded);
        }
        (removed, voided)
    }

    /// What is done to a key: it goes if any of its owners says so, and with its guard if any of them does.
    fn way(&self, wanted: &Wanted<'_>, name: &[u8]) -> Way {
        if self.0.is_empty() {
            return Way::Remove;
        }
        let ways = wanted.owners(name).filter_map(|owner| self.0.get(owner).copied());
        ways.reduce(|one, other| match (one, other) {
            (Way::RemoveGuarded, _) | (_, Way::RemoveGuarded) => Way::RemoveGuarded,
            (Way::Remove, _) | (_, Way::Remove) => Way::Remove,
            (Way::Void(one), Way::Void(other)) => Way::Void(Void {
                version: one.version.max(other.version),
                hold_ms: one.hold_ms.max(other.hold_ms),
                stale_ms: one.stale_ms.min(other.stale_ms),
            }),
        })
        .unwrap_or(Way::Remove)
    }
}

/// The entry with its guard, whichever of the two was found.
fn guarded<'a>(owner: usize, mut name: Vec<u8>) -> Key<'a> {
    if name.ends_with(GUARD.as_bytes()) {
        name.truncate(name.len() - GUARD.len());
    }
    Key { owner, name: Cow::Owned(name), guarded: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is done to these keys, as `way name`.
    fn done(actions: &[Action], names: &[&str]) -> Vec<String> {
        let texts = actions.iter().enumerate().filter(|(_, action)| action.scans());
        let wanted = Wanted::new(texts.map(|(owner, action)| (owner, action.object())), []);
        let names = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        let (removed, voided) = Frames::of(actions).owned(&wanted, names);
        let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
        let removed =
            removed.iter().map(|key| format!("{} {}", if key.guarded { "pair" } else { "unlink" }, text(&key.name)));
        removed.chain(voided.iter().map(|(void, key)| format!("void {} {}", void.stale_ms, text(&key.name)))).collect()
    }

    #[test]
    fn a_key_that_several_want_goes_if_one_of_them_says_so() {
        let prefix = |text: &str| Object::Prefix(text.into());
        let void = |text: &str, stale_ms| Action::Void {
            object: prefix(text),
            void: Void { version: 0, hold_ms: 0, stale_ms },
        };
        let names = ["a:1", "a:b:1", "a:b:1!q", "c"];
        assert_eq!(
            done(&[Action::DeletePrefix("a:".into())], &names),
            ["unlink a:1", "unlink a:b:1", "unlink a:b:1!q"]
        );
        assert_eq!(done(&[void("a:b:", 9), void("a:", 7)], &names[..2]), ["void 7 a:1", "void 7 a:b:1"]);
        let both = [void("a:", 7), Action::DeletePrefix("a:b:".into())];
        assert_eq!(done(&both, &names[..2]), ["unlink a:b:1", "void 7 a:1"]);
        let guarded = [Action::DeletePrefix("a:".into()), Action::DeleteGuarded(prefix("a:b:"))];
        assert_eq!(done(&guarded, &names), ["unlink a:1", "pair a:b:1"]);
    }
}
