//! `quash init`: writes a commented configuration to start from.

use super::{CliError, Exit, Global};

/// Writes a commented configuration to start from.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Writes a commented configuration to start from.
///
/// # Errors
/// As [`CliError`] says.
pub async fn run(_args: Args, _global: &Global) -> Result<Exit, CliError> {
    Err(CliError::Usage("not built yet".to_owned()))
}
