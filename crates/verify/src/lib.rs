//! Compares samples of cached entries with what is true of them, and says how many of them were fresh.
//!
//! It touches no entry: what it writes stands below `quash:verify` and `quash:canary`. What did not answer is unknown, and
//! counts for nothing.

// The flow: from a key to an outcome.
pub mod verifier;

// What stands at a key, and what is true of it.
mod entry;
mod truth;

// When what is asked.
mod budget;
mod canary;
mod suspects;
mod walk;

// What came of it.
pub mod notes;
pub mod tally;

pub use notes::{Keeper, read_counts};
pub use tally::{Count, Outcome, SampleCounts, Violation};
pub use verifier::{Reached, Verifier, VerifyError, Watch};
