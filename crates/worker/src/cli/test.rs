//! `quash test`: runs the cases in the configuration.

use super::{CliError, Exit, Global};

/// Runs the cases in the configuration.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the cases in the configuration.
///
/// # Errors
/// As [`CliError`] says.
pub async fn run(_args: Args, _global: &Global) -> Result<Exit, CliError> {
    Err(CliError::Usage("not built yet".to_owned()))
}
