//! Words what is wrong with a message: bounded, and with nothing in it that could move a terminal's cursor.

use std::fmt::Write;

use super::{DecodeError, Value};

/// Characters that an error may quote from a payload, after escaping.
const QUOTED_MAX: usize = 60;
/// Bytes shown on each side of the place where JSON is wrong.
const AROUND: usize = 24;

pub(super) fn malformed(text: impl Into<String>) -> DecodeError {
    DecodeError::Malformed(text.into())
}

/// Says in which format, or at which place in a message, something is malformed.
pub(super) fn within(element: impl std::fmt::Display) -> impl FnOnce(DecodeError) -> DecodeError {
    move |error| match error {
        DecodeError::Malformed(text) => malformed(format!("{element}: {text}")),
        limit @ DecodeError::Limit { .. } => limit,
    }
}

/// Text of a payload in backquotes, escaped and cut.
pub(crate) fn quoted(text: &str) -> String {
    format!("`{}`", escaped(text, QUOTED_MAX))
}

/// What a value is, with its content where that helps.
pub(super) fn described(value: &Value<'_>) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Text(text) => format!("the text {}", quoted(text)),
        Value::List(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// What the parser says, with the bytes around the place.
pub(super) fn json(error: &serde_json::Error, text: &str) -> DecodeError {
    let at = offset(text, error.line(), error.column());
    malformed(format!("not valid JSON: {error}, near `{}`", around(text, at)))
}

/// Bytes that are not UTF-8.
pub(super) fn utf8(error: std::str::Utf8Error, body: &[u8]) -> DecodeError {
    let at = error.valid_up_to();
    let byte = body.get(at).copied().unwrap_or_default();
    malformed(format!("not valid UTF-8: byte 0x{byte:02x} at offset {at}; events are JSON in UTF-8"))
}

/// The byte offset of a line and column as the parser counts them, both from 1.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    (before + column.saturating_sub(1)).min(text.len())
}

fn around(text: &str, at: usize) -> String {
    let boundary = |at: &usize| text.is_char_boundary(*at);
    let start = (0..=at.saturating_sub(AROUND)).rev().find(boundary).unwrap_or(0);
    let end = ((at + AROUND).min(text.len())..=text.len()).find(boundary).unwrap_or(text.len());
    escaped(&text[start..end], 2 * QUOTED_MAX)
}

fn escaped(text: &str, max: usize) -> String {
    let mut out = String::new();
    for character in text.chars() {
        let length = out.len();
        // Quotes stay as they are: the text stands between backquotes.
        match character {
            '"' | '\'' => out.push(character),
            '`' => out.push('\''),
            other => write!(out, "{}", other.escape_debug()).unwrap_or_default(),
        }
        if out.chars().count() > max {
            out.truncate(length);
            out.push('…');
            break;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_is_bounded_and_has_no_control_characters() {
        let cases = [
            ("plain \"é\"", "`plain \"é\"`".to_owned()),
            ("a\u{1b}[2J\n\0", "`a\\u{1b}[2J\\n\\0`".to_owned()),
            ("\u{202e}gpj", "`\\u{202e}gpj`".to_owned()),
            ("`rm`", "`'rm'`".to_owned()),
        ];
        for (text, expected) in cases {
            assert_eq!(quoted(text), expected);
        }
        for long in ["x".repeat(10_000), "\u{1b}".repeat(10_000), "é".repeat(10_000)] {
            assert!(quoted(&long).chars().count() <= QUOTED_MAX + 3, "{}", quoted(&long));
        }
    }

    #[test]
    fn the_place_of_an_error_is_found_across_lines() {
        assert_eq!(offset("ab\ncd\n", 2, 2), 4);
        assert_eq!(offset("ab", 9, 9), 2);
        assert_eq!(offset("", 0, 0), 0);
    }
}
