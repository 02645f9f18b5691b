//! Decides what is stale: change events in, a plan of what to remove out. Pure: no I/O, no clock, no chance.
//!
//! The modules stand in reading order. [`resolve`] holds the whole flow from bytes to a plan; each verb in it is the
//! module to open next.

// The flow: bytes to a plan.
mod capability;
pub mod declarations;
pub mod explain;
pub mod guarantee;
pub mod resolve;

mod emit;
pub mod location;
mod resolution;
mod resolver;
pub mod scope;
pub mod spell;
pub mod undeclared;

// What changed.
pub mod event;

// What is stale because of it.
pub mod rule;

// Which keys that means.
pub mod key;

pub mod glob;

// What readers and workers write at a key.
pub mod freshness;

// What to do about it, merged over a batch.
pub mod action;
pub mod plan;
pub mod reserved;
mod target;

// What is said once it is done.
pub mod answer;

// What it costs.
pub mod steps;
