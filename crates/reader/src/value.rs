//! Encodes the values of a cache, and holds what a load gives.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::BoxError;

/// Encodes and decodes the values of a cache.
pub trait Codec<V>: Send + Sync + 'static {
    /// The bytes of a value.
    ///
    /// # Errors
    /// When it has none; it is not stored then.
    fn encode(&self, value: &V) -> Result<Vec<u8>, BoxError>;

    /// The value of these bytes.
    ///
    /// # Errors
    /// When they are those of something else, as an earlier version of the application stored it; that is a miss.
    fn decode(&self, bytes: &[u8]) -> Result<V, BoxError>;
}

/// JSON: what every language and `quash verify` can read, and what says so if a field is missing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Json;

impl<V: Serialize + DeserializeOwned> Codec<V> for Json {
    fn encode(&self, value: &V) -> Result<Vec<u8>, BoxError> {
        serde_json::to_vec(value).map_err(Into::into)
    }

    fn decode(&self, bytes: &[u8]) -> Result<V, BoxError> {
        serde_json::from_slice(bytes).map_err(Into::into)
    }
}

/// What a loader is told.
#[derive(Debug)]
#[non_exhaustive]
pub struct Load<V> {
    /// The key on the server.
    pub key: Arc<str>,
    /// The value that a change made stale, where it is still there.
    pub stale: Option<Arc<V>>,
    /// The version that what is loaded must know to be stored; 0 in caches without versions.
    pub min_version: u64,
    /// Counts from 1; more only in caches with versions, when what was loaded before was too old.
    pub attempt: u32,
}

impl<V> Load<V> {
    /// Whether to read from the primary: what was read before was older than the change.
    #[must_use]
    pub const fn prefer_primary(&self) -> bool {
        self.attempt > 1
    }
}

/// What a load gives: a value, or that there is none, and what should be stored with it.
///
/// A value alone, or an `Option` of it, becomes one by `into()`.
#[derive(Debug, Clone)]
pub struct Loaded<V> {
    pub(crate) value: Option<V>,
    pub(crate) ttl: Option<Duration>,
    pub(crate) version: u64,
}

impl<V> Loaded<V> {
    /// A value.
    #[must_use]
    pub const fn new(value: V) -> Self {
        Self { value: Some(value), ttl: None, version: 0 }
    }

    /// That there is none.
    #[must_use]
    pub const fn nothing() -> Self {
        Self { value: None, ttl: None, version: 0 }
    }

    /// The same, to be stored for so long instead of what the cache says; soft expiry keeps its part of it.
    #[must_use]
    pub fn ttl(self, ttl: Duration) -> Self {
        Self { ttl: Some(ttl), ..self }
    }

    /// The same, which knows all changes up to this one; for caches with versions. It must be found out before or with what was
    /// loaded, never after it.
    #[must_use]
    pub fn version(self, version: u64) -> Self {
        Self { version, ..self }
    }
}

impl<V> From<V> for Loaded<V> {
    fn from(value: V) -> Self {
        Self::new(value)
    }
}

impl<V> From<Option<V>> for Loaded<V> {
    fn from(value: Option<V>) -> Self {
        value.map_or_else(Self::nothing, Self::new)
    }
}

/// What a reader gets, and where it is from.
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome<V> {
    /// The value; `None` if there is none.
    pub value: Option<Arc<V>>,
    /// Where it is from.
    pub from: Source,
    /// How long ago it was stored, where the cache has a `soft_ttl` to tell it by.
    pub age: Option<Duration>,
}

impl<V> Clone for Outcome<V> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), from: self.from, age: self.age }
    }
}

/// Where a value is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// What this process keeps of a fresh entry.
    L1,
    /// A fresh entry on the server.
    Redis,
    /// An entry that a change made stale; it is loaded in the background.
    Stale,
    /// It was loaded.
    Loaded,
}

/// As the header `Cache-Status` of RFC 9211 says it, behind the name of the cache: `hit`, `hit; detail=stale`, `fwd=miss`.
impl std::fmt::Display for Source {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::L1 => "hit; detail=l1",
            Self::Redis => "hit",
            Self::Stale => "hit; detail=stale",
            Self::Loaded => "fwd=miss",
        })
    }
}
