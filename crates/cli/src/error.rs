//! Says how commands end: their exit codes, and errors as text or JSON on standard error.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use quash_config::{LoadError, ProcessEnvironment};
use quash_transport::TransportError;

use super::Output;
use super::output::{Paint, escape_for_terminal, escape_json, wants_colour};
use quash_worker::hint;

/// How a command ended well enough to say so; the codes are API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything was done: 0.
    Done,
    /// It ran and found failures: 1.
    Failures,
}

/// Why a command could not do its work; each kind has its exit code.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Wrong usage: 2.
    #[error("{0}")]
    Usage(String),
    /// Something cannot be reached: 69.
    #[error("{0}")]
    Unreachable(String),
    /// A file or stream cannot be read or written: 74.
    #[error("{0}")]
    Io(String),
    /// Refused: rights, or a safety check: 77.
    #[error("{0}")]
    Refused(String),
    /// The configuration is wrong: 78.
    #[error("{0}")]
    Configuration(String),
    /// Who read standard output has had enough, as `head` does; nothing is said, and the process ends with 0.
    #[error("nobody reads the output any more")]
    ClosedPipe,
}

impl CliError {
    /// The exit code.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::ClosedPipe => 0,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 69,
            Self::Io(_) => 74,
            Self::Refused(_) => 77,
            Self::Configuration(_) => 78,
        }
    }

    /// The name of the kind, in JSON.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::ClosedPipe => "closed_pipe",
            Self::Usage(_) => "usage",
            Self::Unreachable(_) => "unreachable",
            Self::Io(_) => "io",
            Self::Refused(_) => "refused",
            Self::Configuration(_) => "configuration",
        }
    }

    /// A file that cannot be read or written: `cannot read events.json: …`.
    #[must_use]
    pub fn file(operation: &str, file: impl std::fmt::Display, error: &io::Error) -> Self {
        Self::Io(format!("cannot {operation} {file}: {error}"))
    }

    /// The same error, saying first what it is about: `source events: cannot reach the broker: …`.
    #[must_use]
    pub fn about(self, object: &str) -> Self {
        match self {
            Self::Unreachable(words) => Self::Unreachable(format!("{object}: {words}")),
            Self::Refused(words) => Self::Refused(format!("{object}: {words}")),
            other => other,
        }
    }

    /// Prints the error on standard error, for people or as one JSON object.
    pub fn print(&self, output: Output) {
        if matches!(self, Self::ClosedPipe) {
            return;
        }
        let mut err = io::stderr();
        let paint = Paint(wants_colour(&ProcessEnvironment, err.is_terminal()));
        // Nobody can be told that standard error is gone.
        let _ = writeln!(err, "{}", self.render(output, paint));
    }

    fn render(&self, output: Output, paint: Paint) -> String {
        let message = self.to_string();
        match output {
            Output::Json => {
                let error = serde_json::json!({ "kind": self.kind(), "exit": self.code(), "message": message });
                escape_json(&serde_json::json!({ "error": error }).to_string()).into_owned()
            }
            Output::Text => format!("{} {}", paint.red("error:"), escape_lines(&message)),
        }
    }
}

/// Messages have lines of their own, and may quote what strangers sent.
fn escape_lines(message: &str) -> String {
    message.lines().map(escape_for_terminal).collect::<Vec<_>>().join("\n")
}

/// An error with what caused it, each on a line of its own; causes that the line before says already are left out.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut said = text.clone();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !said.contains(&words) {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n  caused by: {words}");
        }
        said = words;
        source = cause.source();
    }
    text
}

impl From<io::Error> for CliError {
    /// For what is written to standard output.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ClosedPipe,
            _ => Self::Io(format!("cannot write the output: {error}")),
        }
    }
}

impl From<TransportError> for CliError {
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::Unreachable(_) => Self::Unreachable(hint::whole(&error.to_string())),
            _ => Self::Refused(hint::whole(&error.to_string())),
        }
    }
}

impl From<LoadError> for CliError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Read { .. } => Self::Io(error.to_string()),
            _ => Self::Configuration(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_code_and_its_json() {
        let kinds = [
            (CliError::Usage("a".into()), r#"{"error":{"kind":"usage","exit":2,"message":"a"}}"#),
            (CliError::Unreachable("a".into()), r#"{"error":{"kind":"unreachable","exit":69,"message":"a"}}"#),
            (CliError::Io("a".into()), r#"{"error":{"kind":"io","exit":74,"message":"a"}}"#),
            (CliError::Refused("a\nb".into()), r#"{"error":{"kind":"refused","exit":77,"message":"a\nb"}}"#),
            (CliError::Configuration("a".into()), r#"{"error":{"kind":"configuration","exit":78,"message":"a"}}"#),
        ];
        for (error, expect) in kinds {
            assert_eq!(error.render(Output::Json, Paint(true)), expect);
        }
    }

    #[test]
    fn an_error_keeps_its_lines_and_nothing_that_a_terminal_obeys() {
        let error = CliError::Configuration("two problems\n  a\x1b[2J\n  b".to_owned());
        assert_eq!(error.render(Output::Text, Paint(false)), "error: two problems\n  a\\x1b[2J\n  b");
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let error = CliError::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((error.code(), error.kind()), (0, "closed_pipe"));
        assert_eq!(CliError::from(io::Error::from(io::ErrorKind::StorageFull)).code(), 74);
    }

    #[test]
    fn causes_are_said_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("{text}")]
        struct Layer {
            text: &'static str,
            source: Option<Box<Layer>>,
        }
        let layer = |text, source| Layer { text, source: Option::map(source, Box::new) };
        let error = layer("cannot load: no file", Some(layer("no file", Some(layer("disk gone", None)))));
        assert_eq!(with_causes(&error), "cannot load: no file\n  caused by: disk gone");
    }
}
