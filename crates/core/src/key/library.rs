//! Defines what a caching library declares of its keys, so that its entries can be removed from outside.

use std::collections::BTreeMap;

use super::args::Args;
use super::{KeyFormat, Scheme};
use quash_config::{ConfigPath, Problem, Secret};

/// The declaration of a library's keys, as configuration spells it beside `depends_on`.
pub trait Library {
    /// The arguments that it needs, each once, in the order of the key sets.
    fn args(&self) -> Vec<String>;

    /// Where an argument comes from when a dependency has no `map`: a path into the row.
    fn column(&self, arg: &str) -> Vec<String> {
        vec![arg.to_owned()]
    }

    /// How physical keys are spelt, where the library does not follow its target: it may have a version of its own.
    fn key_format(&self, target: &KeyFormat) -> Option<KeyFormat> {
        let _ = target;
        None
    }

    /// What is doubtful about how a target of the cache spells physical keys, at a path from the library's own value; that
    /// it is not Django's way, unless the library knows better.
    fn format_warning(&self, format: &KeyFormat) -> Option<Problem> {
        behind_django(format)
    }

    /// Makes the scheme, and says what should be known. Problems are at paths from the library's own value; with an error
    /// among them there is no scheme. What cannot be done from outside is an error with its reason and the way out.
    fn scheme(&self, given: Given<'_>) -> Built;
}

/// The doubt that a library whose keys stand behind Django's cache layer has of another format.
#[must_use]
pub fn behind_django(format: &KeyFormat) -> Option<Problem> {
    let message =
        "the library writes behind Django's prefix and version, and a target of the cache has another `key_format`";
    let warning =
        || Problem::warning(ConfigPath::root(), message).help("set `key_format: { django: {} }` there, or here");
    matches!(format, KeyFormat::Plain).then(warning)
}

/// A scheme, and what should be known of it.
pub type Built = (Option<Box<dyn Scheme>>, Vec<Problem>);

/// What the cache, beside its library, gives to the scheme.
#[derive(Debug, Clone)]
pub struct Given<'a> {
    /// The arguments of [`Library::args`], with the cache's `values` and `types`.
    pub args: Args,
    /// The secrets that keys may depend on, by name.
    pub secrets: &'a BTreeMap<String, Secret>,
    /// The longest key, in bytes.
    pub max_key_bytes: usize,
}

impl Given<'_> {
    /// The secret of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn secret(&self, path: ConfigPath, name: &str) -> Result<&Secret, Problem> {
        let known = self.secrets.get(name);
        if known.is_some_and(|secret| secret.expose().is_empty()) {
            return Err(Problem::error(path, format!("the secret `{name}` is empty")));
        }
        known.ok_or_else(|| {
            let problem = Problem::error(path, format!("no secret is called `{name}`"));
            match self.secrets.is_empty() {
                true => problem.help(format!("declare it as `secrets: {{ {name}: \"${{VARIABLE:?}}\" }}`")),
                false => problem.did_you_mean(name, self.secrets.keys().map(String::as_str)),
            }
        })
    }
}

/// An option of a library that cannot be had from outside. It is read, whatever its value, so that its reason can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cannot;

impl Cannot {
    /// The error for the option of this name, if it is there.
    pub fn refuse(option: Option<Self>, key: &str, why: &str, way_out: &str) -> Option<Problem> {
        option.map(|Self| Problem::error(ConfigPath::root().key(key), why).help(way_out).at_key())
    }
}

impl<'de> serde::Deserialize<'de> for Cannot {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Cannot {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Cannot".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::Schema::from(false)
    }
}
