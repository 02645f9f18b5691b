//! Makes rules, lanes and sources from a configuration.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use quash_config::{ConfigPath, Problem, Severity};
use quash_core::plan::TargetId;
use quash_core::resolve::Resolver;
use quash_store::TargetConfig;
use quash_transport::{Transport, TransportError};
use tokio::time::timeout;

use super::{Plugins, StartError};
use crate::lane::{Changes, Lane};
use crate::metrics::Metrics;
use crate::snapshot::Snapshot;
use crate::source::{OtherSource, OtherSources, Source};
use quash_delivery::retry::RetryPolicy;
use quash_dispatch::config::{Config, SourceConfig};

/// How long a start waits for a broker before it goes on without; the source is tried until it answers.
const PREPARE_MAX: Duration = Duration::from_secs(5);

/// Compiles the rules of a configuration.
///
/// # Errors
/// Everything that is wrong; warnings are left out.
pub fn compile(config: &Config) -> Result<Resolver, Vec<Problem>> {
    let (rules, problems) = config.compile();
    let is_error = |problem: &Problem| problem.severity == Severity::Error;
    rules.ok_or_else(|| problems.into_iter().filter(is_error).collect())
}

/// Rules with lanes. Targets that are configured as before keep their lanes, with what these know.
pub(super) fn snapshot(
    config: &Config,
    rules: Arc<Resolver>,
    plugins: &Plugins,
    metrics: &Metrics,
    changes: &Changes,
    before: Option<&Snapshot>,
) -> Result<Snapshot, Vec<Problem>> {
    let names = rules.targets();
    let lanes = names.iter().map(|name| {
        let unknown = || Problem::error(ConfigPath::root().key("targets"), format!("there is no target `{name}`"));
        lane(name, config.targets.get(name).ok_or_else(unknown)?, plugins, metrics, changes, before)
    });
    let lanes = all(lanes.collect())?;
    for (id, lane) in (0..).map(TargetId).zip(&lanes) {
        lane.set_everything(rules.everything_on(id));
    }
    Ok(Snapshot {
        lanes,
        policy: RetryPolicy::from(&config.retry),
        limits: config.limits.event(),
        caches: metrics.caches(rules.caches()),
        rules,
    })
}

fn lane(
    name: &str,
    target: &TargetConfig,
    plugins: &Plugins,
    metrics: &Metrics,
    changes: &Changes,
    before: Option<&Snapshot>,
) -> Result<Arc<Lane>, Problem> {
    let known = before.and_then(|before| before.lanes.get(usize::from(before.rules.target(name)?.0)));
    if let Some(lane) = known.filter(|lane| lane.config() == target) {
        return Ok(Arc::clone(lane));
    }
    let store = match plugins.stores.get(name) {
        Some(store) => Arc::clone(store),
        None => target.kind.build().map_err(|problem| placed("targets", name, target.kind.kind(), problem))?,
    };
    Ok(Lane::start(target.clone(), store, metrics.target(name), changes.clone()))
}

/// The sources, not yet connected.
pub(super) fn sources(
    config: &Config,
    plugins: &Plugins,
    metrics: &Metrics,
    rules: &Arc<ArcSwap<Snapshot>>,
) -> Result<Vec<Arc<Source>>, Vec<Problem>> {
    let worker = config.worker.name.clone().unwrap_or_else(worker_name);
    let transports = config.sources.iter().map(|(name, source)| match plugins.transports.get(name) {
        Some(transport) => Ok(Arc::clone(transport)),
        None => source.kind.build().map_err(|problem| placed("sources", name, source.kind.kind(), problem)),
    });
    let transports = all(transports.collect())?;
    let other = |transport: &Arc<dyn Transport>| OtherSource::new(Arc::clone(transport));
    let others: OtherSources = config.sources.keys().cloned().zip(transports.iter().map(other)).collect();
    let others = Arc::new(others);
    let source = |((name, source), transport): ((&String, &SourceConfig), Arc<dyn Transport>)| {
        Arc::new(Source {
            name: name.clone(),
            options: source.options.clone(),
            transport,
            worker: worker.clone(),
            metrics: metrics.source(name),
            rules: Arc::clone(rules),
            others: Arc::clone(&others),
            settler: OnceLock::new(),
        })
    };
    Ok(config.sources.iter().zip(transports).map(source).collect())
}

/// Prepares all sources at once. One that cannot be reached does not keep the others from starting; one that refuses does,
/// because somebody has to change something.
pub(super) async fn prepare(sources: &[Arc<Source>]) -> Result<(), StartError> {
    let prepared = sources.iter().map(async |source| {
        let silent = || TransportError::Unreachable(format!("no answer within {PREPARE_MAX:?}"));
        let tried = timeout(PREPARE_MAX, source.transport.prepare()).await.unwrap_or_else(|_| Err(silent()));
        match tried {
            Ok(()) => Ok(()),
            Err(error @ TransportError::Unreachable(_)) => {
                source.metrics.disconnected(&error);
                Ok(())
            }
            Err(error) => Err(StartError::Source { name: source.name.clone(), error }),
        }
    });
    join_all(prepared).await.into_iter().collect()
}

fn placed(section: &str, name: &str, kind: &str, mut problem: Problem) -> Problem {
    let mut path = ConfigPath::root().key(section).key(name).key(kind);
    path.0.append(&mut problem.path.0);
    Problem { path, ..problem }
}

/// All of them, or everything that is wrong with any.
fn all<T>(results: Vec<Result<T, Problem>>) -> Result<Vec<T>, Vec<Problem>> {
    let mut built = Vec::with_capacity(results.len());
    let mut problems = Vec::new();
    for result in results {
        match result {
            Ok(value) => built.push(value),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(built) } else { Err(problems) }
}

/// Host and process: unique among those alive, also for containers, whose host names differ.
fn worker_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    let host = host.trim();
    format!("{}-{}", if host.is_empty() { "quash" } else { host }, std::process::id())
}
