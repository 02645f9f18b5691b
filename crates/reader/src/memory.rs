//! Holds entries in memory as the server does: for tests of applications, and for the model of the protocol.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use quash_core::freshness::effect::{self, Effect, Found};
use quash_core::freshness::{Filled, Tag, Taken, Token, Voided, Want, lease};

use crate::store::{Store, StoreError};
use crate::time::{ms, now_ms};

/// A store in memory that answers, byte for byte, what Redis would.
///
/// ```
/// use std::time::Duration;
/// use quash_reader::{MemoryStore, Store};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let store = MemoryStore::at(|| 1_700_000_000_000);      // a clock of the test's own
/// store.set("key", b"bytes", Duration::from_secs(1)).await.unwrap();
/// assert_eq!(store.bytes("key"), Some(b"bytes".to_vec()));
/// # });
/// ```
pub struct MemoryStore {
    clock: Box<dyn Fn() -> u64 + Send + Sync>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What stands at each key, and when it goes.
    keys: HashMap<String, (Vec<u8>, Option<u64>)>,
    /// How far the clock that scripts ask is ahead of the one that times to live run by.
    ahead_ms: u64,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store by the clock of the system.
    #[must_use]
    pub fn new() -> Self {
        Self::at(now_ms)
    }

    /// An empty store by this clock: milliseconds since the Unix epoch, which never go back.
    #[must_use]
    pub fn at(clock: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self { clock: Box::new(clock), state: Mutex::default() }
    }

    /// Lets the clock that leases and holds are measured by jump ahead, as that of a server does which is set. Times to live
    /// do not notice.
    pub fn jump(&self, ms: u64) {
        self.with(|state, _| state.ahead_ms += ms);
    }

    /// What stands at a key.
    #[must_use]
    pub fn bytes(&self, key: &str) -> Option<Vec<u8>> {
        self.with(|state, _| state.keys.get(key).map(|(bytes, _)| bytes.clone()))
    }

    /// How long a key has to live, in milliseconds, as `PTTL` says it: -1 is for ever, -2 that there is no key.
    #[must_use]
    pub fn left_ms(&self, key: &str) -> i64 {
        self.with(|state, now| match state.keys.get(key) {
            None => -2,
            Some((_, None)) => -1,
            Some((_, Some(ends))) => i64::try_from(ends - now).unwrap_or(i64::MAX),
        })
    }

    /// Writes bytes for good, as whoever does not know the protocol.
    pub fn put(&self, key: &str, bytes: &[u8]) {
        self.with(|state, _| state.keys.insert(key.to_owned(), (bytes.to_vec(), None)));
    }

    /// Removes a key, as a worker does or an eviction. Whether it was there.
    pub fn evict(&self, key: &str) -> bool {
        self.with(|state, _| state.keys.remove(key).is_some())
    }

    /// What a worker does to a cache with `stale` or versions: [`VOID`](quash_core::freshness::scripts::VOID).
    pub fn void(&self, key: &str, version: u64, hold_ms: u64, stale_ms: u64) -> Voided {
        self.with(|state, now| {
            let ahead = now + state.ahead_ms;
            let (voided, done) = effect::void(state.found(key, now), version, hold_ms, stale_ms, ahead);
            state.apply(key, done, now);
            voided
        })
    }

    /// [`GUARD_TAKE`](quash_core::freshness::scripts::GUARD_TAKE).
    pub fn guard_take(&self, key: &str, guard: &str, token: Token, lease_ms: u64) -> Taken {
        self.with(|state, now| {
            let ahead = now + state.ahead_ms;
            let has_value = state.keys.contains_key(key);
            let (taken, done) = effect::guard_take(has_value, state.found(guard, now), token, lease_ms, ahead);
            state.apply(guard, done, now);
            taken
        })
    }

    /// [`GUARD_FILL`](quash_core::freshness::scripts::GUARD_FILL).
    pub fn guard_fill(&self, key: &str, guard: &str, token: Token, ttl_ms: u64, value: &[u8]) -> Filled {
        self.with(|state, now| {
            let filled = effect::guard_fill(state.found(guard, now), token);
            if filled == Filled::Stored {
                state.keys.insert(key.to_owned(), (value.to_vec(), Some(now + ttl_ms)));
                state.keys.remove(guard);
            }
            filled
        })
    }

    /// Does something as one step, at this time; what is over is gone.
    fn with<T>(&self, act: impl FnOnce(&mut State, u64) -> T) -> T {
        let now = (self.clock)();
        // Whoever panicked while it was locked did not leave a step half done: steps do not panic.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.keys.retain(|_, (_, ends)| ends.is_none_or(|ends| ends > now));
        act(&mut state, now)
    }
}

impl State {
    fn found(&self, key: &str, now: u64) -> Found<'_> {
        let nothing = Found { bytes: &[], left_ms: None };
        self.keys.get(key).map_or(nothing, |(bytes, ends)| Found { bytes, left_ms: ends.map(|ends| ends - now) })
    }

    fn apply(&mut self, key: &str, effect: Effect, now: u64) {
        match effect {
            Effect::Nothing => {}
            Effect::Remove => drop(self.keys.remove(key)),
            Effect::Set { bytes, ttl_ms } => {
                self.keys.insert(key.to_owned(), (bytes.to_vec(), Some(now + ttl_ms)));
            }
            Effect::Patch { at, bytes, ttl_ms } => {
                if let Some((there, ends)) = self.keys.get_mut(key) {
                    there.splice(at..at + bytes.len(), bytes);
                    *ends = ttl_ms.map(|ttl_ms| now + ttl_ms).or(*ends);
                }
            }
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, keys: &[&str]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let bytes = |state: &State, key: &str| state.keys.get(key).map(|(bytes, _)| bytes.clone());
        Ok(self.with(|state, _| keys.iter().map(|key| bytes(state, key)).collect()))
    }

    async fn ask(&self, key: &str, token: Token, time: Duration) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.with(|state, now| match state.keys.get(key) {
            Some((bytes, _)) => Some(bytes.clone()),
            None => {
                state.keys.insert(key.to_owned(), (lease(token).to_vec(), Some(now + ms(time))));
                None
            }
        }))
    }

    async fn take(&self, key: &str, token: Token, lease: Duration, want: Want) -> Result<Taken, StoreError> {
        Ok(self.with(|state, now| {
            let ahead = now + state.ahead_ms;
            let (taken, done) = effect::take(state.found(key, now), token, ms(lease), want, ahead);
            state.apply(key, done, now);
            taken
        }))
    }

    async fn fill(
        &self,
        key: &str,
        token: Token,
        version: u64,
        ttl: Duration,
        entry: &[u8],
    ) -> Result<Filled, StoreError> {
        Ok(self.with(|state, now| {
            let filled = effect::fill(state.found(key, now), token, version);
            if filled == Filled::Stored {
                state.keys.insert(key.to_owned(), (entry.to_vec(), Some(now + ms(ttl))));
            }
            filled
        }))
    }

    async fn drop_lease(&self, key: &str, token: Token) -> Result<bool, StoreError> {
        Ok(self.with(|state, now| {
            let (was_there, done) = effect::drop_lease(state.found(key, now), token);
            state.apply(key, done, now);
            was_there
        }))
    }

    async fn make_tag(&self, tag: &str, token: Tag) -> Result<Option<Tag>, StoreError> {
        Ok(self.with(|state, _| {
            let made = || (token.to_string().into_bytes(), None);
            let (bytes, _) = state.keys.entry(tag.to_owned()).or_insert_with(made);
            Tag::read(bytes)
        }))
    }

    async fn renew_tag(&self, tag: &str, token: Tag) -> Result<(), StoreError> {
        self.with(|state, _| {
            if let Some((bytes, _)) = state.keys.get_mut(tag) {
                *bytes = token.to_string().into_bytes();
            }
        });
        Ok(())
    }

    async fn set(&self, key: &str, bytes: &[u8], ttl: Duration) -> Result<(), StoreError> {
        self.with(|state, now| state.keys.insert(key.to_owned(), (bytes.to_vec(), Some(now + ms(ttl)))));
        Ok(())
    }

    async fn remove(&self, key: &str) -> Result<(), StoreError> {
        self.evict(key);
        Ok(())
    }
}
