//! Proves that a server that is away loses nothing, costs no attempt and slows nobody else down.

use std::time::{Duration, Instant};

use quash_e2e::{Broker, ChaosProxy, Kind, Mode, Quash, Queue, RedisServer, becomes, eventually};
use quash_transport::Backlog;
use tokio::time::interval;

use crate::scene::{HASTY, LIMIT, PRODUCT, Scene, TWICE, bodies, config, gone, on_every_broker, products, updates};

/// How long the cache is away.
const OUTAGE: Duration = Duration::from_secs(30);
/// Ten times a second while it lasts: no moment of the outage is without fresh events.
const BATCHES: u32 = 300;
const BATCH: u32 = 20;

on_every_broker!(
    a_cache_that_is_away_for_30_seconds_loses_nothing_and_spends_no_attempt,
    a_dead_target_slows_the_other_one_not_down,
    the_shares_of_a_target_that_is_dead_for_a_minute_wait_in_the_broker_alone,
    a_cache_that_hangs_counts_as_away,
    a_cache_behind_a_black_hole_is_drained_when_the_network_is_back,
    cut_connections_to_the_queue_lose_nothing,
    a_cache_that_restarts_from_an_old_snapshot_is_invalidated_once_more,
);

async fn a_cache_that_is_away_for_30_seconds_loses_nothing_and_spends_no_attempt(kind: Kind) {
    let mut scene = Scene::with(kind, &format!("{HASTY}{PRODUCT}")).await;
    let keys = products(0..BATCHES * BATCH);
    scene.cache.fill(&keys).await;
    let worker = scene.quash.worker("alone").await;
    scene.queue.publish(bodies(&updates(0..BATCH))).await;
    scene.gone(&products(0..BATCH)).await;

    scene.cache.kill9();
    let mut beat = interval(OUTAGE / BATCHES);
    for batch in 1..BATCHES {
        beat.tick().await;
        scene.queue.publish(bodies(&updates(batch * BATCH..(batch + 1) * BATCH))).await;
    }
    assert_eq!(worker.metric("quash_lane_open", &["target=\"main\""]).await, 1.0, "the lane is open");
    scene.cache.restart().await;
    assert_ne!(scene.cache.count(&keys).await, 0, "the cache came back with what it held");

    scene.gone(&keys).await;
    // With two attempts, and a wait of at most 100 ms between them, an attempt that is spent becomes a dead letter.
    assert_eq!(scene.settled().await, 0, "dead letters");
    assert_eq!(worker.metric("quash_lane_open", &["target=\"main\""]).await, 0.0, "the lane is closed");
}

async fn a_dead_target_slows_the_other_one_not_down(kind: Kind) {
    const EVENTS: u32 = 5_000;
    let (broker, main, mut eu) =
        (Broker::shared(kind).await, RedisServer::durable().await, RedisServer::durable().await);
    let queue = broker.queue();
    let quash = Quash::with(&config(&queue, &[("main", &main), ("eu", &eu)], &format!("{TWICE}{PRODUCT}")));
    let keys = products(0..EVENTS);
    let (calm, stormy) = keys.split_at(keys.len() / 2);
    main.fill(&keys).await;
    eu.fill(&keys).await;
    let worker = quash.worker("alone").await;

    let with_both = time_to_remove(&queue, &main, 0..EVENTS / 2, calm).await;
    gone(&eu, calm).await;
    eu.kill9();
    let with_one = time_to_remove(&queue, &main, EVENTS / 2..EVENTS, stormy).await;
    println!("{} events: {with_both:?} with both targets, {with_one:?} with one of them dead", EVENTS / 2);

    becomes(LIMIT, "only parked shares are left", (0, 0), async || {
        let backlog = queue.backlog().await;
        (backlog.ready, backlog.unsettled)
    })
    .await;
    let before = main.calls("unlink").await;
    eu.restart().await;
    gone(&eu, stormy).await;
    queue.drained(LIMIT).await;
    assert_eq!(main.calls("unlink").await, before, "the healthy target has nothing to do with the other's shares");
    assert_eq!(queue.dead_letters().await, 0);
    drop(worker);
}

async fn the_shares_of_a_target_that_is_dead_for_a_minute_wait_in_the_broker_alone(kind: Kind) {
    const BATCHES: u32 = 300;
    const BATCH: u32 = 10;
    let (broker, main, mut eu) =
        (Broker::shared(kind).await, RedisServer::durable().await, RedisServer::durable().await);
    let queue = broker.queue();
    let quash = Quash::with(&config(&queue, &[("main", &main), ("eu", &eu)], &format!("{TWICE}{PRODUCT}")));
    let keys = products(0..BATCHES * BATCH);
    main.fill(&keys).await;
    eu.fill(&keys).await;
    let mut first = quash.worker("first").await;
    eu.kill9();
    let mut beat = interval(Duration::from_secs(60) / BATCHES);
    for batch in 0..BATCHES {
        beat.tick().await;
        queue.publish(bodies(&updates(batch * BATCH..(batch + 1) * BATCH))).await;
    }
    gone(&main, &keys).await;
    let parked = Backlog { delayed: keys.len() as u64, ..Backlog::default() };
    becomes(LIMIT, "one share of each event is parked", parked, async || queue.backlog().await).await;

    // The worker that parked them is not needed any more.
    first.kill9();
    let before = main.calls("unlink").await;
    eu.restart().await;
    let _second = quash.worker("second").await;
    gone(&eu, &keys).await;
    queue.drained(LIMIT).await;
    assert_eq!(main.calls("unlink").await, before, "the healthy target has nothing to do with the other's shares");
    assert_eq!(queue.dead_letters().await, 0);
}

async fn a_cache_that_hangs_counts_as_away(kind: Kind) {
    let mut scene = Scene::with(kind, &format!("{HASTY}{PRODUCT}")).await;
    let keys = products(0..500);
    scene.cache.fill(&keys).await;
    let worker = scene.quash.worker("alone").await;
    scene.cache.stop();
    scene.queue.publish(bodies(&updates(0..500))).await;
    becomes(LIMIT, "the lane opens", 1.0, async || worker.metric("quash_lane_open", &["target=\"main\""]).await).await;
    scene.cache.cont();
    scene.gone(&keys).await;
    assert_eq!(scene.settled().await, 0);
}

async fn a_cache_behind_a_black_hole_is_drained_when_the_network_is_back(kind: Kind) {
    let (broker, cache) = (Broker::shared(kind).await, RedisServer::durable().await);
    let proxy = ChaosProxy::before(&cache.address()).await;
    let queue = broker.queue();
    let config = config(&queue, &[("main", &cache)], &format!("{HASTY}{PRODUCT}"));
    let quash = Quash::with(&config.replace(&cache.address(), &proxy.address()));
    let keys = products(0..500);
    cache.fill(&keys).await;
    let worker = quash.worker("alone").await;
    proxy.set(Mode::BlackHole);
    queue.publish(bodies(&updates(0..500))).await;
    becomes(LIMIT, "the lane opens", 1.0, async || worker.metric("quash_lane_open", &["target=\"main\""]).await).await;
    proxy.set(Mode::Pass);
    gone(&cache, &keys).await;
    queue.drained(LIMIT).await;
    assert_eq!(queue.dead_letters().await, 0);
}

async fn cut_connections_to_the_queue_lose_nothing(kind: Kind) {
    let (broker, cache) = (Broker::shared(kind).await, RedisServer::durable().await);
    let proxy = ChaosProxy::before(&broker.address()).await;
    let queue = broker.queue();
    let behind = Queue::at(kind, &kind.url(&proxy.address()), queue.name());
    let quash = Quash::with(&config(&behind, &[("main", &cache)], &format!("{HASTY}{PRODUCT}")));
    let keys = products(0..4_000);
    cache.fill(&keys).await;
    let mut worker = quash.worker("alone").await;
    let mut beat = interval(Duration::from_millis(100));
    for batch in 0..40 {
        beat.tick().await;
        queue.publish(bodies(&updates(batch * 100..(batch + 1) * 100))).await;
        proxy.cut_once();
    }
    gone(&cache, &keys).await;
    queue.drained(LIMIT).await;
    assert_eq!(queue.dead_letters().await, 0);
    assert!(worker.lives(), "a cut connection is not fatal");
}

async fn a_cache_that_restarts_from_an_old_snapshot_is_invalidated_once_more(kind: Kind) {
    let broker = Broker::shared(kind).await;
    // As a cache with snapshots: what is removed after the last one is back when it is killed.
    let mut cache = RedisServer::start().await;
    let queue = broker.queue();
    let quash = Quash::with(&config(&queue, &[("main", &cache)], PRODUCT));
    let keys = products(0..200);
    cache.fill(&keys).await;
    let () = redis::cmd("SAVE").query_async(&mut cache.connect().await).await.unwrap();
    let _worker = quash.worker("alone").await;
    queue.publish(bodies(&updates(0..200))).await;
    gone(&cache, &keys).await;

    cache.restart().await;
    eventually(LIMIT, "what came back is removed again", async || cache.count(&keys).await == 0).await;
}

async fn time_to_remove(queue: &Queue, cache: &RedisServer, ids: std::ops::Range<u32>, keys: &[String]) -> Duration {
    let begun = Instant::now();
    queue.publish(bodies(&updates(ids))).await;
    gone(cache, keys).await;
    begun.elapsed()
}
