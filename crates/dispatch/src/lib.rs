//! Says how an event travels: transports that move bytes and know no event.

// What travels, and what brokers promise about it.
pub mod transport;
