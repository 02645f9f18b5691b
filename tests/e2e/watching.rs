//! Proves that who watches a worker sees what waits, how old it is, and what cut a worker off.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt;
use quash_e2e::{Broker, ChaosProxy, Kind, Quash, Queue, RedisServer, Worker, eventually};
use tokio::sync::Notify;

use crate::scene::{LIMIT, PRODUCT, Scene, TWICE, bodies, config, gone, on_every_broker, products, updates};

on_every_broker!(
    what_is_parked_for_a_dead_target_is_counted_and_grows_older,
    what_waits_while_receiving_pauses_grows_older,
    an_interrupted_worker_says_so_and_goes_on,
);

const SOURCE: &str = "source=\"events\"";
const OLDEST: &str = "quash_oldest_unconfirmed_seconds";

async fn what_is_parked_for_a_dead_target_is_counted_and_grows_older(kind: Kind) {
    let (broker, main, mut eu) =
        (Broker::shared(kind).await, RedisServer::durable().await, RedisServer::durable().await);
    let queue = broker.queue();
    let quash = Quash::with(&config(&queue, &[("main", &main), ("eu", &eu)], &format!("{TWICE}{PRODUCT}")));
    let keys = products(0..50);
    main.fill(&keys).await;
    eu.fill(&keys).await;
    let worker = quash.worker("alone").await;
    eventually(LIMIT, "nothing waits", async || shows(&worker, OLDEST, |age| age == 0.0).await).await;
    assert!(!worker.metrics().await.contains("quash_last_event_timestamp_seconds{"), "nothing came yet");

    eu.kill9();
    queue.publish(bodies(&updates(0..50))).await;
    gone(&main, &keys).await;
    eventually(LIMIT, "all are parked", async || shows(&worker, "quash_parked_messages", |count| count == 50.0).await)
        .await;
    eventually(LIMIT, "they grow older", async || shows(&worker, OLDEST, |age| age > 6.0).await).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    assert!(shows(&worker, "quash_last_event_timestamp_seconds", |at| at > now - 60.0 && at < now + 1.0).await);

    eu.restart().await;
    gone(&eu, &keys).await;
    eventually(LIMIT, "nothing waits", async || shows(&worker, OLDEST, |age| age == 0.0).await).await;
    assert!(shows(&worker, "quash_parked_messages", |count| count == 0.0).await, "nothing is parked any more");
    // Some of them were tried again several times.
    assert_eq!(worker.metric("quash_cache_matches_total", &["cache=\"product\""]).await, 50.0);
}

async fn what_waits_while_receiving_pauses_grows_older(kind: Kind) {
    let mut scene = Scene::with(kind, &format!("{TWICE}{PRODUCT}")).await;
    let keys = products(0..200);
    scene.cache.fill(&keys).await;
    let worker = scene.quash.worker("alone").await;
    scene.cache.kill9();
    scene.queue.publish(bodies(&updates(0..1))).await;
    let lane_open = async || worker.metric("quash_lane_open", &["target=\"main\""]).await == 1.0;
    eventually(LIMIT, "the lane opens", lane_open).await;
    scene.queue.publish(bodies(&updates(1..200))).await;
    eventually(LIMIT, "they grow older", async || shows(&worker, OLDEST, |age| age > 8.0).await).await;
    scene.cache.restart().await;
    scene.gone(&keys).await;
    eventually(LIMIT, "nothing waits", async || shows(&worker, OLDEST, |age| age == 0.0).await).await;
}

async fn an_interrupted_worker_says_so_and_goes_on(kind: Kind) {
    let (broker, cache) = (Broker::shared(kind).await, RedisServer::durable().await);
    let proxy = ChaosProxy::before(&broker.address()).await;
    let queue = broker.queue();
    let behind = Queue::at(kind, &kind.url(&proxy.address()), queue.name());
    let quash = Quash::with(&config(&behind, &[("main", &cache)], &format!("{TWICE}{PRODUCT}")));
    let keys = products(0..20);
    cache.fill(&keys).await;
    let worker = quash.worker("alone").await;
    queue.publish(bodies(&updates(0..10))).await;
    gone(&cache, &keys[..10]).await;
    assert_eq!(worker.metric("quash_source_interruptions_total", &[SOURCE]).await, 0.0);
    proxy.cut_once();
    eventually(LIMIT, "it is counted", async || {
        shows(&worker, "quash_source_interruptions_total", |times| times >= 1.0).await
    })
    .await;
    assert!(worker.log().contains("was interrupted, trying again"), "{}", worker.log());
    queue.publish(bodies(&updates(10..20))).await;
    gone(&cache, &keys).await;
}

#[tokio::test]
async fn a_broker_that_closes_a_connection_is_quoted() {
    let scene = Scene::fragile(Kind::Amqp, PRODUCT).await;
    let keys = products(0..1);
    scene.cache.fill(&keys).await;
    let worker = scene.quash.worker("alone").await;
    scene.broker.rabbitmqctl(&["close_all_connections", "maintenance at noon"]).await;
    eventually(LIMIT, "its words are in the log", async || {
        worker.log().lines().any(|line| line.contains("interrupted") && line.contains("maintenance at noon"))
    })
    .await;
    scene.queue.publish(bodies(&updates(0..1))).await;
    scene.gone(&keys).await;
}

#[tokio::test]
async fn a_queue_that_became_a_replica_is_named_as_one() {
    let scene = Scene::fragile(Kind::RedisStreams, PRODUCT).await;
    let keys = products(0..1);
    scene.cache.fill(&keys).await;
    let worker = scene.quash.worker("alone").await;
    let client = redis::Client::open(scene.broker.url()).unwrap();
    let mut queue = client.get_multiplexed_async_connection().await.unwrap();
    let mut replica_of = async |host: &str, port: &str| {
        let () = redis::cmd("REPLICAOF").arg(host).arg(port).query_async(&mut queue).await.unwrap();
    };
    // Of nobody who answers: it keeps what it has, and takes no writes.
    replica_of("127.0.0.1", "1").await;
    eventually(LIMIT, "the log says READONLY", async || worker.log().contains("READONLY")).await;
    let away = async || worker.metric("quash_source_connected", &[SOURCE]).await == 0.0;
    eventually(LIMIT, "it is not ready", away).await;
    replica_of("NO", "ONE").await;
    scene.queue.publish(bodies(&updates(0..1))).await;
    scene.gone(&keys).await;
}

/// Whether the source shows a metric, and that is so.
async fn shows(worker: &Worker, name: &str, is: impl Fn(f64) -> bool) -> bool {
    let page = worker.metrics().await;
    let series = format!("{name}{{{SOURCE}}} ");
    let value = page.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok());
    value.is_some_and(is)
}

/// How often six workers are asked whether they are ready.
const POLLS: usize = 1000;

/// How often the letters are listed meanwhile; the workers look at them several times in that time.
const LISTINGS: usize = 7;

#[tokio::test]
async fn six_workers_stay_ready_while_letters_are_there_and_those_are_listed_at_once() {
    let (scene, _) = crate::dlq::with_letters(Kind::Amqp, 10).await;
    let mut workers = Vec::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        workers.push(scene.quash.worker(name).await);
    }
    let listed = Notify::new();
    let polling = async {
        let (mut polls, mut listing) = (0, true);
        while listing || polls < POLLS {
            let admin = workers[polls % workers.len()].admin();
            let answer = quash_e2e::get(admin, "/readyz").await.unwrap();
            assert_eq!(answer.status, 200, "poll {polls}: {}", answer.body);
            polls += 1;
            listing = listing && listed.notified().now_or_never().is_none();
        }
    };
    let listing = async {
        let mut took = Vec::new();
        for _ in 0..LISTINGS {
            let started = Instant::now();
            let letters = scene.quash.run(&["dlq", "ls", "-o", "json"]).await.done().json();
            took.push(started.elapsed());
            assert_eq!(letters["letters"].as_array().map(Vec::len), Some(10), "{letters}");
        }
        listed.notify_one();
        took.sort();
        took
    };
    let ((), took) = tokio::join!(polling, listing);
    assert!(took[LISTINGS / 2] < Duration::from_secs(1), "{took:?}");
}
