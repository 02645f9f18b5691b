//! Defines the primitives that act on one target.

use std::sync::Arc;

use crate::glob::Glob;

/// One primitive on one target. All of them may be repeated and reordered without harm.
///
/// Keys are physical: the target's key format is already applied. They may hold any byte that text may hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// Remove one key.
    Delete(Box<str>),
    /// Remove every key that begins with this text, taken literally. Never empty.
    DeletePrefix(Box<str>),
    /// Remove every key that this glob matches as a whole. Never one that matches everything.
    DeletePattern(Glob),
    /// Replace a generation token by a fresh random one, so that everything written under the old one is stale.
    /// The token is an ASCII integer; a missing token means stale, so that eviction never revives old entries.
    Bump(Box<str>),
    /// Write an ASCII integer, as libraries with tag times or generations expect it.
    Set {
        /// The physical key.
        key: Box<str>,
        /// What to write.
        write: Write,
    },
    /// Tell processes with a local copy.
    Publish {
        /// The channel.
        channel: Arc<str>,
        /// The message, UTF-8 JSON.
        message: Box<str>,
    },
}

/// An ASCII integer to write, how long it lives, and whether only in the place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Write {
    /// The integer.
    pub number: Number,
    /// How long it lives.
    pub life: Life,
    /// Nothing is written where the key does not exist.
    pub only_if_exists: bool,
}

impl Write {
    /// This integer, for good, whether the key exists or not.
    #[must_use]
    pub const fn exactly(number: i64) -> Self {
        Self { number: Number::Exactly(number), life: Life::Forever, only_if_exists: false }
    }

    /// Another integer in the place of a generation that exists, which keeps its time to live: what incrementing it would
    /// do, in one command that may be repeated. Where there is none, there is nothing that could be fresh.
    pub const RENEW: Self = Self { number: Number::Fresh, life: Life::Keep, only_if_exists: true };
}

/// Which integer to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Number {
    /// This one.
    Exactly(i64),
    /// The microseconds since the Unix epoch when it is written. Readers take a missing key for stale: where the memory is
    /// full, the key is removed instead.
    NowUs,
    /// A random one of at most 62 bits, which was never there before and may be incremented for long. Readers take a
    /// missing key for stale, as above.
    Fresh,
}

/// How long a written integer lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Life {
    /// Until somebody removes it.
    Forever,
    /// So many milliseconds, at least one.
    Ms(u64),
    /// As long as what it replaces.
    Keep,
}

impl Action {
    /// The kinds' names in metrics and reports, as [`Action::kind`] gives them.
    pub const KINDS: [&'static str; 6] = ["delete", "delete_prefix", "delete_pattern", "bump", "set", "publish"];

    /// The place of its kind in [`Action::KINDS`].
    #[must_use]
    pub const fn kind_index(&self) -> usize {
        match self {
            Self::Delete(_) => 0,
            Self::DeletePrefix(_) => 1,
            Self::DeletePattern(_) => 2,
            Self::Bump(_) => 3,
            Self::Set { .. } => 4,
            Self::Publish { .. } => 5,
        }
    }

    /// The kind's name in metrics and reports.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        Self::KINDS[self.kind_index()]
    }

    /// Whether it takes a pass over all keys.
    #[must_use]
    pub const fn scans(&self) -> bool {
        matches!(self, Self::DeletePrefix(_) | Self::DeletePattern(_))
    }

    /// What it acts on: a key, a prefix, a glob or a channel.
    #[must_use]
    pub fn object(&self) -> &str {
        match self {
            Self::Delete(object) | Self::DeletePrefix(object) | Self::Bump(object) | Self::Set { key: object, .. } => {
                object
            }
            Self::DeletePattern(glob) => glob.text(),
            Self::Publish { channel, .. } => channel,
        }
    }
}

/// Kinds of actions: what a store can do, or what removing something takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ActionSet(u8);

impl ActionSet {
    /// None.
    pub const NONE: Self = Self(0);
    /// Every kind.
    pub const ALL: Self = Self((1 << Action::KINDS.len()) - 1);
    /// [`Action::Delete`].
    pub const DELETE: Self = Self(1);
    /// [`Action::DeletePrefix`].
    pub const DELETE_PREFIX: Self = Self(1 << 1);
    /// [`Action::DeletePattern`].
    pub const DELETE_PATTERN: Self = Self(1 << 2);
    /// [`Action::Bump`].
    pub const BUMP: Self = Self(1 << 3);
    /// [`Action::Set`].
    pub const SET: Self = Self(1 << 4);
    /// [`Action::Publish`].
    pub const PUBLISH: Self = Self(1 << 5);

    /// The kind of an action.
    #[must_use]
    pub const fn of(action: &Action) -> Self {
        Self(1 << action.kind_index())
    }

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These without those.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all of those are among these.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        other.without(self).0 == 0
    }

    /// The kinds' names, as [`Action::kind`] gives them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        (0..).zip(Action::KINDS).filter(move |(index, _)| self.0 & (1 << index) != 0).map(|(_, name)| name)
    }
}

impl Number {
    /// The integer, given the time in microseconds since the Unix epoch and a random number.
    #[must_use]
    pub const fn resolve(self, now_us: i64, random: u64) -> i64 {
        match self {
            Self::Exactly(number) => number,
            Self::NowUs => now_us,
            Self::Fresh => (random >> 2).cast_signed(),
        }
    }

    /// Whether removing the key does as well as writing.
    #[must_use]
    pub const fn may_be_missing(self) -> bool {
        matches!(self, Self::NowUs | Self::Fresh)
    }
}
