//! `quash graph`: draws what depends on what.

use super::{CliError, Exit, Global};

/// Draws what depends on what.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Draws what depends on what.
///
/// # Errors
/// As [`CliError`] says.
pub async fn run(_args: Args, _global: &Global) -> Result<Exit, CliError> {
    Err(CliError::Usage("not built yet".to_owned()))
}
