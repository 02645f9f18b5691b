//! Counts and logs what people do at the HTTP endpoint: who, what, and whether they were let.

use super::{Metrics, labels};

/// What somebody did. A closed set: these names are API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperatorAction {
    /// Logged in.
    Login,
    /// Logged out.
    Logout,
    /// Began to replay letters, or to see which would be.
    Replay,
    /// Began to discard letters, or to see which would be.
    Discard,
    /// Took letters out as a file.
    Export,
    /// Stopped a replay or a removal.
    Stop,
}

impl OperatorAction {
    /// Every action, in the order of the documentation.
    pub const ALL: [Self; 6] = [Self::Login, Self::Logout, Self::Replay, Self::Discard, Self::Export, Self::Stop];

    /// The name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Logout => "logout",
            Self::Replay => "replay",
            Self::Discard => "discard",
            Self::Export => "export",
            Self::Stop => "stop",
        }
    }
}

/// What is counted as `who` where nobody knows who it was.
const NOBODY: &str = "unknown";

impl Metrics {
    /// Somebody did something at the endpoint. `who` is a configured name.
    pub fn operated(&self, action: OperatorAction, who: &str, about: &str) {
        self.count_operation(action, who, "accepted");
        tracing::info!(who, action = action.name(), about, "operator action");
    }

    /// Somebody tried to, and was not let; `None` is somebody without a token.
    pub fn operation_refused(&self, action: OperatorAction, who: Option<&str>, why: &str) {
        let who = who.unwrap_or(NOBODY);
        self.count_operation(action, who, "refused");
        if let Some(suppressed) = self.refusal_lines.allow() {
            tracing::warn!(who, action = action.name(), why, suppressed, "operator action refused");
        }
    }

    fn count_operation(&self, action: OperatorAction, who: &str, outcome: &str) {
        let labels = labels([("action", action.name()), ("who", who), ("outcome", outcome)]);
        self.operations.get_or_create_owned(&labels).inc();
    }
}
