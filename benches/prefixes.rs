//! Measures what a hundred prefixes cost beside one, in a single call to a real server that holds a million keys.

use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use quash_core::action::Action;
use quash_core::store::Store;
use quash_core::store::redis::Config;

/// Keys on the server when a measurement begins.
const KEYS: u32 = 1_000_000;
/// Keys below each prefix.
const BELOW: u32 = 1000;
/// Measurements of each kind, of which the median counts.
const RUNS: usize = 3;
/// What the hundred may cost, as a multiple of the one.
const GOAL: f64 = 1.2;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let server = Server::start()?;
    let store = server.store().await?;
    let mut connection = redis::Client::open(server.url())?.get_multiplexed_async_connection().await?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{KEYS} keys, {BELOW} below each prefix, one call, median of {RUNS} ({})", machine())?;
    writeln!(out, "\n| prefixes | keys removed | time | keys looked at per second |\n|---|---|---|---|")?;
    let mut medians = Vec::new();
    for prefixes in [1, 10, 100] {
        let mut times = Vec::new();
        for _ in 0..RUNS {
            fill(&mut connection).await?;
            times.push(measure(store.as_ref(), prefixes).await?);
        }
        times.sort();
        let median = times[RUNS / 2];
        let rate = f64::from(KEYS) / median.as_secs_f64();
        writeln!(out, "| {prefixes} | {} | {:.0} ms | {rate:.0} |", prefixes * BELOW, median.as_secs_f64() * 1e3)?;
        medians.push(median.as_secs_f64());
    }
    let ratio = medians.last().zip(medians.first()).map_or(f64::NAN, |(hundred, one)| hundred / one);
    let verdict = if ratio <= GOAL { "reached" } else { "missed" };
    writeln!(out, "\n100 prefixes cost {ratio:.2} x one prefix (goal {GOAL} x, {verdict})")?;
    Ok(())
}

/// Times one call that removes this many prefixes.
async fn measure(store: &dyn Store, prefixes: u32) -> Result<Duration, Failure> {
    let actions: Vec<_> = (0..prefixes).map(|one| Action::DeletePrefix(prefix(one).into())).collect();
    let begun = Instant::now();
    let applied = store.apply(&actions).await?;
    let took = begun.elapsed();
    let removed: u64 = applied.outcomes.into_iter().filter_map(Result::ok).sum();
    if removed != u64::from(prefixes * BELOW) {
        return Err(format!("{removed} keys were removed instead of {}", prefixes * BELOW).into());
    }
    Ok(took)
}

/// Fills the server: every prefix has its keys, and all other keys look like them.
async fn fill(connection: &mut redis::aio::MultiplexedConnection) -> Result<(), Failure> {
    redis::cmd("FLUSHALL").exec_async(connection).await?;
    for first in (0..KEYS).step_by(10_000) {
        let mut set = redis::cmd("MSET");
        for key in first..first + 10_000 {
            set.arg(format!("{}{}", prefix(key / BELOW), key % BELOW)).arg("a value of a cached page");
        }
        set.exec_async(connection).await?;
    }
    Ok(())
}

/// As a template with arguments spells them: `catalog:417:`.
fn prefix(number: u32) -> String {
    format!("catalog:{number}:")
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown processor");
    format!("{cores} cores, {}", model.trim_start_matches([' ', '\t', ':']))
}

/// A server that ends with the measurement.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start() -> Result<Self, Failure> {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--save", "", "--bind", "127.0.0.1"]).stdout(Stdio::null());
        Ok(Self { child: command.spawn()?, port })
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    async fn store(&self) -> Result<Arc<dyn Store>, Failure> {
        let config = Config { url: Some(quash_core::config::Secret::new(self.url())), ..Config::default() };
        let store = config.build().map_err(|problem| problem.message)?;
        let begun = Instant::now();
        while let Err(error) = store.identity().await {
            if begun.elapsed() > Duration::from_secs(10) {
                return Err(error.into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(store)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
