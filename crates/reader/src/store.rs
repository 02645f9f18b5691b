//! Defines what a reader asks of the server that holds the entries.

use std::error::Error;
use std::time::Duration;

use async_trait::async_trait;
use quash_core::freshness::{Filled, Tag, Taken, Token, Want};

/// The server that holds the entries, as a reader uses it: a key is seen and changed by one command at a time, in one order for all.
///
/// Everything but [`Store::get`] goes to the primary; `get` may go to a replica, whose lag readers then see. No call repeats a
/// command whose outcome is not known. Dropping a call before it returns leaves open whether it was done, and harms nothing.
///
/// Names are those of keys as they stand on the server. Times are whole milliseconds, and at least one.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// What stands at each of these keys, in their order; `None` where there is nothing, or nothing that is bytes.
    ///
    /// # Errors
    /// When the server cannot be asked. What did not answer is never `None`.
    async fn get(&self, keys: &[&str]) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

    /// Puts a lease where there is nothing, for so long; `None` when that is done. Else what stands there, untouched; no bytes where
    /// that is none, as a list is. It may be asked again with the same token.
    ///
    /// # Errors
    /// When the server cannot be asked.
    async fn ask(&self, key: &str, token: Token, lease: Duration) -> Result<Option<Vec<u8>>, StoreError>;

    /// Takes the lease of a key where something stands, or may: [`TAKE`](quash_core::freshness::scripts::TAKE).
    ///
    /// # Errors
    /// When the server cannot be asked.
    async fn take(&self, key: &str, token: Token, lease: Duration, want: Want) -> Result<Taken, StoreError>;

    /// Stores an entry for so long if the lease still stands: [`FILL`](quash_core::freshness::scripts::FILL). Never call it again
    /// with the same entry after an error: it may have been done, and undone by a change since.
    ///
    /// # Errors
    /// When the server cannot be asked; whether it is stored is not known then.
    async fn fill(
        &self,
        key: &str,
        token: Token,
        version: u64,
        ttl: Duration,
        entry: &[u8],
    ) -> Result<Filled, StoreError>;

    /// Gives a lease up, so that nobody waits for it: [`DROP`](quash_core::freshness::scripts::DROP). Whether it was there.
    ///
    /// # Errors
    /// When the server cannot be asked; the lease ends by itself then.
    async fn drop_lease(&self, key: &str, token: Token) -> Result<bool, StoreError>;

    /// Gives a tag this token if it has none, and returns the one that it has then; `None` where that is no token.
    ///
    /// # Errors
    /// When the server cannot be asked.
    async fn make_tag(&self, tag: &str, token: Tag) -> Result<Option<Tag>, StoreError>;

    /// Gives a tag this token if it has one, so that what was stored under that one is stale. A tag that is not there stays so.
    ///
    /// # Errors
    /// When the server cannot be asked.
    async fn renew_tag(&self, tag: &str, token: Tag) -> Result<(), StoreError>;

    /// Writes bytes for so long, whatever stands there.
    ///
    /// # Errors
    /// When the server cannot be asked; whether it is written is not known then.
    async fn set(&self, key: &str, bytes: &[u8], ttl: Duration) -> Result<(), StoreError>;

    /// Removes a key, with whatever lease stands there.
    ///
    /// # Errors
    /// When the server cannot be asked; whether it is removed is not known then.
    async fn remove(&self, key: &str) -> Result<(), StoreError>;
}

/// The server could not be asked, or gave no answer that means anything.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {source}")]
#[non_exhaustive]
pub struct StoreError {
    /// What was asked for.
    pub operation: &'static str,
    /// Why that failed; holds no value and no password.
    pub source: Box<dyn Error + Send + Sync>,
}

impl StoreError {
    /// An operation that failed, and why.
    #[must_use]
    pub fn new(operation: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { operation, source: source.into() }
    }
}
