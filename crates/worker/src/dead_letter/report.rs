//! Says to programs what letters there are and what became of them: the JSON of the commands and of the endpoint.

use quash_transport::LetterId;
use serde::Serialize;

use super::Letter;
use super::discard::Discarded;
use super::groups::Group;
use super::replay::Replayed;
use super::select::Selection;

/// What a program is told of a letter in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary<'a> {
    /// Names it at the broker.
    pub id: &'a str,
    /// The event's identifier.
    pub event_id: Option<&'a str>,
    /// How long ago it failed.
    pub age_ms: Option<i64>,
    /// Why it is here.
    pub reason: Option<&'a str>,
    /// What changed.
    pub entity: Option<&'a str>,
    /// The cache whose rule failed.
    pub cache: Option<&'a str>,
    /// The target that failed.
    pub target: Option<&'a str>,
    /// How many attempts were made.
    pub attempts: Option<u32>,
    /// How often it was replayed before.
    pub replays: u32,
    /// The last error.
    pub error: Option<&'a str>,
    /// When it first failed, in milliseconds since the Unix epoch.
    pub first_failure_ms: Option<i64>,
    /// When it last failed, in milliseconds since the Unix epoch.
    pub last_failure_ms: Option<i64>,
    /// How long its payload is.
    pub payload_bytes: usize,
}

impl<'a> Summary<'a> {
    /// Of a letter that was read as a whole.
    #[must_use]
    pub fn of(letter: &'a Letter, now_ms: i64) -> Self {
        Self::of_outline(letter, letter.message.payload.len(), now_ms)
    }

    /// Of a letter whose payload of so many bytes is somewhere else.
    #[must_use]
    pub fn of_outline(letter: &'a Letter, payload_bytes: usize, now_ms: i64) -> Self {
        let about = &letter.about;
        Self {
            id: &letter.id.0,
            event_id: about.id.as_deref(),
            age_ms: letter.age_ms(now_ms),
            reason: about.reason.as_deref(),
            entity: about.entity.as_deref(),
            cache: about.cache.as_deref(),
            target: about.target.as_deref(),
            attempts: about.attempts_made,
            replays: about.replays,
            error: about.error.as_deref(),
            first_failure_ms: about.first_failure_ms,
            last_failure_ms: about.last_failure_ms,
            payload_bytes,
        }
    }
}

/// What a program is told of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupReport<'a> {
    /// The group.
    #[serde(flatten)]
    pub group: &'a Group,
    /// The filter that finds its letters.
    pub filter: String,
    /// What to do about them, where this version knows it.
    pub cure: Option<&'static str>,
}

impl<'a> GroupReport<'a> {
    /// Of a group.
    #[must_use]
    pub fn of(group: &'a Group) -> Self {
        Self { group, filter: group.cause.filter(), cure: group.cause.cure() }
    }
}

/// What a program is told of a replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplayReport {
    /// The source.
    pub source: String,
    /// Whether nothing was to be done.
    pub dry_run: bool,
    /// Letters of the set.
    pub matched: usize,
    /// See [`Replayed::replayed`].
    pub replayed: u64,
    /// See [`Replayed::gone`].
    pub gone: u64,
    /// See [`Replayed::left`].
    pub left: u64,
    /// See [`Replayed::unclear`].
    pub unclear: u64,
    /// See [`Selection::circling`].
    pub skipped: Vec<LetterId>,
    /// See [`Selection::missing`].
    pub missing: Vec<LetterId>,
}

impl ReplayReport {
    /// Of a set, and how far its replay came.
    #[must_use]
    pub fn of(source: &str, dry_run: bool, selection: &Selection, so_far: Replayed) -> Self {
        let Replayed { replayed, gone, left, unclear } = so_far;
        let Selection { chosen, circling, missing, .. } = selection;
        let (source, matched, skipped, missing) = (source.to_owned(), chosen.len(), circling.clone(), missing.clone());
        Self { source, dry_run, matched, replayed, gone, left, unclear, skipped, missing }
    }
}

/// What a program is told of a removal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiscardReport {
    /// The source.
    pub source: String,
    /// Whether nothing was to be done.
    pub dry_run: bool,
    /// Letters of the set.
    pub matched: usize,
    /// See [`Discarded::discarded`].
    pub discarded: u64,
    /// See [`Discarded::gone`].
    pub gone: u64,
    /// See [`Discarded::left`].
    pub left: u64,
    /// See [`Selection::missing`].
    pub missing: Vec<LetterId>,
}

impl DiscardReport {
    /// Of a set, and how far its removal came.
    #[must_use]
    pub fn of(source: &str, dry_run: bool, selection: &Selection, so_far: Discarded) -> Self {
        let Discarded { discarded, gone, left } = so_far;
        let (source, matched, missing) = (source.to_owned(), selection.chosen.len(), selection.missing.clone());
        Self { source, dry_run, matched, discarded, gone, left, missing }
    }
}
