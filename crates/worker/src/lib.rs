//! The flow of a worker: deliveries in, invalidated and settled out.
//!
//! [`handle`] holds the whole flow: a batch of deliveries, settled. Each verb in it is the module to open next.

// The flow: receive, resolve, fan out, decide, settle; and a word to who waits.
pub mod consume;

pub mod handle;

pub mod fan_out;

pub mod lane;

pub mod hand_over;

mod later;

pub mod settle;

mod answer;

// What the flow works with.
pub mod drain;
mod item;
pub mod snapshot;
pub mod source;
pub mod text;

// What errors of servers mean, and what mends them.
pub mod hint;

// What others see of it while it runs.
pub mod view;

// Builds all of it from a configuration, swaps it on reload.
pub mod app;

// What could not be done, kept and explained.
pub mod dead_letter;

// What a key is, by the rules alone.
pub mod claims;

// What the worker tells.
pub mod metrics;
