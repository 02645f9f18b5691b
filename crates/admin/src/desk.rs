//! Holds what the endpoint looks at and works with: sources, rules, counters, and who may come in.

use std::sync::Arc;

use quash_core::resolve::Resolver;
use quash_dispatch::config::Config;
use quash_store::TargetConfig;
use quash_transport::Transport;
use quash_worker::lane::Lane;
use quash_worker::metrics::Metrics;
use quash_worker::view::View;

use crate::door::Door;
use crate::jobs::Jobs;
use crate::refusal::Refusal;
use crate::session::Sessions;
use crate::source::Source;
use crate::token::Tokens;

/// What the endpoint works with.
pub struct Desk {
    pub(crate) door: Door,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) sources: Vec<Source>,
    /// As they are configured where no worker runs.
    targets: Vec<Target>,
    pub(crate) jobs: Jobs,
    rules: Arc<Resolver>,
    /// The worker that runs in this process, if one does.
    pub(crate) view: Option<View>,
}

/// A target, as it is configured.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
}

impl Desk {
    /// For a worker that runs in this process.
    #[must_use]
    pub fn of_worker(config: &Config, view: View) -> Self {
        let transport = |name: &str| view.sources.iter().find(|source| source.name == name);
        let sources = config.sources.keys().filter_map(|name| {
            let consumed = Arc::clone(transport(name)?);
            Some(Source::of(config, name, Arc::clone(&consumed.transport), Some(consumed)))
        });
        let sources = sources.collect();
        let (metrics, rules) = (Arc::clone(&view.metrics), Arc::clone(&view.snapshot().rules));
        Self::new(config, metrics, sources, rules, Some(view))
    }

    /// For nobody but those who look: `transports` has one for each source that is configured, in their order.
    #[must_use]
    pub fn alone(config: &Config, rules: Arc<Resolver>, transports: Vec<Arc<dyn Transport>>) -> Self {
        let sources = config.sources.keys().zip(transports);
        let sources = sources.map(|(name, transport)| Source::of(config, name, transport, None)).collect();
        Self::new(config, Arc::new(Metrics::new()), sources, rules, None)
    }

    fn new(
        config: &Config,
        metrics: Arc<Metrics>,
        sources: Vec<Source>,
        rules: Arc<Resolver>,
        view: Option<View>,
    ) -> Self {
        let door = Door { tokens: Tokens::of(&config.admin), sessions: Sessions::default() };
        let target = |(name, target): (&String, &TargetConfig)| Target { name: name.clone(), kind: target.kind.kind() };
        let targets = config.targets.iter().map(target).collect();
        Self { door, metrics, sources, targets, jobs: Jobs::default(), rules, view }
    }

    /// The rules in force now.
    pub(crate) fn rules(&self) -> Arc<Resolver> {
        self.view.as_ref().map_or_else(|| Arc::clone(&self.rules), |view| Arc::clone(&view.snapshot().rules))
    }

    /// The targets in force now, with their lanes where a worker runs.
    pub(crate) fn targets(&self) -> Vec<(Target, Option<Arc<Lane>>)> {
        let Some(view) = &self.view else {
            return self.targets.iter().map(|target| (target.clone(), None)).collect();
        };
        let snapshot = view.snapshot();
        let named = snapshot.rules.targets().iter().zip(&snapshot.lanes);
        let target = |(name, lane): (&String, &Arc<Lane>)| {
            (Target { name: name.clone(), kind: lane.config().kind.kind() }, Some(Arc::clone(lane)))
        };
        named.map(target).collect()
    }

    /// The source of that name, or the only one there is.
    pub(crate) fn source(&self, name: Option<&str>) -> Result<&Source, Refusal> {
        let names = || self.sources.iter().map(|source| source.name.as_str()).collect::<Vec<_>>().join(", ");
        match (name, self.sources.as_slice()) {
            (None, [only]) => Ok(only),
            (None, []) => Err(Refusal::missing("no source is declared")),
            (None, _) => Err(Refusal::wrong(format!("several sources are declared, choose one: {}", names()))),
            (Some(name), sources) => sources
                .iter()
                .find(|source| source.name == name)
                .ok_or_else(|| Refusal::missing(format!("there is no source `{name}` (declared: {})", names()))),
        }
    }

    /// What stands behind a command that is suggested, so that it means the same source.
    pub(crate) fn hint(&self, source: &str) -> String {
        if self.sources.len() > 1 { format!(" --source {source}") } else { String::new() }
    }
}
