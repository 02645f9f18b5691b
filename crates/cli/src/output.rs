//! Prints results: escaped for terminals, coloured where that is wanted, as JSON for programs.

use std::borrow::Cow;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use quash_config::Environment;
use serde::Serialize;

use super::CliError;
pub use quash_worker::text::{ago, count, escape_for_terminal, escape_json, is_obeyed, shell_quote, thousands, time};

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
