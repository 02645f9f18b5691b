//! Reads scalars by YAML's core schema, in which `yes`, `no`, `on` and `off` are text.

use super::mask;
use super::node::Value;

/// The value of an unquoted scalar.
pub(super) fn resolve(text: String) -> Value {
    match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ if number(&text).is_some() => Value::Number(text),
        _ => Value::Text(text),
    }
}

/// A number of the core schema.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    /// An integer.
    Int(i128),
    /// Anything else, also an integer too long for the above.
    Float(f64),
}

/// Reads a number: `8`, `-1`, `0x1f`, `0o17`, `0.5`, `1e3`, `.inf`, `.nan`.
pub(super) fn number(text: &str) -> Option<Number> {
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    match unsigned {
        ".inf" | ".Inf" | ".INF" if text.starts_with('-') => Some(Number::Float(f64::NEG_INFINITY)),
        ".inf" | ".Inf" | ".INF" => Some(Number::Float(f64::INFINITY)),
        ".nan" | ".NaN" | ".NAN" if unsigned.len() == text.len() => Some(Number::Float(f64::NAN)),
        _ => decimal(text, unsigned),
    }
}

fn radix(digits: &str, radix: u32) -> Option<Number> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    i128::from_str_radix(digits, radix).ok().filter(|_| plain).map(Number::Int)
}

fn decimal(text: &str, unsigned: &str) -> Option<Number> {
    let starts =
        unsigned.strip_prefix('.').unwrap_or(unsigned).bytes().next().is_some_and(|byte| byte.is_ascii_digit());
    let plain = unsigned.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    if !starts || !plain {
        return None;
    }
    let int = text.parse().ok().map(Number::Int);
    int.or_else(|| text.parse().ok().map(Number::Float))
}

/// Text as a message may carry it: one line, no control characters, no credentials of an address, not long.
pub(super) fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    let whole = line(text);
    match whole.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &whole[..end]),
        None => whole,
    }
}

/// The same in its full length.
pub(super) fn line(text: &str) -> String {
    mask::without_credentials(text).chars().map(printable).collect()
}

/// The character, or a stand-in when a terminal would act on it.
pub(super) fn printable(character: char) -> char {
    match character {
        '\t' | '\n' => ' ',
        // Marks that reorder text would make a line look like another one.
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => '\u{fffd}',
        _ if character.is_control() => '\u{fffd}',
        _ => character,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_older_yaml_read_as_truth_are_text() {
        for word in ["yes", "no", "on", "off", "Yes", "y", "n", "ON"] {
            assert_eq!(resolve(word.to_owned()), Value::Text(word.to_owned()), "{word}");
        }
        assert_eq!(resolve("True".to_owned()), Value::Bool(true));
        assert_eq!(resolve("~".to_owned()), Value::Null);
    }

    #[test]
    fn numbers_are_those_of_the_core_schema() {
        let cases = [
            ("8", Some(Number::Int(8))),
            ("-1", Some(Number::Int(-1))),
            ("+7", Some(Number::Int(7))),
            ("010", Some(Number::Int(10))),
            ("0x1F", Some(Number::Int(31))),
            ("0o17", Some(Number::Int(15))),
            ("0.5", Some(Number::Float(0.5))),
            (".5", Some(Number::Float(0.5))),
            ("5.", Some(Number::Float(5.0))),
            ("1e3", Some(Number::Float(1000.0))),
            ("-.inf", Some(Number::Float(f64::NEG_INFINITY))),
            ("1_000", None),
            ("0x", None),
            ("0x-1", None),
            ("--1", None),
            ("1-2", None),
            ("12:30", None),
            ("1.2.3", None),
            ("inf", None),
            ("nan", None),
            ("e5", None),
            (".", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(number(text), expected, "{text}");
        }
        assert!(matches!(number(".nan"), Some(Number::Float(not)) if not.is_nan()));
    }

    #[test]
    fn shown_text_cannot_move_the_cursor() {
        assert_eq!(shown("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb ");
        assert_eq!(shown(&"x".repeat(100)).chars().count(), 61);
        assert_eq!(shown("a redis://u:p@h b amqp://x@y"), "a redis://***@h b amqp://***@y");
    }
}
