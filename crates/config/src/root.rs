//! Defines what a type must be that a configuration is read into.

use super::{Problem, Schema};

/// The root of a configuration: a type that a merged tree is read into.
pub trait Root: serde::de::DeserializeOwned + Schema {
    /// The sections in whose values `${VAR}` is resolved. Everywhere else it is ordinary text.
    const ENVIRONMENT: &'static [&'static str];

    /// What is wrong beyond single values, and what should be known: unknown names, cycles, conditions that do not compile.
    /// It is also asked of a configuration whose wrong values were left out, so that one run shows everything.
    fn check(&self) -> Vec<Problem>;
}
