//! `quash run`: runs a worker.

use super::{CliError, Exit, Global};

/// Runs a worker.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs a worker.
///
/// # Errors
/// As [`CliError`] says.
pub async fn run(_args: Args, _global: &Global) -> Result<Exit, CliError> {
    Err(CliError::Usage("not built yet".to_owned()))
}
