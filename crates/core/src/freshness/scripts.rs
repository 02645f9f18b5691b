//! Holds the scripts that readers and workers run on a key, and reads their replies.
//!
//! Each touches its `KEYS` alone, asks the server for the time, and replicates by its effect. `EVALSHA` runs it, `EVAL`
//! where the server does not know it yet.

use super::frame::{digits, number};

/// A script: its name, its text, and the SHA-1 by which a server knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Script {
    /// The name.
    pub name: &'static str,
    /// The text, in Lua.
    pub text: &'static str,
    /// SHA-1 of the text, in hexadecimal.
    pub sha1: &'static str,
}

macro_rules! script {
    ($name:literal, $sha1:literal) => {
        Script { name: $name, text: include_str!(concat!("lua/", $name, ".lua")), sha1: $sha1 }
    };
}

/// Takes the lease of a key. `KEYS key`, `ARGV token lease_ms want`; replies [`Taken`].
pub const TAKE: Script = script!("take", "b7e9cb02f2843463bcaedd4dab67008c7736238a");
/// Stores an entry if the lease still stands. `KEYS key`, `ARGV token version ttl_ms entry`; replies [`Filled`].
pub const FILL: Script = script!("fill", "7e43de68d56b3b15172767f3279380dde96a5e9b");
/// Gives a lease up. `KEYS key`, `ARGV token`; replies `K`, or `L` where the lease is gone.
pub const DROP: Script = script!("drop", "a4ba57cdd280151f0e19c679a42ba705a4fc641d");
/// Makes entries stale, holds or removes them. `KEYS key…` of one slot, `ARGV version hold_ms stale_ms` with zeros for none;
/// replies one letter a key: [`Voided`].
pub const VOID: Script = script!("void", "25113b0d4d34373b4a4d4d40220cbc32e3888457");
/// [`TAKE`] with the lease in a key beside a plain value. `KEYS key guard`, `ARGV token lease_ms`; replies [`Taken`].
pub const GUARD_TAKE: Script = script!("gtake", "64f56a447c675c927cb1a734df8faf147f8182a9");
/// [`FILL`] with the lease in a key beside a plain value. `KEYS key guard`, `ARGV token ttl_ms value`; replies [`Filled`].
pub const GUARD_FILL: Script = script!("gfill", "9f8744a8da2f46ac8d6df70e1781c7429fd8b9e9");

/// All scripts.
pub const ALL: [Script; 6] = [TAKE, FILL, DROP, VOID, GUARD_TAKE, GUARD_FILL];

/// The version that [`FILL`] and [`VOID`] are given: 20 digits.
#[must_use]
pub fn version_arg(version: u64) -> [u8; 20] {
    digits(version)
}

/// What a reader wants that takes a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Want {
    /// There is no value: one that came meanwhile is as good as the lease.
    Miss,
    /// A value shall be refreshed, or its tags are old.
    Refresh,
}

impl Want {
    /// How [`TAKE`] is told.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Miss => b'm',
            Self::Refresh => b'r',
        }
    }
}

/// What [`TAKE`] says. Times are in milliseconds since the Unix epoch, by the clock of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The lease is taken; a fill must reach this version.
    Won {
        /// The version.
        bar: u64,
        /// The time.
        now_ms: u64,
    },
    /// There is a value: read it again.
    Value,
    /// Somebody loads.
    Busy {
        /// When the lease ends.
        until_ms: u64,
        /// The time.
        now_ms: u64,
    },
    /// Nothing may be stored yet.
    Held {
        /// When the hold ends.
        until_ms: u64,
        /// The time.
        now_ms: u64,
    },
    /// What stands there is no frame.
    Foreign,
}

impl Taken {
    /// Reads a reply; `None` is none of this script.
    #[must_use]
    pub fn read(reply: &[u8]) -> Option<Self> {
        let (letter, rest) = reply.split_first()?;
        let two = |first: usize| {
            let (first, second) = rest.split_at_checked(first).filter(|(_, now)| now.len() == 13)?;
            Some((number(first)?, number(second)?))
        };
        match letter {
            b'W' => two(20).map(|(bar, now_ms)| Self::Won { bar, now_ms }),
            b'B' => two(13).map(|(until_ms, now_ms)| Self::Busy { until_ms, now_ms }),
            b'H' => two(13).map(|(until_ms, now_ms)| Self::Held { until_ms, now_ms }),
            b'V' if rest.is_empty() => Some(Self::Value),
            b'F' if rest.is_empty() => Some(Self::Foreign),
            _ => None,
        }
    }
}

/// What [`FILL`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// It is stored.
    Stored,
    /// The lease is gone: what was loaded may be stale.
    Gone,
    /// What was loaded is older than this version. The lease stands: load again.
    TooOld {
        /// The version.
        bar: u64,
    },
}

impl Filled {
    /// Reads a reply; `None` is none of this script.
    #[must_use]
    pub fn read(reply: &[u8]) -> Option<Self> {
        match reply.split_first()? {
            (b'K', []) => Some(Self::Stored),
            (b'L', []) => Some(Self::Gone),
            (b'O', bar) if bar.len() == 20 => number(bar).map(|bar| Self::TooOld { bar }),
            _ => None,
        }
    }
}

/// What [`VOID`] says of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voided {
    /// It is removed, or was not there.
    Removed,
    /// Its value is stale now, and may be served as that.
    Stale,
    /// It is held, or a fill must reach the version.
    Held,
    /// It knows this version already.
    Known,
}

impl Voided {
    /// Reads the letter of a key; `None` is none of this script.
    #[must_use]
    pub const fn read(letter: u8) -> Option<Self> {
        match letter {
            b'D' => Some(Self::Removed),
            b'S' => Some(Self::Stale),
            b'T' => Some(Self::Held),
            b'N' => Some(Self::Known),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn servers_know_each_script_by_its_digest() {
        for script in ALL {
            assert_eq!(sha1_smol::Sha1::from(script.text).digest().to_string(), script.sha1, "{}", script.name);
        }
    }

    #[test]
    fn replies_are_read() {
        let now_ms = 1_700_000_000_000;
        let won = Taken::Won { bar: 8, now_ms };
        assert_eq!(Taken::read(b"W000000000000000000081700000000000"), Some(won));
        let busy = Taken::Busy { until_ms: now_ms + 1, now_ms };
        assert_eq!(Taken::read(b"B17000000000011700000000000"), Some(busy));
        let held = Taken::Held { until_ms: 9_999_999_999_999, now_ms };
        assert_eq!(Taken::read(b"H99999999999991700000000000"), Some(held));
        assert_eq!([Taken::read(b"V"), Taken::read(b"F")], [Some(Taken::Value), Some(Taken::Foreign)]);
        assert_eq!([Filled::read(b"K"), Filled::read(b"L")], [Some(Filled::Stored), Some(Filled::Gone)]);
        assert_eq!(Filled::read(b"O18446744073709551615"), Some(Filled::TooOld { bar: u64::MAX }));
        let voided = [Voided::Removed, Voided::Stale, Voided::Held, Voided::Known];
        assert_eq!([b'D', b'S', b'T', b'N'].map(Voided::read), voided.map(Some));
        for other in ["", "X", "VV", "W", "B1", "O", "O1", "W00000000000000000008170000000000x"] {
            let read = (Taken::read(other.as_bytes()), Filled::read(other.as_bytes()));
            assert_eq!(read, (None, None), "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_reply_can_be_read(reply in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = (Taken::read(&reply), Filled::read(&reply));
        }
    }
}
