//! Acts on Redis and Valkey: standalone, Sentinel and Cluster.

use std::sync::Arc;

use crate::config::Problem;

/// How to reach the cache.
#[derive(Debug, Clone, PartialEq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {}

impl Config {
    /// Makes a store that connects when it is first used.
    ///
    /// # Errors
    /// When the values do not fit together.
    pub fn build(&self) -> Result<Arc<dyn super::Store>, Problem> {
        unimplemented!()
    }
}
