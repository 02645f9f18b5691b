//! Decodes lines before they are published, as the worker would.

use bytes::Bytes;
use quash_core::answer::AnswerId;
use quash_core::event::{Change, DecodeError, EventLimits, Format, Payload, decode};
use quash_transport::{Headers, Message};

use super::answers::Asked;
use super::input::Line;
use super::warnings::Warnings;

/// Characters of a refused line that are shown.
const SHOWN: usize = 80;

/// What the worker would decode with.
pub(super) struct Validator {
    pub(super) format: Format,
    pub(super) limits: EventLimits,
    pub(super) headers: Headers,
    /// Whether entities are looked up in the rules, and what that said.
    pub(super) warnings: Option<Warnings>,
    /// What is asked to be answered, where that is waited for.
    pub(super) asked: Option<Asked>,
}

/// What becomes of a line.
#[derive(Debug, PartialEq)]
pub(super) enum Judged {
    /// It asks for something.
    Event {
        /// What goes to the broker.
        message: Message,
        /// What is doubtful about it, where that is asked for.
        warnings: Vec<String>,
    },
    /// It is right, and asks for nothing.
    Nothing,
    /// It is empty, as the line after the last one often is.
    Blank,
    /// It is no event that a worker could read.
    Unreadable(Unreadable),
}

/// A line that is no event.
#[derive(Debug, PartialEq)]
pub(super) struct Unreadable {
    /// Why.
    pub(super) error: DecodeError,
    /// How it begins.
    pub(super) excerpt: String,
    /// The whole of it, for a worker to make a dead letter of; `None` when it is too long to be held.
    pub(super) message: Option<Message>,
}

/// What is read of an event.
struct Read {
    /// What is doubtful about it.
    warnings: Vec<String>,
    /// Where it asks to be answered.
    answer: Option<AnswerId>,
}

impl Validator {
    /// Judges one line.
    pub(super) fn judge(&mut self, line: Line) -> Judged {
        if line.bytes.trim_ascii().is_empty() && line.cut == 0 {
            return Judged::Blank;
        }
        match self.decoded(&line) {
            Ok(None) => Judged::Nothing,
            Ok(Some(Read { mut warnings, answer })) => {
                let bytes = match &mut self.asked {
                    Some(asked) => asked.ask(line.number, line.bytes, answer, &mut warnings),
                    None => line.bytes,
                };
                Judged::Event { message: self.message(bytes), warnings }
            }
            Err(error) => {
                let excerpt = excerpt(&line.bytes);
                let message = (line.cut == 0).then(|| self.message(line.bytes));
                Judged::Unreadable(Unreadable { error, excerpt, message })
            }
        }
    }

    fn message(&self, bytes: Vec<u8>) -> Message {
        Message { payload: Bytes::from(bytes), headers: self.headers.clone() }
    }

    /// What is read of an event; `None` where there is nothing to invalidate in it.
    fn decoded(&mut self, line: &Line) -> Result<Option<Read>, DecodeError> {
        let mut changes = Vec::new();
        let payload = Payload { body: &line.bytes, headers: self.headers.as_slice() };
        match decode(payload, self.format, &self.limits, &mut changes) {
            Ok(()) if changes.is_empty() => Ok(None),
            Ok(()) => {
                let warnings = self.warnings.as_mut().map_or_else(Vec::new, |warnings| warnings.about(&changes));
                Ok(Some(Read { warnings, answer: changes.iter().find_map(Change::answer) }))
            }
            // The line was cut on reading; what counts is how long it was.
            Err(DecodeError::Limit { what, actual, limit, setting }) if line.cut > 0 => {
                Err(DecodeError::Limit { what, actual: actual + line.cut, limit, setting })
            }
            Err(error) => Err(error),
        }
    }
}

/// The beginning of a line, with nothing in it that a terminal would obey.
fn excerpt(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(4 * SHOWN)];
    let escaped: String = String::from_utf8_lossy(start)
        .chars()
        .flat_map(|c| {
            let plain = matches!(c, '"' | '\'' | '\\');
            let escape = (!plain).then(|| c.escape_debug());
            plain.then_some(c).into_iter().chain(escape.into_iter().flatten())
        })
        .collect();
    match escaped.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &escaped[..end]),
        None => escaped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(text: &str, cut: usize) -> Judged {
        let limits = EventLimits { max_message_bytes: 200, ..EventLimits::default() };
        let mut validator =
            Validator { format: Format::Auto, limits, headers: Headers::default(), warnings: None, asked: None };
        validator.judge(Line { number: 7, bytes: text.as_bytes().to_vec(), cut })
    }

    #[test]
    fn lines_are_judged_as_the_worker_would_decode_them() {
        let event = r#"{"entity":"a.B","op":"truncate"}"#;
        let message = Message { payload: event.into(), headers: Headers::default() };
        assert_eq!(judge(event, 0), Judged::Event { message, warnings: Vec::new() });
        assert_eq!(judge(r#"{"action":"C"}"#, 0), Judged::Nothing);
        assert_eq!(judge(" ", 0), Judged::Blank);
    }

    #[test]
    fn an_unreadable_line_is_explained_and_shown_without_control_characters() {
        let unreadable = |text, cut| match judge(text, cut) {
            Judged::Unreadable(Unreadable { error, excerpt, message }) => (error, excerpt, message),
            other => panic!("readable: {other:?}"),
        };
        let (error, excerpt, message) = unreadable("{\"entity\":\"\u{1b}[2J", 0);
        assert_eq!(message.unwrap().payload, "{\"entity\":\"\u{1b}[2J", "it goes out as it came");
        assert!(error.to_string().starts_with("not valid JSON"), "{error}");
        assert_eq!(excerpt, r#"{"entity":"\u{1b}[2J"#);
        let too_long = "x".repeat(201);
        let (error, excerpt, message) = unreadable(&too_long, 1000);
        assert_eq!(message, None, "what was cut must not go out");
        assert!(error.to_string().contains("message size is 1201, the limit is 200"), "{error}");
        assert_eq!(excerpt.chars().count(), SHOWN + 1);
    }
}
