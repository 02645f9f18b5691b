//! Reads the declaration of drf-restflow's cached functions: whose keys they are, and what their key constructors put into them.

mod field;
mod scheme;

use std::collections::BTreeMap;

use serde::Deserialize;

use self::field::{Content, Field};
use self::scheme::{Overflow, Release, Restflow};
use super::digest::Digest;
use super::library::{Built, Cannot, Given, Library};
use super::{Args, KeyFormat, OneOrMany};
use crate::key::Scalar;
use quash_config::{ConfigPath, Problem};

/// Keys that functions under `@cache_result` and `@cache_response` of drf-restflow wrote.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `Meta.namespace`.
    pub namespace: Option<String>,
    /// `Meta.key_identifier`, or else the module and the qualified name of the function: `books.views.get_book`. Several
    /// functions that share a constructor are a list. Left out, the cache is everything in the namespace.
    pub identifier: Option<OneOrMany<String>>,
    /// `Meta.version`, which takes the place of the target's version; several while a deployment rolls over. 1 when left out.
    pub version: Option<OneOrMany<u64>>,
    /// The fields of the key constructor by their attribute names, which order them.
    pub fields: BTreeMap<String, FieldConfig>,
    /// `Meta.hash_suffix_on_overflow`: whether a long part behind the partition becomes a digest.
    pub hash_suffix_on_overflow: bool,
    /// `Meta.max_key_suffix_length`: characters from which on it is long. 250 when left out.
    pub max_key_suffix_length: Option<usize>,
    /// The setting `KEY_HASH_ALGORITHM`.
    pub key_hash_algorithm: Digest,
    /// The release that writes the keys, or several while a deployment rolls over; the newest known when left out.
    pub release: Option<OneOrMany<String>>,
    /// Said elsewhere, or cannot be had from outside.
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub rewarm: Option<Cannot>,
    /// Said elsewhere, or cannot be had from outside.
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub invalidator: Option<Cannot>,
    /// Said elsewhere, or cannot be had from outside.
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub field_mapping: Option<Cannot>,
    /// Said elsewhere, or cannot be had from outside.
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub require_args: Option<Cannot>,
    /// Said elsewhere, or cannot be had from outside.
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub trigger_on_create: Option<Cannot>,
    /// Said elsewhere, or cannot be had from outside.
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub watch_fields: Option<Cannot>,
    /// Said elsewhere, or cannot be had from outside.
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub invalidate_when: Option<Cannot>,
    /// Said elsewhere, or cannot be had from outside.
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub dispatcher: Option<Cannot>,
    /// Said elsewhere, or cannot be had from outside.
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub raise_exception: Option<Cannot>,
}

/// A field of a key constructor: exactly one of `args`, `constant`, `request` and `any`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct FieldConfig {
    /// `ArgsKeyField` and `ViewKwargsKeyField`: the arguments; for `"*"` all that the function has, but for a view `self`,
    /// `cls` and `request`.
    pub args: Option<OneOrMany<String>>,
    /// `ConstantKeyField`: `{ schema: 7 }`.
    pub constant: Option<BTreeMap<String, Scalar>>,
    /// `RequestValueKeyField`: the path into the request, as `user.id`, whose argument is `user_id`.
    pub request: Option<String>,
    /// A text that no event can know: that of `QueryParamsKeyField`, `DjangoModelKeyField`, `DrfSerializerKeyField`, of a
    /// normalizer or of a field class of your own.
    pub any: bool,
    /// Whether the field is part of the partition.
    pub partition: bool,
    /// Whether every value in it, and the field, is a digest.
    pub hash_value: bool,
    /// Whether lists in it are sorted.
    pub sort_lists: bool,
    /// The path from the argument to the value: the argument of this name is `author.id` then.
    pub path: Option<String>,
    /// Cannot be had from outside.
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub normalizer: Option<Cannot>,
    /// Cannot be had from outside.
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub query: Option<Cannot>,
    /// Cannot be had from outside.
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub model: Option<Cannot>,
    /// Cannot be had from outside.
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub serializer: Option<Cannot>,
}

impl Library for Config {
    fn args(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for name in self.fields.values().flat_map(FieldConfig::names) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    fn column(&self, arg: &str) -> Vec<String> {
        arg.split('.').map(str::to_owned).collect()
    }

    /// The constructor's version stands in the place of Django's.
    fn key_format(&self, target: &KeyFormat) -> Option<KeyFormat> {
        target.with_versions(self.version.clone().unwrap_or(OneOrMany::One(1)))
    }

    fn scheme(&self, given: Given<'_>) -> Built {
        let (releases, mut problems) = self.releases();
        problems.extend(self.refused());
        problems.extend(self.misnamed());
        let path = ConfigPath::root().key("fields");
        problems.extend(self.fields.iter().flat_map(|(name, field)| field.problems(&path.key(name.clone()))));
        if self.version.as_ref().is_some_and(|version| version.as_slice().is_empty()) {
            let path = ConfigPath::root().key("version");
            problems.push(Problem::error(path, "an empty list would invalidate nothing"));
        }
        let scheme = problems.is_empty().then(|| self.build(given.args, releases));
        (scheme.map(|scheme| Box::new(scheme) as _), problems)
    }
}

impl Config {
    fn build(&self, args: Args, releases: Vec<Release>) -> Restflow {
        let digest = self.key_hash_algorithm;
        let of = |partition: bool| self.fields.values().filter(move |field| field.partition == partition);
        let fields: Vec<_> = of(true).chain(of(false)).map(|field| field.field(&args, digest)).collect();
        let overflow = || Overflow { longest: self.max_key_suffix_length.unwrap_or(SUFFIX_MAX), digest };
        Restflow {
            names: args.names(),
            args,
            prefixes: self.prefixes(),
            partition: of(true).count(),
            fields,
            is_namespace: self.identifier.is_none(),
            overflow: self.hash_suffix_on_overflow.then(overflow),
            releases,
        }
    }

    /// What stands before the fields, once per function.
    fn prefixes(&self) -> Vec<String> {
        let namespace = self.namespace.as_deref().filter(|namespace| !namespace.is_empty());
        let Some(identifiers) = &self.identifier else { return namespace.map(str::to_owned).into_iter().collect() };
        let head = |identifier: &String| match namespace {
            Some(namespace) => format!("{namespace}{SEPARATOR}{identifier}"),
            None => identifier.clone(),
        };
        identifiers.as_slice().iter().map(head).collect()
    }

    /// How the releases end their keys, each way once, and what is wrong with them.
    fn releases(&self) -> (Vec<Release>, Vec<Problem>) {
        let Some(named) = &self.release else { return (vec![Release::Separated], Vec::new()) };
        let (mut releases, mut problems) = (Vec::new(), Vec::new());
        let path = ConfigPath::root().key("release");
        if named.as_slice().is_empty() {
            problems.push(Problem::error(path.clone(), "an empty list would invalidate nothing"));
        }
        for (index, name) in named.as_slice().iter().enumerate() {
            let path = if matches!(named, OneOrMany::Many(_)) { path.index(index) } else { path.clone() };
            match Release::of(name) {
                Some(release) => releases.extend((!releases.contains(&release)).then_some(release)),
                None => problems.push(
                    Problem::error(path, format!("the keys of release `{name}` are not known"))
                        .help("known are 1.0.0 to 2.0.x"),
                ),
            }
        }
        (releases, problems)
    }

    /// What is wrong with the names that keys begin with.
    fn misnamed(&self) -> Option<Problem> {
        let path = ConfigPath::root();
        let has_namespace = self.namespace.as_ref().is_some_and(|namespace| !namespace.is_empty());
        match &self.identifier {
            None if !has_namespace => {
                let problem = Problem::error(path, "name the function that is cached by its `identifier`");
                Some(problem.help("its module and qualified name, as `books.views.get_book`, or `Meta.key_identifier`"))
            }
            None if !self.fields.is_empty() => {
                let message = "a cache without `identifier` is everything in the namespace, and has no fields";
                Some(Problem::error(path.key("fields"), message).help("add the `identifier`, or take the fields out"))
            }
            Some(names) if names.as_slice().iter().any(String::is_empty) || names.as_slice().is_empty() => {
                let message = "an empty identifier would name every function";
                Some(Problem::error(path.key("identifier"), message))
            }
            _ => None,
        }
    }

    /// The options of the library's rules that stand here.
    fn refused(&self) -> impl Iterator<Item = Problem> {
        const NEEDS_PYTHON: &str = "Quash does not run Python";
        const OF_THE_RULE: &str = "what makes the cache stale stands in its dependencies";
        const OF_THE_WORK: &str = "where the work runs and what follows on errors is not a matter of keys";
        let options = [
            (
                self.rewarm,
                "rewarm",
                NEEDS_PYTHON,
                "add `publish: CHANNEL` to the cache, and call `refresh()` where you listen to it",
            ),
            (self.invalidator, "invalidator", NEEDS_PYTHON, "write it as dependencies with `when` and `map`"),
            (
                self.field_mapping,
                "field_mapping",
                OF_THE_RULE,
                "`depends_on: [{ row: app.Model, map: { arg: column } }]`",
            ),
            (
                self.require_args,
                "require_args",
                OF_THE_RULE,
                "there it is `nulls`: `skip` is `require_args=True`, `keep` is `require_args=False`",
            ),
            (
                self.trigger_on_create,
                "trigger_on_create",
                OF_THE_RULE,
                "there it is `ops`: without creates, `ops: [update, delete]`",
            ),
            (self.watch_fields, "watch_fields", OF_THE_RULE, "there it is `changed: [column]`"),
            (
                self.invalidate_when,
                "invalidate_when",
                OF_THE_RULE,
                "there it is `when: \"after.state == 'published'\"`",
            ),
            (
                self.dispatcher,
                "dispatcher",
                OF_THE_WORK,
                "it is `dispatch`, of the cache or of the whole configuration",
            ),
            (
                self.raise_exception,
                "raise_exception",
                OF_THE_WORK,
                "a failure is tried again as `retry` says, and ends as a dead letter at last",
            ),
        ];
        options.into_iter().filter_map(|(option, key, why, way_out)| Cannot::refuse(option, key, why, way_out))
    }
}

impl FieldConfig {
    /// The arguments whose values it spells.
    fn names(&self) -> Vec<String> {
        let behind = |arg: &String| self.path.as_ref().map_or_else(|| arg.clone(), |path| format!("{arg}.{path}"));
        let args = self.args.iter().flat_map(|args| args.as_slice()).map(behind);
        args.chain(self.request.iter().map(|path| path.replace('.', "_"))).collect()
    }

    fn field(&self, args: &Args, digest: Digest) -> Field {
        let index = |name: &String| args.position(name).unwrap_or_default();
        let names = self.names();
        let content = match (&self.args, &self.constant, &self.request) {
            (Some(shown), ..) => {
                let mut parts: Vec<_> = shown.as_slice().iter().cloned().zip(names.iter().map(index)).collect();
                parts.sort();
                Content::Args(parts)
            }
            (None, Some(constant), _) => Content::Constant(constant.clone().into_iter().collect()),
            (None, None, Some(_)) => Content::Request(names.iter().map(|name| (name.clone(), index(name))).collect()),
            (None, None, None) => Content::Any,
        };
        Field {
            content,
            args: args.set_of(names.iter().map(String::as_str)),
            digest: self.hash_value.then_some(digest),
            sort_lists: self.sort_lists,
            has_path: self.path.is_some(),
        }
    }

    fn problems(&self, path: &ConfigPath) -> Vec<Problem> {
        let mut problems: Vec<_> = self.refused().map(|problem| problem.below(path)).collect();
        let kinds = [self.args.is_some(), self.constant.is_some(), self.request.is_some(), self.any];
        if problems.is_empty() && kinds.into_iter().filter(|is| *is).count() != 1 {
            let message = "a field is exactly one of `args`, `constant`, `request` and `any: true`";
            problems.push(Problem::error(path.clone(), message));
        }
        let named = self.args.iter().flat_map(|args| args.as_slice());
        if self.args.as_ref().is_some_and(|args| args.as_slice().is_empty()) || named.clone().any(|arg| arg == "*") {
            let problem = Problem::error(path.key("args"), "a field needs the names of its arguments");
            problems.push(
                problem.help("for `ArgsKeyField(\"*\")` list all that the function has, also those with a default"),
            );
        }
        if self.constant.as_ref().is_some_and(|constant| constant.len() != 1 || constant.contains_key("")) {
            problems
                .push(Problem::error(path.key("constant"), "a constant is one key with its value, as `{ schema: 7 }`"));
        }
        if self.path.is_some() && self.args.is_none() {
            problems.push(Problem::error(path.key("path"), "a path leads from an argument, and the field has none"));
        }
        problems
    }

    fn refused(&self) -> impl Iterator<Item = Problem> {
        const UNKNOWN: &str = "what stands in the request or in the application's code is in no event";
        let options = [
            (
                self.normalizer,
                "normalizer",
                "what a callable returns cannot be computed from outside",
                "`map` the argument to what it returns, as to `author_id` for `lambda author: author.id`, or write \
                 `any: true` in the place of `args`",
            ),
            (self.query, "query", UNKNOWN, "write `any: true`, with `hash_value: true` where the field has it"),
            (self.model, "model", UNKNOWN, "write `any: true, hash_value: true`: it is always hashed"),
            (self.serializer, "serializer", UNKNOWN, "write `any: true, hash_value: true`: it is always hashed"),
        ];
        options.into_iter().filter_map(|(option, key, why, way_out)| Cannot::refuse(option, key, why, way_out))
    }
}

/// What stands between the parts of a key.
const SEPARATOR: &str = "::";

/// The characters of a suffix from which on it is long, when nothing else is said.
const SUFFIX_MAX: usize = 250;

#[cfg(test)]
mod tests;
