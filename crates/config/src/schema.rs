//! Asks types of a configuration for their JSON Schema where this crate is built with the feature `schema`, and for nothing
//! where it is not.

/// A type that a configuration is read into. Every such type is one; with the feature `schema` it has to tell its shape, by
/// which an error inside of alternatives finds its place.
#[cfg(feature = "schema")]
pub trait Schema: schemars::JsonSchema {}

#[cfg(feature = "schema")]
impl<T: schemars::JsonSchema> Schema for T {}

/// A type that a configuration is read into. Every such type is one; with the feature `schema` it has to tell its shape, by
/// which an error inside of alternatives finds its place.
#[cfg(not(feature = "schema"))]
pub trait Schema {}

#[cfg(not(feature = "schema"))]
impl<T> Schema for T {}
