//! The flow of a worker: deliveries in, invalidated and settled out.
//!
//! [`handle`] holds the whole flow: a batch of deliveries, settled. Each verb in it is the module to open next.

// The flow: receive, resolve, fan out, decide, settle.
pub mod app;
pub mod consume;
pub mod decide;
pub mod drain;
pub mod fan_out;
pub mod hand_over;
pub mod handle;
pub mod lane;
pub mod verdict;

// What could not be done, kept and explained.
pub mod dead_letter;

// What the worker is told, and what it tells.
pub mod admin;
pub mod metrics;
