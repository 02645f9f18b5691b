//! Spells physical keys on a target, given the logical keys of a cache.

use serde::Deserialize;

use quash_config::{ConfigPath, Problem};

/// How an application spells physical keys on a target, given the logical key of a cache.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum KeyFormat {
    /// The logical key itself.
    #[default]
    Plain,
    /// Django's cache layer: `prefix:version:key`.
    Django(DjangoFormat),
    /// A prefix, a delimiter and the logical key, as `RedisCacheInstance` of easy-cache and many a `KEY_FUNCTION` spell it.
    Prefixed(PrefixedFormat),
}

impl KeyFormat {
    /// What stands before the logical key; several while a deployment rolls over. Nothing may be left out, so a format
    /// without a prefix or a version has none.
    #[must_use]
    pub fn prefixes(&self) -> Vec<Box<str>> {
        match self {
            Self::Plain => vec!["".into()],
            Self::Django(DjangoFormat { prefix, version }) => prefix
                .as_slice()
                .iter()
                .flat_map(|prefix| version.as_slice().iter().map(move |version| format!("{prefix}:{version}:").into()))
                .collect(),
            Self::Prefixed(PrefixedFormat { prefix, delimiter }) => prefix
                .as_slice()
                .iter()
                .map(|prefix| if prefix.is_empty() { "".into() } else { format!("{prefix}{delimiter}").into() })
                .collect(),
        }
    }

    /// The same with these versions, for a library that has its own instead of the target's; only Django's layer has any.
    #[must_use]
    pub fn with_versions(&self, version: OneOrMany<u64>) -> Option<Self> {
        match self {
            Self::Django(django) => Some(Self::Django(DjangoFormat { version, ..django.clone() })),
            Self::Plain | Self::Prefixed(_) => None,
        }
    }

    /// What is wrong with it: a format that spells no key would let every invalidation succeed without doing anything.
    #[must_use]
    pub fn check(&self, path: &ConfigPath) -> Vec<Problem> {
        let empty = match self {
            Self::Plain => Vec::new(),
            Self::Django(DjangoFormat { prefix, version }) => vec![
                ("django", "prefix", prefix.as_slice().is_empty()),
                ("django", "version", version.as_slice().is_empty()),
            ],
            Self::Prefixed(PrefixedFormat { prefix, .. }) => vec![("prefixed", "prefix", prefix.as_slice().is_empty())],
        };
        let empty = empty.into_iter().filter(|(.., is)| *is);
        let problem = |kind, key| Problem::error(path.key(kind).key(key), "an empty list would invalidate nothing");
        empty.map(|(kind, key, _)| problem(kind, key)).collect()
    }
}

/// A prefix before the logical key; several while a deployment rolls over. An empty one has no delimiter either.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PrefixedFormat {
    /// What keys begin with, or a list of that.
    pub prefix: OneOrMany<String>,
    /// What stands between prefix and key.
    #[serde(default = "colon")]
    pub delimiter: String,
}

fn colon() -> String {
    ":".to_owned()
}

/// Django's `KEY_PREFIX` and `VERSION`; several of them while a deployment rolls over.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_puts_its_prefixes_before_every_key() {
        let check = |json: &str, expect: &[&str]| {
            let format: KeyFormat = serde_json::from_str(json).unwrap();
            assert_eq!(format.prefixes().iter().map(|text| &**text).collect::<Vec<_>>(), expect, "{json}");
        };
        check(r#""plain""#, &[""]);
        check(r#"{"django": {}}"#, &[":1:"]);
        check(r#"{"django": {"prefix": "shop", "version": 2}}"#, &["shop:2:"]);
        check(r#"{"django": {"prefix": ["", "new"], "version": [1, 2]}}"#, &[":1:", ":2:", "new:1:", "new:2:"]);
        check(r#"{"django": {"prefix": []}}"#, &[]);
        check(r#"{"prefixed": {"prefix": ["app", ""]}}"#, &["app:", ""]);
        check(r#"{"prefixed": {"prefix": "app", "delimiter": "/"}}"#, &["app/"]);
    }
}
