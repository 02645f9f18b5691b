//! Moves messages over Redis Streams.

use std::sync::Arc;

use quash_core::config::Problem;

/// Which stream, and where.
#[derive(Debug, Clone, PartialEq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {}

impl Config {
    /// Makes a transport that connects when it is first used.
    ///
    /// # Errors
    /// When the values do not fit together.
    pub fn build(&self) -> Result<Arc<dyn super::Transport>, Problem> {
        unimplemented!()
    }
}
