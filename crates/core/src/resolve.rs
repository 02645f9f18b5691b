//! The whole flow of this crate on one screen: bytes to a plan. Pure: no I/O, no clock, no randomness.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::action::Action;
use crate::config::Problem;
use crate::event::{DecodeError, Format, Payload};
use crate::key::KeyFormat;
use crate::plan::{Plan, TargetId, TargetSet};
use crate::rule::RuleError;
use crate::rule::config::{CacheConfig, Limits};

/// The compiled rules. Immutable and cheap to share; a reload makes another one.
#[derive(Debug)]
pub struct Resolver {
    targets: Vec<String>,
    caches: Vec<String>,
}

/// What the rules are compiled from.
#[derive(Debug, Clone, Copy)]
pub struct Declared<'a> {
    /// The targets by name, with their key formats. Their order makes the [`TargetId`]s.
    pub targets: &'a BTreeMap<String, KeyFormat>,
    /// The caches by name.
    pub caches: &'a BTreeMap<String, CacheConfig>,
    /// The bounds.
    pub limits: Limits,
}

impl Resolver {
    /// Compiles the rules. Problems are at paths from the configuration's root (`caches.product.key`); with an error among
    /// them there is no resolver, warnings come beside one.
    pub fn compile(_declared: Declared<'_>) -> (Option<Self>, Vec<Problem>) {
        (None, Vec::new())
    }

    /// Resolves a batch: decodes each request, matches its events against the rules and merges what they ask for.
    pub fn resolve(&self, _requests: &[Request<'_>]) -> Resolution {
        Resolution::default()
    }

    /// The targets' names, in the order of their ids.
    #[must_use]
    pub fn targets(&self) -> &[String] {
        &self.targets
    }

    /// The id of a target.
    #[must_use]
    pub fn target(&self, name: &str) -> Option<TargetId> {
        let place = self.targets.iter().position(|known| known == name)?;
        u8::try_from(place).ok().map(TargetId)
    }

    /// The caches' names, in the order of [`Resolution::cache_matches`].
    #[must_use]
    pub fn caches(&self) -> &[String] {
        &self.caches
    }

    /// What removes everything of every cache on a target: the last resort when the exact past is not known any more.
    #[must_use]
    pub fn everything_on(&self, _target: TargetId) -> Vec<Action> {
        Vec::new()
    }

    /// Why one request asks for what it asks for, as short lines for the rule trace of a dead letter.
    #[must_use]
    pub fn trace(&self, _request: &Request<'_>) -> Vec<String> {
        Vec::new()
    }
}

/// One delivery, as the resolver sees it.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The message.
    pub payload: Payload<'a>,
    /// Its format.
    pub format: Format,
    /// The targets still to do; [`TargetSet::ALL`] on the first attempt.
    pub targets: TargetSet,
    /// Which pass this is: zero for the first, else the entry of `again_after` that came due.
    pub pass: Duration,
}

/// What a batch asks for.
#[derive(Debug, Default)]
pub struct Resolution {
    /// All actions of the batch, one share per target.
    pub plan: Plan,
    /// What became of each request, in their order.
    pub outcomes: Vec<Resolved>,
    /// How often each cache matched, by its place in [`Resolver::caches`]; caches that did not match are left out.
    pub cache_matches: Vec<(u32, u32)>,
    /// How often a cache was widened and why, by its place in [`Resolver::caches`].
    pub widened: Vec<(u32, Widened)>,
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
}

impl Widened {
    /// The name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnknownColumn => "unknown_column",
            Self::UnknownCondition => "unknown_condition",
            Self::TooManyActions => "too_many_actions",
        }
    }
}

/// What became of one request.
#[derive(Debug, PartialEq)]
pub enum Resolved {
    /// Nothing declared depends on it.
    Unmatched {
        /// See [`Asked::time_us`].
        time_us: Option<i64>,
    },
    /// It asks for actions on these targets.
    Asked(Asked),
    /// It cannot be resolved; trying again cannot help.
    Refused(Refused),
}

/// What one request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The targets with at least one action for it. Never empty.
    pub targets: TargetSet,
    /// When the next pass of `again_after` is due, counted from the first pass like [`Request::pass`]; `None` after the last.
    pub next_pass: Option<Duration>,
    /// The earliest commit time among its events, in microseconds since the Unix epoch.
    pub time_us: Option<i64>,
}

/// Why a request cannot be resolved.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refused {
    /// The message is not an event, or over a limit.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A rule cannot be applied to the event.
    #[error(transparent)]
    Rule(#[from] RuleError),
}
