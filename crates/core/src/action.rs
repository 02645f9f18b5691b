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
    /// Remove entries together with their guards, in one step each: an entry without its guard could be stored anew by a
    /// load that is under way. The guard of a key is the key with [`GUARD`] behind it.
    DeleteGuarded(Object),
    /// Put a hold in the place of an entry, so that nobody stores one until it ends: [`HOLD`](crate::freshness::HOLD).
    Hold {
        /// The physical key.
        key: Box<str>,
        /// How long nothing may be stored, in milliseconds, at least one.
        ms: u64,
        /// Whether the hold stands in the guard. It is written first, then the entry is removed.
        guarded: bool,
    },
    /// Make entries stale, or remove them where there is nothing that could be served meanwhile: the script
    /// [`VOID`](crate::freshness::scripts::VOID).
    Void {
        /// The entries.
        object: Object,
        /// How.
        void: Void,
    },
    /// Tell processes with a local copy.
    Publish {
        /// The channel.
        channel: Arc<str>,
        /// The message, UTF-8 JSON.
        message: Box<str>,
    },
}

/// What stands behind a key in the name of its guard, where readers keep leases and holds beside a plain value.
pub const GUARD: &str = "!q";

/// The entries of an action, each by its physical key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Object {
    /// One.
    Key(Box<str>),
    /// Those that begin with this text, taken literally. Never empty.
    Prefix(Box<str>),
    /// Those that this glob matches as a whole. Never one that matches everything.
    Pattern(Glob),
}

impl Object {
    /// The key, prefix or glob.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Key(text) | Self::Prefix(text) => text,
            Self::Pattern(glob) => glob.text(),
        }
    }

    /// Its place behind the kind of an action on one key.
    const fn index(&self) -> usize {
        match self {
            Self::Key(_) => 0,
            Self::Prefix(_) => 1,
            Self::Pattern(_) => 2,
        }
    }
}

/// How an entry is made stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Void {
    /// Where the change stands among all changes: what is stored later must have seen it. 0 where that is not known.
    pub version: u64,
    /// How long nothing may be stored, in milliseconds; 0 for no hold.
    pub hold_ms: u64,
    /// How long the old value may still be served, marked as stale, in milliseconds; 0 for not at all.
    pub stale_ms: u64,
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
    pub const KINDS: [&'static str; 10] = [
        "delete",
        "delete_prefix",
        "delete_pattern",
        "bump",
        "set",
        "publish",
        "hold",
        "void",
        "void_prefix",
        "void_pattern",
    ];

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
            Self::DeleteGuarded(object) => object.index(),
            Self::Hold { .. } => 6,
            Self::Void { object, .. } => 7 + object.index(),
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
        match self {
            Self::DeletePrefix(_) | Self::DeletePattern(_) => true,
            Self::DeleteGuarded(object) | Self::Void { object, .. } => !matches!(object, Object::Key(_)),
            Self::Delete(_) | Self::Bump(_) | Self::Set { .. } | Self::Hold { .. } | Self::Publish { .. } => false,
        }
    }

    /// What it acts on: a key, a prefix, a glob or a channel.
    #[must_use]
    pub fn object(&self) -> &str {
        match self {
            Self::Delete(object) | Self::DeletePrefix(object) | Self::Bump(object) => object,
            Self::Set { key, .. } | Self::Hold { key, .. } => key,
            Self::DeleteGuarded(object) | Self::Void { object, .. } => object.text(),
            Self::DeletePattern(glob) => glob.text(),
            Self::Publish { channel, .. } => channel,
        }
    }
}

/// Kinds of actions: what a store can do, or what removing something takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ActionSet(u16);

impl ActionSet {
    /// None.
    pub const NONE: Self = Self(0);
    /// Every kind.
    pub const ALL: Self = Self((1 << Self::NAMES.len()) - 1);
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
    /// [`Action::Hold`].
    pub const HOLD: Self = Self(1 << 6);
    /// [`Action::Void`] of a key.
    pub const VOID: Self = Self(1 << 7);
    /// [`Action::Void`] of a prefix.
    pub const VOID_PREFIX: Self = Self(1 << 8);
    /// [`Action::Void`] of a pattern.
    pub const VOID_PATTERN: Self = Self(1 << 9);
    /// Whatever is done to an entry and its guard in one step.
    pub const GUARD: Self = Self(1 << 10);

    /// The names of the kinds, in the order of their bits.
    const NAMES: [&'static str; Action::KINDS.len() + 1] = {
        let mut names = ["guard"; Action::KINDS.len() + 1];
        let mut kind = 0;
        while kind < Action::KINDS.len() {
            names[kind] = Action::KINDS[kind];
            kind += 1;
        }
        names
    };

    /// What an action takes.
    #[must_use]
    pub const fn of(action: &Action) -> Self {
        let kind = Self(1 << action.kind_index());
        match action {
            Action::DeleteGuarded(_) | Action::Hold { guarded: true, .. } => kind.and(Self::GUARD),
            _ => kind,
        }
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
        (0..).zip(Self::NAMES).filter(move |(index, _)| self.0 & (1 << index) != 0).map(|(_, name)| name)
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
