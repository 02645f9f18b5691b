//! Measures the worker from outside: events per second beside the bare driver, latency when idle, memory.
//!
//! `cargo build --release -p quash-worker && cargo bench -p quash-benches --bench throughput`; `EVENTS` and `ROUNDS` in the
//! environment change the load. Both sides read the same messages from the same redis-server, in turn, in one run: the
//! ratio is what to compare, the rates depend on the machine.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use quash_dispatch::transport::Backlog;
use quash_e2e::{Quash, Queue, RedisServer, Worker};
use redis::aio::MultiplexedConnection;
use redis::streams::{StreamReadOptions, StreamReadReply};
use redis::{AsyncCommands, AsyncConnectionConfig};
use tokio::time::{MissedTickBehavior, interval};

type Outcome<T> = Result<T, Box<dyn Error>>;

const STREAM: &str = "bench";
/// Messages that both sides ask for at once.
const BATCH: usize = 256;
/// Bytes of one event, as the design's figures assume.
const EVENT_BYTES: usize = 400;
/// Events of the latency measurement, far enough from each other that each finds an idle worker.
const SINGLES: u32 = 2_000;
const SINGLES_EVERY: Duration = Duration::from_millis(5);

fn main() -> Outcome<()> {
    // Cargo names the profile by the folder: a debug build would measure nothing.
    let binary = quash_e2e::binary();
    if !binary.components().any(|part| part.as_os_str() == "release") {
        return Err(format!("{} is no release build", binary.display()).into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measured = runtime.block_on(measure(from_env("EVENTS", 200_000), from_env("ROUNDS", 3)))?;
    print(&measured)
}

/// Everything that one run found.
struct Measured {
    events: u32,
    bare: Vec<f64>,
    worker: Vec<f64>,
    latency: Vec<Duration>,
    idle_kib: u64,
    load_kib: u64,
}

async fn measure(events: u32, rounds: u32) -> Outcome<Measured> {
    let (broker, cache) = (RedisServer::durable().await, RedisServer::start().await);
    let queue = Queue::on(&broker, STREAM);
    let quash = Quash::with(&configuration(&queue, &cache));
    let (mut bare, mut worker, mut load_kib) = (Vec::new(), Vec::new(), 0);
    for _ in 0..rounds {
        preload(&queue, events).await;
        bare.push(f64::from(events) / drain_bare(&broker, events).await?.as_secs_f64());
        flush(&broker).await?;

        preload(&queue, events).await;
        fill(&cache, events).await;
        let (rate, peak_kib) = drain_by_worker(&quash, &queue, events).await;
        worker.push(rate);
        load_kib = load_kib.max(peak_kib);
        flush(&broker).await?;
    }
    let idle = quash.worker("idle").await;
    let latency = latencies(&queue, &cache).await?;
    // After the single events: connections are open and buffers have been used, and there is no backlog.
    Ok(Measured { events, bare, worker, latency, idle_kib: idle.resident_kib(), load_kib })
}

fn configuration(queue: &Queue, cache: &RedisServer) -> String {
    let source = queue.source(&format!(", batch: {BATCH}"));
    format!(
        "version: 1\ntargets: {{ main: {{ redis: {{ url: \"{}\" }} }} }}\nsources: {{ events: {source} }}\n\
         caches: {{ product: {{ key: \"product:{{id}}\", depends_on: [ {{ row: shop.Product }} ] }} }}\n",
        cache.url(0)
    )
}

/// Reads, parses nothing, and acks: the loop that everybody writes first.
async fn drain_bare(broker: &RedisServer, events: u32) -> Outcome<Duration> {
    let mut connection = patient(broker).await?;
    let options = StreamReadOptions::default().group("quash", "bare").count(BATCH).block(1_000);
    let (begun, mut left) = (Instant::now(), events as usize);
    while left > 0 {
        let reply: Option<StreamReadReply> = connection.xread_options(&[STREAM], &[">"], &options).await?;
        let ids: Vec<String> =
            reply.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids).map(|entry| entry.id).collect();
        if ids.is_empty() {
            return Err(format!("the stream is dry with {left} events to go").into());
        }
        let acked: usize = connection.xack(STREAM, "quash", &ids).await?;
        left -= acked;
    }
    Ok(begun.elapsed())
}

/// Starts a worker on a full queue and says how many events it settled per second, and how much memory it held at most.
/// Counted from the first settled event, so that the start of a process is not part of it.
async fn drain_by_worker(quash: &Quash, queue: &Queue, events: u32) -> (f64, u64) {
    let worker: Worker = quash.start_worker("loaded");
    let mut ask = interval(Duration::from_millis(5));
    ask.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut first, mut peak_kib) = (None, 0);
    loop {
        ask.tick().await;
        let backlog = queue.backlog().await;
        peak_kib = worker.resident_kib().max(peak_kib);
        let settled = u64::from(events).saturating_sub(left(backlog));
        match first {
            None if settled > 0 => first = Some((Instant::now(), settled)),
            Some((begun, before)) if left(backlog) == 0 => {
                // Counts of events are far below 2^52.
                return ((u64::from(events) - before) as f64 / begun.elapsed().as_secs_f64(), peak_kib);
            }
            _ => {}
        }
    }
}

const fn left(backlog: Backlog) -> u64 {
    backlog.ready + backlog.unsettled + backlog.delayed
}

/// From the moment an event is handed to the queue's client to the moment another client sees that the entry is gone.
async fn latencies(queue: &Queue, cache: &RedisServer) -> Outcome<Vec<Duration>> {
    let mut watcher = cache.connect().await;
    let mut pace = interval(SINGLES_EVERY);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut found = Vec::new();
    for id in 0..SINGLES {
        pace.tick().await;
        let key = format!("product:{id}");
        let () = watcher.set(&key, "stale").await?;
        let begun = Instant::now();
        queue.publish([event(id)]).await;
        while watcher.exists::<_, bool>(&key).await? {}
        found.push(begun.elapsed());
    }
    found.sort();
    Ok(found)
}

async fn preload(queue: &Queue, events: u32) {
    for first in (0..events).step_by(1_000) {
        queue.publish((first..events.min(first + 1_000)).map(event)).await;
    }
}

async fn fill(cache: &RedisServer, events: u32) {
    let keys: Vec<_> = (0..events).map(|id| format!("product:{id}")).collect();
    cache.fill(&keys).await;
}

/// Empties the stream, and makes the group anew for the next side.
async fn flush(broker: &RedisServer) -> Outcome<()> {
    let mut connection = broker.connect().await;
    let () = redis::cmd("FLUSHALL").query_async(&mut connection).await?;
    let () = connection.xgroup_create_mkstream(STREAM, "quash", "0").await?;
    Ok(())
}

async fn patient(server: &RedisServer) -> Outcome<MultiplexedConnection> {
    let options = AsyncConnectionConfig::new().set_response_timeout(None);
    let client = redis::Client::open(server.url(0))?;
    Ok(client.get_multiplexed_async_connection_with_config(&options).await?)
}

/// An update of a row with a few columns, padded to the size that the figures assume.
fn event(id: u32) -> String {
    let row = format!(r#"{{"id":{id},"name":"A product of some length","price":"12.90","category_id":{}}}"#, id % 100);
    let head = format!(r#"{{"id":"event-{id}","entity":"shop.Product","op":"update","key":{{"id":{id}}},"#);
    let body = format!(r#""before":{row},"after":{row},"changed":["price"],"origin":""#);
    let padding = EVENT_BYTES.saturating_sub(head.len() + body.len() + 2);
    format!(r#"{head}{body}{}"}}"#, "x".repeat(padding))
}

fn print(measured: &Measured) -> Outcome<()> {
    let (bare, worker) = (median(&measured.bare), median(&measured.worker));
    let at = |share: f64| {
        // An index below the number of samples.
        let place = (measured.latency.len() as f64 * share) as usize;
        measured.latency.get(place).map_or(0.0, Duration::as_secs_f64) * 1_000.0
    };
    let mebibytes = |kib: u64| kib as f64 / 1024.0;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}\n", machine())?;
    writeln!(
        out,
        "| Redis Streams, {} events of {EVENT_BYTES} bytes, batches of {BATCH} | measured |",
        measured.events
    )?;
    writeln!(out, "|---|---|")?;
    writeln!(out, "| bare driver, receive and ack, events/s | {bare:.0} ({}) |", all(&measured.bare))?;
    writeln!(out, "| worker, receive, invalidate, settle, events/s | {worker:.0} ({}) |", all(&measured.worker))?;
    writeln!(out, "| ratio of the medians | {:.0} % |", 100.0 * worker / bare)?;
    writeln!(out, "| idle: publish → entry gone, p50 | {:.2} ms |", at(0.5))?;
    writeln!(out, "| idle: publish → entry gone, p99 | {:.2} ms |", at(0.99))?;
    writeln!(out, "| memory, idle | {:.0} MiB |", mebibytes(measured.idle_kib))?;
    writeln!(out, "| memory, full load | {:.0} MiB |", mebibytes(measured.load_kib))?;
    Ok(())
}

/// What the figures depend on.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(Path::new(path)).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    let count = processors.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{count} × {}, Linux {}", model.trim_start_matches([' ', '\t', ':']), kernel.trim())
}

fn median(rates: &[f64]) -> f64 {
    let mut sorted = rates.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn all(rates: &[f64]) -> String {
    let each: Vec<_> = rates.iter().map(|rate| format!("{rate:.0}")).collect();
    each.join(", ")
}

fn from_env(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}
