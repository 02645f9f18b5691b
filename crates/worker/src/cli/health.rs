//! `quash health`: asks a running worker whether it is well.

use super::{CliError, Exit, Global};

/// Asks a running worker whether it is well.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Asks a running worker whether it is well.
///
/// # Errors
/// As [`CliError`] says.
pub async fn run(_args: Args, _global: &Global) -> Result<Exit, CliError> {
    Err(CliError::Usage("not built yet".to_owned()))
}
