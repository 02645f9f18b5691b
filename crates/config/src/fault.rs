//! Holds a problem that knows its place in a file, before it is shown.

use super::node::Position;
use super::{ConfigPath, Problem};

/// A problem with the places that it is about.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fault {
    /// What is wrong.
    pub(super) problem: Problem,
    /// Where; `None` when nothing was written that could be pointed at.
    pub(super) position: Option<Position>,
    /// Another place that belongs to it, and why.
    pub(super) also: Option<(Position, String)>,
}

impl Fault {
    /// An error at a place.
    pub(super) fn at(position: Position, message: impl Into<String>) -> Self {
        Self { problem: Problem::error(ConfigPath::root(), message), position: Some(position), also: None }
    }

    /// The same with a way to mend it.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.problem = self.problem.help(help);
        self
    }

    /// The same with a second place.
    pub(super) fn also(mut self, position: Position, why: impl Into<String>) -> Self {
        self.also = Some((position, why.into()));
        self
    }

    /// The same with the path in the merged configuration.
    pub(super) fn path(mut self, path: ConfigPath) -> Self {
        self.problem.path = path;
        self
    }
}
