//! Compiles the rules of a loaded configuration, with everything that is wrong in one report.

use quash_config::{LoadError, Loaded, Problems};
use quash_core::resolve::Resolver;

use super::CliError;
use quash_dispatch::config::Config;

/// Compiles the rules of a configuration; the problems beside them are warnings.
///
/// # Errors
/// [`CliError::Configuration`] with all problems, warnings included, when the configuration is wrong.
pub fn compile(loaded: &Loaded<Config>) -> Result<(Resolver, Problems), CliError> {
    let (resolver, problems) = loaded.root.compile();
    let problems = loaded.locate(problems);
    match resolver {
        Some(resolver) => Ok((resolver, problems)),
        None => Err(LoadError::Invalid(problems).into()),
    }
}
