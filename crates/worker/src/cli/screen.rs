//! Writes results to standard output for people: colours, tables, and text that cannot disturb a terminal.

use std::fmt::Write as _;
use std::io::{ErrorKind, IsTerminal, Write, stdout};

use super::CliError;

/// Colours for a terminal; none of them when output goes elsewhere or `NO_COLOR` is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Paint {
    /// Whether colours are written at all.
    pub(super) colour: bool,
}

impl Paint {
    /// No colours.
    #[cfg(test)]
    pub(super) const PLAIN: Self = Self { colour: false };

    /// The colours that standard output takes.
    pub(super) fn for_stdout() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { colour: wanted && stdout().is_terminal() }
    }

    pub(super) fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.wrap("31", text)
    }

    pub(super) fn warn(self, text: &str) -> String {
        self.wrap("33", text)
    }

    pub(super) fn strong(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(super) fn faint(self, text: &str) -> String {
        self.wrap("2", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Writes to standard output. A reader that went away (`quash explain | head`) is no failure.
///
/// # Errors
/// [`CliError::Io`] when it cannot be written.
pub(super) fn print(text: &str) -> Result<(), CliError> {
    let mut out = stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(CliError::Io(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes a value to standard output as indented JSON.
///
/// # Errors
/// [`CliError::Io`] when it cannot be written.
pub(super) fn print_json(value: &impl serde::Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value).map_err(|error| CliError::Io(format!("cannot write JSON: {error}")))?;
    print(&(text + "\n"))
}

/// The text with everything spelt out that a terminal would act on: keys and values may hold any byte.
pub(super) fn printable(text: &str) -> String {
    if !text.chars().any(is_active) {
        return text.to_owned();
    }
    text.chars().fold(String::with_capacity(text.len() + 8), |mut out, char| {
        if is_active(char) {
            out.extend(char.escape_default());
        } else {
            out.push(char);
        }
        out
    })
}

/// Control characters, and the marks that make a terminal show text in another order than it stands.
fn is_active(char: char) -> bool {
    char.is_control() || matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A number with its noun: `1 cache`, `2 caches`, `7 dependencies`.
pub(super) fn count(number: usize, noun: &str) -> String {
    let noun = match (number, noun.strip_suffix('y')) {
        (1, _) => noun.to_owned(),
        (_, Some(stem)) => format!("{stem}ies"),
        (_, None) => format!("{noun}s"),
    };
    format!("{number} {noun}")
}

/// Rows in columns that are as wide as their widest cell; the first row is the heading.
pub(super) fn table(rows: &[Vec<String>], paint: Paint) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    let mut out = String::new();
    for (place, row) in rows.iter().enumerate() {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to a String cannot fail.
            let _ = write!(line, "{cell:width$}  ");
        }
        let line = line.trim_end();
        out.push_str(&if place == 0 { paint.strong(line) } else { line.to_owned() });
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_acts_on_is_printed() {
        let check = |given: &str, expect: &str| assert_eq!(printable(given), expect, "{given:?}");
        check("catalog:3:ä", "catalog:3:ä");
        check("a\nb\0c", "a\\nb\\u{0}c");
        check("\u{1b}[2Jgone", "\\u{1b}[2Jgone");
        check("\u{202e}txt.exe\u{9b}", "\\u{202e}txt.exe\\u{9b}");
    }

    #[test]
    fn numbers_agree_with_their_nouns() {
        let given: Vec<_> = [(1, "cache"), (0, "cache"), (2, "dependency")].map(|(n, noun)| count(n, noun)).into();
        assert_eq!(given, ["1 cache", "0 caches", "2 dependencies"]);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["cache".to_owned(), "by".to_owned()], vec!["catalog_page".to_owned(), "tag".to_owned()]];
        assert_eq!(table(&rows, Paint::PLAIN), "cache         by\ncatalog_page  tag\n");
    }
}
