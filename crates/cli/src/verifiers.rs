//! Compares entries with what is true beside a worker, one process of all at a time, and shows what comes of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quash_config::Span;
use quash_dispatch::config::Config;
use quash_verify::{Keeper, Outcome, SampleCounts, Verifier, VerifyError, Violation, Watch};
use quash_worker::app::Running;
use quash_worker::metrics::VerifyMetrics;
use quash_worker::view::View;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::CliError;

/// How often what came of samples is written down, and how often others hear who takes them.
const WRITES: Duration = Duration::from_secs(10);
/// How long a target that does not answer is left alone.
const PAUSE: Duration = Duration::from_secs(1);

/// Those that run. Dropped, they end at once.
pub(super) struct Verifiers(#[expect(dead_code, reason = "it ends them when it is dropped")] JoinSet<()>);

/// What is counted until it is written down.
struct Heard {
    metrics: VerifyMetrics,
    counts: Mutex<SampleCounts>,
}

impl Verifiers {
    /// Starts one for each target, if the configuration wants it.
    ///
    /// # Errors
    /// [`CliError::Configuration`] when what is true cannot be asked for as declared.
    pub(super) fn start(config: &Config, running: &Running) -> Result<Option<Self>, CliError> {
        let Some(how) = &config.verify else { return Ok(None) };
        // What runs, and with which problems, is known by now.
        let Some(rules) = config.compile().0.map(Arc::new) else { return Ok(None) };
        let verifiers = Verifier::all(config, &rules, &[], how).map_err(failed)?;
        let mut running_ones = JoinSet::new();
        for verifier in verifiers {
            let name = running.sources().first().map_or_else(String::new, |source| source.worker.to_string());
            let name = format!("{name}:{}", std::process::id());
            tracing::info!(target = verifier.target(), budget = how.budget, "entries are compared with what is true");
            let heard = Heard { metrics: running.metrics().verify().clone(), counts: Mutex::default() };
            running_ones.spawn(verify(verifier, name, running.view(), heard));
        }
        Ok(Some(Self(running_ones)))
    }
}

/// The error of a command.
pub(super) fn failed(error: VerifyError) -> CliError {
    match error {
        VerifyError::Configuration(why) => CliError::Configuration(why),
        VerifyError::Store { error: quash_store::StoreError::Unreachable(_), .. } => {
            CliError::Unreachable(error.to_string())
        }
        VerifyError::Store { .. } => CliError::Refused(error.to_string()),
    }
}

async fn verify(mut verifier: Verifier, name: String, view: View, heard: Heard) {
    let mut keeper = Keeper::new(Arc::clone(verifier.store()), &name);
    let mut is_told = false;
    loop {
        match work(&mut verifier, &mut keeper, &view, &heard).await {
            Ok(()) => is_told = false,
            Err(error) => {
                if !std::mem::replace(&mut is_told, true) {
                    tracing::warn!(%error, "entries cannot be compared now");
                }
                sleep(PAUSE).await;
            }
        }
    }
}

/// Takes samples until it is time to write down what came of them; waits where another process takes them.
async fn work(verifier: &mut Verifier, keeper: &mut Keeper, view: &View, heard: &Heard) -> Result<(), VerifyError> {
    let target = verifier.target().to_owned();
    let store = |error| VerifyError::Store { target: target.clone(), error };
    if !keeper.holds().await.map_err(store)? {
        sleep(WRITES).await;
        return Ok(());
    }
    let until = Instant::now() + WRITES;
    while Instant::now() < until {
        if is_busy(view, &target) {
            sleep(PAUSE).await;
            continue;
        }
        verifier.step(u64::MAX, heard).await?;
    }
    let counts = std::mem::take(&mut *heard.counts());
    let written = keeper.write(&counts).await;
    if written.is_err() {
        heard.counts().merge(&counts);
    }
    written.map_err(store)
}

/// Whether the target has to do with what it should have been told by now.
fn is_busy(view: &View, target: &str) -> bool {
    let snapshot = view.snapshot();
    let lane = snapshot.rules.target(target).and_then(|id| snapshot.lanes.get(usize::from(id.0)));
    lane.is_some_and(|lane| lane.is_open())
}

impl Heard {
    fn counts(&self) -> std::sync::MutexGuard<'_, SampleCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch for Heard {
    fn sampled(&self, cache: &str, target: &str, within: Duration, outcome: Outcome) {
        self.metrics.sampled(cache, target, &Span(within).to_string(), outcome.name());
        self.counts().add(cache, target, within, outcome);
    }

    fn violated(&self, violation: &Violation) {
        let Violation { cache, target, key, within_ms, stale_ms, ttl_ms, entry, truth } = violation;
        self.metrics.violated(cache, Duration::from_millis(*stale_ms));
        self.counts().stale_for(cache, target, Duration::from_millis(*within_ms), *stale_ms);
        tracing::warn!(cache, target, key, within_ms, stale_ms, ttl_ms, entry, truth, "an entry is stale");
    }

    fn canary(&self, cache: &str, target: &str, found: bool) {
        self.metrics.canary(cache, target, found);
    }

    fn skipped(&self, cache: &str, target: &str) {
        self.metrics.skipped(cache, target);
    }
}
