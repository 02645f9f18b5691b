//! Says which caches are stale because of an event.

pub mod config;
pub mod dispatch;
pub mod freshness;
pub mod truth;

pub(crate) mod compile;
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
mod relation;
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

/// Why more is removed than the event names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Widened {
    /// A mapped column is unknown.
    UnknownColumn,
    /// A condition needs a column that is unknown, and counts as true.
    UnknownCondition,
    /// More actions than `limits.max_actions_per_event`.
    TooManyActions,
    /// Keys of more bytes than `limits.max_plan_bytes`.
    TooManyBytes,
}

impl Widened {
    /// The name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnknownColumn => "unknown_column",
            Self::UnknownCondition => "unknown_condition",
            Self::TooManyActions => "too_many_actions",
            Self::TooManyBytes => "too_many_bytes",
        }
    }
}
