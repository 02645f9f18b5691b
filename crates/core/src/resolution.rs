//! Holds what is asked of the rules, and what they answer.

use std::time::Duration;

use crate::answer::AnswerId;
use crate::event::{DecodeError, Format, Payload};
use crate::plan::{Plan, RequestId, TargetSet};
use crate::rule::RuleError;
use crate::scope::{CacheId, Scope, SourceSet};
use crate::undeclared::Undeclared;

pub use crate::rule::Widened;

/// One delivery, as the resolver sees it.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The message.
    pub payload: Payload<'a>,
    /// Its format.
    pub format: Format,
    /// What of it is to do.
    pub remaining: Remaining<'a>,
}

impl<'a> Request<'a> {
    /// A fresh event, of which everything is to do here.
    #[must_use]
    pub const fn fresh(payload: Payload<'a>, format: Format) -> Self {
        Self { payload, format, remaining: Remaining::ALL }
    }
}

/// What of a message is to do here.
#[derive(Debug, Clone, Copy)]
pub struct Remaining<'a> {
    /// The targets still to do; [`TargetSet::ALL`] on the first attempt.
    pub targets: TargetSet,
    /// Which pass this is: zero for the first, else the entry of `again_after` that came due.
    pub pass: Duration,
    /// Which caches it is about; `None` is all of them, as in a fresh event.
    pub scope: Option<&'a Scope>,
    /// The sources that count as somebody else's: caches that name one of them are not done, but reported in
    /// [`Resolution::handed_over`].
    pub elsewhere: SourceSet,
    /// Whether what it matches is counted: what a share that comes back matches was counted before.
    pub counts: bool,
    /// Whether its later passes may travel with those of others, as commands: [`Resolution::later`].
    pub merges: bool,
}

impl Remaining<'_> {
    /// Everything, as in a fresh event.
    pub const ALL: Self = Self {
        targets: TargetSet::ALL,
        pass: Duration::ZERO,
        scope: None,
        elsewhere: SourceSet::NONE,
        counts: true,
        merges: false,
    };
}

/// What a batch asks for.
#[derive(Debug, Default)]
pub struct Resolution {
    /// All actions of the batch, one share per target.
    pub plan: Plan,
    /// What became of each request, in their order; of the first ones only, where the batch was split.
    pub outcomes: Vec<Resolved>,
    /// How often each cache matched a request that counts; caches that did not match are left out.
    pub cache_matches: Vec<(CacheId, u32)>,
    /// How often a cache was widened for a request that counts, and why.
    pub widened: Vec<(CacheId, Widened)>,
    /// The requests, and their caches, that have to go to the sources that these caches name.
    /// Ascending by request; usually none.
    pub handed_over: Vec<(RequestId, CacheId)>,
    /// The requests whose publishers wait for an answer, and under which identifiers: in the first pass only. Ascending by
    /// request; usually none.
    pub answers: Vec<(RequestId, AnswerId)>,
    /// What the requests that may be merged ask later passes for, ascending by request. A request whose later passes cannot be
    /// said as commands is left out, whole.
    pub later: Vec<Later>,
    /// The entities of its events that no cache depends on.
    pub undeclared: Undeclared,
    /// How many events of such entities the requests that count had.
    pub undeclared_events: u64,
}

/// What a request asks a later pass for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Later {
    /// Which request.
    pub request: RequestId,
    /// The cache.
    pub cache: CacheId,
    /// When it is due, counted from the first pass.
    pub pass: Duration,
    /// A direct command in native JSON that names the key set.
    pub command: Box<str>,
}

/// What became of one request.
#[derive(Debug, Clone, PartialEq)]
pub enum Resolved {
    /// Nothing declared depends on it.
    Unmatched {
        /// See [`Matched::time_us`].
        time_us: Option<i64>,
    },
    /// It asks for actions on these targets.
    Matched(Matched),
    /// It cannot be resolved, or not wholly; trying again cannot help.
    Refused(Refused),
}

/// What one request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matched {
    /// The targets with at least one action for it, in this pass or a later one; none when all of it is to be handed over.
    pub targets: TargetSet,
    /// When the next pass of `again_after` is due, counted from the first pass like [`Remaining::pass`]; `None` after the last.
    pub next_pass: Option<Duration>,
    /// The earliest commit time among its events, in microseconds since the Unix epoch.
    pub time_us: Option<i64>,
}

/// Why a request cannot be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The message is not an event, or over a limit of decoding.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A key is over a limit.
    #[error("cache {cache}: {error}")]
    Limit {
        /// The cache whose key it is.
        cache: String,
        /// What is over which limit.
        error: String,
    },
    /// A rule cannot be applied to the event.
    #[error(transparent)]
    Rule(#[from] RuleError),
}
