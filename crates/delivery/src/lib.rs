//! What a message carries beside its payload, and what becomes of it: done, tried again, handed on, or kept as a dead letter.

// What becomes of it: one exhaustive match, and the copies that carry it out.
pub mod decide;

pub mod verdict;

pub mod copies;

// What travels with it.
pub mod headers;

pub mod record;

pub mod state;

// When it comes back.
pub mod retry;
