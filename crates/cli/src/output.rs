//! Prints results: escaped for terminals, coloured where that is wanted, as JSON for programs.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use quash_config::Environment;
use serde::Serialize;

use super::CliError;

/// Standard output, buffered; whoever writes to it flushes it at the end.
#[must_use]
pub fn stdout() -> BufWriter<Stdout> {
    BufWriter::new(io::stdout())
}

/// Prints a value as JSON on standard output.
///
/// # Errors
/// When standard output cannot be written.
pub fn print_json(value: &impl Serialize) -> Result<(), CliError> {
    let mut out = stdout();
    write_json(&mut out, value)?;
    Ok(out.flush()?)
}

/// Says in a line how it ended. That nobody reads it changes nothing about how it ended.
///
/// # Errors
/// When standard output cannot be written.
pub fn say(line: &str) -> Result<(), CliError> {
    match writeln!(io::stdout().lock(), "{line}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Writes a value as indented JSON and ends the line.
///
/// # Errors
/// When the writer fails.
pub fn write_json(out: &mut (impl Write + ?Sized), value: &impl Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value).map_err(io::Error::from)?;
    Ok(writeln!(out, "{}", escape_json(&text))?)
}

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

fn is_obeyed(character: char) -> bool {
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
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
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

/// Where results are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    /// How many columns there are; `None` when nobody looks, so that nothing is cut.
    pub width: Option<usize>,
    /// Whether there are colours.
    pub paint: Paint,
}

impl Screen {
    /// Neither columns nor colours: a file, or another program.
    pub const PLAIN: Self = Self { width: None, paint: Paint(false) };

    /// What standard output is connected to.
    #[must_use]
    pub fn stdout() -> Self {
        let terminal = io::stdout().is_terminal();
        let width = terminal.then(terminal_size::terminal_size).flatten().map(|(width, _)| width.0.into());
        Self { width, paint: Paint(wants_colour(&quash_config::ProcessEnvironment, terminal)) }
    }
}

/// Whether to colour: `NO_COLOR` says no, `CLICOLOR_FORCE` yes, `CLICOLOR=0` no; else a terminal that can.
#[must_use]
pub fn wants_colour(environment: &dyn Environment, terminal: bool) -> bool {
    let is_set = |name| environment.get(name).is_some_and(|value| !value.is_empty() && value != "0");
    let is = |name, wanted: &str| environment.get(name).is_some_and(|value| value == wanted);
    if environment.get("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        return false;
    }
    is_set("CLICOLOR_FORCE") || terminal && !is("CLICOLOR", "0") && !is("TERM", "dumb")
}

/// Colours text, or leaves it as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint(pub bool);

impl Paint {
    /// What matters.
    #[must_use]
    pub fn bold(self, text: &str) -> Cow<'_, str> {
        self.with("1", text)
    }

    /// What only accompanies.
    #[must_use]
    pub fn dim(self, text: &str) -> Cow<'_, str> {
        self.with("2", text)
    }

    /// What went wrong.
    #[must_use]
    pub fn red(self, text: &str) -> Cow<'_, str> {
        self.with("1;31", text)
    }

    /// What is well.
    #[must_use]
    pub fn green(self, text: &str) -> Cow<'_, str> {
        self.with("32", text)
    }

    /// What should be looked at.
    #[must_use]
    pub fn yellow(self, text: &str) -> Cow<'_, str> {
        self.with("33", text)
    }

    fn with<'a>(self, code: &str, text: &'a str) -> Cow<'a, str> {
        match self.0 {
            true => Cow::Owned(format!("\x1b[{code}m{text}\x1b[0m")),
            false => Cow::Borrowed(text),
        }
    }
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
    fn json_means_the_same_without_anything_that_a_terminal_obeys() {
        for text in ["plain é 日本 👩‍🚀", "a\nb\x1b[31m\x7f", "\u{9b}31m \u{202e}txt.exe \u{e0041}"] {
            let mut written = Vec::new();
            write_json(&mut written, &serde_json::json!({ text: [text] })).unwrap();
            let written = String::from_utf8(written).unwrap();
            assert!(!written.contains(|character| is_obeyed(character) && character != '\n'), "{written}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&written).unwrap()[text][0], text, "{written}");
        }
        assert_eq!(escape_json("{\"a\":\"\u{202e}\"}"), r#"{"a":"\u202e"}"#);
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

    #[test]
    fn the_environment_decides_on_colours() {
        struct Variables(Vec<(&'static str, &'static str)>);
        impl Environment for Variables {
            fn get(&self, name: &str) -> Option<String> {
                self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            }
        }
        let cases = [
            (vec![], true, true),
            (vec![], false, false),
            (vec![("NO_COLOR", "1")], true, false),
            (vec![("NO_COLOR", "")], true, true),
            (vec![("CLICOLOR", "0")], true, false),
            (vec![("CLICOLOR_FORCE", "1")], false, true),
            (vec![("CLICOLOR_FORCE", "0")], false, false),
            (vec![("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], true, false),
            (vec![("TERM", "dumb")], true, false),
        ];
        for (variables, terminal, expect) in cases {
            let environment = Variables(variables);
            assert_eq!(wants_colour(&environment, terminal), expect, "{:?} {terminal}", environment.0);
        }
    }
}
