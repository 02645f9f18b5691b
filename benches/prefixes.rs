//! Measures what a hundred prefixes cost beside one, in a single call to a real server that holds a million keys.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use quash_core::action::Action;
use quash_e2e::process::free_port;
use quash_store::Store;
use quash_store::redis::Config;

/// Keys on the server when a measurement begins.
const KEYS: u32 = 1_000_000;
/// Keys below each prefix.
const BELOW: u32 = 1000;
/// Measurements of each kind, of which the median counts.
const RUNS: usize = 3;
/// What the hundred may cost, as a multiple of the one.
const GOAL: f64 = 1.2;

type Failure = Box<dyn std::error::Error>;

/// What else is on the server.
#[derive(Clone, Copy)]
enum Layout {
    /// The prefixes are of one kind of key among ten, as in an application.
    TenKinds,
    /// Every key looks like those below the prefixes, so that no pattern keeps it from the client: the worst case.
    OneKind,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let server = Server::start()?;
    let store = server.store().await?;
    let patient = redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(60)));
    let client = redis::Client::open(server.url())?;
    let mut connection = client.get_multiplexed_async_connection_with_config(&patient).await?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{KEYS} keys, {BELOW} below each prefix, one call, median of {RUNS} ({})", machine())?;
    writeln!(out, "\n| keys on the server | 1 prefix | 100 prefixes | ratio | goal |\n|---|---|---|---|---|")?;
    for (layout, name) in [(Layout::TenKinds, "ten kinds"), (Layout::OneKind, "all like those removed")] {
        let [one, hundred] = medians(store.as_ref(), &mut connection, layout).await?;
        let ratio = hundred / one;
        let verdict = if ratio <= GOAL { "reached" } else { "missed" };
        writeln!(
            out,
            "| {name} | {:.0} ms | {:.0} ms | {ratio:.2} x | {GOAL} x, {verdict} |",
            one * 1e3,
            hundred * 1e3
        )?;
    }
    Ok(())
}

/// The median seconds of one prefix and of a hundred, measured in turn, so that a busy machine slows both alike.
async fn medians(
    store: &dyn Store,
    connection: &mut redis::aio::MultiplexedConnection,
    layout: Layout,
) -> Result<[f64; 2], Failure> {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..RUNS {
        for (times, prefixes) in times.iter_mut().zip([1, 100]) {
            fill(connection, layout).await?;
            times.push(measure(store, prefixes).await?);
        }
    }
    Ok(times.map(|mut times| {
        times.sort();
        times[RUNS / 2].as_secs_f64()
    }))
}

/// Times one call that removes this many prefixes.
async fn measure(store: &dyn Store, prefixes: u32) -> Result<Duration, Failure> {
    let actions: Vec<_> = (0..prefixes).map(|one| Action::DeletePrefix(prefix("catalog", one).into())).collect();
    let begun = Instant::now();
    let applied = store.apply(&actions).await?;
    let took = begun.elapsed();
    let removed: u64 = applied.outcomes.into_iter().filter_map(Result::ok).sum();
    if removed != u64::from(prefixes * BELOW) {
        return Err(format!("{removed} keys were removed instead of {}", prefixes * BELOW).into());
    }
    Ok(took)
}

/// Fills the server anew.
async fn fill(connection: &mut redis::aio::MultiplexedConnection, layout: Layout) -> Result<(), Failure> {
    redis::cmd("FLUSHALL").exec_async(connection).await?;
    for first in (0..KEYS).step_by(10_000) {
        let mut set = redis::cmd("MSET");
        for number in first..first + 10_000 {
            set.arg(key(layout, number)).arg("a value of a cached page");
        }
        set.exec_async(connection).await?;
    }
    Ok(())
}

fn key(layout: Layout, number: u32) -> String {
    const KINDS: [&str; 10] =
        ["catalog", "cart", "category", "product", "price", "user", "session", "search", "stock", "page"];
    let (group, rest) = (number / BELOW, number % BELOW);
    match layout {
        Layout::TenKinds => format!("{}{rest}", prefix(KINDS[(group / 100) as usize], group % 100)),
        Layout::OneKind => format!("{}{rest}", prefix("catalog", group)),
    }
}

/// As a template with an argument spells it: `catalog:417:`.
fn prefix(kind: &str, number: u32) -> String {
    format!("{kind}:{number}:")
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
        let port = free_port();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--save", "", "--bind", "127.0.0.1"]).stdout(Stdio::null());
        Ok(Self { child: command.spawn()?, port })
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    async fn store(&self) -> Result<Arc<dyn Store>, Failure> {
        let config = Config { url: Some(quash_config::Secret::new(self.url())), ..Config::default() };
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
