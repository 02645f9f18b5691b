//! `quash dev`: runs everything in one process, with a small shop that reads and writes.

use super::{CliError, Exit, Global};

/// Runs everything in one process, with a small shop that reads and writes.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs everything in one process, with a small shop that reads and writes.
///
/// # Errors
/// As [`CliError`] says.
pub async fn run(_args: Args, _global: &Global) -> Result<Exit, CliError> {
    Err(CliError::Usage("not built yet".to_owned()))
}
