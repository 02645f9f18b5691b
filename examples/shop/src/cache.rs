//! Reads through the cache: what is there is taken, what is not is loaded and stored.

use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;

use crate::Failure;

/// How long an entry lives. It bounds how long a change is not seen of which nobody was told.
const SECONDS: u64 = 60;

/// A Redis that holds what readers have loaded.
#[derive(Clone)]
pub(crate) struct Cache(MultiplexedConnection);

/// What a reader got, and from where.
pub(crate) struct Read {
    pub(crate) body: String,
    pub(crate) is_hit: bool,
}

impl Cache {
    /// Connects.
    pub(crate) async fn open(url: &str) -> Result<Self, Failure> {
        Ok(Self(redis::Client::open(url)?.get_multiplexed_async_connection().await?))
    }

    /// The entry of a key, else what is loaded, which is the entry from then on. What is not there is not stored.
    pub(crate) async fn read(
        &self,
        key: &str,
        load: impl AsyncFnOnce() -> Result<Option<String>, Failure>,
    ) -> Result<Option<Read>, Failure> {
        let mut redis = self.0.clone();
        if let Some(body) = redis.get(key).await? {
            return Ok(Some(Read { body, is_hit: true }));
        }
        let Some(body) = load().await? else { return Ok(None) };
        let () = redis.set_ex(key, &body, SECONDS).await?;
        Ok(Some(Read { body, is_hit: false }))
    }
}
