//! Reads and fills the shop's cache as an application does: get, miss, load, set.

use std::time::Duration;

use quash_config::Secret;
use quash_store::memory::Memory;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;

/// Entries of a real cache go by themselves when the shop could not clear up.
const TIME_TO_LIVE_S: u64 = 600;
const CONNECTING_MAX: Duration = Duration::from_secs(5);

/// The application's end of the cache.
#[derive(Clone)]
pub(super) struct Shelf {
    kind: Kind,
    /// What stands before every key.
    prefix: String,
}

#[derive(Clone)]
enum Kind {
    Memory(Memory),
    Redis(MultiplexedConnection),
}

impl Shelf {
    /// The cache of this name in this process.
    pub(super) fn memory(name: &str, prefix: &str) -> Self {
        Self { kind: Kind::Memory(Memory::named(name)), prefix: prefix.to_owned() }
    }

    /// A real Redis.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub(super) async fn redis(url: &Secret, prefix: &str) -> Result<Self, String> {
        let client = redis::Client::open(url.expose()).map_err(|error| words(&error))?;
        let connecting = tokio::time::timeout(CONNECTING_MAX, client.get_multiplexed_async_connection());
        let connection = connecting.await.map_err(|_| "no answer".to_owned())?.map_err(|error| words(&error))?;
        Ok(Self { kind: Kind::Redis(connection), prefix: prefix.to_owned() })
    }

    /// The physical key, as the target spells it.
    pub(super) fn physical(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// The value of a key.
    ///
    /// # Errors
    /// The driver's words.
    pub(super) async fn get(&self, key: &str) -> Result<Option<String>, String> {
        let key = self.physical(key);
        match &self.kind {
            Kind::Memory(memory) => Ok(memory.get(&key).map(|value| String::from_utf8_lossy(&value).into_owned())),
            Kind::Redis(connection) => connection.clone().get(key).await.map_err(|error| words(&error)),
        }
    }

    /// Writes an entry.
    ///
    /// # Errors
    /// The driver's words.
    pub(super) async fn set(&self, key: &str, value: &str) -> Result<(), String> {
        let key = self.physical(key);
        match &self.kind {
            Kind::Memory(memory) => {
                memory.set(key, value);
                Ok(())
            }
            Kind::Redis(connection) => {
                connection.clone().set_ex(key, value, TIME_TO_LIVE_S).await.map_err(|error| words(&error))
            }
        }
    }
}

/// The driver's words; its errors name hosts and never passwords.
fn words(error: &redis::RedisError) -> String {
    error.to_string()
}
