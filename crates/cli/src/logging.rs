//! Sets up logs: human or JSON, on stderr.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal};

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::LogFormat;
use crate::output::escape_json;
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
    let set = match is_json(format) {
        true => builder.event_format(Record).try_init(),
        false => builder
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

/// Whether logs are for programs.
pub(crate) fn is_json(format: LogFormat) -> bool {
    match format {
        LogFormat::Json => true,
        LogFormat::Human => false,
        LogFormat::Auto => !io::stderr().is_terminal(),
    }
}

/// Whether logs are written: a wrong filter is found before.
pub(crate) fn is_set_up() -> bool {
    tracing::dispatcher::has_been_set()
}

/// Writes an event as one JSON object on a line. A key has one meaning: `target` is a target of the configuration, and the part
/// of the program that speaks is the `module`.
struct Record;

impl<S, N> FormatEvent<S, N> for Record
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let line = record(event, &time).map_err(|_| fmt::Error)?;
        writeln!(out, "{}", escape_json(&line))
    }
}

fn record(event: &Event<'_>, time: &str) -> serde_json::Result<String> {
    let mut line = Vec::with_capacity(256);
    let mut serializer = serde_json::Serializer::new(&mut line);
    let mut map = serializer.serialize_map(None)?;
    map.serialize_entry("timestamp", time)?;
    map.serialize_entry("level", event.metadata().level().as_str())?;
    let mut fields = Fields { map, failed: None };
    event.record(&mut fields);
    let Fields { mut map, failed } = fields;
    failed.map_or(Ok(()), Err)?;
    map.serialize_entry("module", event.metadata().target())?;
    map.end()?;
    // What the serializer writes is UTF-8.
    Ok(String::from_utf8(line).unwrap_or_default())
}

/// The fields of an event, as they go into the object.
struct Fields<M: SerializeMap> {
    map: M,
    failed: Option<M::Error>,
}

impl<M: SerializeMap> Fields<M> {
    fn write(&mut self, field: &Field, value: &(impl Serialize + ?Sized)) {
        if self.failed.is_none() {
            self.failed = self.map.serialize_entry(field.name(), value).err();
        }
    }
}

impl<M: SerializeMap> Visit for Fields<M> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.write(field, &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.write(field, &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write(field, &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.write(field, &value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.write(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.write(field, &format!("{value:?}"));
    }
}

/// Writes one field with everything escaped that a terminal obeys, so that what strangers sent cannot forge a line. (The
/// JSON format escapes by itself.)
fn write_field(out: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
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
    use std::sync::{Arc, Mutex};

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
    fn a_record_is_one_line_and_each_key_has_one_meaning() {
        #[derive(Clone, Default)]
        struct Lines(Arc<Mutex<Vec<u8>>>);
        impl io::Write for Lines {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt().event_format(Record).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            let (absent, error) = (None::<u64>, "no\nanswer \u{202e}");
            tracing::warn!(target = %"main", %error, count = 3, absent, "target `{}` is away", "main");
        });
        let written = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!((written.lines().count(), written.contains('\u{202e}')), (1, false), "{written}");
        let mut record: serde_json::Value = serde_json::from_str(&written).unwrap();
        let time = record.as_object_mut().unwrap().remove("timestamp").unwrap();
        assert!(time.as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{time}");
        let expect = serde_json::json!({
            "level": "WARN", "message": "target `main` is away", "target": "main", "error": "no\nanswer \u{202e}", "count": 3,
            "module": "quash_cli::logging::tests",
        });
        assert_eq!(record, expect);
    }

    #[test]
    fn a_wrong_filter_is_refused_with_its_text() {
        let error = init(LogFormat::Json, "quash=loud=very").unwrap_err();
        assert!(error.contains("quash=loud=very"), "{error}");
    }
}
