//! Says how the keys of a cache are spelt, and how its entries can be removed.

use serde::Deserialize;

/// How an application spells physical keys on a target, given the logical key of a cache.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyFormat {
    /// The logical key itself.
    #[default]
    Plain,
    /// Django's cache layer: `prefix:version:key`.
    Django(DjangoFormat),
}

/// Django's `KEY_PREFIX` and `VERSION`; several of them while a deployment rolls over.
#[derive(Debug, Clone, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DjangoFormat {
    /// `KEY_PREFIX`, or a list of them.
    pub prefix: OneOrMany<String>,
    /// `VERSION`, or a list of them.
    pub version: OneOrMany<u64>,
}

impl Default for DjangoFormat {
    fn default() -> Self {
        Self { prefix: OneOrMany::One(String::new()), version: OneOrMany::One(1) }
    }
}

/// One value, or a list of them.
#[derive(Debug, Clone, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    /// One.
    One(T),
    /// Several.
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    /// The values as a slice.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}
