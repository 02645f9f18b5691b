//! Holds what came of executing a share: which deliveries it failed, and why.

use quash_core::action::Action;
use quash_core::plan::{RequestId, TargetId};

/// How much of a key a failure shows, in characters.
const SHOWN_MAX: usize = 200;

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
    /// The target answered for every action. Requests that are not named in `failed` are done.
    Answered {
        /// The requests with at least one failed action, ascending, each with its first failure.
        failed: Vec<(RequestId, ActionFailure)>,
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
    /// What was tried, as `delete product:42`: control characters are escaped and a long key is cut.
    pub action: String,
    /// The target's words, without credentials.
    pub error: String,
}

impl ActionFailure {
    /// What this action failed of.
    #[must_use]
    pub fn new(action: &Action, error: impl Into<String>) -> Self {
        Self { action: format!("{} {}", action.kind(), shown(action.object())), error: error.into() }
    }
}

/// A key may hold any byte, and a terminal or a log line must not.
fn shown(object: &str) -> String {
    let mut shown: String = object.chars().take(SHOWN_MAX).flat_map(printable).collect();
    if object.chars().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    shown
}

fn printable(character: char) -> impl Iterator<Item = char> {
    let escaped = character.is_control().then(|| character.escape_default());
    let plain = escaped.is_none().then_some(character);
    escaped.into_iter().flatten().chain(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_its_action_without_bytes_that_move_a_cursor() {
        let long = "x".repeat(300);
        let cut = format!("delete {}…", "x".repeat(200));
        let cases = [
            ("product:42", "delete product:42"),
            ("grüße \"日本\"", "delete grüße \"日本\""),
            ("a\nb\0c\x1b[31m", "delete a\\nb\\u{0}c\\u{1b}[31m"),
            (long.as_str(), cut.as_str()),
        ];
        for (key, expected) in cases {
            assert_eq!(ActionFailure::new(&Action::Delete(key.into()), "").action, expected);
        }
    }
}
