//! Loads configuration: YAML files into typed values, with every problem at its place in one run.
//!
//! The loader is generic over the root; each crate owns what it reads. Checks that need more than one value (an unknown
//! name, a cycle, a condition that does not compile) report a [`Problem`] at a [`ConfigPath`]; the loader knows where
//! that stands in which file.

mod duration;
mod environment;
mod error;
mod load;
mod path;
mod plugins;
mod secret;
mod tagged;
mod yaml;

pub use duration::Span;
pub use environment::{Environment, ProcessEnvironment};
pub use error::{LoadError, Problem, Problems, Severity, nearest};
pub use load::{Loaded, Loader};
pub use path::{ConfigPath, Segment};
pub use plugins::Kind;
pub use secret::Secret;
pub use tagged::Tagged;
