//! What a message carries beside its payload, and what becomes of it: tried again, handed on, or kept as a dead letter.

// What travels with a message.
pub mod headers;
pub mod record;
pub mod state;

// When it comes back.
pub mod retry;
