//! `quash publish`: publishes events from a file or standard input.

use super::{CliError, Exit, Global};

/// Publishes events from a file or standard input.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Publishes events from a file or standard input.
///
/// # Errors
/// As [`CliError`] says.
pub async fn run(_args: Args, _global: &Global) -> Result<Exit, CliError> {
    Err(CliError::Usage("not built yet".to_owned()))
}
