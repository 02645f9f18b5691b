//! Measures what dispatching costs the caller: a batched queue, and one key removed inline beside a bare UNLINK.

use std::io::Write as _;
use std::time::{Duration, Instant};

use quash_dispatch::config::Config;
use quash_dispatch::{Dispatcher, Event};
use quash_e2e::RedisServer;
use redis::Client;
use redis::aio::MultiplexedConnection;
use serde_json::json;

/// Calls of each kind.
const CALLS: usize = 10_000;
/// Between calls that come now and then, as requests do: without it the publisher's own thread would compete for the processor.
const PAUSE: Duration = Duration::from_micros(500);

const GOAL_QUEUE: Duration = Duration::from_micros(50);
const GOAL_INLINE: f64 = 1.3;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Who is called, and the cache that they share.
struct Scene {
    /// As the driver makes it for an application that asks for nothing special.
    connection: MultiplexedConnection,
    inline: Dispatcher,
    batched: Dispatcher,
    confirmed: Dispatcher,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let (cache, broker) = (RedisServer::start().await, RedisServer::durable().await);
    let scene = Scene {
        connection: Client::open(cache.url(0))?.get_multiplexed_async_connection().await?,
        inline: dispatcher(&cache, &broker, "inline")?,
        batched: dispatcher(&cache, &broker, "{ queue: { batch: {} } }")?,
        confirmed: dispatcher(&cache, &broker, "{ queue: { timeout: 5s } }")?,
    };
    // On a worker of the runtime, as a request is, and not on the thread that waits for it.
    tokio::spawn(measure(scene)).await?
}

async fn measure(scene: Scene) -> Result<(), Failure> {
    let Scene { connection, inline, batched, confirmed } = scene;
    let bare = Way::Unlink(connection.clone());
    // What is compared takes turns call by call, so that whatever else the machine does slows both.
    let turns = [
        (vec![bare.clone(), Way::Dispatch(inline.clone())], Duration::ZERO),
        (vec![bare, Way::Dispatch(inline)], PAUSE),
        (vec![Way::Dispatch(batched.clone())], PAUSE),
        (vec![Way::Dispatch(confirmed)], PAUSE),
    ];
    let mut all = Vec::new();
    for (ways, pause) in &turns {
        // The first calls make connections.
        calls(ways, connection.clone(), 10, *pause).await?;
        all.extend(calls(ways, connection.clone(), CALLS, *pause).await?);
    }
    let drained = batched.shutdown(Duration::from_secs(10)).await;
    assert!(drained.undone.is_empty());
    let all: [Vec<Took>; 6] = all.try_into().map_err(|_| "six kinds of calls")?;
    report(&all)
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

/// How a stale entry goes.
#[derive(Clone)]
enum Way {
    /// As an application without Quash does it.
    Unlink(MultiplexedConnection),
    Dispatch(Dispatcher),
}

/// How long making the event took, and how long its call.
#[derive(Clone, Copy)]
struct Took {
    making: Duration,
    call: Duration,
}

/// The times of so many calls, by way. All ways are called between the same things: whoever only sends a command also makes an
/// event.
async fn calls(
    ways: &[Way],
    mut cache: MultiplexedConnection,
    calls: usize,
    pause: Duration,
) -> Result<Vec<Vec<Took>>, Failure> {
    let mut set = redis::cmd("MSET");
    for id in 0..calls * ways.len() {
        set.arg(format!("book:{id}")).arg("a cached page");
    }
    set.exec_async(&mut cache).await?;
    let mut times = vec![Vec::with_capacity(calls); ways.len()];
    for id in 0..calls * ways.len() {
        let index = id % ways.len();
        let row = json!({ "id": id, "author_id": id % 50, "title": "The new title", "price": "12.50" });
        let began = Instant::now();
        let event = Event::update("shop.Book").key("id", id).before(&row).after(&row);
        let made = Instant::now();
        match &ways[index] {
            Way::Unlink(connection) => {
                let mut command = redis::cmd("UNLINK");
                let removed: u64 = command.arg(format!("book:{id}")).query_async(&mut connection.clone()).await?;
                assert_eq!(removed, 1);
            }
            Way::Dispatch(dispatcher) => drop(dispatcher.dispatch(event).await?),
        }
        times[index].push(Took { making: made - began, call: made.elapsed() });
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
    Ok(times)
}

/// The part of all times that lies below this one.
fn at(times: &[Took], percent: usize, of: impl Fn(&Took) -> Duration) -> Duration {
    let mut times: Vec<Duration> = times.iter().map(of).collect();
    times.sort_unstable();
    times[times.len() * percent / 100]
}

fn report([unlink, inline, unlink_paced, inline_paced, buffer, queue]: &[Vec<Took>; 6]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{CALLS} calls of each kind\n")?;
    writeln!(out, "| call | making the event, p50 | call, p50 | call, p99 | goal |\n|---|---|---|---|---|")?;
    let verdict = |reached| if reached { "reached" } else { "missed" };
    let half = |times| at(times, 50, |took| took.call);
    let ratio = |inline, unlink| half(inline).as_secs_f64() / half(unlink).as_secs_f64();
    let round_trip = ratio(inline, unlink);
    let inline_goal = format!("{round_trip:.2} × bare, ≤ {GOAL_INLINE} ×, {}", verdict(round_trip <= GOAL_INLINE));
    let both = at(buffer, 50, |took| took.making + took.call);
    let queue_goal = format!("with the event {both:.1?}, ≤ {GOAL_QUEUE:?}, {}", verdict(both <= GOAL_QUEUE));
    let rows = [
        ("bare UNLINK of one key", unlink, String::new()),
        ("`inline`, one key", inline, inline_goal),
        ("now and then: bare UNLINK", unlink_paced, String::new()),
        ("now and then: `inline`", inline_paced, format!("{:.2} × bare", ratio(inline_paced, unlink_paced))),
        ("now and then: `queue` with `batch`", buffer, queue_goal),
        ("now and then: `queue`, confirmed", queue, String::new()),
    ];
    for (name, times, goal) in rows {
        let (making, most) = (at(times, 50, |took| took.making), at(times, 99, |took| took.call));
        writeln!(out, "| {name} | {making:.1?} | {:.1?} | {most:.1?} | {goal} |", half(times))?;
    }
    Ok(())
}
