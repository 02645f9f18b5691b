//! Says how an event travels: transports that move bytes and know no event.

// How all this is declared.
pub mod config;

// What applications publish, and to whom.
pub mod dispatcher;
pub mod event;
pub mod transaction;

// What travels, and what brokers promise about it.
pub mod transport;

// What a message carries beside its payload once something of it is done, or went wrong.
pub mod headers;
pub mod record;
pub mod retry;
pub mod state;

pub use dispatcher::Dispatcher;
pub use event::{Event, Invalidate};
pub use transaction::Transaction;
