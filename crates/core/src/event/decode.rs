//! Turns a message's bytes into changes, by format, within limits.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::Change;

/// The formats of events. `auto` recognises all of them by their shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Recognise the format of each message.
    #[default]
    Auto,
    /// Quash's own JSON.
    Json,
    /// CloudEvents 1.0, structured or binary.
    CloudEvents,
    /// Debezium's change envelope, with or without schema.
    Debezium,
    /// wal2json, format version 2: one object per tuple.
    Wal2json,
}

/// Bounds on what one message may contain; past them it is refused, never truncated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EventLimits {
    /// Bytes of one message, checked before it is parsed.
    pub max_message_bytes: usize,
    /// Levels of nested objects and lists.
    pub max_depth: usize,
    /// Events in one message.
    pub max_events: usize,
}

impl Default for EventLimits {
    fn default() -> Self {
        Self { max_message_bytes: 1024 * 1024, max_depth: 32, max_events: 10_000 }
    }
}

/// One message as a transport hands it over.
#[derive(Debug, Clone, Copy)]
pub struct Payload<'a> {
    /// The body, byte for byte.
    pub body: &'a [u8],
    /// The message's headers: CloudEvents attributes in binary mode, and a `content-type`.
    pub headers: &'a [(Cow<'static, str>, String)],
}

/// Why a message could not be decoded. Trying again cannot help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not what their format asks for.
    #[error("{0}")]
    Malformed(String),
    /// A limit was exceeded.
    #[error("{what} is {actual}, the limit is {limit} ({setting})")]
    Limit {
        /// What was measured: `message size`, `nesting depth`, `number of events`.
        what: &'static str,
        /// What was found; for depth the first level past the limit.
        actual: usize,
        /// What is allowed.
        limit: usize,
        /// The configuration key that raises the limit, as `limits.max_depth`.
        setting: &'static str,
    },
}

/// Decodes one message into its changes, in their order, appending to `changes`.
///
/// Messages that carry nothing to invalidate (a Debezium tombstone or heartbeat, a transaction boundary) append nothing.
///
/// # Errors
/// When the message is malformed or over a limit; `changes` is then as it was.
pub fn decode<'a>(
    payload: Payload<'a>,
    format: Format,
    limits: &EventLimits,
    changes: &mut Vec<Change<'a>>,
) -> Result<(), DecodeError> {
    let _ = (payload, format, limits, changes);
    Err(DecodeError::Malformed("not built yet".to_owned()))
}
