//! Defines the record that a dead letter carries in its header: what happened, when, where and why.

use quash_core::event::DecodeError;
use quash_transport::Headers;
use serde::{Deserialize, Serialize};

use crate::headers;

/// Why a message became a dead letter. A closed set: these names are API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It is not an event in any known format.
    Decode,
    /// It is over a limit.
    Limit,
    /// A rule cannot be applied to it.
    Rule,
    /// A target answered with an error on every attempt.
    TargetError,
    /// A target could not be reached, or was not configured, until `retry.give_up_after` had passed.
    GaveUp,
    /// Handling it panicked, or killed workers, too often.
    Panic,
}

impl Reason {
    /// Every reason, in the order of the documentation.
    pub const ALL: [Self; 6] = [Self::Decode, Self::Limit, Self::Rule, Self::TargetError, Self::GaveUp, Self::Panic];

    /// The name in records, metrics and filters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Limit => "limit",
            Self::Rule => "rule",
            Self::TargetError => "target_error",
            Self::GaveUp => "gave_up",
            Self::Panic => "panic",
        }
    }

    /// Why a message is here that cannot be decoded.
    #[must_use]
    pub const fn of_undecodable(error: &DecodeError) -> Self {
        match error {
            DecodeError::Malformed(_) => Self::Decode,
            DecodeError::Limit { .. } => Self::Limit,
        }
    }

    /// What to do about it, in one sentence.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Decode => "the publisher sends something that is no event: mend it there, then discard the letter",
            Self::Limit => "the event is over a limit: raise the limit and replay, or discard the letter",
            Self::Rule => "a rule cannot be applied to the event: mend the rule or the event, then replay",
            Self::TargetError => "the target refused every attempt: mend what it says, then replay",
            Self::GaveUp => "the target stayed away for too long: replay once it is back",
            Self::Panic => "handling it broke the worker: report it with the payload, replay after an upgrade",
        }
    }
}

/// One failed attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// On which target; `None` when it failed before any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The error, without credentials.
    pub error: String,
}

/// What is known of a dead letter, version 1 of the format.
///
/// This is what Quash writes. Readers take the fields one by one, since letters also come from others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The version of this format.
    pub version: u32,
    /// The event's identifier, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The source it was received from, as configured.
    pub source: String,
    /// The broker's identifier of the original message.
    pub broker_id: String,
    /// What changed, if the message could be decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// Why.
    pub reason: Reason,
    /// The last error, without credentials.
    pub error: String,
    /// The target that failed; `None` when it failed before any. Other targets are done, or have letters of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The cache whose rule failed, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<String>,
    /// How many attempts were made.
    pub attempts_made: u32,
    /// The last of them, oldest first.
    pub attempts: Vec<Attempt>,
    /// When it first failed, in milliseconds since the Unix epoch.
    pub first_failure_ms: i64,
    /// When it last failed, in milliseconds since the Unix epoch.
    pub last_failure_ms: i64,
    /// Why the rules asked for what failed: short lines.
    #[serde(default)]
    pub trace: Vec<String>,
    /// The worker that gave it up.
    pub worker: String,
    /// The version of Quash that wrote this.
    pub quash: String,
    /// How often it was replayed before.
    #[serde(default)]
    pub replays: u32,
}

impl Record {
    /// The version that this Quash writes.
    pub const VERSION: u32 = 1;

    /// Puts the record into the headers of the letter.
    pub fn put(&self, headers: &mut Headers) {
        #[expect(clippy::expect_used, reason = "strings, numbers and lists of them always have a JSON form")]
        headers.set(headers::RECORD, serde_json::to_string(self).expect("a record is plain data"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_reasons_are_those_in_records() {
        for reason in Reason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.name());
        }
    }
}
