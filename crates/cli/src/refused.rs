//! Says why a process that runs for long does not start.

use quash_config::LoadError;
use quash_worker::metrics::config_problem;

use super::output::count;
use super::{CliError, Global, logging};

/// Why it does not start. Where logs are for programs, each problem is one record, and the error just counts them.
pub(super) fn refused(global: &Global, error: LoadError) -> CliError {
    match error {
        LoadError::Invalid(problems) if logging::is_json(global.log_format) => {
            problems.iter().for_each(config_problem);
            CliError::Configuration(format!(
                "the configuration is wrong: {}",
                count(problems.errors() as u64, "error", "errors")
            ))
        }
        error => error.into(),
    }
}
