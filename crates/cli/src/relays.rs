//! Runs the relays of a configuration beside whatever else the process does, and shows them in its metrics.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quash_config::{LoadError, Loaded};
use quash_dispatch::config::Config;
use quash_relay::{Relay, Status};
use quash_worker::metrics::{Metrics, RelayMetrics, RelayReading};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::interval;

use super::refused::refused;
use super::{CliError, Global};

/// How often metrics are brought up to date.
const EVERY: Duration = Duration::from_millis(500);

/// Relays that run. Dropped, they end at once; the slots keep what was not confirmed.
pub(super) struct Relays {
    stop: watch::Sender<bool>,
    relays: JoinSet<()>,
    _shown: JoinSet<()>,
}

impl Relays {
    /// Starts every relay that the configuration declares.
    ///
    /// # Errors
    /// [`CliError::Configuration`] when there is none, or what is declared does not fit together.
    pub(super) fn start(loaded: &Loaded<Config>, global: &Global, metrics: &Metrics) -> Result<Self, CliError> {
        let config = Arc::new(loaded.root.clone());
        if config.relay.is_empty() {
            return Err(CliError::Configuration("no relay is declared; name one under `relay`".to_owned()));
        }
        let invalid = |problems| refused(global, LoadError::Invalid(loaded.locate(problems)));
        let (stop, stopping) = watch::channel(false);
        let (mut relays, mut shown) = (JoinSet::new(), JoinSet::new());
        for relay in Relay::all(&config).map_err(invalid)? {
            let declared = &config.relay[relay.name()];
            tracing::info!(relay = relay.name(), server = declared.server, to = declared.to, "relay");
            shown.spawn(show(Arc::clone(relay.status()), metrics.relay(relay.name())));
            let mut stopping = stopping.clone();
            // A sender that is gone stops too.
            let stop = async move { drop(stopping.wait_for(|stop| *stop).await) };
            relays.spawn(relay.run(stop, config.worker.drain.0));
        }
        Ok(Self { stop, relays, _shown: shown })
    }

    /// Stops reading, and returns when the brokers have what was read or the drain is over.
    pub(super) async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.relays.join_next().await.is_some() {}
    }
}

async fn show(status: Arc<Status>, metrics: RelayMetrics) {
    let mut every = interval(EVERY);
    loop {
        every.tick().await;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_us = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
        metrics.show(&RelayReading {
            lag_bytes: status.lag_bytes(),
            lag_seconds: status.lag_seconds(now_us),
            rows: status.rows(),
            transactions: status.transactions(),
        });
    }
}
