//! Relays what was committed from a database's log to a source's broker, at least once.
//!
//! The log is confirmed to the database only after the broker confirmed, so that a kill of anybody at any moment loses nothing; what
//! comes twice has the same `id`. One relay works on a slot, others stand by.

// Runs it.
pub mod relay;

// The databases: a folder each.
pub mod postgres;

// What they share.
mod publisher;

pub mod error;
pub mod status;

pub use error::RelayError;
pub use relay::Relay;
pub use status::Status;
