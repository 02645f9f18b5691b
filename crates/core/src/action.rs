//! Defines the primitives that act on one target.

use std::sync::Arc;

/// One primitive on one target. All of them may be repeated and reordered without harm.
///
/// Keys are physical: the target's key format is already applied. They may hold any byte that text may hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// Remove one key.
    Delete(Box<str>),
    /// Remove every key that begins with this text, taken literally. Never empty.
    DeletePrefix(Box<str>),
    /// Replace a generation token by a fresh random one, so that everything written under the old one is stale.
    /// The token is an ASCII integer; a missing token means stale, so that eviction never revives old entries.
    Bump(Box<str>),
    /// Write an ASCII integer, as libraries with tag times or generations expect it.
    Set {
        /// The physical key.
        key: Box<str>,
        /// The integer.
        value: i64,
        /// Time to live in milliseconds; `None` keeps it for good.
        ttl_ms: Option<u64>,
    },
    /// Tell processes with a local copy.
    Publish {
        /// The channel.
        channel: Arc<str>,
        /// The message, UTF-8 JSON.
        message: Box<str>,
    },
}

impl Action {
    /// The kind's name in metrics and reports.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Delete(_) => "delete",
            Self::DeletePrefix(_) => "delete_prefix",
            Self::Bump(_) => "bump",
            Self::Set { .. } => "set",
            Self::Publish { .. } => "publish",
        }
    }

    /// What it acts on: a key, a prefix or a channel.
    #[must_use]
    pub fn object(&self) -> &str {
        match self {
            Self::Delete(object) | Self::DeletePrefix(object) | Self::Bump(object) | Self::Set { key: object, .. } => {
                object
            }
            Self::Publish { channel, .. } => channel,
        }
    }
}
