//! Relays what was committed from a database's log, or from an outbox, to a source's broker, at least once.
//!
//! The log is confirmed to the database, and a row of an outbox removed, only after the broker confirmed, so that a kill of anybody at any moment loses nothing; what
//! comes twice has the same `id`. One relay works on a slot, others stand by.

// Runs it.
pub mod relay;

// What is read: the log of a database, a folder each, or an outbox.
pub mod outbox;
pub mod postgres;

// What they share.
mod publisher;

pub mod error;
pub mod status;

pub use error::RelayError;
pub use relay::Relay;
pub use status::Status;
