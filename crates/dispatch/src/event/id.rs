//! Makes the identifiers of events (UUIDs of version 7, which sort by the time they were made) and spells their times.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// A fresh identifier.
pub(super) fn fresh(now: SystemTime) -> String {
    let ms = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    uuid7(ms, fastrand::u128(..))
}

/// The UUID of version 7 of a time since 1970 and 80 random bits (RFC 9562).
fn uuid7(ms: u128, chance: u128) -> String {
    let number = (ms & 0xFFFF_FFFF_FFFF) << 80 | chance & ((1 << 80) - 1);
    let number = number & !(0xF << 76) | 0x7 << 76;
    let number = number & !(0x3 << 62) | 0x2 << 62;
    let mut text = String::with_capacity(36);
    for (index, byte) in number.to_be_bytes().into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.extend([byte >> 4, byte & 0xF].map(digit));
    }
    text
}

fn digit(number: u8) -> char {
    char::from(if number < 10 { b'0' + number } else { b'a' + number - 10 })
}

/// A time in microseconds since the Unix epoch.
pub(super) fn time_us(at: SystemTime) -> i64 {
    match at.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |us| -us),
    }
}

/// A time as RFC 3339 in UTC, with microseconds where there are any.
pub(super) fn time(at: SystemTime) -> String {
    let us = time_us(at);
    let (second, us) = (us.div_euclid(1_000_000), us.rem_euclid(1_000_000));
    let (day, second) = (second.div_euclid(86_400), second.rem_euclid(86_400));
    let (year, month, day) = civil(day);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if us != 0 {
        // Writing into a text never fails.
        let _ = write!(text, ".{us:06}");
    }
    text.push('Z');
    text
}

/// The date of a day since 1970, in the Gregorian calendar: Howard Hinnant's `civil_from_days`.
const fn civil(day: i64) -> (i64, i64, i64) {
    // Eras of 400 years begin in March, so that the leap day comes last.
    let shifted = day + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = year + era * 400;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn identifiers_sort_by_time() {
        let (early, late) = (uuid7(1, u128::MAX), uuid7(2, 0));
        assert_eq!(early, "00000000-0001-7fff-bfff-ffffffffffff");
        assert_eq!(late, "00000000-0002-7000-8000-000000000000");
        assert!(early < late);
        assert_ne!(fresh(UNIX_EPOCH), fresh(UNIX_EPOCH));
    }

    #[test]
    fn times_are_spelt_as_python_spells_them() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (1_795_175_164_123_456, "2026-11-20T11:46:04.123456Z"),
            (1_709_164_800_000_001, "2024-02-29T00:00:00.000001Z"),
            (4_107_542_399_000_000, "2100-02-28T23:59:59Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00Z"),
        ];
        for (us, text) in cases {
            assert_eq!(time(UNIX_EPOCH + Duration::from_micros(us)), text);
        }
        assert_eq!(time(UNIX_EPOCH - Duration::from_micros(1)), "1969-12-31T23:59:59.999999Z");
    }
}
