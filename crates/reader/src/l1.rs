//! Keeps entries in this process, and serves one only while the server told nothing of its key and its tags.
//!
//! Counters stand for stripes of keys. Those of an entry are read *before* the server is asked for it and kept with it; every
//! message of the server raises some. Whatever came in between, the entry is not served: nothing has to be removed in time.

use std::any::Any;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use redis::Client;
use rustc_hash::FxHasher;
use smallvec::SmallVec;

use crate::config::Spot;
use crate::time::now_ms;

/// How many counters there are. Keys of the same stripe go together now and then, which costs a question.
const STRIPES: usize = 1024;
/// The longest that an entry stays, whatever is said.
const TTL_MAX: Duration = Duration::from_secs(60);

/// A copy of entries in this process, kept coherent by the server (`CLIENT TRACKING`, Redis 6 and later).
///
/// What a change removes is not served any more once the server's message is here, which takes as long as any answer. On a connection
/// that hangs, it takes up to two seconds to be noticed; until the connection is there again, nothing is served from the copy.
pub struct L1 {
    pub(crate) entries: u64,
    pub(crate) ttl: Duration,
    pub(crate) client: Option<Client>,
}

impl L1 {
    /// So many entries at most, for a minute at most.
    #[must_use]
    pub const fn moka(entries: u64) -> Self {
        Self { entries, ttl: TTL_MAX, client: None }
    }

    /// The same, where an entry stays for so long at most; a minute is the longest.
    #[must_use]
    pub fn ttl(self, ttl: Duration) -> Self {
        Self { ttl: ttl.min(TTL_MAX), ..self }
    }

    /// The same, where the server's messages come from this client; from that of [`Builder::redis`](crate::Builder::redis) when
    /// not said.
    #[must_use]
    pub fn client(self, client: Client) -> Self {
        Self { client: Some(client), ..self }
    }
}

/// The entries that this process keeps.
pub(crate) struct Copies {
    kept: moka::sync::Cache<Arc<str>, Kept>,
    counters: Box<[AtomicU64]>,
    /// Raised whenever messages may have been lost.
    era: AtomicU64,
    is_told: AtomicBool,
}

#[derive(Clone)]
struct Kept {
    /// An `Option<Arc<V>>`.
    value: Arc<dyn Any + Send + Sync>,
    mark: Mark,
    /// See [`Entry::fresh_until_ms`](quash_core::freshness::Entry).
    fresh_until_ms: u64,
}

/// What the counters of an entry said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    era: u64,
    counters: SmallVec<[u64; 4]>,
}

impl Copies {
    pub(crate) fn new(entries: u64, ttl: Duration) -> Self {
        let kept = moka::sync::Cache::builder().max_capacity(entries).time_to_live(ttl).build();
        let counters = (0..STRIPES).map(|_| AtomicU64::new(0)).collect();
        Self { kept, counters, era: AtomicU64::new(0), is_told: AtomicBool::new(false) }
    }

    /// What the counters of an entry say now; `None` while the server tells nothing.
    pub(crate) fn mark(&self, spot: &Spot) -> Option<Mark> {
        if !self.is_told.load(SeqCst) {
            return None;
        }
        let era = self.era.load(SeqCst);
        let counters = spot.names().map(|name| self.counter(name.as_bytes()).load(SeqCst)).collect();
        Some(Mark { era, counters })
    }

    /// The value of an entry, if it is kept and nothing was told of it since.
    pub(crate) fn get<V: Send + Sync + 'static>(&self, spot: &Spot) -> Option<Option<Arc<V>>> {
        let mark = self.mark(spot)?;
        let kept = self.kept.get(&spot.key).filter(|kept| kept.mark == mark)?;
        if kept.fresh_until_ms > 0 && now_ms() >= kept.fresh_until_ms {
            return None;
        }
        kept.value.downcast_ref().cloned()
    }

    /// Keeps what the server gave as fresh after the counters said this.
    pub(crate) fn put<V: Send + Sync + 'static>(
        &self,
        spot: &Spot,
        mark: Mark,
        value: Option<Arc<V>>,
        fresh_until_ms: u64,
    ) {
        if self.mark(spot).is_some_and(|now| now == mark) {
            self.kept.insert(Arc::clone(&spot.key), Kept { value: Arc::new(value), mark, fresh_until_ms });
        }
    }

    /// Something happened to a key, or to a tag.
    pub(crate) fn touch(&self, key: &[u8]) {
        self.counter(key).fetch_add(1, SeqCst);
    }

    /// Something happened to all keys, or to nobody knows which.
    pub(crate) fn touch_all(&self) {
        self.era.fetch_add(1, SeqCst);
        self.kept.invalidate_all();
    }

    /// From here on the server tells everything.
    pub(crate) fn begin(&self) {
        self.touch_all();
        self.is_told.store(true, SeqCst);
    }

    /// From here on nothing is told.
    pub(crate) fn end(&self) {
        self.is_told.store(false, SeqCst);
        self.touch_all();
    }

    fn counter(&self, key: &[u8]) -> &AtomicU64 {
        let mut hasher = FxHasher::default();
        key.hash(&mut hasher);
        &self.counters[usize::try_from(hasher.finish() >> 32).unwrap_or_default() % STRIPES]
    }
}
