//! Asks a target who it is: to close its lane when it is back, and to apply recent actions again when it restarted.

use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use quash_store::{Identity, StoreError};
use tokio::sync::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::Lane;
use super::breaker::PACE_MAX;

/// How often a target is asked who it is, while there is anything that would have to be applied again.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Actions of one call when the past is applied again, so that a slow target does not run into the time-out.
const REPLAY_CHUNK: usize = 1_000;

/// Who the target was when it was last asked.
#[derive(Default)]
pub(super) struct Watched {
    /// Held while asking, so that a restart is noticed once.
    identity: Mutex<Option<Identity>>,
    /// The target does not allow to ask.
    refused: AtomicBool,
}

/// Asks every second, as long as the lane lives. Once at the start too, so that the first restart has a before.
pub(super) async fn watch(lane: Weak<Lane>) {
    let mut ticks = interval(WATCH_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(lane) = lane.upgrade() else { return };
        if lane.watched.refused.load(Relaxed) {
            return;
        }
        if lane.is_open() || !lane.wants_watching().await {
            continue;
        }
        if let Err(error) = lane.ask().await {
            lane.open(&error);
        }
    }
}

/// Asks until the target answers, ever more slowly, then closes the lane. Ends when the lane is gone.
pub(super) async fn probe(lane: Weak<Lane>, mut pace: Duration) {
    loop {
        sleep(pace).await;
        pace = (pace * 2).min(PACE_MAX);
        let Some(lane) = lane.upgrade() else { return };
        match lane.ask().await {
            Ok(()) => return lane.close(),
            Err(error) => lane.still_open(&error),
        }
    }
}

impl Lane {
    async fn wants_watching(&self) -> bool {
        self.watched.identity.lock().await.is_none() || !self.history().is_empty()
    }

    /// Asks the target who it is, and applies what is recent again if it is not who it was. An error means that it
    /// cannot be reached, or could not take all of that; it is asked again then.
    async fn ask(&self) -> Result<(), String> {
        let mut known = self.watched.identity.lock().await;
        let limit = self.config.options.timeout.0;
        let asked = timeout(limit, self.store.identity()).await;
        match asked.map_err(|_| format!("no answer within {limit:?}"))? {
            Ok(identity) => {
                if known.as_ref().is_some_and(|known| *known != identity) {
                    self.replay().await?;
                }
                *known = Some(identity);
                self.history().is_whole(Instant::now());
                Ok(())
            }
            Err(StoreError::Refused(error)) => {
                if !self.watched.refused.swap(true, Relaxed) && !self.config.options.replay_window.is_zero() {
                    self.metrics.identity_refused(&error);
                }
                Ok(())
            }
            Err(StoreError::Unreachable(error)) => Err(error),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn replay(&self) -> Result<(), String> {
        let recent = self.history().recent();
        self.metrics.restarted(recent.actions.len(), recent.everything);
        for actions in recent.actions.chunks(REPLAY_CHUNK) {
            let limit = self.bounds.limit(actions);
            let applied = timeout(limit, self.store.apply(actions)).await;
            applied.map_err(|_| format!("no answer within {limit:?}"))?.map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}
