//! Writes for people what events, brokers and caches say: escaped, counted, in their units.

use std::borrow::Cow;
use std::fmt::Write as _;

/// JSON text that means the same and has nothing in it that a terminal would obey: `\u009b` stands where the character was.
#[must_use]
pub fn escape_json(text: &str) -> Cow<'_, str> {
    // Outside of strings, JSON has none of them but the ends of lines.
    let is_hidden = |character: char| is_obeyed(character) && character != '\n';
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match is_hidden(character) {
            true => character.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                // Writing to a string cannot fail.
                let _ = write!(escaped, "\\u{unit:04x}");
            }),
            false => escaped.push(character),
        }
    }
    Cow::Owned(escaped)
}

/// The text without anything that a terminal would obey: control characters, and those that turn or hide text.
#[must_use]
pub fn escape_for_terminal(text: &str) -> Cow<'_, str> {
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\n' | '\r' | '\t' => escaped.extend(character.escape_default()),
            _ if !is_obeyed(character) => escaped.push(character),
            // Writing to a string cannot fail.
            _ if character.is_ascii() => drop(write!(escaped, "\\x{:02x}", u32::from(character))),
            _ => escaped.extend(character.escape_unicode()),
        }
    }
    Cow::Owned(escaped)
}

/// Whether a terminal would obey the character, or a reader be misled by it: control characters, and those that turn or hide
/// text.
#[must_use]
pub fn is_obeyed(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}')
}

/// A whole number with separators between thousands: `1,234,567`.
#[must_use]
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 letter`, `2,000 letters`.
#[must_use]
pub fn count(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(number), if number == 1 { one } else { many })
}

/// How long something is ago, in its biggest unit: `350ms`, `12s`, `5m`, `3h`, `9d`.
#[must_use]
pub fn ago(ms: i64) -> String {
    const SECOND: i64 = 1000;
    const MINUTE: i64 = 60 * SECOND;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    match ms.max(0) {
        ms if ms < SECOND => format!("{ms}ms"),
        ms if ms < MINUTE => format!("{}s", ms / SECOND),
        ms if ms < HOUR => format!("{}m", ms / MINUTE),
        ms if ms < 2 * DAY => format!("{}h", ms / HOUR),
        ms => format!("{}d", ms / DAY),
    }
}

/// A time in milliseconds since the Unix epoch as people read it, in UTC; the number itself where there is no such time.
#[must_use]
pub fn time(ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        Err(_) => ms.to_string(),
    }
}

/// The text in single quotes as a POSIX shell reads it.
#[must_use]
pub fn shell_quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        let cases = [
            ("plain é 日本 👩‍🚀", "plain é 日本 👩‍🚀"),
            ("a\nb\tc\r", r"a\nb\tc\r"),
            ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
            ("\0\x7f", r"\x00\x7f"),
            ("\u{9b}31m", r"\u{9b}31m"),
            ("safe\u{202e}txt.exe", r"safe\u{202e}txt.exe"),
            ("\u{200b}\u{feff}\u{2066}\u{e0041}", r"\u{200b}\u{feff}\u{2066}\u{e0041}"),
        ];
        for (text, expect) in cases {
            assert_eq!(escape_for_terminal(text), expect);
        }
    }

    #[test]
    fn numbers_and_times_are_short() {
        let numbers =
            [(0, "0"), (999, "999"), (1000, "1,000"), (123_456, "123,456"), (u64::MAX, "18,446,744,073,709,551,615")];
        numbers.into_iter().for_each(|(number, expect)| assert_eq!(thousands(number), expect));
        let spans = [
            (-5, "0ms"),
            (350, "350ms"),
            (59_999, "59s"),
            (60_000, "1m"),
            (3_600_000, "1h"),
            (90_000_000, "25h"),
            (864_000_000, "10d"),
            (i64::MAX, "106751991167d"),
        ];
        spans.into_iter().for_each(|(ms, expect)| assert_eq!(ago(ms), expect));
        assert_eq!(time(1_700_000_000_000), "2023-11-14 22:13:20Z");
        assert_eq!(time(i64::MIN), i64::MIN.to_string());
    }

    #[test]
    fn a_shell_reads_quoted_text_as_it_was() {
        assert_eq!(shell_quote("it's \"$(x)\""), r#"'it'\''s "$(x)"'"#);
    }
}
