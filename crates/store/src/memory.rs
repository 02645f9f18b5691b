//! Keeps entries in this process, for tests and `quash dev`.
//!
//! Stores of the same name share their entries, so that whoever builds from the same configuration in one process (a
//! worker, and the shop that reads and writes beside it) sees the same cache.

mod answers;
mod frames;
mod probe;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use tokio::sync::Notify;

use super::survey::Looker;
use super::{
    Applied, Can, Described, Identity, KeyPattern, Probe, Questions, Refusal, Stands, Store, StoreError, Survey,
};
use quash_config::{Finding, Problem};
use quash_core::action::{Action, ActionSet, Life, Write};
use quash_core::glob::Glob;

/// How many publications are kept for [`Memory::published`]; older ones are forgotten.
const PUBLISHED_MAX: usize = 1024;

/// Every named store of this process. A store stays until the process ends, as a server would.
static STORES: LazyLock<Mutex<BTreeMap<String, Memory>>> = LazyLock::new(Mutex::default);

/// A target in this process.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Targets of the same name are the same cache.
    pub name: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { name: "default".to_owned() }
    }
}

impl Config {
    /// Makes the store of this name, or gives the one that is there.
    ///
    /// # Errors
    /// Never; the signature is that of every kind.
    pub fn build(&self) -> Result<Arc<dyn Store>, Problem> {
        Ok(Arc::new(Memory::named(&self.name)))
    }
}

/// A cache in this process. Clones are the same cache.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    state: Arc<Mutex<State>>,
    /// Tells those who wait for answers that something was said.
    spoken: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<String, Entry>,
    published: VecDeque<(String, String)>,
    refused: BTreeSet<String>,
    unreachable: bool,
    starts: u64,
    said: answers::Said,
}

#[derive(Debug, Clone)]
struct Entry {
    value: Vec<u8>,
    until: Option<Instant>,
}

impl Memory {
    /// An empty cache that no one else has.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The cache of this name in this process; empty when it is named for the first time.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
        stores.entry(name.to_owned()).or_default().clone()
    }

    /// The value of a key, unless it is absent or its time is over.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        let now = Instant::now();
        self.state().entries.get(key).filter(|entry| entry.lives(now)).map(|entry| entry.value.clone())
    }

    /// How long a key has still to live; `None` when it is absent or lives for good.
    #[must_use]
    pub fn time_to_live(&self, key: &str) -> Option<Duration> {
        self.state().entries.get(key)?.until.map(|until| until.saturating_duration_since(Instant::now()))
    }

    /// Writes an entry that lives for good.
    pub fn set(&self, key: impl Into<String>, value: impl Into<Vec<u8>>) {
        self.state().entries.insert(key.into(), Entry { value: value.into(), until: None });
    }

    /// Writes an entry that lives for a while.
    pub fn set_for(&self, key: impl Into<String>, value: impl Into<Vec<u8>>, life: Duration) {
        let until = Instant::now().checked_add(life);
        self.state().entries.insert(key.into(), Entry { value: value.into(), until });
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        let now = Instant::now();
        self.state().entries.values().filter(|entry| entry.lives(now)).count()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All entries, in the order of their keys: a snapshot to [restore](Memory::restart_from).
    #[must_use]
    pub fn entries(&self) -> BTreeMap<String, Vec<u8>> {
        let now = Instant::now();
        let state = self.state();
        let living = state.entries.iter().filter(|(_, entry)| entry.lives(now));
        living.map(|(key, entry)| (key.clone(), entry.value.clone())).collect()
    }

    /// The last publications, each with its channel, oldest first.
    #[must_use]
    pub fn published(&self) -> Vec<(String, String)> {
        self.state().published.iter().cloned().collect()
    }

    /// Cuts the cache off, or brings it back.
    pub fn set_reachable(&self, reachable: bool) {
        self.state().unreachable = !reachable;
    }

    /// Makes the cache refuse every action on this key or channel, or on a prefix that covers it.
    pub fn refuse(&self, key: impl Into<String>) {
        self.state().refused.insert(key.into());
    }

    /// Ends the refusal of a key.
    pub fn permit(&self, key: &str) {
        self.state().refused.remove(key);
    }

    /// Ends every refusal.
    pub fn permit_all(&self) {
        self.state().refused.clear();
    }

    /// Restarts with nothing lost: the same entries under a new identity.
    pub fn restart(&self) {
        self.state().starts += 1;
    }

    /// Restarts from an old snapshot: entries that were removed since are back.
    pub fn restart_from(&self, snapshot: BTreeMap<String, Vec<u8>>) {
        let mut state = self.state();
        state.starts += 1;
        state.entries = snapshot.into_iter().map(|(key, value)| (key, Entry { value, until: None })).collect();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No method leaves the state half changed, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reached(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.state();
        if state.unreachable { Err(StoreError::Unreachable("switched off".to_owned())) } else { Ok(state) }
    }
}

impl Entry {
    fn lives(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until > now)
    }

    fn described(&self, now: Instant) -> Described {
        let left = self.until.map(|until| until.saturating_duration_since(now));
        let ttl_ms = left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
        let stands = Some(Stands::read(&self.value));
        Described { kind: Some("string".to_owned()), expires: Some(self.until.is_some()), ttl_ms, stands }
    }
}

impl State {
    fn apply(&mut self, action: &Action) -> Result<u64, Refusal> {
        match action {
            Action::DeletePrefix(prefix) => return self.remove_prefix(prefix),
            Action::DeletePattern(pattern) => return self.remove_all(self.matching(pattern)),
            Action::DeleteGuarded(object) => return self.remove_guarded(object),
            Action::Void { object, void } => return self.void_all(object, *void),
            Action::Hold { key, ms, guarded } => return self.hold(key, *ms, *guarded),
            other if self.refused.contains(other.object()) => return Err(refusal(other.object())),
            Action::Delete(key) => return Ok(u64::from(self.entries.remove(&**key).is_some())),
            Action::Bump(key) => self.write(key, (fastrand::u64(..) >> 1).to_string(), None),
            Action::Set { key, write } => self.set(key, *write),
            Action::Publish { channel, message } => self.publish(channel, message),
        }
        Ok(0)
    }

    fn remove_prefix(&mut self, prefix: &str) -> Result<u64, Refusal> {
        if prefix.is_empty() {
            return Err(Refusal("an empty prefix would remove every key".to_owned()));
        }
        self.remove_all(self.with_prefix(prefix))
    }

    fn remove_all(&mut self, keys: Vec<String>) -> Result<u64, Refusal> {
        let (mut removed, mut outcome) = (0, Ok(()));
        for key in keys {
            if self.refused.contains(&key) {
                outcome = Err(refusal(&key));
            } else {
                self.entries.remove(&key);
                removed += 1;
            }
        }
        outcome.map(|()| removed)
    }

    fn with_prefix(&self, prefix: &str) -> Vec<String> {
        let from = self.entries.range(prefix.to_owned()..);
        from.map(|(key, _)| key).take_while(|key| key.starts_with(prefix)).cloned().collect()
    }

    fn matching(&self, pattern: &Glob) -> Vec<String> {
        let matcher = pattern.matcher();
        let below = self.with_prefix(&String::from_utf8_lossy(matcher.root()));
        below.into_iter().filter(|key| matcher.matches(key.as_bytes())).collect()
    }

    fn set(&mut self, key: &str, write: Write) {
        let now = Instant::now();
        let old = self.entries.get(key).filter(|entry| entry.lives(now));
        if write.only_if_exists && old.is_none() {
            return;
        }
        let until = match write.life {
            Life::Forever => None,
            // A time too long for the clock is for good.
            Life::Ms(time) => now.checked_add(Duration::from_millis(time)),
            Life::Keep => old.and_then(|entry| entry.until),
        };
        self.write(key, write.number.resolve(now_us(), fastrand::u64(..)).to_string(), until);
    }

    fn write(&mut self, key: &str, value: impl Into<Vec<u8>>, until: Option<Instant>) {
        self.entries.insert(key.to_owned(), Entry { value: value.into(), until });
    }

    fn publish(&mut self, channel: &str, message: &str) {
        if self.published.len() == PUBLISHED_MAX {
            self.published.pop_front();
        }
        self.published.push_back((channel.to_owned(), message.to_owned()));
    }
}

fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

fn refusal(key: &str) -> Refusal {
    Refusal(format!("no permission to touch {key}"))
}

#[async_trait]
impl Store for Memory {
    async fn apply(&self, actions: &[Action]) -> Result<Applied, StoreError> {
        let mut state = self.reached()?;
        let scans = actions.iter().any(Action::scans);
        let keys_visited = if scans { state.entries.len() as u64 } else { 0 };
        Ok(Applied { outcomes: actions.iter().map(|action| state.apply(action)).collect(), keys_visited })
    }

    async fn identity(&self) -> Result<Identity, StoreError> {
        Ok(Identity(format!("memory start {}", self.reached()?.starts)))
    }

    async fn inspect(&self, _: ActionSet) -> Result<Vec<Finding>, StoreError> {
        drop(self.reached()?);
        Ok(vec![Finding::ok("entries are kept in this process and end with it")])
    }

    fn can(&self) -> Can {
        Can::ALL
    }

    fn questions(&self) -> Option<&dyn Questions> {
        Some(self)
    }

    fn probe(&self) -> Option<&dyn Probe> {
        Some(self)
    }

    fn answers(&self) -> Option<&dyn super::Answers> {
        Some(self)
    }
}

#[async_trait]
impl Questions for Memory {
    async fn exist(&self, keys: &[&str]) -> Result<Vec<bool>, StoreError> {
        let (state, now) = (self.reached()?, Instant::now());
        Ok(keys.iter().map(|key| state.entries.get(*key).is_some_and(|entry| entry.lives(now))).collect())
    }

    async fn count_prefixes(&self, prefixes: &[&str]) -> Result<Vec<u64>, StoreError> {
        let state = self.reached()?;
        let count = |prefix: &&str| if prefix.is_empty() { 0 } else { state.with_prefix(prefix).len() as u64 };
        Ok(prefixes.iter().map(count).collect())
    }

    async fn count_patterns(&self, patterns: &[Glob]) -> Result<Vec<u64>, StoreError> {
        let state = self.reached()?;
        Ok(patterns.iter().map(|pattern| state.matching(pattern).len() as u64).collect())
    }

    async fn survey(&self, patterns: &[KeyPattern], _: Duration) -> Result<Survey, StoreError> {
        let (state, now) = (self.reached()?, Instant::now());
        let (mut looker, mut keys) = (Looker::new(patterns), 0);
        for (key, _) in state.entries.iter().filter(|(_, entry)| entry.lives(now)) {
            looker.see(key.as_bytes());
            keys += 1;
        }
        Ok(Survey { counts: looker.finish(), keys, complete: true })
    }

    async fn describe(&self, keys: &[&str]) -> Result<Vec<Option<Described>>, StoreError> {
        let (state, now) = (self.reached()?, Instant::now());
        let living = |key: &&str| state.entries.get(*key).filter(|entry| entry.lives(now));
        Ok(keys.iter().map(|key| living(key).map(|entry| entry.described(now))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delete(key: &str) -> [Action; 1] {
        [Action::Delete(key.into())]
    }

    #[test]
    fn stores_of_one_name_are_one_cache() {
        Memory::named("shared").set("a", "1");
        assert_eq!(Memory::named("shared").get("a"), Some(b"1".to_vec()));
        assert_eq!(Memory::named("other").get("a"), None);
    }

    #[tokio::test]
    async fn a_cache_that_is_cut_off_answers_nothing_and_forgets_nothing() {
        let memory = Memory::new();
        memory.set("a", "1");
        memory.set_reachable(false);
        assert!(matches!(memory.apply(&delete("a")).await, Err(StoreError::Unreachable(_))));
        assert!(memory.identity().await.is_err());
        memory.set_reachable(true);
        assert_eq!(memory.apply(&delete("a")).await.unwrap().outcomes, [Ok(1)]);
    }

    #[tokio::test]
    async fn a_restart_from_a_snapshot_brings_entries_back_under_another_identity() {
        let memory = Memory::new();
        memory.set("a", "1");
        let (snapshot, before) = (memory.entries(), memory.identity().await.unwrap());
        memory.apply(&delete("a")).await.unwrap();
        memory.restart_from(snapshot);
        assert_eq!(memory.get("a"), Some(b"1".to_vec()));
        assert_ne!(memory.identity().await.unwrap(), before);
    }

    #[tokio::test]
    async fn an_entry_ends_with_its_time() {
        let memory = Memory::new();
        let set =
            |ttl_ms| [Action::Set { key: "a".into(), write: Write { life: Life::Ms(ttl_ms), ..Write::exactly(1) } }];
        memory.apply(&set(0)).await.unwrap();
        assert_eq!((memory.get("a"), memory.len()), (None, 0));
        memory.apply(&set(u64::MAX)).await.unwrap();
        assert_eq!(memory.get("a"), Some(b"1".to_vec()));
    }
}
