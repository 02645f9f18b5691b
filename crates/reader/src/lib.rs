//! Reads what is cached, so that nothing that was removed comes back.
//!
//! Whoever reads a cache plainly, gets, loads and sets, stores now and then what a change made stale while it was loaded, and no
//! event is to come. Readers of this crate put a *lease* at the key before they load, and store only if it still stands there:
//! whatever removes the key voids every load under way. A hit stays one `GET`.
//!
//! ```
//! use std::sync::Arc;
//!
//! use quash_reader::{Cache, Caches, Error, MemoryStore, Source};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! struct Product { id: i64, price: String }
//!
//! struct Database;
//!
//! impl Database {
//!     async fn product(&self, id: i64) -> Result<Option<Product>, std::io::Error> {
//!         Ok((id == 42).then(|| Product { id, price: "9.50".to_owned() }))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // In a file of its own, the one that workers run: `.config("quash.yaml")`.
//! let caches = Caches::builder()
//!     .config_text(r#"
//! version: 1
//! targets: { main: { redis: { url: "redis://cache:6379/1" } } }
//! caches:
//!   product: { key: "product:{id}", freshness: lease, ttl: 10m, depends_on: [ { row: shop.Product } ] }
//! "#)
//!     .store(Arc::new(MemoryStore::new()))              // `.redis(redis::Client::open(url)?)`
//!     .build()?;
//! let products: Cache<Product> = caches.cache("product")?;
//!
//! let db = Arc::new(Database);
//! let load = |id| {
//!     let db = Arc::clone(&db);
//!     move |_load| { let db = Arc::clone(&db); async move { db.product(id).await } }
//! };
//! assert_eq!(products.key(42).get_or_load(load(42)).await?.price, "9.50");
//! assert!(matches!(products.key(43).get_or_load(load(43)).await, Err(Error::Absent)));
//!
//! let read = products.key(42).get_or_load_with(load(42)).await?;
//! assert_eq!(read.from, Source::Redis);
//! assert_eq!(format!("Cache-Status: product; {}", read.from), "Cache-Status: product; hit");
//! # Ok(())
//! # }
//! ```

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
mod packing;
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
#[cfg(feature = "encryption")]
pub use packing::ValueEncryption;
/// Whose types stand in signatures here: tokens, tags, and what scripts say.
pub use quash_core::freshness;
pub use redis::RedisStore;
pub use store::{Store, StoreError};
pub use value::{Codec, Json, Load, Loaded, Outcome, Source};
