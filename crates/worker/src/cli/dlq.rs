//! `quash dlq`: lists, shows, replays and discards dead letters.

use super::{CliError, Exit, Global};

/// Lists, shows, replays and discards dead letters.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Lists, shows, replays and discards dead letters.
///
/// # Errors
/// As [`CliError`] says.
pub async fn run(_args: Args, _global: &Global) -> Result<Exit, CliError> {
    Err(CliError::Usage("not built yet".to_owned()))
}
