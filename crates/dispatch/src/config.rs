//! The root of the configuration, and the parts of it that the worker owns.

mod admin;
mod check;
mod outbox;
mod relay;
#[cfg(feature = "in_process")]
mod shared;
mod verify;

use std::collections::BTreeMap;
use std::time::Duration;

use quash_config::{ConfigPath, Problem, Root, Secret, Severity, Span, Tagged};
use quash_core::event::{Accept, Format};
use quash_core::plan::TargetId;
use quash_core::resolve::{Declared, Resolver};
use quash_core::rule::config::{CacheConfig, EntityConfig, Limits, OnUnknown};
use quash_core::rule::dispatch::DispatchConfig;
use quash_delivery::retry::RetryConfig;
use quash_store::{Can, TargetConfig};
use quash_transport::TransportConfig;
use serde::Deserialize;

pub use admin::{AdminConfig, Payloads, Role, TokenConfig};
pub use outbox::{OutboxRelay, OutboxTable};
pub use relay::{OnSchemaChange, PostgresRelay, PostgresServer, RelayConfig, RelayKind, ServerConfig};
#[cfg(feature = "in_process")]
pub use shared::{address, database_in, is_encrypted};
pub use verify::VerifyConfig;

/// A source: which transport, and how to consume it.
///
/// ```
/// use quash_dispatch::config::{Config, SourceConfig};
///
/// let config = Config::parse("{ version: 1, sources: { events: { memory: {}, batch: 64 } } }")?;
/// let source: &SourceConfig = &config.sources["events"];
/// assert_eq!((source.kind.kind(), source.options.batch), ("memory", 64));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type SourceConfig = Tagged<TransportConfig, SourceOptions>;

/// The whole configuration.
///
/// ```
/// use quash_dispatch::config::Config;
///
/// let config = Config::parse(r#"
/// version: 1
/// targets: { main: { memory: {} } }
/// caches:
///   book: { key: "book:{id}", depends_on: [ { row: shop.Book } ] }
/// "#)?;
/// assert!(config.caches.contains_key("book"));
/// assert_eq!(config.dispatch, None);     // as `queue`
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The version of this format: 1.
    pub version: u32,
    /// The caches' servers, by name.
    #[serde(default)]
    pub targets: BTreeMap<String, TargetConfig>,
    /// The brokers to read from, by name.
    #[serde(default)]
    pub sources: BTreeMap<String, SourceConfig>,
    /// Database servers, by name.
    #[serde(default)]
    pub servers: BTreeMap<String, ServerConfig>,
    /// Relays of the changes of databases to sources, by name.
    #[serde(default)]
    pub relay: BTreeMap<String, RelayConfig>,
    /// How samples of entries are compared with what is true of them; nobody does it when left out.
    #[serde(default)]
    pub verify: Option<VerifyConfig>,
    /// Where the work of caches runs that do not say it themselves; as `queue` when left out.
    #[serde(default)]
    pub dispatch: Option<DispatchConfig>,
    /// When and how often failed shares are tried again.
    #[serde(default)]
    pub retry: RetryConfig,
    /// Bounds that protect the worker and the targets.
    #[serde(default)]
    pub limits: Limits,
    /// Secrets that keys depend on, by the names that caches use for them.
    #[serde(default)]
    pub secrets: BTreeMap<String, Secret>,
    /// What is known of entities beside their events, by name: their partitions, their keys.
    #[serde(default)]
    pub entities: BTreeMap<String, EntityConfig>,
    /// What an unknown column means where neither the dependency nor its cache says it; `widen` when left out.
    #[serde(default)]
    pub on_unknown: Option<OnUnknown>,
    /// The declared caches, by name.
    #[serde(default)]
    pub caches: BTreeMap<String, CacheConfig>,
    /// Cases for `quash test`.
    #[serde(default)]
    pub tests: Vec<TestCase>,
    /// The HTTP endpoint: metrics, health, dead letters.
    #[serde(default)]
    pub admin: AdminConfig,
    /// The worker process itself.
    #[serde(default)]
    pub worker: WorkerConfig,
}

impl Root for Config {
    const ENVIRONMENT: &'static [&'static str] = &["targets", "sources", "servers", "admin", "secrets"];

    fn check(&self) -> Vec<Problem> {
        self.compile().1
    }
}

impl Config {
    /// Compiles the rules. With an error among the problems there are none; warnings come beside them.
    ///
    /// ```
    /// # use quash_dispatch::config::Config;
    /// # let yaml = "{ version: 1, targets: { main: { memory: {} } }, \
    /// #     caches: { book: { key: 'book:{id}', depends_on: [ { row: shop.Book } ] } } }";
    /// let (rules, problems) = Config::parse(yaml)?.compile();
    /// assert_eq!(problems, []);
    /// assert_eq!(rules.unwrap().caches(), ["book"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn compile(&self) -> (Option<Resolver>, Vec<Problem>) {
        let (rules, mut problems) = self.rules();
        problems.extend(self.check_rest());
        if let Some(rules) = &rules {
            problems.extend(self.check_reach(rules));
            problems.extend(self.check_truth(rules));
        }
        let usable = problems.iter().all(|problem| problem.severity < Severity::Error);
        (rules.filter(|_| usable), problems)
    }

    /// The rules, whatever is wrong with the rest.
    pub(crate) fn rules(&self) -> (Option<Resolver>, Vec<Problem>) {
        let targets =
            self.targets.iter().map(|(name, target)| (name.clone(), target.options.key_format.clone())).collect();
        Resolver::compile(Declared {
            targets: &targets,
            caches: &self.caches,
            entities: &self.entities,
            on_unknown: self.on_unknown,
            secrets: &self.secrets,
            limits: self.limits,
        })
    }

    /// What is wrong with everything but the rules.
    pub(crate) fn check_rest(&self) -> Vec<Problem> {
        let mut problems = self.check_parts();
        problems.extend(self.check_plugins());
        #[cfg(feature = "in_process")]
        problems.extend(self.check_shared());
        problems
    }

    /// What rules ask of targets that these cannot do.
    fn check_reach(&self, rules: &Resolver) -> Vec<Problem> {
        let can = |target: &TargetConfig| target.kind.build().map_or(Can::ALL, |store| store.can());
        let can: Vec<Can> = self.targets.values().map(can).collect();
        let can = |target: TargetId| can.get(usize::from(target.0)).copied().unwrap_or(Can::ALL);
        let mut problems = rules.beyond(|target| can(target).actions);
        problems.extend(rules.guards_apart(|target| can(target).has_slots));
        problems
    }

    /// What of the kinds' own values does not fit together.
    fn check_plugins(&self) -> Vec<Problem> {
        let at = |section: &str, name: &str, kind: &str| ConfigPath::root().key(section).key(name).key(kind);
        // A program that only publishes has no use for a target, and is built without its driver.
        let targets = self.targets.iter().filter(|_| cfg!(feature = "in_process")).filter_map(|(name, target)| {
            target.kind.build().err().map(|problem| problem.below(&at("targets", name, target.kind.kind())))
        });
        let sources = self.sources.iter().filter_map(|(name, source)| {
            source.kind.build().err().map(|problem| problem.below(&at("sources", name, source.kind.kind())))
        });
        targets.chain(sources).collect()
    }
}

/// A commented configuration to start from, which says what every key does.
///
/// ```no_run
/// std::fs::write("quash.yaml", quash_dispatch::config::DEFAULT)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub const DEFAULT: &str = include_str!("default.yaml");

/// What all kinds of sources share.
///
/// ```
/// use quash_dispatch::config::{Config, SourceOptions};
///
/// let config = Config::parse("{ version: 1, sources: { events: { memory: {}, batch: 64 } } }")?;
/// assert_eq!(config.sources["events"].options, SourceOptions { batch: 64, ..SourceOptions::default() });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct SourceOptions {
    /// The format of the events.
    pub format: Format,
    /// Which messages are for Quash; all when left out.
    pub accept: Accept,
    /// Deliveries of one batch at most.
    pub batch: usize,
    /// How long to wait for a batch to fill once it has its first delivery.
    pub linger: Span,
    /// Batches being handled at once.
    pub in_flight: usize,
}

impl Default for SourceOptions {
    fn default() -> Self {
        let accept = Accept::default();
        Self { format: Format::Auto, accept, batch: 256, linger: Span(Duration::ZERO), in_flight: 4 }
    }
}

/// The worker process itself.
///
/// ```
/// use quash_dispatch::config::{Config, WorkerConfig};
///
/// let config = Config::parse("{ version: 1, worker: { name: worker-1 } }")?;
/// assert_eq!(config.worker, WorkerConfig { name: Some("worker-1".to_owned()), ..WorkerConfig::default() });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct WorkerConfig {
    /// The worker's name, unique among those alive; host name and process id when left out.
    pub name: Option<String>,
    /// How long stopping may take before what is in flight goes back to the broker.
    pub drain: Span,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self { name: None, drain: Span(Duration::from_secs(25)) }
    }
}

/// A case for `quash test`: an event, and what it must ask for.
///
/// ```
/// use quash_dispatch::config::{Config, TestCase};
///
/// let config = Config::parse(r#"
/// version: 1
/// tests:
///   - name: a deleted book drops its page
///     event: { entity: shop.Book, op: delete, key: { id: 42 } }
///     expect: { caches: [book] }
/// "#)?;
/// let TestCase { name, event, .. } = &config.tests[0];
/// assert_eq!((name.as_str(), &event["op"]), ("a deleted book drops its page", &"delete".into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TestCase {
    /// What the case shows.
    pub name: String,
    /// The event, in any format that `auto` recognises.
    pub event: serde_json::Value,
    /// What it must ask for.
    pub expect: Expectation,
}

/// What an event must ask for.
///
/// ```
/// use quash_dispatch::config::{Config, Expectation};
///
/// let config = Config::parse(r#"
/// version: 1
/// tests:
///   - name: a deleted book drops its page
///     event: { entity: shop.Book, op: delete, key: { id: 42 } }
///     expect: { caches: [book] }
/// "#)?;
/// let expected = Expectation { caches: Some(vec!["book".to_owned()]), ..Expectation::default() };
/// assert_eq!(config.tests[0].expect, expected);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Expectation {
    /// Exactly these caches, in any order.
    pub caches: Option<Vec<String>>,
    /// Exactly these actions, in any order: `{ main: { delete: "product:42" } }`.
    pub actions: Option<Vec<BTreeMap<String, BTreeMap<String, String>>>>,
    /// Instead of all that: why it becomes a dead letter.
    pub dead_letter: Option<String>,
}

#[cfg(test)]
mod tests {
    use quash_config::{Environment, Loader};

    use super::*;

    struct Nothing;

    impl Environment for Nothing {
        fn get(&self, _: &str) -> Option<String> {
            None
        }
    }

    /// The commented lines that are keys, uncommented.
    fn uncommented(yaml: &str) -> String {
        let key =
            |line: &str| line.split_once(':').is_some_and(|(key, _)| !key.is_empty() && !key.contains([' ', '`']));
        let lines = yaml.lines().map(|line| match line.split_once("# ") {
            Some((indent, rest)) if indent.trim().is_empty() && key(rest.trim_start()) => format!("{indent}{rest}\n"),
            _ => format!("{line}\n"),
        });
        lines.collect()
    }

    /// The same with a source in this process: what the driver reads is its own to test.
    fn in_memory(yaml: &str) -> String {
        let (mut out, mut skipped) = (String::new(), None);
        for line in yaml.lines() {
            let indent = line.len() - line.trim_start().len();
            skipped = skipped.filter(|driver| indent > *driver);
            match line.trim() {
                "redis_streams:" => {
                    out.push_str(&format!("{:indent$}memory: {{}}\n", ""));
                    skipped = Some(indent);
                }
                _ if skipped.is_none() => out.push_str(&format!("{line}\n")),
                _ => {}
            }
        }
        out
    }

    #[test]
    fn a_configuration_is_read_by_serde_as_by_the_loader() {
        let texts = [
            r#"{"version": 1, "sources": {"events": {"memory": {}}}}"#,
            r#"{
                "sources": {"events": {"batch": 64, "memory": {}, "linger": "5ms"}, "bulk": {"memory": {}}},
                "caches": {"book": {"key": "book:{id}", "depends_on": [{"row": "shop.Book"}],
                                    "dispatch": {"queue": {"source": "bulk"}}}},
                "targets": {"main": {"concurrency": 8, "memory": {}, "key_format": "plain"}},
                "dispatch": {"threadpool": {"workers": 2, "source": "events"}}, "secrets": {"pepper": "p"}, "version": 1
            }"#,
            r#"{"dispatch": "inline", "sources": {"events": {"memory": {}}}, "version": 1}"#,
        ];
        for text in texts {
            let expected =
                Config::parse(text).map(|config| format!("{config:?}")).unwrap_or_else(|error| panic!("{error}"));
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            let read: [serde_json::Result<Config>; 4] = [
                serde_json::from_str(text),
                serde_json::from_slice(text.as_bytes()),
                serde_json::from_reader(text.as_bytes()),
                serde_json::from_value(value),
            ];
            for config in read {
                assert_eq!(
                    config.map(|config| format!("{config:?}")).map_err(|error| error.to_string()),
                    Ok(expected.clone())
                );
            }
        }
    }

    #[test]
    fn the_default_configuration_is_right_and_shows_the_defaults() {
        for yaml in [in_memory(DEFAULT), in_memory(&uncommented(DEFAULT))] {
            let loaded = Loader::load_text::<Config>("default.yaml", &yaml, &Nothing);
            let config = loaded.map(|loaded| loaded.root).unwrap_or_else(|problems| panic!("{problems}"));
            assert_eq!(config.check_parts(), []);
            assert_eq!(config.retry, RetryConfig::default());
            assert_eq!(config.limits, Limits::default());
            assert_eq!(config.admin, AdminConfig::default());
            assert_eq!(config.sources["events"].options, SourceOptions::default());
            assert_eq!(config.targets["main"].options.concurrency, 4);
            assert_eq!(config.tests.len(), 1);
        }
        assert!(uncommented(DEFAULT).contains("\nretry:\n  max_attempts: 8\n"), "{}", uncommented(DEFAULT));
    }
}
