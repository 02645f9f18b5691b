//! Measures what dispatching costs the caller: a batched queue, and one key removed inline beside a bare UNLINK.

use std::io::Write as _;
use std::time::{Duration, Instant};

use quash_dispatch::config::Config;
use quash_dispatch::{Dispatcher, Event};
use quash_e2e::RedisServer;
use redis::aio::MultiplexedConnection;
use serde_json::json;

/// Calls of each kind in a round, and rounds; the kinds take turns, so that a busy machine slows all alike.
const CALLS: u32 = 2_000;
const ROUNDS: u32 = 5;
/// Between two calls of a queue, as requests come: without it the publisher's own thread would compete for the processor.
const PAUSE: Duration = Duration::from_micros(500);

const GOAL_QUEUE: Duration = Duration::from_micros(50);
const GOAL_INLINE: f64 = 1.3;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Who is called, and the cache that they share.
struct Scene {
    connection: MultiplexedConnection,
    inline: Dispatcher,
    batched: Dispatcher,
    confirmed: Dispatcher,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let (cache, broker) = (RedisServer::start().await, RedisServer::durable().await);
    let scene = Scene {
        connection: cache.connect().await,
        inline: dispatcher(&cache, &broker, "inline")?,
        batched: dispatcher(&cache, &broker, "{ queue: { batch: {} } }")?,
        confirmed: dispatcher(&cache, &broker, "{ queue: { timeout: 5s } }")?,
    };
    // On a worker of the runtime, as a request is, and not on the thread that waits for it.
    tokio::spawn(measure(scene)).await?
}

async fn measure(scene: Scene) -> Result<(), Failure> {
    let Scene { mut connection, inline, batched, confirmed } = scene;
    let (mut unlink, mut here, mut buffer, mut queue) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let ids = || (0..CALLS).map(move |call| round * CALLS + call);
        fill(&mut connection, ids()).await?;
        let mut times = Vec::new();
        for id in ids() {
            let key = format!("book:{id}");
            let began = Instant::now();
            let removed: u64 = redis::cmd("UNLINK").arg(&key).query_async(&mut connection).await?;
            times.push(began.elapsed());
            assert_eq!(removed, 1);
        }
        keep(round, &mut unlink, times);
        fill(&mut connection, ids()).await?;
        keep(round, &mut here, calls(&inline, ids(), Duration::ZERO).await?);
        let left: u64 = redis::cmd("DBSIZE").query_async(&mut connection).await?;
        assert_eq!(left, 0, "inline removed all of them");
        keep(round, &mut buffer, calls(&batched, ids(), PAUSE).await?);
        keep(round, &mut queue, calls(&confirmed, ids(), PAUSE).await?);
    }
    let drained = batched.shutdown(Duration::from_secs(10)).await;
    assert!(drained.undone.is_empty());
    report(unlink, here, buffer, queue)
}

fn dispatcher(cache: &RedisServer, broker: &RedisServer, dispatch: &str) -> Result<Dispatcher, Failure> {
    let yaml = format!(
        "version: 1\ntargets: {{ main: {{ redis: {{ url: \"{}\" }} }} }}\n\
         sources: {{ events: {{ redis_streams: {{ url: \"{}\", stream: quash.events, group: quash }} }} }}\n\
         dispatch: {dispatch}\ncaches: {{ book: {{ key: \"book:{{id}}\", depends_on: [ {{ row: shop.Book }} ] }} }}\n",
        cache.url(0),
        broker.url(0)
    );
    Ok(Dispatcher::from_config(&Config::parse(&yaml)?)?)
}

async fn fill(connection: &mut MultiplexedConnection, ids: impl Iterator<Item = u32>) -> Result<(), Failure> {
    let mut set = redis::cmd("MSET");
    for id in ids {
        set.arg(format!("book:{id}")).arg("a cached page");
    }
    Ok(set.exec_async(connection).await?)
}

/// How long each call took, the making of the event included.
async fn calls(
    dispatcher: &Dispatcher,
    ids: impl Iterator<Item = u32>,
    pause: Duration,
) -> Result<Vec<Duration>, Failure> {
    let mut times = Vec::new();
    for id in ids {
        let row = json!({ "id": id, "author_id": id % 50, "title": "The new title", "price": "12.50" });
        let began = Instant::now();
        let event = Event::update("shop.Book").key("id", id).before(&row).after(&row);
        dispatcher.dispatch(event).await?;
        times.push(began.elapsed());
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
    Ok(times)
}

/// The first round makes connections.
fn keep(round: u32, all: &mut Vec<Duration>, times: Vec<Duration>) {
    if round > 0 {
        all.extend(times);
    }
}

fn report(
    unlink: Vec<Duration>,
    inline: Vec<Duration>,
    buffer: Vec<Duration>,
    queue: Vec<Duration>,
) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{ROUNDS} rounds of {CALLS} calls each, in turn\n\n| call | p50 | p99 | goal |\n|---|---|---|---|")?;
    let [unlink, inline, buffer, queue] = [unlink, inline, buffer, queue].map(|mut times| {
        times.sort();
        [times[times.len() / 2], times[times.len() * 99 / 100]]
    });
    let verdict = |reached| if reached { "reached" } else { "missed" };
    let ratio = inline[0].as_secs_f64() / unlink[0].as_secs_f64();
    let queue_goal = format!("≤ {GOAL_QUEUE:?}, {}", verdict(buffer[0] <= GOAL_QUEUE));
    let inline_goal = format!("{ratio:.2} × bare, ≤ {GOAL_INLINE} ×, {}", verdict(ratio <= GOAL_INLINE));
    let rows = [
        ("bare UNLINK of one key", unlink, String::new()),
        ("`inline`, one key", inline, inline_goal),
        ("`queue` with `batch`", buffer, queue_goal),
        ("`queue`, confirmed", queue, String::new()),
    ];
    for (name, [half, most], goal) in rows {
        let us = |time: Duration| time.as_secs_f64() * 1e6;
        writeln!(out, "| {name} | {:.1} µs | {:.1} µs | {goal} |", us(half), us(most))?;
    }
    Ok(())
}
