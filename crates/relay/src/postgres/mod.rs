//! Reads PostgreSQL's log by logical replication: the plug-in `pgoutput`, a publication and a slot.

// The flow: from a slot to the broker.
mod session;

// What `check --connect` says of it.
mod inspect;

// Pure: from the log to messages.
mod pgoutput;
mod position;
mod table;
mod transaction;
mod types;

// How it is talked to.
mod address;
mod catalogue;
mod failure;
mod link;
mod setup;
mod tls;

pub use address::{Address, AddressError};
pub(crate) use failure::Failure;
pub(crate) use inspect::{Reads, inspect};
pub(crate) use session::Session;
pub(crate) use setup::Wanted;
pub use tls::{Encrypted, Handshake, Tls};
