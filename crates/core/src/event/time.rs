//! Reads points in time as microseconds since the Unix epoch.

use super::DecodeError;
use super::Value;
use super::problem::{described, malformed};

/// A point in time in RFC 3339, also with a space and a short offset as PostgreSQL writes it.
pub(super) fn text_us(text: &str) -> Option<i64> {
    utc_us(text.as_bytes()).or_else(|| text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond))
}

/// The spelling that nearly all publishers use, `2026-11-20T11:46:04.123456Z`, read without a general parser, which
/// would take an eighth of the time of a whole event.
fn utc_us(text: &[u8]) -> Option<i64> {
    let [y0, y1, y2, y3, b'-', mo0, mo1, b'-', d0, d1, b'T', h0, h1, b':', mi0, mi1, b':', s0, s1, rest @ .., b'Z'] =
        text
    else {
        return None;
    };
    let number = |digits: &[&u8]| {
        digits
            .iter()
            .try_fold(0_i16, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i16::from(**digit - b'0')))
    };
    let two = |high, low| number(&[high, low]).and_then(|number| i8::try_from(number).ok());
    let (year, month, day) = (number(&[y0, y1, y2, y3])?, two(mo0, mo1)?, two(d0, d1)?);
    let (hour, minute, second) = (two(h0, h1)?, two(mi0, mi1)?, two(s0, s1)?);
    let point = jiff::civil::DateTime::new(year, month, day, hour, minute, second, fraction_ns(rest)?).ok()?;
    jiff::tz::Offset::UTC.to_timestamp(point).ok().map(jiff::Timestamp::as_microsecond)
}

/// Nothing, or a point and up to nine digits.
fn fraction_ns(text: &[u8]) -> Option<i32> {
    let digits = match text {
        [] => return Some(0),
        [b'.', digits @ ..] if matches!(digits.len(), 1..=9) => digits,
        _ => return None,
    };
    let number = |number: i32, digit: &u8| digit.is_ascii_digit().then(|| number * 10 + i32::from(digit - b'0'));
    let number = digits.iter().try_fold(0, number)?;
    Some(number * 10_i32.pow(9 - digits.len() as u32))
}

/// Milliseconds.
pub(super) fn ms_us(ms: i128) -> Option<i64> {
    i64::try_from(ms.checked_mul(1000)?).ok()
}

/// A point in time as a header holds it: also the number of seconds of an AMQP timestamp, or of milliseconds.
pub(super) fn header(text: &str) -> Result<Option<i64>, DecodeError> {
    /// As seconds they end in the year 5138, as milliseconds they begin in 1973.
    const SECONDS_END: u128 = 100_000_000_000;
    match text.parse::<i128>() {
        Ok(number) if number.unsigned_abs() < SECONDS_END => Ok(ms_us(number * 1000)),
        Ok(number) => field(&Value::Int(number)),
        Err(_) => field(&Value::Text(text.into())),
    }
}

/// The `time` of an event: RFC 3339 text, or an integer of milliseconds.
pub(super) fn field(value: &Value<'_>) -> Result<Option<i64>, DecodeError> {
    let read = match value {
        Value::Null => return Ok(None),
        Value::Text(text) => text_us(text),
        Value::Int(ms) => ms_us(*ms),
        _ => None,
    };
    read.map(Some).ok_or_else(|| {
        malformed(format!(
            "`time` is {}: expected RFC 3339 text or milliseconds since 1970 as an integer",
            described(value)
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_the_spellings_of_all_formats() {
        let cases = [
            ("1970-01-01T00:00:01Z", Some(1_000_000)),
            ("1970-01-01T00:00:01.000002Z", Some(1_000_002)),
            ("1970-01-01T01:00:00+01:00", Some(0)),
            ("1970-01-01 00:00:00.5+00", Some(500_000)),
            ("1970-01-01 05:30:00+05:30", Some(0)),
            ("1970-01-01T00:00:00", None),
            ("2024-02-29T23:59:59.999999999Z", Some(1_709_251_199_999_999)),
            ("2023-02-29T00:00:00Z", None),
            ("2023-01-01T24:00:00Z", None),
            ("2023-01-01T00:00:00.Z", None),
            ("2023-01-01T00:00:0xZ", None),
            ("-261-01-01T00:00:00Z", None),
            ("yesterday", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(text_us(text), expected, "{text}");
        }
        assert_eq!(field(&Value::Int(1_500)), Ok(Some(1_500_000)));
        assert!(field(&Value::Int(i128::from(i64::MAX))).is_err());
        assert!(field(&Value::Float(1.5)).is_err());
        for (text, expected) in [
            ("1795175164", Some(1_795_175_164_000_000)),
            ("1795175164123", Some(1_795_175_164_123_000)),
            ("0", Some(0)),
            ("-1", Some(-1_000_000)),
            ("1970-01-01T00:00:01Z", Some(1_000_000)),
        ] {
            assert_eq!(header(text), Ok(expected), "{text}");
        }
        for text in ["x", "170141183460469231731687303715884105727", "-170141183460469231731687303715884105728", ""] {
            assert!(header(text).is_err(), "{text}");
        }
    }
}
