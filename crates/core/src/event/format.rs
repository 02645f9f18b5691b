//! Names the formats of events, and the limits that decoding keeps.

use serde::{Deserialize, Serialize};

/// The formats of events. `auto` recognises all of them by their shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// Maxwell: one object per row of MySQL.
    Maxwell,
    /// Canal's flat JSON, also as TiCDC writes it.
    Canal,
    /// Sequin: one object per row of PostgreSQL.
    Sequin,
}

impl Format {
    /// Every format, in the order of the documentation.
    pub const ALL: [Self; 8] = [
        Self::Auto,
        Self::Json,
        Self::CloudEvents,
        Self::Debezium,
        Self::Wal2json,
        Self::Maxwell,
        Self::Canal,
        Self::Sequin,
    ];

    /// The name in configuration and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Json => "json",
            Self::CloudEvents => "cloud_events",
            Self::Debezium => "debezium",
            Self::Wal2json => "wal2json",
            Self::Maxwell => "maxwell",
            Self::Canal => "canal",
            Self::Sequin => "sequin",
        }
    }
}

/// Bounds on what one message may contain; past them it is refused, never truncated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct EventLimits {
    /// Bytes of one message, checked before it is parsed.
    pub max_message_bytes: usize,
    /// Levels of nested objects and lists; the parser's own bound of 127 cannot be exceeded.
    pub max_depth: usize,
    /// Events in one message.
    pub max_events: usize,
}

impl Default for EventLimits {
    fn default() -> Self {
        Self { max_message_bytes: 1024 * 1024, max_depth: 32, max_events: 10_000 }
    }
}

/// The parser itself gives up at the 128th level; a higher setting has no effect.
const DEPTH_PARSED: usize = 127;

impl EventLimits {
    /// The levels of nested objects and lists that a message may have, whatever is set.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.max_depth.min(DEPTH_PARSED)
    }
}
