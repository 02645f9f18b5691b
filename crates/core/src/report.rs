//! Holds what came of executing a share: which deliveries it failed, and why.

use crate::plan::TargetId;

/// What came of one share on its target.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The target.
    pub target: TargetId,
    /// Done, wholly or but for some deliveries, or not at all.
    pub outcome: Outcome,
}

/// How far a share got.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The target answered for every action. Deliveries that are not named in `failed` are done.
    Answered {
        /// The deliveries with at least one failed action, ascending, each with its first failure.
        failed: Vec<(u32, ActionFailure)>,
        /// Keys that existed and are gone now.
        keys_removed: u64,
        /// Keys that a SCAN pass looked at.
        keys_visited: u64,
    },
    /// The target could not be reached, or stopped answering; nothing is known of any action.
    /// Repeating all of them is harmless.
    Unreachable {
        /// The driver's words, without credentials.
        error: String,
    },
}

/// Why one action failed although the target could be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionFailure {
    /// What was tried, as `delete product:42`.
    pub action: String,
    /// The target's words, without credentials.
    pub error: String,
}
