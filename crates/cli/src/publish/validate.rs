//! Decodes lines before they are published, as the worker would.

use bytes::Bytes;
use quash_core::event::{DecodeError, EventLimits, Format, Payload, decode};
use quash_transport::{Headers, Message};

use super::input::Line;

/// Characters of a refused line that are shown.
const SHOWN: usize = 80;

/// What the worker would decode with.
pub(super) struct Validator {
    pub(super) format: Format,
    pub(super) limits: EventLimits,
    pub(super) headers: Headers,
}

/// What becomes of a line.
#[derive(Debug, PartialEq)]
pub(super) enum Judged {
    /// It asks for something.
    Event(Message),
    /// It is right, and asks for nothing.
    Nothing,
    /// It is empty, as the line after the last one often is.
    Blank,
    /// It is no event: why, and how it begins.
    Refused(DecodeError, String),
}

impl Validator {
    /// Judges one line.
    pub(super) fn judge(&self, line: Line) -> Judged {
        if line.bytes.trim_ascii().is_empty() && line.cut == 0 {
            return Judged::Blank;
        }
        match self.decoded(&line) {
            Ok(0) => Judged::Nothing,
            Ok(_) => Judged::Event(Message { payload: Bytes::from(line.bytes), headers: self.headers.clone() }),
            Err(error) => Judged::Refused(error, excerpt(&line.bytes)),
        }
    }

    fn decoded(&self, line: &Line) -> Result<usize, DecodeError> {
        let mut changes = Vec::new();
        let payload = Payload { body: &line.bytes, headers: self.headers.as_slice() };
        match decode(payload, self.format, &self.limits, &mut changes) {
            Ok(()) => Ok(changes.len()),
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
        let validator = Validator { format: Format::Auto, limits, headers: Headers::default() };
        validator.judge(Line { number: 7, bytes: text.as_bytes().to_vec(), cut })
    }

    #[test]
    fn lines_are_judged_as_the_worker_would_decode_them() {
        let event = r#"{"entity":"a.B","op":"truncate"}"#;
        assert_eq!(judge(event, 0), Judged::Event(Message { payload: event.into(), headers: Headers::default() }));
        assert_eq!(judge(r#"{"action":"C"}"#, 0), Judged::Nothing);
        assert_eq!(judge(" ", 0), Judged::Blank);
    }

    #[test]
    fn a_refused_line_is_explained_and_shown_without_control_characters() {
        let Judged::Refused(error, excerpt) = judge("{\"entity\":\"\u{1b}[2J", 0) else { panic!("not refused") };
        assert!(error.to_string().starts_with("not valid JSON"), "{error}");
        assert_eq!(excerpt, r#"{"entity":"\u{1b}[2J"#);
        let Judged::Refused(error, excerpt) = judge(&"x".repeat(201), 1000) else { panic!("not refused") };
        assert!(error.to_string().contains("message size is 1201, the limit is 200"), "{error}");
        assert_eq!(excerpt.chars().count(), SHOWN + 1);
    }
}
