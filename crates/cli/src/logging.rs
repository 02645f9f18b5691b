//! Sets up logs: human or JSON, on stderr.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

use crate::LogFormat;
use quash_worker::metrics::Limiter;

/// Lines a second about panics; each message that panics does so in every attempt.
const PANIC_LINES: u32 = 10;

/// Brokers' drivers say themselves what their transport says in its own words, and at times with a message's body in it.
/// A filter that names them lets them speak.
const SILENT: &str = "lapin=off,async_nats=off";

/// Writes logs to standard error from now on: in this format, and of what the filter lets through. Panics become log
/// lines too. Repeating it changes nothing.
///
/// # Errors
/// When the filter cannot be read.
pub(crate) fn init(format: LogFormat, filter: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(format!("{SILENT},{filter}"))
        .map_err(|error| format!("the log filter `{filter}` is wrong: {error}"))?;
    let terminal = io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let set = match format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Auto if !terminal => builder.json().flatten_event(true).try_init(),
        LogFormat::Auto | LogFormat::Human => builder
            .with_ansi(terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
            .with_target(false)
            .fmt_fields(debug_fn(write_field).delimited(" "))
            .try_init(),
    };
    if set.is_ok() {
        let lines = Limiter::new(PANIC_LINES);
        std::panic::set_hook(Box::new(move |panic| {
            if let Some(suppressed) = lines.allow() {
                tracing::error!(%panic, suppressed, "panicked");
            }
        }));
    }
    Ok(())
}

/// Writes one field with everything escaped that a terminal obeys, so that what strangers sent cannot forge a line. (The
/// JSON format escapes by itself.)
fn write_field(out: &mut Writer<'_>, field: &tracing::field::Field, value: &dyn fmt::Debug) -> fmt::Result {
    let mut escaped = Escaped(out);
    match field.name() {
        "message" => write!(escaped, "{value:?}"),
        name => write!(escaped, "{name}={value:?}"),
    }
}

struct Escaped<W>(W);

impl<W: fmt::Write> fmt::Write for Escaped<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|letter| match letter {
            letter if is_obeyed(letter) => write!(self.0, "{}", letter.escape_unicode()),
            letter => self.0.write_char(letter),
        })
    }
}

/// Control characters, and those that turn the direction of writing around.
fn is_obeyed(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        let cases = [
            ("plain ü €", "plain ü €"),
            ("a\nb\r\u{1b}[2J", "a\\u{a}b\\u{d}\\u{1b}[2J"),
            ("\u{9b}31m\u{202e}", "\\u{9b}31m\\u{202e}"),
        ];
        for (text, expected) in cases {
            let mut out = String::new();
            Escaped(&mut out).write_str(text).unwrap();
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn a_wrong_filter_is_refused_with_its_text() {
        let error = init(LogFormat::Json, "quash=loud=very").unwrap_err();
        assert!(error.contains("quash=loud=very"), "{error}");
    }
}
