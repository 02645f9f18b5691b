//! `quash dev`: runs everything in one process, with a small shop that reads and writes.

mod broken;
mod database;
mod letters;
mod observe;
mod setup;
mod shelf;
mod shop;
mod status;
mod summary;
mod tally;

use std::sync::Arc;

use quash_config::Span;
use quash_transport::TransportError;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use self::setup::Scene;
use self::shop::Shop;
use self::summary::Summary;
use super::output::{self, Screen};
use super::{CliError, Exit, Global, Output, screen};
use crate::logging;

/// How many visitors look at pages at once.
const READERS: usize = 12;

/// Runs everything in one process, with a small shop that reads and writes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Ends by itself after this time, as 5s; exits 0 only if all went as it should
    #[arg(long = "for", value_name = "TIME")]
    pub duration: Option<Span>,
    /// Uses this Redis as the cache, under a key prefix of its own that is cleared at the end
    #[arg(long, value_name = "URL")]
    pub redis: Option<String>,
    /// Messages that the shop publishes per second
    #[arg(long, value_name = "NUMBER", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: u32,
    /// Where the admin endpoint listens, or `off`; 127.0.0.1:9464 where that is free
    #[arg(long, value_name = "ADDRESS")]
    pub admin: Option<String>,
    /// Prints the configuration that it runs with, and ends
    #[arg(long)]
    pub print_config: bool,
}

/// Runs everything in one process, with a small shop that reads and writes.
///
/// # Errors
/// [`CliError::Unreachable`] when the Redis cannot be reached, [`CliError::Io`] when the admin endpoint cannot be opened.
pub async fn run(args: Args, global: &Global) -> Result<Exit, CliError> {
    if args.print_config {
        screen::print(&setup::yaml(args.redis.is_some()))?;
        return Ok(Exit::Done);
    }
    // The worker tells of every dead letter; here they are part of the play, and shown as numbers.
    let filter = if global.log == "info" { "error" } else { &global.log };
    logging::init(global.log_format, filter).map_err(CliError::Usage)?;
    let stopped = stopped(args.duration)?;
    let scene = setup::open(&args).await?;
    let written = play(&scene, &args, global.output, stopped).await?;
    let summary = end(scene, written, args.duration.is_some()).await;
    match global.output {
        Output::Json => output::print_json(&summary)?,
        Output::Text => screen::print(&summary.text(Screen::stdout().paint))?,
    }
    Ok(if summary.problems.is_empty() { Exit::Done } else { Exit::Failures })
}

/// Resolves when the time is over or somebody stops the process. Who cannot wait for the end stops it a second time.
fn stopped(duration: Option<Span>) -> Result<impl Future<Output = ()>, CliError> {
    let listen = |kind| signal(kind).map_err(|error| CliError::Io(format!("cannot listen to signals: {error}")));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let (stop, mut stopped) = watch::channel(false);
    tokio::spawn(async move {
        loop {
            let code = tokio::select! {
                _ = interrupt.recv() => 130,
                _ = terminate.recv() => 143,
            };
            if stop.send_replace(true) {
                std::process::exit(code);
            }
        }
    });
    Ok(async move {
        let over = async {
            match duration {
                Some(span) => tokio::time::sleep(span.0).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => {}
            () = over => {}
        }
    })
}

/// How the writer ended.
type Written = Result<Result<(), TransportError>, JoinError>;

/// Runs the shop until it is stopped, and shows how it goes.
async fn play(
    scene: &Scene,
    args: &Args,
    output: Output,
    stopped: impl Future<Output = ()>,
) -> Result<Written, CliError> {
    let shop = &scene.shop;
    let (stop, stopping) = watch::channel(false);
    let (writing, rate) = (Arc::clone(shop), args.rate);
    let writer = tokio::spawn(async move { writing.write(rate, stopping).await });
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        let shop = Arc::clone(shop);
        readers.spawn(async move { shop.read().await });
    }
    let shown = async {
        if output == Output::Text {
            screen::print(&scene.introduction(Screen::stdout().paint))?;
            status::show(scene, Screen::stdout()).await?;
        }
        std::future::pending::<Result<(), CliError>>().await
    };
    let shown = tokio::select! {
        () = stopped => Ok(()),
        shown = shown => shown,
    };
    stop.send_replace(true);
    let written = writer.await;
    readers.shutdown().await;
    shown.map(|()| written)
}

/// Waits until everything is handled, stops the worker, and compares the cache with the database.
async fn end(scene: Scene, written: Written, demanding: bool) -> Summary {
    // The page is there until the end.
    let Scene { shop, running, store, served: _served, .. } = scene;
    let took = shop.tally.started.elapsed();
    let backlog = summary::quiesce(&shop).await;
    running.stop().await;
    let summary = Summary::of(&shop, took, backlog, written.map_err(|error| error.to_string()), demanding).await;
    setup::clear(&shop, &*store).await;
    summary
}

/// The shop, shared by its writer, its readers and whoever looks at it.
type Shared = Arc<Shop>;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn whatever_is_broken_is_kept_and_nothing_stays_stale() {
        let admin = Some("off".to_owned());
        let args = Args { duration: None, redis: None, rate: 1000, admin, print_config: false };
        let scene = setup::open(&args).await.unwrap();
        let shop = Arc::clone(&scene.shop);
        let enough = async move {
            while shop.tally.broken().len() < 3 || shop.tally.removed.get() < 100 {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        let written = play(&scene, &args, Output::Json, enough).await.unwrap();
        let summary = end(scene, written, true).await;
        assert!(summary.problems.is_empty(), "{summary:?}");
    }
}
