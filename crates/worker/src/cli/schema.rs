//! `quash schema`: prints the JSON Schema of the configuration.

use super::{CliError, Exit, Global};

/// Prints the JSON Schema of the configuration.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints the JSON Schema of the configuration.
///
/// # Errors
/// As [`CliError`] says.
pub async fn run(_args: Args, _global: &Global) -> Result<Exit, CliError> {
    Err(CliError::Usage("not built yet".to_owned()))
}
