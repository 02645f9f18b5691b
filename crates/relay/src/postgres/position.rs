//! Spells positions in PostgreSQL's log, and transaction ids with their epoch.

use std::fmt;

/// A position in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Lsn(pub(super) u64);

/// As PostgreSQL spells it: `16/B374D848`.
impl fmt::Display for Lsn {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

/// Gives transaction ids, which the log cuts to 32 bits, the epoch that they are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epochs {
    /// A whole id of about the same time.
    near: u64,
}

impl Epochs {
    /// Starts from a whole id of about now.
    pub(super) const fn near(id: u64) -> Self {
        Self { near: id }
    }

    /// The whole id: of those that end in these bits, the one that is nearest to the last.
    pub(super) const fn whole(&mut self, xid: u32) -> u64 {
        #[expect(clippy::cast_possible_truncation, reason = "the bits that the log keeps are those that are compared")]
        let ahead = xid.wrapping_sub(self.near as u32).cast_signed();
        self.near = self.near.saturating_add_signed(ahead as i64);
        self.near
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_spelt_as_postgresql_does() {
        assert_eq!(Lsn(0x16_B374_D848).to_string(), "16/B374D848");
    }

    #[test]
    fn an_id_has_the_epoch_of_its_time() {
        let epoch = 1_u64 << 32;
        let cases = [
            (700, 701, 701),
            (700, 650, 650),
            (epoch + 5, u32::MAX, epoch - 1),
            (epoch - 1, 3, epoch + 3),
            (3 * epoch + 10, 9, 3 * epoch + 9),
        ];
        for (near, xid, whole) in cases {
            assert_eq!(Epochs::near(near).whole(xid), whole, "{xid} near {near}");
        }
    }
}
