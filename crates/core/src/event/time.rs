//! Reads points in time as microseconds since the Unix epoch.

use super::DecodeError;
use super::Value;
use super::problem::{described, malformed};

/// A point in time in RFC 3339, also with a space and a short offset as PostgreSQL writes it.
pub(super) fn text_us(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond)
}

/// Milliseconds.
pub(super) fn ms_us(ms: i128) -> Option<i64> {
    i64::try_from(ms.checked_mul(1000)?).ok()
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
            ("yesterday", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(text_us(text), expected, "{text}");
        }
        assert_eq!(field(&Value::Int(1_500)), Ok(Some(1_500_000)));
        assert!(field(&Value::Int(i128::from(i64::MAX))).is_err());
        assert!(field(&Value::Float(1.5)).is_err());
    }
}
