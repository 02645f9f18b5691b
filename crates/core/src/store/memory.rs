//! Keeps entries in this process, for tests and `quash dev`.

use std::sync::Arc;

use crate::config::Problem;

/// A target in this process; it has no settings.
#[derive(Debug, Clone, PartialEq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {}

impl Config {
    /// Makes an empty store.
    ///
    /// # Errors
    /// Never; the signature is that of every kind.
    pub fn build(&self) -> Result<Arc<dyn super::Store>, Problem> {
        unimplemented!()
    }
}
