//! `quash run`: runs a worker.

use std::path::PathBuf;

use quash_config::{LoadError, Loaded};

use super::refused::refused;
use super::relays::Relays;
use super::{CliError, Exit, Global};
use quash_admin::{Desk, Endpoint, Served};
use quash_dispatch::config::Config;
use quash_worker::app::{App, Reloads, Running, StartError};
use quash_worker::drain::Signals;
use quash_worker::metrics::config_problem;

/// Runs a worker until it is told to stop.
///
/// SIGTERM and SIGINT drain: the worker stops receiving, finishes what is in flight within `worker.drain`, hands the rest
/// back to the broker and ends with 0. A second signal ends it at once, with 143 or 130. SIGHUP reloads the configuration;
/// when the new one is wrong, the old one stays in force.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Reload whenever a configuration file changes
    #[arg(long)]
    pub watch: bool,
    /// Also relays what is committed, as `quash relay` does
    #[arg(long)]
    pub relay: bool,
}

/// Runs a worker until it is told to stop.
///
/// # Errors
/// [`CliError::Configuration`] when the configuration is wrong, [`CliError::Refused`] when a broker refuses,
/// [`CliError::Io`] when the admin endpoint cannot be opened. A broker that cannot be reached is no error: it is tried
/// until it can be.
pub async fn run(args: Args, global: &Global) -> Result<Exit, CliError> {
    let mut signals = Signals::listen().map_err(|error| CliError::Io(format!("cannot listen for signals: {error}")))?;
    let watched: Option<Vec<PathBuf>> = args.watch.then(|| global.paths());
    let mut reloads = Reloads::listen(watched.as_deref())
        .map_err(|error| CliError::Io(format!("cannot listen for signals: {error}")))?;
    let loaded = global.read().map_err(|error| refused(global, error))?;
    // Opened first: a worker that cannot be seen does not begin to work.
    let endpoint = Endpoint::bind(&loaded.root.admin).await.map_err(|error| CliError::Io(error.to_string()))?;
    let running = start(&loaded, global).await?;
    let served = endpoint.map(|endpoint| endpoint.serve(Desk::of_worker(&loaded.root, running.view())));
    introduce(&loaded.root, &running);
    let relays = args.relay.then(|| Relays::start(&loaded, global, running.metrics())).transpose()?;
    loop {
        tokio::select! {
            _ = signals.next() => break,
            () = reloads.next() => reload(global, &running),
        }
    }
    tracing::info!("draining; a second signal ends at once");
    tokio::select! {
        () = stop(running, relays, served) => {}
        code = signals.next() => std::process::exit(i32::from(code)),
    }
    tracing::info!("stopped");
    Ok(Exit::Done)
}

/// Stops the worker and what somebody had it do, side by side; until then it says that it drains. What is relayed no more is not
/// waited for.
async fn stop(running: Running, relays: Option<Relays>, served: Option<Served>) {
    let jobs = async {
        if let Some(served) = &served {
            served.stop_jobs().await;
        }
    };
    let work = async {
        if let Some(relays) = relays {
            relays.stop().await;
        }
        running.stop().await;
    };
    tokio::join!(work, jobs);
}

async fn start(loaded: &Loaded<Config>, global: &Global) -> Result<Running, CliError> {
    loaded.locate(loaded.warnings.clone()).iter().for_each(config_problem);
    let invalid = |problems| refused(global, LoadError::Invalid(loaded.locate(problems)));
    let started = async { App::new(loaded.root.clone())?.start().await };
    started.await.map_err(|error| match error {
        StartError::Invalid(problems) => invalid(problems),
        StartError::Source { .. } => CliError::Refused(error.to_string()),
    })
}

/// One line for each thing that somebody who starts a worker wants to see.
fn introduce(config: &Config, running: &Running) {
    for (name, target) in &config.targets {
        tracing::info!(target = %name, kind = target.kind.kind(), "target");
    }
    for (source, running) in config.sources.values().zip(running.sources()) {
        let (kind, batch, in_flight) = (source.kind.kind(), source.options.batch, source.options.in_flight);
        tracing::info!(source = %running.name, kind, batch, in_flight, worker = %running.worker, "source");
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), caches = config.caches.len(), "quash runs");
}

fn reload(global: &Global, running: &Running) {
    match global.read() {
        // What is wrong is in the log by now.
        Ok(loaded) => drop(running.reload(&loaded)),
        Err(error) => running.reload_refused(&error),
    }
}
