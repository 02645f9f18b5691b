//! Says which caches are stale because of an event.

pub mod config;

/// Why a rule cannot be applied to an event. Trying again cannot help.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("cache {cache}: {error}")]
pub struct RuleError {
    /// The cache whose rule it is.
    pub cache: String,
    /// What went wrong.
    pub error: String,
}
