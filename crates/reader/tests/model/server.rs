//! A server with three keys, on which the scripts of the protocol run as they run in Redis.

use quash_core::freshness::effect::{self, Effect, Found};
use quash_core::freshness::{Filled, HOLD, Taken, Token, Want, lease};

/// The keys that there are.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Key {
    Entry,
    Guard,
    Tag,
}

pub(crate) const KEYS: [Key; 3] = [Key::Entry, Key::Guard, Key::Tag];

/// What stands at a key, and when it goes.
type Value = Option<(Vec<u8>, Option<u64>)>;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Server {
    keys: [Value; 3],
    pub(crate) now_ms: u64,
}

impl Default for Server {
    fn default() -> Self {
        Self { keys: [None, None, None], now_ms: 1_700_000_000_000 }
    }
}

impl Server {
    pub(crate) fn get(&self, key: Key) -> Option<&[u8]> {
        self.keys[key as usize].as_ref().map(|(bytes, _)| bytes.as_slice())
    }

    pub(crate) fn set(&mut self, key: Key, bytes: Vec<u8>, ttl_ms: Option<u64>) {
        self.keys[key as usize] = Some((bytes, ttl_ms.map(|ttl_ms| self.now_ms + ttl_ms)));
    }

    pub(crate) fn unlink(&mut self, key: Key) {
        self.keys[key as usize] = None;
    }

    pub(crate) fn hold(&mut self, ttl_ms: u64) {
        self.set(Key::Entry, HOLD.to_vec(), Some(ttl_ms));
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        for value in &mut self.keys {
            value.take_if(|(_, ends)| ends.is_some_and(|ends| ends <= self.now_ms));
        }
    }

    /// Restarts with these keys, or with none.
    pub(crate) fn restart(&mut self, saved: Option<Self>) {
        self.keys = saved.map(|saved| saved.keys).unwrap_or_default();
        self.pass(0);
    }

    /// The tag's token; 0 for none.
    pub(crate) fn tag(&self) -> u32 {
        self.get(Key::Tag).map_or(0, |tag| std::str::from_utf8(tag).unwrap().parse().unwrap())
    }

    pub(crate) fn ask(&mut self, token: Token, lease_ms: u64) -> bool {
        let is_free = self.get(Key::Entry).is_none();
        if is_free {
            self.set(Key::Entry, lease(token).to_vec(), Some(lease_ms));
        }
        is_free
    }

    pub(crate) fn take(&mut self, token: Token, lease_ms: u64, want: Want) -> Taken {
        let (taken, done) = effect::take(self.found(Key::Entry), token, lease_ms, want, self.now_ms);
        self.apply(Key::Entry, done);
        taken
    }

    pub(crate) fn fill(&mut self, token: Token, version: u64, entry: Vec<u8>, ttl_ms: u64) {
        if effect::fill(self.found(Key::Entry), token, version) == Filled::Stored {
            self.set(Key::Entry, entry, Some(ttl_ms));
        }
    }

    pub(crate) fn void(&mut self, version: u64, hold_ms: u64, stale_ms: u64) {
        let (_, done) = effect::void(self.found(Key::Entry), version, hold_ms, stale_ms, self.now_ms);
        self.apply(Key::Entry, done);
    }

    /// Whether nobody may store at the entry's key now, by nobody's lease.
    pub(crate) fn is_held(&self) -> bool {
        self.get(Key::Entry)
            .is_some_and(|bytes| bytes[8..24] == *Token::NOBODY.as_bytes() && bytes[24..37] != [b'0'; 13])
    }

    /// Zeros in the place of these bytes of the entry: what an implementation does that does not look at them.
    pub(crate) fn forget(&mut self, bytes: std::ops::Range<usize>) {
        if let Some((there, _)) = &mut self.keys[Key::Entry as usize] {
            there[bytes].fill(b'0');
        }
    }

    pub(crate) fn guard_take(&mut self, token: Token, lease_ms: u64) -> Taken {
        let has_value = self.get(Key::Entry).is_some();
        let (taken, done) = effect::guard_take(has_value, self.found(Key::Guard), token, lease_ms, self.now_ms);
        self.apply(Key::Guard, done);
        taken
    }

    pub(crate) fn guard_fill(&mut self, token: Token, value: Vec<u8>, ttl_ms: u64) {
        if effect::guard_fill(self.found(Key::Guard), token) == Filled::Stored {
            self.set(Key::Entry, value, Some(ttl_ms));
            self.unlink(Key::Guard);
        }
    }

    fn found(&self, key: Key) -> Found<'_> {
        let nothing = Found { bytes: &[], left_ms: None };
        let value = self.keys[key as usize].as_ref();
        value.map_or(nothing, |(bytes, ends)| Found { bytes, left_ms: ends.map(|ends| ends - self.now_ms) })
    }

    fn apply(&mut self, key: Key, effect: Effect) {
        match effect {
            Effect::Nothing => {}
            Effect::Remove => self.unlink(key),
            Effect::Set { bytes, ttl_ms } => self.set(key, bytes.to_vec(), Some(ttl_ms)),
            Effect::Patch { at, bytes, ttl_ms } => {
                let (there, ends) = self.keys[key as usize].as_mut().expect("what is patched is there");
                there[at..at + bytes.len()].copy_from_slice(&bytes);
                *ends = ttl_ms.map(|ttl_ms| self.now_ms + ttl_ms).or(*ends);
            }
        }
    }
}
