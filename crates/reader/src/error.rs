//! Says what can go wrong for who reads.

use std::error::Error as StdError;
use std::sync::Arc;

use crate::store::StoreError;

/// Any error of a loader.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Why there is no value. Never that the cache failed: then it is loaded.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The arguments do not fit to the cache.
    #[error("cache {cache}, key `{template}`: {why}")]
    Key {
        /// The cache.
        cache: String,
        /// Its key template.
        template: String,
        /// What does not fit.
        why: String,
    },
    /// The load failed. Who waited for the same load is told the same error.
    #[error("the load failed: {0}")]
    Load(#[source] Arc<dyn StdError + Send + Sync>),
    /// There is no such thing, as the load said, now or before.
    #[error("there is nothing to be cached")]
    Absent,
    /// Removing failed: whether the entry is gone is not known.
    #[error("failed to {0}")]
    Store(#[source] Arc<StoreError>),
}

impl Error {
    /// The error of the load, if it was one of this type.
    #[must_use]
    pub fn load<E: StdError + 'static>(&self) -> Option<&E> {
        match self {
            Self::Load(error) => error.downcast_ref(),
            _ => None,
        }
    }

    /// Whether there is nothing to be cached.
    #[must_use]
    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}
