//! Stands before a target: concurrency, rate, circuit breaker, and the replay after a restart.
//!
//! While the lane is open, shares fail at once and a single task asks the target whether it is back. The first share that
//! meets an unreachable target opens the lane, and every other share that waits on it is let go in the same moment: a
//! target that hangs costs the batches in flight one time-out in all, not one each.

mod breaker;
mod history;
mod rate;
mod watch;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quash_core::action::Action;
use quash_core::plan::{RequestId, Share};
use quash_store::execute::Bounds;
use quash_store::report::{ActionFailure, Outcome};
use quash_store::{Store, TargetConfig, TargetOptions};
use tokio::time::Instant;

use crate::metrics::TargetMetrics;
use breaker::Breaker;
use history::History;
use rate::Rate;
use watch::Watched;

/// The way to one target. Shared by all batches, and by the rule sets before and after a reload that leaves the target
/// as it is.
pub struct Lane {
    config: TargetConfig,
    store: Arc<dyn Store>,
    bounds: Bounds,
    rate: Rate,
    breaker: Breaker,
    history: Mutex<History>,
    watched: Watched,
    metrics: TargetMetrics,
}

/// What came of a share on its lane.
#[derive(Debug, Clone, PartialEq)]
pub enum LaneOutcome {
    /// The target answered; these requests have at least one failed action, the others are done. Ascending, each with
    /// its first failure.
    Answered(Vec<(RequestId, String)>),
    /// The target could not be reached, or stopped answering.
    Unreachable(String),
    /// The target was not asked, because it could not be reached before.
    Open {
        /// Why the lane opened.
        error: String,
        /// How long it has been open.
        away: Duration,
    },
}

/// Tells everybody who waits that some lane opened or closed.
pub type Changes = tokio::sync::watch::Sender<()>;

impl Lane {
    /// Opens the way to a target and begins to watch it. Must be called within a tokio runtime; the tasks end with the
    /// last handle on the lane.
    #[must_use]
    pub fn start(config: TargetConfig, store: Arc<dyn Store>, metrics: TargetMetrics, changes: Changes) -> Arc<Self> {
        let TargetOptions { max_actions_per_second, replay_window, .. } = config.options;
        let lane = Arc::new(Self {
            store,
            bounds: Bounds::new(&config.options),
            rate: Rate::new(max_actions_per_second),
            breaker: Breaker::new(changes),
            history: Mutex::new(History::new(replay_window.0, Instant::now())),
            watched: Watched::default(),
            metrics,
            config,
        });
        if !replay_window.is_zero() && lane.store.can().tells_restarts {
            tokio::spawn(watch::watch(Arc::downgrade(&lane)));
        }
        lane
    }

    /// What the target was configured as.
    #[must_use]
    pub const fn config(&self) -> &TargetConfig {
        &self.config
    }

    /// The store behind it.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Its counters.
    #[must_use]
    pub const fn metrics(&self) -> &TargetMetrics {
        &self.metrics
    }

    /// Whether the target counts as unreachable.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.breaker.is_open()
    }

    /// Why the target counts as unreachable and for how long, if it does.
    #[must_use]
    pub fn away(&self) -> Option<(String, Duration)> {
        self.breaker.opened()
    }

    /// Says what removes everything of every cache on this target, for a restart after more actions than were kept.
    pub fn set_everything(&self, actions: Vec<Action>) {
        self.history().set_everything(actions);
    }

    /// Whether any declared cache lives on this target.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.history().has_everything()
    }

    /// Applies a share, waiting for its turn. At once [`LaneOutcome::Open`] while the lane is open, also when it opens
    /// during the wait; dropping the call leaves nothing locked.
    pub async fn apply(self: &Arc<Self>, share: Share) -> LaneOutcome {
        let mut opened = self.breaker.listen();
        tokio::select! {
            biased;
            (error, away) = opened.wait() => LaneOutcome::Open { error, away },
            outcome = self.apply_in_turn(share) => outcome,
        }
    }

    async fn apply_in_turn(self: &Arc<Self>, share: Share) -> LaneOutcome {
        let _turn = self.bounds.turn().await;
        self.rate.take(share.actions.len()).await;
        let sent = Instant::now();
        let outcome = self.bounds.execute(&share, &*self.store).await;
        self.metrics.took(sent.elapsed());
        match outcome {
            Outcome::Answered { failed, keys_removed, keys_visited } => {
                self.metrics.answered(&share.actions, &failed, keys_removed, keys_visited);
                self.breaker.proven();
                self.history().record(Instant::now(), share.actions);
                LaneOutcome::Answered(failed.into_iter().map(in_words).collect())
            }
            Outcome::Unreachable { error } => {
                self.metrics.unanswered(&share.actions);
                self.open(&error);
                LaneOutcome::Unreachable(error)
            }
        }
    }

    /// Opens the lane, and sets one task to close it again.
    fn open(self: &Arc<Self>, error: &str) {
        if let Some(pace) = self.breaker.open(error) {
            self.metrics.opened(error);
            tokio::spawn(watch::probe(Arc::downgrade(self), pace));
        }
    }

    fn close(&self) {
        if let Some(open_for) = self.breaker.close() {
            self.metrics.closed(open_for);
        }
    }

    /// Held for moments only, never across an await; what a panic left behind is still a valid log.
    fn history(&self) -> std::sync::MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn in_words((request, failure): (RequestId, ActionFailure)) -> (RequestId, String) {
    (request, format!("{}: {}", failure.action, failure.error))
}
