//! `quash completions`: prints completions for a shell.

use super::{CliError, Exit, Global};

/// Prints completions for a shell.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints completions for a shell.
///
/// # Errors
/// As [`CliError`] says.
pub async fn run(_args: Args, _global: &Global) -> Result<Exit, CliError> {
    Err(CliError::Usage("not built yet".to_owned()))
}
