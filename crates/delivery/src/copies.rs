//! Makes the messages that take the place of another: shares to try again, and dead letters with their records.

use quash_core::plan::TargetId;
use quash_transport::Message;

use crate::decide::{Letter, Park, Why};
use crate::headers;
use crate::record::{Attempt, Record};
use crate::state::{ATTEMPTS_KEPT, State, read_attempts, read_replays, shorten, unconfigured, write_attempts};

/// What a letter says of where its message came from. Short texts: an event may be all name.
#[derive(Debug, Clone, Default)]
pub struct Origin<'a> {
    /// The event's identifier.
    pub id: Option<String>,
    /// What changed.
    pub entity: Option<String>,
    /// The source's configured name.
    pub source: &'a str,
    /// The broker's identifier of the message; empty where none carried it.
    pub broker_id: &'a str,
    /// Who gives it up.
    pub worker: &'a str,
    /// Why the rules asked for what failed: short lines.
    pub trace: Vec<String>,
}

/// A share that is tried again: the payload as it is, with the state that it travels with. `targets` are the names of the
/// rules' targets, `now_ms` is the time in milliseconds since the Unix epoch.
#[must_use]
pub fn parked(original: &Message, park: &Park, targets: &[String], now_ms: i64) -> Message {
    let mut message = original.clone();
    park.state.write(&mut message.headers, targets);
    match park.why {
        Why::NextPass => {
            write_attempts(&mut message.headers, &[]);
            message.headers.remove(headers::CACHES_DONE);
            message.headers.remove(headers::DUE);
        }
        Why::Unreachable | Why::Unconfigured | Why::NotHandedOver => {}
        Why::Failed | Why::Panicked => {
            let mut attempts = read_attempts(&original.headers);
            attempts.extend(failed_attempts(park, targets, now_ms));
            write_attempts(&mut message.headers, &attempts);
        }
    }
    message.headers.remove(headers::RECORD);
    message
}

/// The attempts that failed this time, as they are kept.
pub fn failed_attempts<'a>(
    park: &'a Park,
    targets: &'a [String],
    now_ms: i64,
) -> impl Iterator<Item = Attempt> + use<'a> {
    park.failures.iter().map(move |(target, error)| Attempt {
        at_ms: now_ms,
        target: target.and_then(|id| name(targets, id)),
        error: shorten(error),
    })
}

/// A dead letter. It keeps what a replay needs to act on this share alone, and starts its attempts afresh.
#[must_use]
pub fn letter(original: &Message, letter: &Letter, origin: Origin<'_>, targets: &[String], now_ms: i64) -> Message {
    let record = record(original, letter, origin, targets, now_ms);
    let mut message = original.clone();
    State { attempt: 1, first_failure_ms: None, ..letter.state }.write(&mut message.headers, targets);
    write_attempts(&mut message.headers, &record.attempts);
    record.put(&mut message.headers);
    message
}

fn record(original: &Message, letter: &Letter, origin: Origin<'_>, targets: &[String], now_ms: i64) -> Record {
    let target = target(original, letter, targets);
    Record {
        version: Record::VERSION,
        id: origin.id,
        source: origin.source.to_owned(),
        broker_id: origin.broker_id.to_owned(),
        entity: origin.entity,
        reason: letter.reason,
        error: shorten(&letter.error),
        cache: letter.cache.clone(),
        attempts_made: letter.attempts_made,
        attempts: attempts(original, target.as_deref(), &letter.error, now_ms),
        target,
        first_failure_ms: letter.first_failure_ms,
        last_failure_ms: now_ms,
        trace: origin.trace,
        worker: origin.worker.to_owned(),
        quash: env!("CARGO_PKG_VERSION").to_owned(),
        replays: read_replays(&original.headers),
    }
}

/// The target that a letter is about, also one that is not configured here.
fn target(original: &Message, letter: &Letter, targets: &[String]) -> Option<String> {
    match letter.target {
        Some(id) => name(targets, id),
        None if letter.state.targets.is_empty() => unconfigured(&original.headers, targets),
        None => None,
    }
}

/// The failed attempts that concern this letter, the last one included.
fn attempts(original: &Message, target: Option<&str>, error: &str, now_ms: i64) -> Vec<Attempt> {
    let concerns =
        |attempt: &Attempt| target.is_none() || attempt.target.is_none() || attempt.target.as_deref() == target;
    let earlier = read_attempts(&original.headers).into_iter().filter(concerns);
    let last = Attempt { at_ms: now_ms, target: target.map(str::to_owned), error: shorten(error) };
    let mut attempts: Vec<Attempt> = earlier.chain([last]).collect();
    attempts.drain(..attempts.len().saturating_sub(ATTEMPTS_KEPT));
    attempts
}

fn name(targets: &[String], id: TargetId) -> Option<String> {
    targets.get(usize::from(id.0)).cloned()
}
