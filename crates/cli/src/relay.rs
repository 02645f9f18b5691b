//! `quash relay`: relays what is committed from databases to brokers.

use std::collections::BTreeMap;

use quash_admin::{Desk, Endpoint};
use quash_config::Loaded;
use quash_dispatch::config::Config;
use quash_worker::app::{App, StartError};
use quash_worker::drain::Signals;
use quash_worker::metrics::config_problem;

use super::refused::refused;
use super::relays::Relays;
use super::{CliError, Exit, Global};

/// Relays what is committed from databases to brokers, for every relay that the configuration declares.
///
/// A change is confirmed to the database only after the broker has it, so that a kill at any moment loses nothing. Of several
/// processes with the same relay one works, and the others stand by until its slot is free. While a broker is away the connection
/// to the database is closed; the slot keeps the changes. SIGTERM and SIGINT stop reading, wait for the broker within
/// `worker.drain`, and end with 0; a second signal ends at once.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Relays until it is told to stop.
///
/// # Errors
/// [`CliError::Configuration`] when the configuration is wrong, [`CliError::Io`] when the admin endpoint cannot be opened. Nobody
/// who cannot be reached is an error: they are tried until they can be.
pub async fn run(_: Args, global: &Global) -> Result<Exit, CliError> {
    let mut signals = Signals::listen().map_err(|error| CliError::Io(format!("cannot listen for signals: {error}")))?;
    let loaded = global.read().map_err(|error| refused(global, error))?;
    loaded.locate(loaded.warnings.clone()).iter().for_each(config_problem);
    let shown = shown(&loaded);
    let endpoint = Endpoint::bind(&shown.admin).await.map_err(|error| CliError::Io(error.to_string()))?;
    let started = async { App::new(shown.clone())?.start().await };
    let worker = started.await.map_err(|error: StartError| CliError::Io(error.to_string()))?;
    let _served = endpoint.map(|endpoint| endpoint.serve(Desk::of_worker(&shown, worker.view())));
    let relays = Relays::start(&loaded, global, worker.metrics())?;
    signals.next().await;
    tracing::info!("draining; a second signal ends at once");
    tokio::select! {
        () = relays.stop() => {}
        code = signals.next() => std::process::exit(i32::from(code)),
    }
    worker.stop().await;
    tracing::info!("stopped");
    Ok(Exit::Done)
}

/// What a worker runs by that consumes nothing and acts on nothing: it is there for the endpoint to show.
fn shown(loaded: &Loaded<Config>) -> Config {
    Config {
        targets: BTreeMap::new(),
        sources: BTreeMap::new(),
        caches: BTreeMap::new(),
        entities: BTreeMap::new(),
        relay: BTreeMap::new(),
        tests: Vec::new(),
        dispatch: None,
        ..loaded.root.clone()
    }
}
