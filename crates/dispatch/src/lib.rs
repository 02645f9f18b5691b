//! Sees to it that what was cached from a changed row goes: publishes change events from applications, or acts on them there.
//!
//! An application says what changed; the configuration that it shares with Quash's workers says which caches are stale because
//! of that, and where the work runs. Everything that it needs is in [`Dispatcher`], [`Event`], [`Invalidate`] and
//! [`Transaction`]; the rest is what transports and workers are made of.
//!
//! ```
//! use std::time::Duration;
//!
//! use quash_dispatch::config::Config;
//! use quash_dispatch::{Dispatcher, Event, Invalidate};
//!
//! #[derive(serde::Serialize)]
//! struct Book { id: i64, author_id: i64, title: &'static str }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // In a file of its own: `Dispatcher::load("quash.yaml")`.
//! let config = Config::parse(r#"
//! version: 1
//! targets: { main: { memory: {} } }       # redis: { url: "redis://cache:6379/1" }
//! sources: { events: { memory: {} } }     # amqp, nats or redis_streams; each is a feature of this crate
//! dispatch: queue                         # for all caches; workers do the work
//! caches:
//!   book:
//!     key: "book:{id}"
//!     dispatch: inline                    # for this one: gone when the call returns
//!     depends_on: [ { row: shop.Book } ]
//!   author_page:
//!     key: "author:{author_id}:{page}"
//!     depends_on: [ { row: shop.Book } ]
//! "#)?;
//! let dispatcher = Dispatcher::from_config(&config)?;
//!
//! let before = Book { id: 42, author_id: 3, title: "Walden" };
//! let after = Book { author_id: 4, ..before };
//!
//! // Beside a transaction of the database: sent after its commit, and dropped with a rollback.
//! let mut changes = dispatcher.transaction();
//! changes.add(Event::update("shop.Book").key("id", 42).before(&before).after(&after).changed(["author_id"]));
//! changes.add(Invalidate::tag("bestsellers"));
//! let receipt = changes.commit_blocking()?;             // or changes.commit().await?
//! assert_eq!(receipt.done(), ["book"]);
//! assert!(receipt.is_queued());
//!
//! let drained = dispatcher.shutdown_blocking(Duration::from_secs(5));
//! assert!(drained.undone.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! None is on by default, so that an application builds what it uses: its broker, `amqp` (RabbitMQ), `nats` (NATS JetStream) or
//! `redis_streams`, and `in_process` where caches are dispatched by `inline`, `threadpool` or `task`: that brings the driver of
//! the targets and evaluates conditions. `schema` (part of `in_process`) makes errors inside of alternatives say more. Messages
//! in this process (`memory`, for tests) are always there.

// What applications publish, and to whom.
pub mod dispatcher;
pub mod event;
pub mod transaction;

// How all this is declared.
pub mod config;

pub use dispatcher::Dispatcher;
pub use event::{Event, Invalidate};
/// Whose types stand in signatures here: `Secret`, `Span`, the problems of a configuration.
pub use quash_config;
/// Whose types stand in signatures here: `Store`, and what it is asked for.
pub use quash_store;
/// Whose types stand in signatures here: `Transport`, `Message`.
pub use quash_transport;
pub use transaction::Transaction;
