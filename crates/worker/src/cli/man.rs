//! `quash man`: prints the manual page.

use super::{CliError, Exit, Global};

/// Prints the manual page.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints the manual page.
///
/// # Errors
/// As [`CliError`] says.
pub async fn run(_args: Args, _global: &Global) -> Result<Exit, CliError> {
    Err(CliError::Usage("not built yet".to_owned()))
}
