//! Chooses the configured source that a command works with.

use std::sync::Arc;

use quash_config::{Problem, nearest};
use quash_core::event::Format;
use quash_transport::{Transport, TransportError};

use super::CliError;
use quash_dispatch::config::{Config, address, is_encrypted};
use quash_worker::hint;

/// A source, not connected yet.
pub(super) struct Source {
    pub(super) name: String,
    pub(super) format: Format,
    pub(super) transport: Arc<dyn Transport>,
    /// Where it is, with nothing secret in it.
    pub(super) address: Option<String>,
    /// Whether it is reached by TLS.
    pub(super) encrypted: bool,
}

impl Source {
    /// What a command says when this source's broker failed.
    pub(super) fn failed(&self, error: TransportError) -> CliError {
        self.about(CliError::from(error))
    }

    /// The error, saying first which source it is about and where that is.
    pub(super) fn about(&self, error: CliError) -> CliError {
        let error = match error {
            CliError::Unreachable(words) => CliError::Unreachable(hint::plain_of(&words, self.encrypted)),
            other => other,
        };
        match &self.address {
            Some(address) if !error.to_string().contains(address.as_str()) => {
                error.about(&format!("source {} at {address}", self.name))
            }
            _ => error.about(&format!("source {}", self.name)),
        }
    }
}

/// The source of that name, or the only one there is.
///
/// # Errors
/// [`CliError::Usage`] when the name is not declared, or none is given and there are several;
/// [`CliError::Configuration`] when there is none, or its values do not fit together.
pub(super) fn choose(config: &Config, name: Option<&str>) -> Result<Source, CliError> {
    let names: Vec<&str> = config.sources.keys().map(String::as_str).collect();
    let name = pick(&names, name)?;
    let source = &config.sources[name];
    let wrong = |problem: Problem| CliError::Configuration(format!("source `{name}`: {problem}"));
    let transport = source.kind.build().map_err(wrong)?;
    let (address, encrypted) = (address(source), is_encrypted(source));
    Ok(Source { name: name.to_owned(), format: source.options.format, transport, address, encrypted })
}

fn pick<'a>(declared: &[&'a str], wanted: Option<&str>) -> Result<&'a str, CliError> {
    let list = declared.join(", ");
    match (declared, wanted) {
        ([], _) => Err(CliError::Configuration("no source is declared; name one under `sources`".to_owned())),
        (_, Some(wanted)) => declared.iter().find(|name| **name == wanted).copied().ok_or_else(|| {
            let meant = nearest(wanted, declared.iter().copied());
            let meant = meant.map_or_else(String::new, |name| format!(", did you mean `{name}`?"));
            CliError::Usage(format!("there is no source `{wanted}`{meant} (declared: {list})"))
        }),
        ([only], None) => Ok(only),
        (_, None) => Err(CliError::Usage(format!("several sources are declared, choose one with --source: {list}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_source_needs_no_name_and_a_slip_is_answered() {
        let cases = [
            (vec!["events"], None, Ok("events")),
            (vec!["bulk", "events"], Some("bulk"), Ok("bulk")),
            (vec![], None, Err("no source is declared; name one under `sources`")),
            (
                vec!["events"],
                Some("evnts"),
                Err("there is no source `evnts`, did you mean `events`? (declared: events)"),
            ),
            (vec!["bulk", "events"], Some("x"), Err("there is no source `x` (declared: bulk, events)")),
            (vec!["bulk", "events"], None, Err("several sources are declared, choose one with --source: bulk, events")),
        ];
        for (declared, wanted, expect) in cases {
            let picked = pick(&declared, wanted).map_err(|error| error.to_string());
            assert_eq!(picked, expect.map_err(str::to_owned), "{declared:?} {wanted:?}");
        }
    }
}
