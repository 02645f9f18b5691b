//! Measures publishing and the worker on every broker beside the bare driver; latency when idle; memory.
//!
//! `cargo build --profile dist -p quash-cli && cargo bench --profile dist -p quash-benches --bench throughput`; in the environment, `BROKERS`
//! (`redis_streams,amqp,nats`) chooses, `EVENTS` and `ROUNDS` change the load. Both sides carry the same messages through the
//! same server, in turn, in one run: the ratio is what to compare, the rates depend on the machine.

mod bare;
mod cpu;
mod report;

use std::error::Error;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quash_e2e::{Broker, Kind, Quash, Queue, RedisServer, Worker};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use tokio::time::{Interval, MissedTickBehavior, interval};

use bare::Bare;
use cpu::{Cpu, PerEvent};
use report::{Latencies, Measured, Rates};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Messages that both sides ask for, or publish, at once.
const BATCH: usize = 256;
/// Bytes of one event, as the design's figures assume.
const EVENT_BYTES: usize = 400;
/// Events of the latency measurement, far enough from each other that each finds an idle worker.
const SINGLES: u32 = 2_000;
const SINGLES_EVERY: Duration = Duration::from_millis(5);
/// How long a broker may take for the end of a round.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Outcome<()> {
    // Cargo names the profile by the folder: a debug build would measure nothing.
    let binary = quash_e2e::binary();
    if !binary.components().any(|part| part.as_os_str() == "dist") {
        return Err(format!("{} is not built with the profile dist", binary.display()).into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    report::machine()?;
    for kind in chosen() {
        runtime.block_on(measure(kind, from_env("EVENTS", 200_000), from_env("ROUNDS", 3)))?.print()?;
    }
    Ok(())
}

fn chosen() -> impl Iterator<Item = Kind> {
    let chosen = std::env::var("BROKERS").ok();
    let is_chosen = move |kind: &Kind| chosen.as_ref().is_none_or(|names| names.split(',').any(|n| n == kind.name()));
    Kind::ALL.into_iter().filter(is_chosen)
}

async fn measure(kind: Kind, events: u32, rounds: u32) -> Outcome<Measured> {
    let (broker, cache) = (Broker::start(kind).await, RedisServer::start().await);
    let queue = broker.queue();
    queue.declare().await;
    let quash = Quash::with(&configuration(&queue, &cache, ""));
    let with_passes = Quash::with(&configuration(&queue, &cache, LATER));
    let mut bare = Bare::connect(&broker, &queue).await?;
    let messages: Vec<Bytes> = (0..events).map(|id| event(id).into()).collect();
    let rate = |took: Duration| f64::from(events) / took.as_secs_f64();
    let (mut publish, mut consume, mut cpu, mut load_kib) = (Rates::default(), Rates::default(), Vec::new(), 0);
    let mut passes = Vec::new();
    for _ in 0..rounds {
        publish.bare.push(rate(bare.publish(&messages).await?));
        let before = Cpu::own()?;
        consume.bare.push(rate(bare.drain(messages.len()).await?));
        let bare_cpu = before.per_event(Cpu::own()?, events);
        bare.tidy().await?;

        publish.quash.push(rate(publish_all(&queue, &messages).await));
        fill(&cache, events).await;
        let drained = drain_by_worker(&quash, &queue, &cache, events).await?;
        consume.quash.push(drained.rate);
        cpu.push((bare_cpu, drained.cpu));
        load_kib = load_kib.max(drained.peak_kib);
        bare.tidy().await?;

        publish_all(&queue, &messages).await;
        fill(&cache, events).await;
        passes.push(drain_by_worker(&with_passes, &queue, &cache, events).await?.rate);
        bare.tidy().await?;
    }
    let arrival = arrivals(&queue, &bare).await?;
    bare.tidy().await?;
    let idle = quash.worker("idle").await;
    let removal = removals(&queue, &cache).await?;
    // After the single events: connections are open and buffers have been used, and there is no backlog.
    let idle_kib = idle.resident_kib();
    Ok(Measured { kind, events, publish, consume, passes, cpu, arrival, removal, idle_kib, load_kib })
}

/// Later passes that come while the load lasts, and behind it.
const LATER: &str = "again_after: [1s, 5s], ";

fn configuration(queue: &Queue, cache: &RedisServer, passes: &str) -> String {
    let source = queue.source(&format!(", batch: {BATCH}"));
    format!(
        "version: 1\ntargets: {{ main: {{ redis: {{ url: \"{}\" }} }} }}\nsources: {{ events: {source} }}\n\
         caches: {{ product: {{ key: \"product:{{id}}\", {passes}depends_on: [ {{ row: shop.Product }} ] }} }}\n",
        cache.url(0)
    )
}

/// Publishes through Quash's transport, in the same windows as the bare driver.
async fn publish_all(queue: &Queue, messages: &[Bytes]) -> Duration {
    let begun = Instant::now();
    for window in messages.chunks(BATCH) {
        queue.publish(window.iter().cloned()).await;
    }
    begun.elapsed()
}

/// What a worker did with a full queue.
struct Drained {
    /// Events a second.
    rate: f64,
    cpu: PerEvent,
    /// Memory that it held at most.
    peak_kib: u64,
}

/// Starts a worker on a full queue. Counted from the first entry that it removed to the last, so that the start of a process is not part of it.
async fn drain_by_worker(quash: &Quash, queue: &Queue, cache: &RedisServer, events: u32) -> Outcome<Drained> {
    let mut watcher = cache.connect().await;
    let worker: Worker = quash.start_worker("loaded");
    let mut ask = pace(Duration::from_millis(5));
    let (mut first, mut peak_kib) = (None, 0);
    let drained = loop {
        ask.tick().await;
        let left: u32 = redis::cmd("DBSIZE").query_async(&mut watcher).await?;
        peak_kib = worker.resident_kib().max(peak_kib);
        match first {
            None if left < events => first = Some((Instant::now(), left, Cpu::with_client(worker.cpu_time())?)),
            Some((begun, from, before)) if left == 0 => {
                let cpu = before.per_event(Cpu::with_client(worker.cpu_time())?, from);
                break Drained { rate: f64::from(from) / begun.elapsed().as_secs_f64(), cpu, peak_kib };
            }
            _ => {}
        }
    };
    // What it has removed it may not have settled yet, and nobody would do so once it is gone.
    queue.drained(PATIENCE).await;
    Ok(drained)
}

/// From the moment an event is handed to the queue's client to the moment the bare driver has it from the broker, and to
/// the broker's confirm.
async fn arrivals(queue: &Queue, bare: &Bare) -> Outcome<(Latencies, Latencies)> {
    let (mut confirmed, mut arrived) = (Vec::new(), Vec::new());
    let (mut pace, mut arrivals) = (pace(SINGLES_EVERY), bare.arrivals().await?);
    for id in 0..SINGLES {
        pace.tick().await;
        let begun = Instant::now();
        let (heard, there) = tokio::join!(published(queue, id), arrivals.next());
        confirmed.push(heard - begun);
        arrived.push(there? - begun);
    }
    arrivals.end().await?;
    Ok((Latencies::of(confirmed), Latencies::of(arrived)))
}

async fn published(queue: &Queue, id: u32) -> Instant {
    queue.publish([event(id)]).await;
    Instant::now()
}

/// From the moment an event is handed to the queue's client to the moment another client sees that the entry is gone.
async fn removals(queue: &Queue, cache: &RedisServer) -> Outcome<Latencies> {
    let mut watcher: MultiplexedConnection = cache.connect().await;
    let mut pace = pace(SINGLES_EVERY);
    let mut found = Vec::new();
    for id in 0..SINGLES {
        pace.tick().await;
        let key = format!("product:{id}");
        let () = watcher.set(&key, "stale").await?;
        let begun = Instant::now();
        // Not one after the other: the entry may be gone before the broker has confirmed the event.
        let (_, gone) = tokio::join!(published(queue, id), gone(&mut watcher, &key));
        found.push(gone? - begun);
    }
    Ok(Latencies::of(found))
}

async fn gone(watcher: &mut MultiplexedConnection, key: &str) -> Outcome<Instant> {
    while watcher.exists(key).await? {}
    Ok(Instant::now())
}

fn pace(every: Duration) -> Interval {
    let mut pace = interval(every);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}

async fn fill(cache: &RedisServer, events: u32) {
    let keys: Vec<_> = (0..events).map(|id| format!("product:{id}")).collect();
    cache.fill(&keys).await;
}

/// An update of a row with a few columns, padded to the size that the figures assume.
fn event(id: u32) -> String {
    let row = format!(r#"{{"id":{id},"name":"A product of some length","price":"12.90","category_id":{}}}"#, id % 100);
    let head = format!(r#"{{"id":"event-{id}","entity":"shop.Product","op":"update","key":{{"id":{id}}},"#);
    let body = format!(r#""before":{row},"after":{row},"changed":["price"],"origin":""#);
    let padding = EVENT_BYTES.saturating_sub(head.len() + body.len() + 2);
    format!(r#"{head}{body}{}"}}"#, "x".repeat(padding))
}

fn from_env(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}
