//! Defines what takes samples of a cache's entries and keeps notes beside them, and touches no entry.

use std::time::Duration;

use async_trait::async_trait;
use quash_core::reserved::RESERVED;

use super::StoreError;

/// Takes samples of entries.
#[async_trait]
pub trait Probe: Send + Sync {
    /// Some keys from this place on, in the server's own order, which says nothing of what is in them; a page may be empty. Each
    /// key that stays is in some page of a walk, perhaps in two.
    ///
    /// # Errors
    /// As [`Store::identity`](super::Store::identity).
    async fn page(&self, from: ScanPosition) -> Result<ScanPage, StoreError>;

    /// What stands at each of these keys, in their order; `None` where nothing does. Of a value that is longer than this not more
    /// than one byte beyond; what is no string has no bytes.
    ///
    /// # Errors
    /// As [`Store::identity`](super::Store::identity).
    async fn read(&self, keys: &[&str], bytes_max: usize) -> Result<Vec<Option<Stood>>, StoreError>;

    /// Writes a note of Quash's own, which ends by itself; with `only_new` only where there is none. Whether it was written.
    ///
    /// # Errors
    /// As [`Store::identity`](super::Store::identity); [`StoreError::Refused`] for a key that is not below `quash:`.
    async fn note(&self, key: &str, bytes: &[u8], life: Duration, only_new: bool) -> Result<bool, StoreError>;
}

/// A place in a walk over all keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScanPosition {
    /// Which server, in an order of the store's own.
    pub(crate) node: usize,
    /// The server's own word for it; empty at the beginning.
    pub(crate) cursor: String,
}

/// Some keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScanPage {
    /// The keys that are text; others are none of Quash's.
    pub keys: Vec<String>,
    /// Where it goes on; `None` when the walk has come round.
    pub next: Option<ScanPosition>,
}

/// What stood at a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stood {
    /// Its bytes; `None` for what is no string.
    pub bytes: Option<Vec<u8>>,
    /// How long it has to live, in milliseconds; `None` for ever, and where that may not be asked for.
    pub ttl_ms: Option<u64>,
}

/// Refuses to write what is not Quash's own.
pub(crate) fn is_own(key: &str) -> Result<(), StoreError> {
    let refused = || StoreError::Refused(format!("a note stands below `{RESERVED}`, and `{key}` does not"));
    if key.starts_with(RESERVED) { Ok(()) } else { Err(refused()) }
}
