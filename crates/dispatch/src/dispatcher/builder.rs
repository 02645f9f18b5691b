//! Makes a dispatcher from a configuration.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use quash_config::{ConfigPath, LoadError, Loader, Problem, ProcessEnvironment, Root, Segment, Severity};
use quash_store::Store;
use serde::Deserialize;

use super::engine::Engine;
use super::layout::{Group, Layout, Runs};
use super::publish::Publisher;
use super::queue::Buffer;
use super::receipt::Ledger;
use super::room::Room;
use super::targets::Targets;
use super::threadpool::Threadpool;
use super::{Background, Dispatcher, Handle, Inner, Running};
use crate::config::Config;
use quash_delivery::retry::RetryPolicy;
use quash_transport::Transport;

/// Stores and transports to use in place of those that configuration describes, by their configured names. For those who
/// want to hold the other end.
///
/// ```
/// use quash_dispatch::dispatcher::Plugins;
/// use quash_transport::memory;
/// use quash_dispatch::{Dispatcher, Event};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let config = quash_dispatch::config::Config::parse(
/// #     "{ version: 1, targets: { main: { memory: {} } }, sources: { events: { memory: {} } }, \
/// #        dispatch: queue, caches: { book: { key: 'book:{id}', depends_on: [ { row: shop.Book } ] } } }",
/// # )?;
/// let transport = memory::Config::default().build().map_err(|problem| problem.message)?;
/// let plugins = Plugins { transports: [("events".to_owned(), transport.clone())].into(), ..Plugins::default() };
/// let dispatcher = Dispatcher::builder(&config).plugins(plugins).start()?;
/// dispatcher.dispatch(Event::delete("shop.Book").key("id", 42)).await?;
/// assert_eq!(transport.backlog().await?.ready, 1);
/// # Ok(()) }
/// ```
#[derive(Default, Clone)]
pub struct Plugins {
    /// In place of targets.
    pub stores: BTreeMap<String, Arc<dyn Store>>,
    /// In place of sources.
    pub transports: BTreeMap<String, Arc<dyn Transport>>,
}

/// A dispatcher to be started.
///
/// ```
/// # use quash_dispatch::Dispatcher;
/// use quash_dispatch::dispatcher::Builder;
///
/// # let config = quash_dispatch::config::Config::parse(
/// #     "{ version: 1, targets: { main: { memory: {} } }, sources: { events: { memory: {} } }, \
/// #        dispatch: inline, caches: { book: { key: 'book:{id}', depends_on: [ { row: shop.Book } ] } } }",
/// # )?;
/// let builder: Builder<'_> = Dispatcher::builder(&config).source("shop-api");
/// let dispatcher = builder.start()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct Builder<'c> {
    config: &'c Config,
    plugins: Option<Plugins>,
    source: Option<String>,
}

/// Why a dispatcher did not start.
///
/// ```
/// # use quash_dispatch::Dispatcher;
/// use quash_dispatch::dispatcher::StartError;
///
/// let error = Dispatcher::load("not/there.yaml").unwrap_err();
/// assert!(matches!(error, StartError::Load(_)));
/// ```
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The configuration is wrong.
    #[error("the configuration is wrong: {}", in_words(.0))]
    Invalid(Vec<Problem>),
    /// The system gives no more threads.
    #[error("cannot start a thread: {0}")]
    Threads(#[from] io::Error),
}

fn in_words(problems: &[Problem]) -> String {
    let words = problems.iter().map(|problem| {
        let help = problem.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{}: {}{help}", problem.path, problem.message)
    });
    words.collect::<Vec<_>>().join("; ")
}

impl<'c> Builder<'c> {
    pub(super) const fn new(config: &'c Config) -> Self {
        Self { config, plugins: None, source: None }
    }

    /// With stores and transports of the caller's.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use quash_store::memory::Memory;
    /// # use quash_dispatch::dispatcher::Plugins;
    /// # use quash_dispatch::{Dispatcher, Event};
    ///
    /// # let config = quash_dispatch::config::Config::parse(
    /// #     "{ version: 1, targets: { main: { memory: {} } }, sources: { events: { memory: {} } }, \
    /// #        dispatch: inline, caches: { book: { key: 'book:{id}', depends_on: [ { row: shop.Book } ] } } }",
    /// # )?;
    /// let cache = Memory::new();
    /// cache.set("book:42", "Walden");
    /// let stores = [("main".to_owned(), Arc::new(cache.clone()) as _)].into();
    /// let dispatcher = Dispatcher::builder(&config).plugins(Plugins { stores, ..Plugins::default() }).start()?;
    /// dispatcher.dispatch_blocking(Event::delete("shop.Book").key("id", 42))?;
    /// assert_eq!(cache.get("book:42"), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn plugins(mut self, plugins: Plugins) -> Self {
        self.plugins = Some(plugins);
        self
    }

    /// Says who publishes, in events that do not say it themselves.
    ///
    /// ```
    /// # use quash_dispatch::Dispatcher;
    /// # let config = quash_dispatch::config::Config::parse(
    /// #     "{ version: 1, targets: { main: { memory: {} } }, sources: { events: { memory: {} } }, \
    /// #        dispatch: inline, caches: { book: { key: 'book:{id}', depends_on: [ { row: shop.Book } ] } } }",
    /// # )?;
    /// let dispatcher = Dispatcher::builder(&config).source("shop-api").start()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn source(mut self, source: impl Into<String>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Starts its threads. Connects to nothing yet.
    ///
    /// # Errors
    /// Everything that is wrong with the configuration.
    ///
    /// ```
    /// # use quash_dispatch::Dispatcher;
    /// # use quash_dispatch::config::Config;
    /// let mut config = Config::parse("{ version: 1, sources: { events: { memory: {} } } }")?;
    /// Dispatcher::builder(&config).start()?;
    /// config.retry.factor = 0.5;
    /// let error = Dispatcher::builder(&config).start().unwrap_err();
    /// assert!(error.to_string().contains("retry.factor"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn start(self) -> Result<Dispatcher, StartError> {
        let Self { config, plugins, source } = self;
        let plugins = plugins.unwrap_or_default();
        let is_error = |problem: &Problem| problem.severity == Severity::Error && !is_of_workers(&problem.path);
        let (resolver, mut problems) = config.rules();
        problems.extend(config.check_rest());
        problems.retain(is_error);
        let Some(resolver) = resolver.filter(|_| problems.is_empty()) else {
            return Err(StartError::Invalid(problems));
        };
        let layout = Layout::of(config, &resolver).map_err(StartError::Invalid)?;
        let engine = Engine::start()?;
        let hand = engine.hand();
        let publisher = Publisher::new(hand.clone(), transports(config, &plugins)?);
        let targets = config.targets.iter().map(|(name, target)| (target.clone(), plugins.stores.get(name).cloned()));
        let groups = layout.groups.into_iter().map(running).collect::<io::Result<Vec<_>>>()?;
        let home = layout.home;
        let batch = home.batch.clone().zip(publisher.transport(&home.source).cloned());
        let buffer = batch.map(|(batch, to)| Buffer::start(&hand, to, home.source.clone(), batch, home.timeout));
        let inner = Inner {
            targets: Targets::new(targets),
            resolver,
            groups,
            home,
            buffer,
            always_publishes: layout.always_publishes,
            publisher,
            policy: RetryPolicy::from(&config.retry),
            limits: config.limits.event(),
            source: source.map(Into::into),
            origin: origin().into(),
            ledger: Ledger::default(),
            hand,
            is_closed: AtomicBool::new(false),
        };
        Ok(Dispatcher(Arc::new(Handle { inner: Arc::new(inner), _engine: engine })))
    }
}

fn transports(config: &Config, plugins: &Plugins) -> Result<BTreeMap<String, Arc<dyn Transport>>, StartError> {
    let built = config.sources.iter().map(|(name, source)| {
        let transport = match plugins.transports.get(name) {
            Some(transport) => Arc::clone(transport),
            None => source.kind.build().map_err(|problem| {
                let path = ConfigPath::root().key("sources").key(name).key(source.kind.kind());
                StartError::Invalid(vec![problem.below(&path)])
            })?,
        };
        Ok((name.clone(), transport))
    });
    built.collect()
}

fn running(group: Group) -> io::Result<Running> {
    let room = |capacity, when_full| Room::new(capacity, when_full, group.timeout, group.kind);
    let background = match group.runs {
        Runs::Inline => None,
        Runs::Threadpool { workers, capacity, when_full } => {
            Some(Background { room: room(capacity, when_full), pool: Some(Threadpool::start(workers)?) })
        }
        Runs::Task { capacity, when_full } => Some(Background { room: room(capacity, when_full), pool: None }),
    };
    Ok(Running { group: Arc::new(group), background })
}

/// Host and process.
fn origin() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    format!("{}:{}", host.trim(), std::process::id())
}

/// The configuration as an application reads it: what only workers need is nobody's business here.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
struct Application(Config);

impl Root for Application {
    const ENVIRONMENT: &'static [&'static str] = &["targets", "sources", "secrets"];

    fn check(&self) -> Vec<Problem> {
        self.0.check().into_iter().filter(|problem| !is_of_workers(&problem.path)).collect()
    }
}

fn is_of_workers(path: &ConfigPath) -> bool {
    matches!(path.0.first(), Some(Segment::Key(section)) if ["admin", "worker", "tests"].contains(&section.as_str()))
}

impl Config {
    /// Reads the configuration of files and directories as an application needs it: what only workers need (`admin`, `worker`,
    /// `tests`) is left alone, and variables of the environment that only stand there need not be set.
    ///
    /// # Errors
    /// When a file cannot be read, or everything that is wrong, at its place in the files.
    ///
    /// ```no_run
    /// let config = quash_dispatch::config::Config::load("quash.yaml")?;
    /// let dispatcher = quash_dispatch::Dispatcher::from_config(&config)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn load(path: impl Into<PathBuf>) -> Result<Self, LoadError> {
        Loader::load::<Application>(&[path.into()], &ProcessEnvironment).map(|loaded| loaded.root.0)
    }

    /// The same of one text.
    ///
    /// # Errors
    /// Everything that is wrong, at its place in the text.
    ///
    /// ```
    /// # use quash_dispatch::config::Config;
    /// let config = Config::parse("version: 1\ntargets: { main: { memory: {} } }")?;
    /// assert!(config.targets.contains_key("main"));
    ///
    /// let error = Config::parse("version: 1\ntarget: { main: { memory: {} } }").unwrap_err();
    /// assert!(error.to_string().contains("did you mean `targets`?"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn parse(yaml: &str) -> Result<Self, LoadError> {
        let loaded = Loader::load_text::<Application>("quash.yaml", yaml, &ProcessEnvironment);
        loaded.map(|loaded| loaded.root.0).map_err(LoadError::Invalid)
    }
}
