//! Chooses the configured source that a command publishes to.

use std::sync::Arc;

use quash_core::config::nearest;
use quash_core::event::Format;
use quash_dispatch::transport::{Transport, TransportError};

use crate::cli::CliError;
use crate::config::Config;

/// A source to publish to.
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) format: Format,
    pub(crate) transport: Arc<dyn Transport>,
}

impl Source {
    /// What a command says when this source's broker failed.
    pub(crate) fn failed(&self, error: TransportError) -> CliError {
        failed(error).about(&format!("source {}", self.name))
    }
}

/// The named source, or the only one.
pub(crate) fn choose(config: &Config, name: Option<&str>) -> Result<Source, CliError> {
    let names = || config.sources.keys().map(String::as_str);
    let (name, source) = match name {
        Some(name) => config.sources.get_key_value(name).ok_or_else(|| unknown(name, names()))?,
        None => the_only_one(config)?,
    };
    let transport = source
        .kind
        .build()
        .map_err(|problem| CliError::Configuration(format!("sources.{name}: {}", problem.message)))?;
    Ok(Source { name: name.clone(), format: source.options.format, transport })
}

/// What a command says when the broker failed.
pub(crate) fn failed(error: TransportError) -> CliError {
    match error {
        TransportError::Unreachable(_) => CliError::Unreachable(error.to_string()),
        TransportError::Refused(_) => CliError::Refused(error.to_string()),
    }
}

fn the_only_one(config: &Config) -> Result<(&String, &crate::config::SourceConfig), CliError> {
    let mut sources = config.sources.iter();
    match (sources.next(), sources.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => {
            Err(CliError::Configuration("no source is configured, so there is nowhere to publish to".to_owned()))
        }
        _ => Err(CliError::Usage(format!(
            "several sources are configured, choose one with --source: {}",
            listed(config.sources.keys())
        ))),
    }
}

fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> CliError {
    let hint = match nearest(name, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("configured: {}", listed(known)),
    };
    CliError::Usage(format!("there is no source `{name}`; {hint}"))
}

fn listed(names: impl Iterator<Item = impl AsRef<str>>) -> String {
    names.map(|name| name.as_ref().to_owned()).collect::<Vec<_>>().join(", ")
}
