//! `quash explain`: shows what one event would invalidate, and why.

use super::{CliError, Exit, Global};

/// Shows what one event would invalidate, and why.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Shows what one event would invalidate, and why.
///
/// # Errors
/// As [`CliError`] says.
pub async fn run(_args: Args, _global: &Global) -> Result<Exit, CliError> {
    Err(CliError::Usage("not built yet".to_owned()))
}
