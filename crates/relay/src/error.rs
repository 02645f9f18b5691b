//! Says why a relay does not get on, and whether trying again can help.

/// Why a relay does not get on. Carries no credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The database cannot be reached, stopped answering or is about to stop: trying again can help.
    #[error("cannot reach the database: {0}")]
    Unreachable(String),
    /// The database answered with an error that stays until somebody changes something.
    #[error("the database refused: {0}")]
    Refused(String),
    /// Somebody else has the slot: this relay stands by.
    #[error("the slot is taken: {0}")]
    Taken(String),
    /// The broker did not take the events for too long: the connection to the database was let go of.
    #[error("source {source_name}: {error}")]
    Broker {
        /// The source.
        source_name: String,
        /// What its broker said.
        error: quash_transport::TransportError,
    },
    /// The log has something that this relay cannot read.
    #[error("{0}")]
    Misread(String),
}

impl RelayError {
    /// Whether it passes by itself.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Taken(_) | Self::Broker { .. })
    }
}
