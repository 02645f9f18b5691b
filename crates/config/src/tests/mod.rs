//! Shows what the loader accepts and how it shows what it refuses, as data.

mod accepted;
mod broken;
mod files;
mod formats;
mod hostile;
mod kinds;
mod property;
mod refused;
mod secrets;

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Environment, Kind, Loaded, Loader, OrAlone, Problem, Root, Secret, Span, Tagged};

/// A root with everything that a real one has.
#[derive(Debug, Default, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Shop {
    version: u32,
    targets: BTreeMap<String, Target>,
    admin: Admin,
    rules: BTreeMap<String, Rule>,
    tests: Vec<serde_json::Value>,
    limits: Limits,
}

impl Root for Shop {
    const ENVIRONMENT: &'static [&'static str] = &["targets", "admin"];

    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }
}

type Target = Tagged<Store, Options>;

/// Kinds of stores, as `plugins!` declares them.
#[derive(Debug, Clone, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Store {
    /// Elsewhere.
    Remote(Remote),
    /// Here.
    Local(Local),
}

impl Kind for Store {
    const KINDS: &'static [&'static str] = &["remote", "local"];
}

/// Elsewhere.
#[derive(Debug, Clone, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Remote {
    /// Where.
    url: Secret,
    database: Option<u8>,
}

/// Here.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Local {}

#[derive(Debug, Clone, Default, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Options {
    concurrency: usize,
    timeout: Option<Span>,
    shape: Shape,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Shape {
    #[default]
    Plain,
    Django {
        #[serde(default)]
        prefix: String,
    },
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Admin {
    listen: String,
    token: Option<Secret>,
    /// A secret whose key does not say so.
    pepper: Option<Secret>,
    open: bool,
}

#[derive(Debug, Clone, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rule {
    key: String,
    #[serde(default)]
    after: Vec<Span>,
    #[serde(default)]
    ops: Vec<Op>,
    #[serde(default)]
    map: Option<OneOrMany<BTreeMap<String, Mapped>>>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Op {
    Create,
    Update,
    Delete,
}

#[derive(Debug, Clone, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

#[derive(Debug, Clone, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
enum Mapped {
    Path(String),
    Constant(Constant),
}

#[derive(Debug, Clone, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Constant {
    value: Scalar,
}

#[derive(Debug, Clone, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
enum Scalar {
    Bool(bool),
    Int(i64),
    Text(String),
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Limits {
    small: u8,
    factor: f64,
}

/// Variables that a test brings.
#[derive(Default)]
struct Variables(BTreeMap<String, String>);

impl Variables {
    fn of(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }
}

impl Environment for Variables {
    fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }
}

fn load(yaml: &str, variables: &[(&str, &str)]) -> Result<Loaded<Shop>, String> {
    Loader::load_text("q.yaml", yaml, &Variables::of(variables)).map_err(|problems| problems.to_string())
}

/// What is shown for a text that must be refused.
fn problems(yaml: &str, variables: &[(&str, &str)]) -> String {
    match load(yaml, variables) {
        Ok(loaded) => panic!("accepted: {:?}\n{yaml}", loaded.root),
        Err(problems) => problems,
    }
}

/// Each text is refused with exactly what stands beside it.
fn check(cases: &[(&str, &str)]) {
    for (yaml, expected) in cases {
        assert_eq!(problems(yaml, &[]), *expected, "{yaml}");
    }
}
