//! Says which caches are stale because of an event.

pub mod config;
pub mod dispatch;

pub(crate) mod compile;
pub(crate) mod emit;
pub(crate) mod set;

pub(crate) mod around;
pub(crate) mod cascade;
pub(crate) mod dependency;
pub(crate) mod entity;

#[cfg(feature = "rules")]
pub(crate) mod condition;
#[cfg(not(feature = "rules"))]
#[path = "unevaluated.rs"]
pub(crate) mod condition;
mod known;
pub(crate) mod reads;
#[cfg(feature = "rules")]
mod selected;

/// Why a rule cannot be applied to an event. Trying again cannot help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{error}", cache.as_ref().map(|cache| format!("cache {cache}: ")).unwrap_or_default())]
pub struct RuleError {
    /// The cache whose rule it is, where there is one.
    pub cache: Option<String>,
    /// What went wrong.
    pub error: String,
}
