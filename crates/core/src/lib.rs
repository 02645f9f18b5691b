//! Decides what is stale and removes it: change events in, invalidated cache entries out, and no broker anywhere.
//!
//! The modules stand in reading order. [`resolve`] holds the whole flow from bytes to a plan; each verb in it is the
//! module to open next.

// The flow: bytes to a plan.
pub mod explain;
pub mod resolve;
pub mod scope;
pub mod whereabouts;

// What changed.
pub mod event;

// What is stale because of it.
pub mod rule;

// Which keys that means.
pub mod key;

// What to do about it, merged over a batch.
pub mod action;
pub mod plan;

// Doing it, and what came of it.
pub mod execute;
pub mod report;
pub mod store;

// How all this is declared.
pub mod config;
