//! Reads lengths of time as people write them: `200ms`, `30s`, `5m`, `24h`.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

/// The longest length of time: what is added to a point in time must not run over, whatever is configured.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// A length of time with its unit, at most a century: `200ms`, `1.5s`, `5m`, `1h30m`, `7d`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub Duration);

impl Deref for Span {
    type Target = Duration;

    fn deref(&self) -> &Duration {
        &self.0
    }
}

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match read(text) {
            Some(span) if span <= LONGEST => Ok(Self(span)),
            Some(_) => Err(format!("`{text}` is longer than a century")),
            None => Err(format!("`{text}` is no length of time; write a number with a unit, as 200ms, 30s, 5m or 24h")),
        }
    }
}

fn read(text: &str) -> Option<Duration> {
    // The library takes no days, because a day of a calendar is not always 24 hours long; here it is.
    let (days, rest) = match text.split_once('d') {
        Some((days, rest)) => (days.parse::<u32>().ok()?, rest),
        None => (0, text),
    };
    let days = Duration::from_secs(u64::from(days) * 24 * 3600);
    if rest.is_empty() && text.ends_with('d') {
        return Some(days);
    }
    let span: jiff::SignedDuration = rest.parse().ok()?;
    Duration::try_from(span).ok()?.checked_add(days)
}

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::SignedDuration::try_from(self.0) {
            Ok(span) => write!(out, "{span:#}"),
            Err(_) => write!(out, "{}s", self.as_secs()),
        }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}")
    }
}

impl<'de> serde::Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Visitor)
    }
}

struct Visitor;

impl serde::de::Visitor<'_> for Visitor {
    type Value = Span;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a length of time with its unit, as 200ms, 30s, 5m or 24h")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Span, E> {
        text.parse().map_err(E::custom)
    }
}

impl serde::Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A length of time with its unit.",
            "examples": ["200ms", "30s", "5m", "24h"],
            "pattern": "^[0-9]"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_as_people_write_them() {
        let cases = [
            ("200ms", 200),
            ("1.5s", 1500),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("24h", 86_400_000),
            ("7d", 604_800_000),
            ("1d12h", 129_600_000),
            ("0s", 0),
        ];
        for (text, ms) in cases {
            assert_eq!(text.parse::<Span>(), Ok(Span(Duration::from_millis(ms))), "{text}");
        }
        for text in ["1000000h", "9223372036854775807s", "4294967295d"] {
            assert!(text.parse::<Span>().is_err_and(|error| error.ends_with("longer than a century")), "{text}");
        }
        for text in ["", "30", "s", "-5s", "soon", "d", "-1d", "1dd", "1d5", "99999999999d"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
