//! Reads from a whole configuration what it says of keys: all that readers need of it.

use std::collections::BTreeMap;

use quash_config::{Problem, Root, Secret};
use serde::Deserialize;

use crate::key::KeyFormat;
use crate::resolver::{Declared, Resolver};
use crate::rule::config::{CacheConfig, EntityConfig, Limits, OnUnknown};

/// The parts of a configuration that rules are compiled from. What else stands there is not looked at, and sees no
/// environment: a reader has no use for the brokers' passwords.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Declarations {
    /// The targets, by name.
    pub targets: BTreeMap<String, TargetKeys>,
    /// The bounds.
    pub limits: Limits,
    /// The secrets that keys depend on, by name.
    pub secrets: BTreeMap<String, Secret>,
    /// What is known of entities, by name.
    pub entities: BTreeMap<String, EntityConfig>,
    /// What an unknown column means where nothing else says it.
    pub on_unknown: Option<OnUnknown>,
    /// The caches, by name.
    pub caches: BTreeMap<String, CacheConfig>,
}

/// What a target says of keys.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct TargetKeys {
    /// How physical keys are spelt there.
    pub key_format: KeyFormat,
}

impl Root for Declarations {
    const ENVIRONMENT: &'static [&'static str] = &["targets", "secrets"];

    fn check(&self) -> Vec<Problem> {
        self.compile().1
    }
}

impl Declarations {
    /// Compiles the rules, as [`Resolver::compile`] does.
    #[must_use]
    pub fn compile(&self) -> (Option<Resolver>, Vec<Problem>) {
        let targets = self.targets.iter().map(|(name, target)| (name.clone(), target.key_format.clone())).collect();
        Resolver::compile(Declared {
            targets: &targets,
            caches: &self.caches,
            entities: &self.entities,
            on_unknown: self.on_unknown,
            secrets: &self.secrets,
            limits: self.limits,
        })
    }
}
