//! Says how an event travels: transports that move bytes and know no event.

// How all this is declared.
pub mod config;

// What travels, and what brokers promise about it.
pub mod transport;

// What a message carries beside its payload once something of it is done, or went wrong.
pub mod headers;
pub mod record;
pub mod retry;
pub mod state;
