//! Proves that a cache which names a queue of its own is done there, and that nothing is lost while that queue is away.

use quash_e2e::{Broker, Kind, Quash, RedisServer, becomes};

use crate::scene::{HASTY, LIMIT, bodies, config, gone, on_every_broker, products, updates};

on_every_broker!(a_cache_is_done_by_its_own_queue_and_waits_for_it_while_the_others_go_on);

const CACHES: &str = "caches:
  product: { key: \"product:{id}\", depends_on: [ { row: shop.Product } ] }
  report:
    key: \"report:{id}\"
    dispatch: { queue: { source: bulk } }
    depends_on: [ { row: shop.Product } ]
";

const EVENTS: u32 = 300;

async fn a_cache_is_done_by_its_own_queue_and_waits_for_it_while_the_others_go_on(kind: Kind) {
    let (events, mut other) = (Broker::shared(kind).await, Broker::start(kind).await);
    let (queue, bulk) = (events.queue(), other.queue());
    other.settled_in(&bulk).await;
    let cache = RedisServer::durable().await;
    let sections = format!("  bulk: {}\n{HASTY}{CACHES}", bulk.source(""));
    let quash = Quash::with(&config(&queue, &[("main", &cache)], &sections));
    let mut worker = quash.worker("first").await;

    let (own, elsewhere) = keys(0..EVENTS);
    cache.fill(&[own.clone(), elsewhere.clone()].concat()).await;
    queue.publish(bodies(&updates(0..EVENTS))).await;
    gone(&cache, &own).await;
    gone(&cache, &elsewhere).await;
    let handed_over = async || worker.metric("quash_events_handed_over_total", &["source=\"events\""]).await;
    assert!(handed_over().await >= f64::from(EVENTS), "each event went there");

    other.kill9();
    let (own, elsewhere) = keys(EVENTS..2 * EVENTS);
    cache.fill(&[own.clone(), elsewhere.clone()].concat()).await;
    queue.publish(bodies(&updates(EVENTS..2 * EVENTS))).await;
    gone(&cache, &own).await;
    assert_eq!(cache.count(&elsewhere).await, elsewhere.len(), "nobody else does it");
    // What waits for the queue is with the broker of the events: it survives the worker.
    worker.kill9();
    worker.restart();
    other.restart().await;
    gone(&cache, &elsewhere).await;

    for queue in [&queue, &bulk] {
        queue.drained(LIMIT).await;
        becomes(LIMIT, "nothing was given up", 0, async || queue.dead_letters().await).await;
    }
}

/// The keys of both caches for these products.
fn keys(ids: std::ops::Range<u32>) -> (Vec<String>, Vec<String>) {
    (products(ids.clone()), ids.map(|id| format!("report:{id}")).collect())
}
