//! `quash check`: checks the configuration, and with `--connect` what it names.

use super::{CliError, Exit, Global};

/// Checks the configuration, and with `--connect` what it names.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Checks the configuration, and with `--connect` what it names.
///
/// # Errors
/// As [`CliError`] says.
pub async fn run(_args: Args, _global: &Global) -> Result<Exit, CliError> {
    Err(CliError::Usage("not built yet".to_owned()))
}
