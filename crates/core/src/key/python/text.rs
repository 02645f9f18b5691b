//! Spells Python's text: `repr()` of `str` and `bytes`, percent-encoding, JSON, UUIDs.

use std::fmt::Write;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Unknown, float};

/// Everything but what `urllib.parse.quote` leaves alone when nothing else is said: letters, digits and `_.-~/`.
const QUOTED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'~').remove(b'/');

/// `urllib.parse.quote(text)`: percent-encoding of the UTF-8 bytes.
#[must_use]
pub fn quote(text: &str) -> String {
    utf8_percent_encode(text, QUOTED).to_string()
}

/// Appends `repr()` of a `str`.
pub fn text_repr(text: &str, out: &mut String) {
    let quote = quote_of(text.contains('\''), text.contains('"'));
    out.push(quote);
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            same if same == quote => out.extend(['\\', same]),
            printable if is_printable(printable) => out.push(printable),
            other => push_code(other, out),
        }
    }
    out.push(quote);
}

/// `ascii()` of a text that `repr()` gave: what is not ASCII escaped.
#[must_use]
pub fn ascii(repr: &str) -> String {
    let mut out = String::with_capacity(repr.len());
    for character in repr.chars() {
        if character.is_ascii() { out.push(character) } else { push_code(character, &mut out) }
    }
    out
}

/// Appends `repr()` of `bytes`.
pub(super) fn bytes_repr(bytes: &[u8], out: &mut String) {
    let quote = quote_of(bytes.contains(&b'\''), bytes.contains(&b'"'));
    out.extend(['b', quote]);
    for byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            b' '..=b'~' if char::from(*byte) == quote => out.extend(['\\', quote]),
            b' '..=b'~' => out.push(char::from(*byte)),
            other => push_hex(u32::from(*other), out),
        }
    }
    out.push(quote);
}

/// A single quote, unless that is in the text and a double one is not.
const fn quote_of(has_single: bool, has_double: bool) -> char {
    if has_single && !has_double { '"' } else { '\'' }
}

/// Whether Python prints a character as it is. Rust escapes the same categories in `Debug`: others, and separators but the
/// blank; combining characters only at the beginning, which is why one stands in front.
fn is_printable(character: char) -> bool {
    let pair: String = ['a', character].iter().collect();
    matches!(character, '"' | '\'') || pair.escape_debug().skip(1).eq([character])
}

fn push_code(character: char, out: &mut String) {
    let code = u32::from(character);
    // Writing to a String cannot fail.
    let _ = match code {
        ..=0xff => return push_hex(code, out),
        0x100..=0xffff => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
}

fn push_hex(code: u32, out: &mut String) {
    let _ = write!(out, "\\x{code:02x}");
}

/// A UUID as `str()` prints it: hyphens, lower case. Also from braces, `urn:uuid:` and without hyphens, as `uuid.UUID` reads it.
pub(super) fn uuid(text: &str) -> Result<String, Unknown> {
    let bare = text.trim().trim_start_matches("urn:").trim_start_matches("uuid:").trim_matches(['{', '}']);
    let digits: String = bare.chars().filter(|character| *character != '-').collect();
    if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("no UUID, but its type is uuid");
    }
    let digits = digits.to_ascii_lowercase();
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    Ok(parts.join("-"))
}

/// `json.dumps(value, sort_keys=True)`: sorted keys, blanks behind commas and colons, ASCII.
#[must_use]
pub fn json(value: &serde_json::Value) -> String {
    use serde_json::Value as Json;
    match value {
        Json::Null => "null".to_owned(),
        Json::Bool(truth) => truth.to_string(),
        Json::Number(number) => match number.as_f64() {
            Some(fraction) if number.is_f64() => float(fraction),
            _ => number.to_string(),
        },
        Json::String(text) => json_text(text),
        Json::Array(items) => format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(", ")),
        Json::Object(entries) => {
            let mut sorted: Vec<_> = entries.iter().collect();
            sorted.sort_by_key(|(key, _)| *key);
            let entries = sorted.into_iter().map(|(key, value)| format!("{}: {}", json_text(key), json(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

fn json_text(text: &str) -> String {
    let mut out = String::from('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(character),
            other => other.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                let _ = write!(out, "\\u{unit:04x}");
            }),
        }
    }
    out.push('"');
    out
}
