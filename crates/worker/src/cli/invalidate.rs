//! `quash invalidate`: publishes a direct command.

use super::{CliError, Exit, Global};

/// Publishes a direct command.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Publishes a direct command.
///
/// # Errors
/// As [`CliError`] says.
pub async fn run(_args: Args, _global: &Global) -> Result<Exit, CliError> {
    Err(CliError::Usage("not built yet".to_owned()))
}
