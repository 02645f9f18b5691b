//! Makes actions into commands, and books the server's replies on the actions that they answer.

mod void;
mod write;

use std::borrow::Cow;

use redis::{Cmd, Value};

use super::reply::{Class, classify, words};
use crate::{Refusal, StoreError};
use quash_core::action::{Action, GUARD, Void};
use quash_core::freshness::Voided;

pub(super) use self::void::voids;

/// How many keys one UNLINK names at most: as fast as more of them, and it holds the server for well under a millisecond.
const UNLINK_KEYS_MAX: usize = 512;

/// A key to act on, and the place of the action that asked for it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Key<'a> {
    pub(super) owner: usize,
    pub(super) name: Cow<'a, [u8]>,
    /// Whether its guard goes with it, in the same command always.
    pub(super) guarded: bool,
}

impl<'a> Key<'a> {
    /// A key without a guard.
    pub(super) const fn plain(owner: usize, name: Cow<'a, [u8]>) -> Self {
        Self { owner, name, guarded: false }
    }

    /// The name of its guard.
    pub(super) fn guard(&self) -> Vec<u8> {
        [&self.name, GUARD.as_bytes()].concat()
    }
}

/// One command to send, with the actions that wait for its reply.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Order<'a> {
    /// Remove these keys, at least one.
    Unlink(Vec<Key<'a>>),
    /// Make the entries under these keys stale, at least one.
    Void {
        /// The keys, in a cluster of one slot.
        keys: Vec<Key<'a>>,
        /// How.
        void: Void,
        /// Whether the whole script goes along, for a server that does not know it yet.
        whole: bool,
    },
    /// Do what this action says, which is a bump, a set, a hold or a publication.
    Write {
        /// The place of the action.
        owner: usize,
        /// The action.
        action: &'a Action,
    },
}

impl Order<'_> {
    /// The command as the driver wants it.
    pub(super) fn command(&self) -> Cmd {
        match self {
            Self::Unlink(keys) => unlink(keys),
            Self::Void { keys, void, whole } => void::command(keys, *void, *whole),
            Self::Write { action, .. } => write::command(action),
        }
    }

    /// The key that decides which node of a cluster gets it; `None` for what any node takes.
    pub(super) fn key(&self) -> Option<&[u8]> {
        match self {
            Self::Unlink(keys) | Self::Void { keys, .. } => keys.first().map(|key| key.name.as_ref()),
            Self::Write { action: Action::Publish { .. }, .. } => None,
            Self::Write { action, .. } => Some(action.object().as_bytes()),
        }
    }
}

fn unlink(keys: &[Key<'_>]) -> Cmd {
    let bytes: usize = keys.iter().map(|key| key.name.len()).sum();
    let mut command = Cmd::with_capacity(1 + keys.len(), "UNLINK".len() + bytes);
    command.arg("UNLINK");
    for key in keys {
        command.arg(key.name.as_ref());
        if key.guarded {
            command.arg(key.guard());
        }
    }
    command
}

/// Takes apart the entries whose guards are in another group: no reader keeps a guard there, and one command cannot name
/// both.
pub(super) fn pairs<'a, G: PartialEq>(keys: Vec<Key<'a>>, group: impl Fn(&[u8]) -> G) -> Vec<Key<'a>> {
    let apart = |key: Key<'a>| {
        let guard = key.guarded.then(|| key.guard()).filter(|guard| group(guard) != group(&key.name));
        let guard = guard.map(|guard| Key::plain(key.owner, Cow::Owned(guard)));
        let guarded = key.guarded && guard.is_none();
        std::iter::once(Key { guarded, ..key }).chain(guard)
    };
    keys.into_iter().flat_map(apart).collect()
}

/// Puts keys of the same group together, as few commands as the largest UNLINK allows.
pub(super) fn unlinks<'a, G: Ord>(mut keys: Vec<Key<'a>>, group: impl Fn(&Key<'a>) -> G) -> Vec<Order<'a>> {
    if keys.len() == 1 {
        return vec![Order::Unlink(keys)];
    }
    keys.sort_by_cached_key(&group);
    let groups = keys.chunk_by(|one, other| group(one) == group(other));
    groups.flat_map(|keys| keys.chunks(UNLINK_KEYS_MAX)).map(|keys| Order::Unlink(keys.to_vec())).collect()
}

/// What the replies say so far, per action, and the commands that have to be sent again.
#[derive(Debug, Default)]
pub(super) struct Tally<'a> {
    outcomes: Vec<Result<u64, Refusal>>,
    /// To send again where it was sent, in another form.
    pub(super) again: Vec<Order<'a>>,
    /// To send again where the slots have gone to.
    pub(super) moved: Vec<Order<'a>>,
    /// To send once to another node, `host:port`.
    pub(super) asked: Vec<(Order<'a>, String)>,
}

impl<'a> Tally<'a> {
    /// Nothing removed and nothing refused, for this many actions.
    pub(super) fn new(actions: usize) -> Self {
        Self { outcomes: vec![Ok(0); actions], ..Self::default() }
    }

    /// For how many actions it is.
    pub(super) fn len(&self) -> usize {
        self.outcomes.len()
    }

    /// What came of each action.
    pub(super) fn outcomes(self) -> Vec<Result<u64, Refusal>> {
        self.outcomes
    }

    /// Books what came of the action at this place; its first refusal stays.
    pub(super) fn refuse(&mut self, owner: usize, why: impl Into<String>) {
        if self.outcomes[owner].is_ok() {
            self.outcomes[owner] = Err(Refusal(why.into()));
        }
    }

    /// Takes over what another tally of the same actions has booked.
    pub(super) fn merge(&mut self, other: Self) {
        for (owner, outcome) in other.outcomes.into_iter().enumerate() {
            match outcome {
                Ok(removed) => self.add(owner, removed),
                Err(Refusal(why)) => self.refuse(owner, why),
            }
        }
        self.again.extend(other.again);
        self.moved.extend(other.moved);
        self.asked.extend(other.asked);
    }

    /// Takes out what has to be sent again.
    pub(super) fn take_left(&mut self) -> Vec<Order<'a>> {
        let mut left = std::mem::take(&mut self.again);
        left.append(&mut self.moved);
        // A detour that was not taken yet starts again at the node that knows of it.
        left.extend(std::mem::take(&mut self.asked).into_iter().map(|(order, _)| order));
        left
    }

    /// Books the reply to a command.
    ///
    /// # Errors
    /// When the reply says that the server cannot work now; nothing is known of any action then.
    pub(super) fn book(&mut self, order: Order<'a>, reply: Value) -> Result<(), StoreError> {
        let error = match reply {
            Value::ServerError(error) => error,
            reply => {
                self.book_done(&order, &reply);
                return Ok(());
            }
        };
        match (classify(&error), order) {
            (Class::Moved, order) => self.moved.push(order),
            (Class::Ask(address), order) => self.asked.push((order, address)),
            // The server refuses a command as a whole: each key by itself shows which of them it meant.
            (Class::Refused | Class::TryAgain, Order::Unlink(keys)) if keys.len() > 1 => {
                self.again.extend(keys.into_iter().map(|key| Order::Unlink(vec![key])));
            }
            (Class::Refused | Class::TryAgain, Order::Void { keys, void, whole }) if keys.len() > 1 => {
                self.again.extend(keys.into_iter().map(|key| Order::Void { keys: vec![key], void, whole }));
            }
            (Class::NoScript, Order::Void { keys, void, whole: false }) => {
                self.again.push(Order::Void { keys, void, whole: true });
            }
            // Nothing can be served stale for want of memory; removing needs none, and is as true.
            (Class::MemoryFull, Order::Void { keys, void, .. }) if void.version == 0 && void.hold_ms == 0 => {
                self.again.push(Order::Unlink(keys));
            }
            // A missing token means stale as much as a new one does, and removing needs no memory.
            (Class::MemoryFull, Order::Write { owner, action: Action::Bump(key) }) => {
                self.again.push(Order::Unlink(vec![Key::plain(owner, Cow::Borrowed(key.as_bytes()))]));
            }
            (Class::MemoryFull, Order::Write { owner, action: Action::Set { key, write } })
                if write.number.may_be_missing() =>
            {
                self.again.push(Order::Unlink(vec![Key::plain(owner, Cow::Borrowed(key.as_bytes()))]));
            }
            (Class::Refused | Class::NotGranted | Class::NoScript, Order::Unlink(keys) | Order::Void { keys, .. }) => {
                keys.iter().for_each(|key| self.refuse(key.owner, words(&error)));
            }
            (Class::Refused | Class::NotGranted | Class::NoScript, Order::Write { owner, .. }) => {
                self.refuse(owner, words(&error));
            }
            (Class::Down | Class::TryAgain | Class::MemoryFull, _) => {
                return Err(StoreError::Unreachable(words(&error)));
            }
        }
        Ok(())
    }

    /// The server only says how many of a command's keys it removed: the first so many count. Of a void it says which
    /// entries are stale now; whether one that is gone was there, it does not say.
    fn book_done(&mut self, order: &Order<'_>, reply: &Value) {
        match (order, reply) {
            (Order::Unlink(keys), Value::Int(removed)) => {
                let mut removed = u64::try_from(*removed).unwrap_or(0);
                for key in keys {
                    let counted = removed.min(1 + u64::from(key.guarded));
                    self.add(key.owner, counted);
                    removed -= counted;
                }
            }
            (Order::Void { keys, .. }, Value::BulkString(letters)) => {
                let voided =
                    keys.iter().zip(letters).filter(|(_, letter)| Voided::read(**letter) == Some(Voided::Stale));
                voided.for_each(|(key, _)| self.add(key.owner, 1));
            }
            _ => {}
        }
    }

    fn add(&mut self, owner: usize, removed: u64) {
        if let Ok(sum) = &mut self.outcomes[owner] {
            *sum += removed;
        }
    }
}

#[cfg(test)]
mod tests {
    use quash_core::action::{Life, Write};

    use super::*;

    fn keys(names: &'static [&'static str]) -> Vec<Key<'static>> {
        names.iter().enumerate().map(|(owner, name)| Key::plain(owner, Cow::Borrowed(name.as_bytes()))).collect()
    }

    fn error(line: &str) -> Value {
        redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap()
    }

    fn packed(order: &Order<'_>) -> String {
        let packed = String::from_utf8(order.command().get_packed_command()).unwrap();
        packed.lines().skip(1).filter(|line| !line.starts_with('$')).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn actions_are_spelt_as_the_commands_that_do_them() {
        let set = |write| Action::Set { key: "k".into(), write };
        let number = Write::exactly(-5);
        let publish = Action::Publish { channel: "c".into(), message: "{}".into() };
        let cases = [
            (set(number), "SET k -5"),
            (set(Write { life: Life::Ms(900), ..number }), "SET k -5 PX 900"),
            (set(Write { only_if_exists: true, ..number }), "SET k -5 XX"),
            (set(Write { life: Life::Keep, only_if_exists: true, ..number }), "SET k -5 XX KEEPTTL"),
            (publish, "PUBLISH c {}"),
        ];
        for (action, expected) in &cases {
            assert_eq!(packed(&Order::Write { owner: 0, action }), *expected);
        }
        assert_eq!(packed(&Order::Unlink(keys(&["a", "b"]))), "UNLINK a b");
    }

    #[test]
    fn a_bump_writes_another_63_bit_integer_each_time() {
        let bump = Action::Bump("t".into());
        let order = Order::Write { owner: 0, action: &bump };
        let tokens = [packed(&order), packed(&order)].map(|command| command.replace("SET t ", "").parse::<i64>());
        assert!(tokens.iter().all(|token| token.as_ref().is_ok_and(|token| *token >= 0)), "{tokens:?}");
        assert_ne!(tokens[0], tokens[1]);
    }

    #[test]
    fn no_command_names_more_keys_than_one_may() {
        let many = (0..1200).map(|owner| Key::plain(owner, Cow::Owned(vec![b'k']))).collect();
        let sizes: Vec<_> = unlinks(many, |key: &Key<'_>| key.owner >= 600)
            .iter()
            .map(|order| match order {
                Order::Unlink(keys) => keys.len(),
                Order::Write { .. } | Order::Void { .. } => 0,
            })
            .collect();
        assert_eq!(sizes, [512, 88, 512, 88]);
    }

    #[test]
    fn a_refused_command_is_asked_for_key_by_key() {
        let mut tally = Tally::new(3);
        tally.book(Order::Unlink(keys(&["a", "b", "c"])), error("NOPERM No permissions to access a key")).unwrap();
        let again = std::mem::take(&mut tally.again);
        let replies = [Value::Int(1), error("NOPERM No permissions to access a key"), Value::Int(0)];
        again.into_iter().zip(replies).for_each(|(order, reply)| tally.book(order, reply).unwrap());
        let refusal = Refusal("NOPERM No permissions to access a key".to_owned());
        assert_eq!(tally.outcomes(), [Ok(1), Err(refusal), Ok(0)]);
    }

    #[test]
    fn a_command_that_is_not_granted_is_refused_to_all_who_asked_for_it_at_once() {
        let mut tally = Tally::new(2);
        let line = "NOPERM User quash has no permissions to run the 'unlink' command";
        tally.book(Order::Unlink(keys(&["a", "b"])), error(line)).unwrap();
        assert!(tally.again.is_empty());
        assert_eq!(tally.outcomes(), [Err(Refusal(line.to_owned())), Err(Refusal(line.to_owned()))]);
    }

    #[test]
    fn a_state_of_the_server_is_charged_to_no_action() {
        for line in ["LOADING Redis is loading", "READONLY replica", "NOAUTH Authentication required."] {
            let mut tally = Tally::new(1);
            let booked = tally.book(Order::Unlink(keys(&["a"])), error(line));
            assert_eq!(booked, Err(StoreError::Unreachable(line.to_owned())));
        }
    }

    #[test]
    fn a_token_that_finds_no_memory_is_removed_instead() {
        let bump = Action::Bump("t".into());
        let mut tally = Tally::new(1);
        let full = "OOM command not allowed when used memory > 'maxmemory'.";
        tally.book(Order::Write { owner: 0, action: &bump }, error(full)).unwrap();
        assert_eq!(tally.again, [Order::Unlink(keys(&["t"]))]);
        let set = Action::Set { key: "k".into(), write: Write::exactly(1) };
        let booked = tally.book(Order::Write { owner: 0, action: &set }, error(full));
        assert_eq!(booked, Err(StoreError::Unreachable(full.to_owned())));
    }

    #[test]
    fn a_command_follows_its_slot() {
        let mut tally = Tally::new(1);
        tally.book(Order::Unlink(keys(&["a"])), error("MOVED 3999 h:1")).unwrap();
        tally.book(Order::Unlink(keys(&["a"])), error("ASK 3999 h:2")).unwrap();
        assert_eq!(tally.moved, [Order::Unlink(keys(&["a"]))]);
        assert_eq!(tally.asked, [(Order::Unlink(keys(&["a"])), "h:2".to_owned())]);
    }
}
