//! Reads what is cached, so that nothing that was removed comes back.
//!
//! Whoever reads a cache plainly, gets, loads and sets, stores now and then what a change made stale while it was loaded, and no
//! event is to come. Readers of this crate put a *lease* at the key before they load, and store only if it still stands there:
//! whatever removes the key voids every load under way. A hit stays one `GET`.

// What applications read with.
mod cache;
mod caches;
mod many;

// The walk of a reader.
mod serve;

mod step;

mod reader;

mod look;
mod turn;

// What its steps use.
mod flight;
mod health;
mod time;

// Entries in this process, told of changes by the server.
mod local;

#[cfg(feature = "moka")]
mod l1;
#[cfg(feature = "moka")]
mod tracking;

// How entries are declared and spelt.
mod config;
mod key;
mod options;
mod value;

// Where they are.
mod memory;
mod redis;
mod store;

// What is told.
mod error;
mod observe;

#[cfg(test)]
mod tests;

pub use cache::{Cache, Key};
pub use caches::{Builder, Caches};
pub use config::ConfigError;
pub use error::{BoxError, Error};
pub use key::{KeyArgs, KeyPart, Part};
#[cfg(feature = "moka")]
pub use l1::L1;
pub use many::Many;
pub use memory::MemoryStore;
pub use observe::{Event, Miss, Observer, Refused, Tier};
pub use options::{Foreign, Options};
/// Whose types stand in signatures here: tokens, tags, and what scripts say.
pub use quash_core::freshness;
pub use redis::RedisStore;
pub use store::{Store, StoreError};
pub use value::{Codec, Json, Load, Loaded, Outcome, Source};
