//! `quash ui`: serves the page of dead letters without consuming.

use std::sync::Arc;

use quash_admin::{Desk, Endpoint};
use quash_config::Problem;
use quash_transport::Transport;
use quash_worker::drain::Signals;

use super::refused::refused;
use super::{CliError, Exit, Global, rules};

/// Serves the page of dead letters without consuming.
///
/// It reads letters from the brokers of the configuration and replays into them, as a worker's own page does; what only a worker
/// knows is unknown here. For fleets that scale to zero, and for those who only look. SIGTERM and SIGINT end it, with 0;
/// a replay ends between two batches.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to listen, in place of admin.listen
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
}

/// Serves the page of dead letters without consuming.
///
/// # Errors
/// [`CliError::Configuration`] when the configuration is wrong, [`CliError::Usage`] when there is nowhere to listen,
/// [`CliError::Io`] when the port cannot be opened. A broker that cannot be reached is no error: the page says so.
pub async fn run(args: Args, global: &Global) -> Result<Exit, CliError> {
    let mut signals = Signals::listen().map_err(|error| CliError::Io(format!("cannot listen for signals: {error}")))?;
    let mut loaded = global.read().map_err(|error| refused(global, error))?;
    let (resolver, _) = rules::compile(&loaded)?;
    if let Some(listen) = args.listen {
        loaded.root.admin.listen = listen;
        let problems = loaded.root.admin.problems();
        if let Some(problem) = problems.first() {
            return Err(CliError::Usage(format!("--listen: {}", problem.message)));
        }
    }
    let config = loaded.root;
    let transports = config.sources.iter().map(|(name, source)| {
        let wrong = |problem: Problem| CliError::Configuration(format!("source `{name}`: {problem}"));
        source.kind.build().map_err(wrong)
    });
    let transports: Vec<Arc<dyn Transport>> = transports.collect::<Result<_, _>>()?;
    let endpoint = Endpoint::bind(&config.admin).await.map_err(|error| CliError::Io(error.to_string()))?;
    let off = || CliError::Usage("the endpoint is off (admin.listen): say where with --listen".to_owned());
    let served = endpoint.ok_or_else(off)?.serve(Desk::alone(&config, Arc::new(resolver), transports));
    signals.next().await;
    tokio::select! {
        () = served.stop_jobs() => Ok(Exit::Done),
        code = signals.next() => std::process::exit(i32::from(code)),
    }
}
