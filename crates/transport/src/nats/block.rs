//! Reads header blocks as they are stored, also those that the driver's parser refuses, and says why it would; pure.

use std::str::FromStr;

use async_nats::StatusCode;
use async_nats::header::{HeaderMap, HeaderName};

use super::wire;
use crate::message::{UNREADABLE, legible};

/// How a block begins.
const VERSION: &str = "NATS/1.0";

/// How much of a line is quoted.
const QUOTED_MAX: usize = 60;

/// Why the driver cannot read a block, if so. Its parser ends the connection at the first fault; a carriage return inside a
/// value even ends the driver.
pub(super) fn flaw(block: &[u8]) -> Option<String> {
    if block.is_empty() {
        return None;
    }
    let Ok(text) = std::str::from_utf8(block) else {
        let line = block.split(|byte| *byte == b'\n').find(|line| std::str::from_utf8(line).is_err());
        return Some(format!("the header line `{}` is not UTF-8", quoted(line.unwrap_or_default())));
    };
    let mut lines = text.lines();
    let Some(rest) = lines.next().and_then(|first| first.strip_prefix(VERSION)) else {
        return Some(format!("the headers do not begin with {VERSION}"));
    };
    let status = rest.trim().split(' ').next().unwrap_or_default();
    if !status.is_empty() && StatusCode::from_str(status).is_err() {
        return Some(format!("the headers begin with the status `{}`, which is no number", quoted(status.as_bytes())));
    }
    fields(lines).find_map(|(name, value)| wrong(name, &value))
}

fn wrong(name: &str, value: &Option<String>) -> Option<String> {
    let quoted = quoted(name.as_bytes());
    match value {
        None => Some(format!("the header line `{quoted}` has no colon")),
        Some(_) if HeaderName::from_str(name).is_err() => {
            Some(format!("the name of the header `{quoted}` has a space or another sign that names must not have"))
        }
        Some(value) if value.contains('\r') => {
            Some(format!("the header `{quoted}` has a carriage return in its value"))
        }
        Some(_) => None,
    }
}

/// What can be read of a block, with why it is not all.
pub(super) fn read(block: &[u8], why: Option<&str>) -> Option<HeaderMap> {
    let mut map = HeaderMap::new();
    let text = legible(block);
    for (name, value) in fields(text.lines().skip(1)) {
        let value = value.as_deref().unwrap_or_default();
        match HeaderName::from_str(name) {
            Ok(plain) if !name.is_empty() && !value.contains('\r') => map.append(plain, value),
            _ => wire::put_escaped(&mut map, &name.to_lowercase(), value),
        }
    }
    if let Some(why) = why {
        map.insert(UNREADABLE, why.replace(char::is_control, "?"));
    }
    (!map.is_empty()).then_some(map)
}

/// Names with values, which may go on in further lines; a line without a colon has no value.
fn fields<'a>(lines: impl Iterator<Item = &'a str>) -> impl Iterator<Item = (&'a str, Option<String>)> {
    let mut lines = lines.filter(|line| !line.is_empty()).peekable();
    std::iter::from_fn(move || {
        let line = lines.next()?;
        let Some((name, value)) = line.split_once(':') else { return Some((line, None)) };
        let mut value = value.trim_start().to_owned();
        while let Some(more) = lines.next_if(|line| line.starts_with(char::is_whitespace)) {
            value.push_str(more);
        }
        value.truncate(value.trim_end().len());
        Some((name, Some(value)))
    })
}

fn quoted(line: &[u8]) -> String {
    let text = legible(line);
    let text = text.trim_end();
    let end = (0..=QUOTED_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text[..end].to_owned()
}

/// Decodes base64 as the server writes it.
pub(super) fn decoded(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for group in digits.chunks(4) {
        let mut bits = 0_u32;
        for digit in group {
            bits = bits << 6 | u32::from(value_of(*digit)?);
        }
        bits <<= 6 * (4 - group.len());
        let [_, high, middle, low] = bits.to_be_bytes();
        // One digit alone carries less than a byte.
        bytes.extend_from_slice([high, middle, low].get(..group.len().checked_sub(1).filter(|count| *count > 0)?)?);
    }
    Some(bytes)
}

const fn value_of(digit: u8) -> Option<u8> {
    Some(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_driver_would_refuse_is_known_with_why() {
        let cases: [(&[u8], Option<&str>); 14] = [
            (b"", None),
            (b"NATS/1.0\r\n\r\n", None),
            (b"NATS/1.0\r\nX-File: caf\xc3\xa9.txt\r\nempty:\r\n\r\n", None),
            (b"NATS/1.0 404 No Messages\r\na: b\r\n\r\n", None),
            (b"NATS/1.0\r\na: b\r\n c\r\n\r\n", None),
            (b"NATS/1.0\r\nX-File: caf\xe9.txt\r\n\r\n", Some("`X-File: caf%E9.txt` is not UTF-8")),
            (b"NATS/2.0\r\na: b\r\n\r\n", Some("do not begin with NATS/1.0")),
            (b"NATS/1.0 abc\r\n\r\n", Some("the status `abc`")),
            (b"NATS/1.0 9\r\n\r\n", Some("the status `9`")),
            (b"NATS/1.0\r\nno colon\r\n\r\n", Some("`no colon` has no colon")),
            (b"NATS/1.0\r\na b: c\r\n\r\n", Some("the header `a b`")),
            (b"NATS/1.0\r\na\x01: c\r\n\r\n", Some("the header `a\x01`")),
            (b"NATS/1.0\r\na: b\rc\r\n\r\n", Some("a carriage return")),
            (b"\r\n\r\n", Some("do not begin with")),
        ];
        for (block, expected) in cases {
            let flaw = flaw(block);
            let words = flaw.as_deref().unwrap_or("nothing");
            assert_eq!(flaw.is_some(), expected.is_some(), "{}: {words}", legible(block));
            assert!(words.contains(expected.unwrap_or("nothing")), "{words}");
        }
    }

    #[test]
    fn what_can_be_read_is_kept() {
        let block = b"NATS/1.0\r\ngood: 1\r\nX-File: caf\xe9\r\na b: c\r\nodd: x\ry\r\nno colon\r\n\r\n";
        let why = flaw(block);
        let message = wire::message(read(block, why.as_deref()).as_ref(), bytes::Bytes::new());
        let header = |name| message.headers.get(name);
        assert_eq!((header("good"), header("x-file"), header("a b")), (Some("1"), Some("caf%E9"), Some("c")));
        assert_eq!((header("odd"), header("no colon")), (Some("x\ry"), Some("")));
        assert!(header(UNREADABLE).unwrap().contains("is not UTF-8"));
    }

    #[test]
    fn base64_is_decoded() {
        let cases: [(&str, Option<&[u8]>); 7] = [
            ("", Some(b"")),
            ("TkFUUy8xLjA=", Some(b"NATS/1.0")),
            ("/+8=", Some(b"\xff\xef")),
            ("/w==", Some(b"\xff")),
            ("YWJj", Some(b"abc")),
            ("Y", None),
            ("Y*==", None),
        ];
        for (text, expected) in cases {
            assert_eq!(decoded(text).as_deref(), expected, "{text}");
        }
    }
}
