//! Compiles the rules of a loaded configuration, with everything that is wrong in one report.

use std::collections::BTreeMap;

use quash_core::config::{LoadError, Loaded, Problem, Problems, Severity};
use quash_core::key::KeyFormat;
use quash_core::resolve::{Declared, Resolver};

use super::CliError;
use crate::config::Config;

/// Compiles the rules of a configuration; the problems beside them are warnings.
///
/// # Errors
/// [`CliError::Configuration`] with all problems, warnings included, when the configuration is wrong.
pub fn compile(loaded: &Loaded<Config>) -> Result<(Resolver, Problems), CliError> {
    let (resolver, problems) = resolver(&loaded.root);
    let problems = loaded.place(problems);
    match resolver {
        Some(resolver) => Ok((resolver, problems)),
        None => Err(LoadError::Invalid(problems).into()),
    }
}

/// Compiles the rules; there is none if one of the problems is an error.
#[must_use]
pub fn resolver(config: &Config) -> (Option<Resolver>, Vec<Problem>) {
    let targets = key_formats(config);
    let declared = Declared { targets: &targets, caches: &config.caches, limits: config.limits };
    let (resolver, mut problems) = Resolver::compile(declared);
    problems.extend(config.check());
    let usable = problems.iter().all(|problem| problem.severity < Severity::Error);
    (resolver.filter(|_| usable), problems)
}

/// The targets with their key formats: what the rules need to know of them.
#[must_use]
pub fn key_formats(config: &Config) -> BTreeMap<String, KeyFormat> {
    config.targets.iter().map(|(name, target)| (name.clone(), target.options.key_format.clone())).collect()
}
