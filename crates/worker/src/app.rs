//! Wires configuration into running consumers and lanes, reloads it, and stops them.

mod build;
mod refresh;
mod reload;
mod watch;

#[cfg(test)]
pub(crate) mod doubles;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use quash_config::{LoadError, Loaded, Problem, Problems};
use quash_core::resolve::Resolver;
use quash_store::Store;
use quash_transport::{Transport, TransportError};
use tokio::sync::watch as channel;
use tokio::task::JoinSet;

use crate::consume::consume;
use crate::drain::{Stop, Stopper, stop};
use crate::metrics::Metrics;
use crate::snapshot::Snapshot;
use crate::source::Source;
use crate::view::View;
use quash_dispatch::config::Config;

pub use build::compile;
pub use watch::{Files, Reloads};

/// A worker that can be started.
pub struct App {
    config: Config,
    rules: Arc<Resolver>,
    plugins: Plugins,
}

/// Stores and transports to use in place of those that configuration describes, by their configured names. For those who
/// embed a worker and want to hold the other end.
#[derive(Default, Clone)]
pub struct Plugins {
    /// In place of targets.
    pub stores: BTreeMap<String, Arc<dyn Store>>,
    /// In place of sources.
    pub transports: BTreeMap<String, Arc<dyn Transport>>,
}

/// Why a worker did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is wrong.
    #[error("the configuration is wrong")]
    Invalid(Vec<Problem>),
    /// A broker does not let this worker consume as configured.
    #[error("source {name}: {error}")]
    Source {
        /// The source.
        name: String,
        /// The broker's words.
        error: TransportError,
    },
}

impl App {
    /// Compiles the rules of a configuration; nothing is built or connected yet.
    ///
    /// # Errors
    /// [`StartError::Invalid`] with everything that is wrong with it.
    pub fn new(config: Config) -> Result<Self, StartError> {
        let rules = compile(&config).map_err(StartError::Invalid)?;
        Ok(Self::with_rules(config, Arc::new(rules)))
    }

    /// The same with rules that are compiled already.
    #[must_use]
    pub fn with_rules(config: Config, rules: Arc<Resolver>) -> Self {
        Self { config, rules, plugins: Plugins::default() }
    }

    /// The same with stores and transports of the caller's.
    #[must_use]
    pub fn plugins(mut self, plugins: Plugins) -> Self {
        self.plugins = plugins;
        self
    }

    /// Starts consumers and lanes. A broker that cannot be reached is tried until it can be; a
    /// target that cannot be reached opens its lane.
    ///
    /// # Errors
    /// When the configuration does not fit together, or a broker refuses.
    pub async fn start(self) -> Result<Running, StartError> {
        let Self { config, rules, plugins } = self;
        let metrics = Arc::new(Metrics::new());
        let (changes, _) = channel::channel(());
        let snapshot =
            build::snapshot(&config, rules, &plugins, &metrics, &changes, None).map_err(StartError::Invalid)?;
        let rules = Arc::new(ArcSwap::from_pointee(snapshot));
        let sources = build::sources(&config, &plugins, &metrics, &rules).map_err(StartError::Invalid)?;
        build::prepare(&sources).await?;
        let (stopper, stop) = stop();
        let (mut consumers, mut helpers) = (JoinSet::new(), JoinSet::new());
        for source in &sources {
            consumers.spawn(consume(Arc::clone(source), stop.clone(), changes.subscribe()));
            helpers.spawn(refresh::refresh(Arc::clone(source)));
        }
        let config = Mutex::new(config);
        Ok(Running { config, plugins, metrics, rules, sources, changes, stopper, stop, consumers, helpers })
    }
}

/// A worker that runs. Dropping it ends it at once; what was in flight comes back from the broker.
pub struct Running {
    config: Mutex<Config>,
    plugins: Plugins,
    metrics: Arc<Metrics>,
    rules: Arc<ArcSwap<Snapshot>>,
    sources: Vec<Arc<Source>>,
    changes: channel::Sender<()>,
    stopper: Stopper,
    stop: Stop,
    consumers: JoinSet<()>,
    helpers: JoinSet<()>,
}

impl Running {
    /// Every metric.
    #[must_use]
    pub const fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// What can be seen of it from now on, also while it stops.
    #[must_use]
    pub fn view(&self) -> View {
        View {
            metrics: Arc::clone(&self.metrics),
            rules: Arc::clone(&self.rules),
            sources: self.sources.clone(),
            stop: self.stop.clone(),
        }
    }

    /// The rules and lanes in force.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.rules.load_full()
    }

    /// The sources, in the order of their names.
    #[must_use]
    pub fn sources(&self) -> &[Arc<Source>] {
        &self.sources
    }

    /// Takes a configuration into force, or keeps the one from before if it is wrong; says in the log which. Batches that
    /// are being handled end with the rules that they began with.
    ///
    /// # Errors
    /// Everything that is wrong, at its place in the files.
    pub fn reload(&self, loaded: &Loaded<Config>) -> Result<(), Problems> {
        let taken = compile(&loaded.root).and_then(|rules| self.reload_with(&loaded.root, Arc::new(rules)));
        taken.map_err(|problems| {
            let problems = loaded.locate(problems);
            self.reload_refused(&LoadError::Invalid(problems.clone()));
            problems
        })
    }

    /// The same with rules that are compiled already.
    ///
    /// # Errors
    /// The targets whose values do not fit together.
    pub fn reload_with(&self, config: &Config, rules: Arc<Resolver>) -> Result<(), Vec<Problem>> {
        let before = self.snapshot();
        let after = build::snapshot(config, rules, &self.plugins, &self.metrics, &self.changes, Some(&before))?;
        let mut running = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        let what = reload::Differences::between(&running, config);
        what.targets_gone.iter().for_each(|name| self.metrics.target_gone(name));
        self.rules.store(Arc::new(after));
        self.changes.send_replace(());
        self.metrics.reloaded(&what.taken, &what.left);
        // What needs a restart is remembered as it runs, so that the next reload says so again.
        running.targets = config.targets.clone();
        running.caches = config.caches.clone();
        (running.limits, running.retry) = (config.limits, config.retry.clone());
        Ok(())
    }

    /// Says in the log that the files cannot be taken into force; the configuration from before stays.
    pub fn reload_refused(&self, error: &LoadError) {
        self.metrics.reload_refused(error);
    }

    /// Stops receiving, finishes what is in flight within `worker.drain`, hands the rest back to the broker.
    pub async fn stop(self) {
        let limit = self.config.lock().unwrap_or_else(PoisonError::into_inner).worker.drain.0;
        self.stop_within(limit).await;
    }

    /// The same within another limit.
    pub async fn stop_within(mut self, limit: Duration) {
        self.stopper.drain(limit);
        tokio::select! {
            () = async { while self.consumers.join_next().await.is_some() {} } => {}
            () = self.stop.over() => self.consumers.shutdown().await,
        }
        self.helpers.shutdown().await;
    }
}
