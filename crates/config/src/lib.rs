//! Loads configuration: YAML files into typed values, with every problem at its place in one run.
//!
//! The loader is generic over the root; each crate owns what it reads. Checks that need more than one value (an unknown
//! name, a cycle, a condition that does not compile) report a [`Problem`] at a [`ConfigPath`]; the loader knows where
//! that stands in which file.

// Reading: files to a merged tree in which everything knows its place.
mod environment;
mod interpolate;
mod load;
mod merge;
mod read;
mod yaml;

// Typing: the tree to a root type, and everything that does not fit.
mod absent;
#[cfg(feature = "schema")]
mod blame;
mod deserialize;
mod mismatch;
mod plugins;
mod schema;
mod typed;

// What is wrong, and how it is shown.
mod error;
mod fault;
mod files;
mod finding;
mod mask;
mod problems;
mod root;
mod wording;

// What trees and configurations are made of.
mod duration;
mod node;
mod path;
mod scalar;
mod secret;

#[cfg(test)]
mod tests;

pub use deserialize::{OrAlone, Tagged};
pub use duration::Span;
pub use environment::{Environment, ProcessEnvironment};
pub use error::{LoadError, Problem, nearest};
pub use finding::{Finding, Severity};
pub use load::{Loaded, Loader};
pub use path::{ConfigPath, Segment};
pub use plugins::Kind;
pub use problems::{LocatedProblem, Problems};
pub use root::Root;
pub use schema::Schema;
pub use secret::Secret;
