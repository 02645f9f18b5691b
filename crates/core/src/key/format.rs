//! Spells physical keys on a target, given the logical keys of a cache.

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
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn django_prefixes_are_every_pair_of_prefix_and_version() {
        let check = |json: &str, expect: &[&str]| {
            let format: KeyFormat = serde_json::from_str(json).unwrap();
            assert_eq!(format.prefixes().iter().map(|text| &**text).collect::<Vec<_>>(), expect, "{json}");
        };
        check(r#""plain""#, &[""]);
        check(r#"{"django": {}}"#, &[":1:"]);
        check(r#"{"django": {"prefix": "shop", "version": 2}}"#, &["shop:2:"]);
        check(r#"{"django": {"prefix": ["", "new"], "version": [1, 2]}}"#, &[":1:", ":2:", "new:1:", "new:2:"]);
        check(r#"{"django": {"prefix": []}}"#, &[]);
    }
}
