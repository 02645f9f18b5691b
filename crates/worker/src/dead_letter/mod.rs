//! Keeps what could not be done, and explains it.

pub mod filter;
pub mod record;
pub mod replay;

pub use record::{Attempt, Reason, Record};
