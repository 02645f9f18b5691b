//! Stands in for conditions where this library is built without the feature `rules`: they are kept as text, and an event
//! that they would decide about counts as one that may concern the cache.

use super::around::Around;
use crate::event::Event;

/// What a condition says of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(dead_code, reason = "what is not evaluated is neither true nor false")]
pub(crate) enum Truth {
    Yes,
    No,
    /// Nobody evaluates it here.
    Unknown,
}

/// A condition that nobody evaluates.
#[derive(Debug)]
pub(crate) struct Condition(String);

impl Condition {
    /// Takes any text: the workers, which evaluate it, refuse what is wrong with it.
    pub(crate) fn compile(source: &str, _: &[&str]) -> Result<Self, (String, Option<String>)> {
        Ok(Self(source.to_owned()))
    }

    /// The condition as it is written.
    pub(crate) fn source(&self) -> &str {
        &self.0
    }

    /// Whether it asks for what stands around the event: nobody does here.
    pub(crate) const fn reads_around(&self) -> bool {
        false
    }

    /// The paths that it selects, of which nothing is known.
    pub(super) fn selected(&self) -> Vec<Vec<String>> {
        Vec::new()
    }

    /// What it says: never anything, and never an error.
    pub(crate) fn evaluate(&self, _: &Event<'_>, _: &Around<'_>) -> Result<Truth, String> {
        Ok(Truth::Unknown)
    }
}
