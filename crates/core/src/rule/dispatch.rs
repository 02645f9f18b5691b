//! Says where the work of a cache runs, as configuration spells it, and what of that does not fit together.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::config::CacheConfig;
use quash_config::{ConfigPath, Problem, Span};

/// Where resolving and executing runs, seen from the code that changed something. A word alone (`inline`) has the defaults.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename = "quash::OrAlone", rename_all = "snake_case")]
#[cfg_attr(feature = "schema", schemars(rename = "DispatchConfig", rename_all = "snake_case", transform = or_alone))]
pub enum DispatchConfig {
    /// In the caller, before the call returns.
    Inline(Inline),
    /// On threads of its own.
    Threadpool(Threadpool),
    /// On the tokio runtime that the caller runs on; as `inline` where none runs.
    Task(Task),
    /// In a worker: the call returns when the broker has taken the event.
    Queue(Queue),
}

impl Default for DispatchConfig {
    fn default() -> Self {
        Self::Queue(Queue::default())
    }
}

/// In the caller.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Inline {
    /// Attempts in this process, the first included.
    pub attempts: u32,
    /// What becomes of an event that failed as often.
    pub failures: Failures,
    /// The source that failures and later passes go to; the only one when left out.
    pub source: Option<String>,
    /// How long the caller waits for a broker at most.
    pub timeout: Span,
}

/// On threads of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Threadpool {
    /// Threads.
    pub workers: usize,
    /// Events that wait or run at most.
    pub capacity: usize,
    /// What happens to one more.
    pub when_full: WhenFull,
    /// Attempts in this process, the first included.
    pub attempts: u32,
    /// What becomes of an event that failed as often.
    pub failures: Failures,
    /// The source that failures and later passes go to; the only one when left out.
    pub source: Option<String>,
    /// How long the caller waits for room, and for a broker, at most.
    pub timeout: Span,
}

/// On the tokio runtime that the caller runs on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Task {
    /// Events that wait or run at most.
    pub capacity: usize,
    /// What happens to one more.
    pub when_full: WhenFull,
    /// Attempts in this process, the first included.
    pub attempts: u32,
    /// What becomes of an event that failed as often.
    pub failures: Failures,
    /// The source that failures and later passes go to; the only one when left out.
    pub source: Option<String>,
    /// How long the caller waits for room, and for a broker, at most.
    pub timeout: Span,
}

/// In a worker.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Queue {
    /// The source to publish to; the only one when left out.
    pub source: Option<String>,
    /// How long the caller waits at most, all in all.
    pub timeout: Span,
    /// Publishes events of many callers together: the call returns when the event is in a buffer of this process.
    pub batch: Option<Batch>,
}

/// How events of many callers are published together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Batch {
    /// Messages that are published together at most.
    pub max: usize,
    /// How long to wait for more; what comes while a batch is being published is the next one anyway. While it waits, a
    /// call leaves its event without waking anybody, which otherwise is the dearest part of it.
    pub linger: Span,
    /// Messages that wait at most.
    pub capacity: usize,
    /// What happens to one more.
    pub when_full: WhenBufferFull,
}

/// What happens to an event when a dispatcher in this process has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// The caller waits for room, and gets the event back after `timeout`.
    #[default]
    Block,
    /// The caller does the work itself.
    Inline,
    /// The caller gets the event back.
    Refuse,
}

/// What happens to an event when the buffer of a queue has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum WhenBufferFull {
    /// The caller waits for room, and gets the event back after `timeout`.
    #[default]
    Block,
    /// The caller gets the event back.
    Refuse,
}

/// What becomes of an event that failed in this process as often as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Failures {
    /// The rest of it goes to the source's queue, where workers go on with the whole retry policy.
    #[default]
    HandOver,
    /// The rest of it becomes a dead letter of the source at once.
    DeadLetter,
}

/// How long a caller waits at most, unless configured otherwise: what a request can bear.
const TIMEOUT: Span = Span(Duration::from_millis(250));

/// Attempts of dispatchers that nobody waits for.
const BACKGROUND_ATTEMPTS: u32 = 3;

impl Default for Inline {
    fn default() -> Self {
        Self { attempts: 1, failures: Failures::default(), source: None, timeout: TIMEOUT }
    }
}

impl Default for Threadpool {
    fn default() -> Self {
        Self {
            workers: 4,
            capacity: 1000,
            when_full: WhenFull::default(),
            attempts: BACKGROUND_ATTEMPTS,
            failures: Failures::default(),
            source: None,
            timeout: TIMEOUT,
        }
    }
}

impl Default for Task {
    fn default() -> Self {
        Self {
            capacity: 1000,
            when_full: WhenFull::default(),
            attempts: BACKGROUND_ATTEMPTS,
            failures: Failures::default(),
            source: None,
            timeout: TIMEOUT,
        }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self { source: None, timeout: TIMEOUT, batch: None }
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            max: 256,
            linger: Span(Duration::from_millis(1)),
            capacity: 10_000,
            when_full: WhenBufferFull::default(),
        }
    }
}

impl DispatchConfig {
    const KINDS: [&'static str; 4] = ["inline", "threadpool", "task", "queue"];

    /// Its key in configuration.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Inline(_) => Self::KINDS[0],
            Self::Threadpool(_) => Self::KINDS[1],
            Self::Task(_) => Self::KINDS[2],
            Self::Queue(_) => Self::KINDS[3],
        }
    }

    /// Whether the work runs in the process that changed something.
    #[must_use]
    pub const fn is_in_process(&self) -> bool {
        !matches!(self, Self::Queue(_))
    }

    /// The source that it names: to publish to, or to hand failures to.
    #[must_use]
    pub fn source(&self) -> Option<&str> {
        match self {
            Self::Inline(Inline { source, .. })
            | Self::Threadpool(Threadpool { source, .. })
            | Self::Task(Task { source, .. })
            | Self::Queue(Queue { source, .. }) => source.as_deref(),
        }
    }

    /// How long a caller waits at most.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        match self {
            Self::Inline(Inline { timeout, .. })
            | Self::Threadpool(Threadpool { timeout, .. })
            | Self::Task(Task { timeout, .. })
            | Self::Queue(Queue { timeout, .. }) => timeout.0,
        }
    }

    /// Everything that is wrong with the choices of a configuration: `top` is the one for all caches, `sources` are the
    /// names of those declared. What is left out is not checked: a worker needs no dispatcher.
    #[must_use]
    pub fn check(top: Option<&Self>, caches: &BTreeMap<String, CacheConfig>, sources: &[&str]) -> Vec<Problem> {
        let root = ConfigPath::root();
        let mut problems = Vec::new();
        if let Some(top) = top {
            problems.extend(top.check_at(&root.key("dispatch"), sources));
        }
        for (name, cache) in caches {
            let path = root.key("caches").key(name);
            if let Some(own) = &cache.dispatch {
                problems.extend(own.check_at(&path.key("dispatch"), sources));
            }
            let here = cache.dispatch.as_ref().or(top).is_some_and(Self::is_in_process);
            if here && sources.is_empty() && !cache.again_after.is_empty() {
                let message = "later passes wait in a broker, and no source is declared";
                problems.push(Problem::error(path.key("again_after"), message).help("declare one under `sources`"));
            }
        }
        problems
    }

    fn check_at(&self, path: &ConfigPath, sources: &[&str]) -> Vec<Problem> {
        let inner = path.key(self.kind());
        let mut problems: Vec<Problem> = self.check_source(path, &inner, sources).into_iter().collect();
        let mut at_least_one = |path: ConfigPath, key: &str, value: usize| {
            if value == 0 {
                problems.push(Problem::error(path.key(key), format!("{key} is at least 1")));
            }
        };
        match self {
            Self::Inline(Inline { attempts, .. }) => at_least_one(inner.clone(), "attempts", *attempts as usize),
            Self::Threadpool(Threadpool { workers, capacity, attempts, .. }) => {
                at_least_one(inner.clone(), "workers", *workers);
                at_least_one(inner.clone(), "capacity", *capacity);
                at_least_one(inner.clone(), "attempts", *attempts as usize);
            }
            Self::Task(Task { capacity, attempts, .. }) => {
                at_least_one(inner.clone(), "capacity", *capacity);
                at_least_one(inner.clone(), "attempts", *attempts as usize);
            }
            Self::Queue(Queue { batch, .. }) => {
                if let Some(batch) = batch {
                    at_least_one(inner.key("batch"), "max", batch.max);
                    at_least_one(inner.key("batch"), "capacity", batch.capacity);
                }
            }
        }
        if let Self::Threadpool(Threadpool { workers, .. }) = self
            && *workers > WORKERS_MAX
        {
            problems.push(Problem::error(inner.key("workers"), format!("a pool has at most {WORKERS_MAX} threads")));
        }
        if self.timeout().is_zero() {
            problems.push(Problem::error(inner.key("timeout"), "timeout is longer than nothing"));
        }
        problems
    }

    fn check_source(&self, path: &ConfigPath, inner: &ConfigPath, sources: &[&str]) -> Option<Problem> {
        match (self.source(), sources) {
            (Some(name), _) if sources.contains(&name) => None,
            (Some(name), _) => {
                let problem = Problem::error(inner.key("source"), format!("no source is called `{name}`"));
                Some(problem.did_you_mean(name, sources.iter().copied()))
            }
            (None, [_]) => None,
            (None, []) if self.is_in_process() => {
                let message = format!(
                    "what fails in the process is handed to a source, and none is declared for `{}`",
                    self.kind()
                );
                Some(Problem::error(path.clone(), message).help("declare one under `sources`"))
            }
            (None, []) => {
                let message = "there is no source to publish to";
                Some(Problem::error(path.clone(), message).help("declare one under `sources`"))
            }
            (None, _) => {
                let list = sources.join(", ");
                let message = format!("several sources are declared ({list}) and `{}` names none", self.kind());
                let example = format!("write {}: {{ source: {} }}", self.kind(), sources[0]);
                Some(Problem::error(path.clone(), message).help(example))
            }
        }
    }
}

/// Threads of a pool at most: each has a runtime and connections of its own.
const WORKERS_MAX: usize = 256;

/// Lets the schema take a word alone, as the loader does.
#[cfg(feature = "schema")]
fn or_alone(schema: &mut schemars::Schema) {
    let alone = serde_json::json!({
        "description": "With the defaults.",
        "type": "string",
        "enum": DispatchConfig::KINDS,
    });
    if let Some(forms) = schema.get_mut("oneOf").and_then(serde_json::Value::as_array_mut) {
        forms.push(alone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quash_config::{Environment, Loader, Root};

    #[derive(Debug, Deserialize)]
    #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
    #[serde(deny_unknown_fields, default)]
    #[derive(Default)]
    struct Config {
        dispatch: Option<DispatchConfig>,
        caches: BTreeMap<String, CacheConfig>,
        sources: Vec<String>,
    }

    impl Root for Config {
        const ENVIRONMENT: &'static [&'static str] = &[];

        fn check(&self) -> Vec<Problem> {
            let sources: Vec<&str> = self.sources.iter().map(String::as_str).collect();
            DispatchConfig::check(self.dispatch.as_ref(), &self.caches, &sources)
        }
    }

    struct Nothing;

    impl Environment for Nothing {
        fn get(&self, _: &str) -> Option<String> {
            None
        }
    }

    fn load(yaml: &str) -> Result<Config, Vec<String>> {
        let loaded = Loader::load_text::<Config>("q.yaml", yaml, &Nothing);
        loaded.map(|loaded| loaded.root).map_err(|problems| {
            problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
        })
    }

    #[test]
    fn a_word_alone_has_the_defaults() {
        let cases = [
            ("inline", DispatchConfig::Inline(Inline::default())),
            ("{ inline: {} }", DispatchConfig::Inline(Inline::default())),
            ("{ inline: }", DispatchConfig::Inline(Inline::default())),
            ("threadpool", DispatchConfig::Threadpool(Threadpool::default())),
            ("task", DispatchConfig::Task(Task::default())),
            ("queue", DispatchConfig::Queue(Queue::default())),
            (
                "{ queue: { batch: {} } }",
                DispatchConfig::Queue(Queue { batch: Some(Batch::default()), ..Queue::default() }),
            ),
            (
                "{ threadpool: { workers: 2, when_full: inline } }",
                DispatchConfig::Threadpool(Threadpool {
                    workers: 2,
                    when_full: WhenFull::Inline,
                    ..Threadpool::default()
                }),
            ),
        ];
        for (yaml, expected) in cases {
            let config = load(&format!("sources: [events]\ndispatch: {yaml}"));
            assert_eq!(config.map(|config| config.dispatch).map_err(|errors| errors.join("\n")), Ok(Some(expected)));
        }
    }

    #[test]
    fn what_does_not_fit_is_said_at_its_place() {
        let cases = [
            ("sources: [e]\ndispatch: inlin", "dispatch: unknown value `inlin`"),
            ("sources: [e]\ndispatch: { inline: { wrokers: 1 } }", "dispatch.inline.wrokers: unknown key `wrokers`"),
            (
                "dispatch: inline",
                "dispatch: what fails in the process is handed to a source, and none is declared for `inline`",
            ),
            ("dispatch: queue", "dispatch: there is no source to publish to"),
            ("sources: [a, b]\ndispatch: task", "dispatch: several sources are declared (a, b) and `task` names none"),
            (
                "sources: [events]\ndispatch: { queue: { source: evnts } }",
                "dispatch.queue.source: no source is called `evnts`",
            ),
            (
                "sources: [e]\ndispatch: { threadpool: { workers: 0 } }",
                "dispatch.threadpool.workers: workers is at least 1",
            ),
            (
                "sources: [e]\ndispatch: { threadpool: { workers: 1000 } }",
                "dispatch.threadpool.workers: a pool has at most 256 threads",
            ),
            ("sources: [e]\ndispatch: { task: { capacity: 0 } }", "dispatch.task.capacity: capacity is at least 1"),
            ("sources: [e]\ndispatch: { inline: { attempts: 0 } }", "dispatch.inline.attempts: attempts is at least 1"),
            ("sources: [e]\ndispatch: { queue: { batch: { max: 0 } } }", "dispatch.queue.batch.max: max is at least 1"),
            (
                "sources: [e]\ndispatch: { queue: { timeout: 0s } }",
                "dispatch.queue.timeout: timeout is longer than nothing",
            ),
            (
                "sources: [e]\ncaches: { c: { key: k, dispatch: { queue: { source: bulk } } } }",
                "caches.c.dispatch.queue.source: no source is called `bulk`",
            ),
        ];
        for (yaml, expected) in cases {
            let problems = load(yaml).expect_err(yaml);
            assert!(matches!(&problems[..], [one] if one.starts_with(expected)), "{yaml}: {problems:?}");
        }
    }

    #[test]
    fn later_passes_need_a_broker_to_wait_in() {
        let problems = load("caches: { c: { key: k, again_after: [1s], dispatch: inline } }").expect_err("no source");
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems.iter().any(|problem| problem.starts_with("caches.c.again_after: later passes")));
        assert!(load("sources: [e]\ncaches: { c: { key: k, again_after: [1s], dispatch: inline } }").is_ok());
    }

    #[test]
    fn nothing_chosen_is_nothing_wrong() {
        for yaml in ["{}", "sources: [a, b]\ncaches: { c: { key: k } }", "caches: { c: { key: k, again_after: [1s] } }"]
        {
            assert!(load(yaml).is_ok(), "{yaml}");
        }
    }
}
