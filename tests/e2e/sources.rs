//! Proves that one worker reads sources of different kinds at once, and that none of them holds up another.

use futures_util::future::join_all;
use quash_e2e::{Broker, Kind, Quash, Queue, RedisServer, becomes};

use crate::scene::{HASTY, LIMIT, PRODUCT, bodies, gone, products, updates};

const EVENTS: u32 = 300;

#[tokio::test]
async fn one_worker_reads_every_kind_of_broker_at_once() {
    let cache = RedisServer::durable().await;
    let mut brokers = join_all(Kind::ALL.map(Broker::start)).await;
    let queues: Vec<_> = brokers.iter().map(Broker::queue).collect();
    for (broker, queue) in brokers.iter().zip(&queues) {
        broker.settled_in(queue).await;
    }
    let quash = Quash::with(&config(&queues, &cache));
    let mut worker = quash.worker("alone").await;

    let mut parts = (0..).map(|part| part * EVENTS..(part + 1) * EVENTS);
    for queue in &queues {
        invalidates(queue, &cache, parts.next().unwrap()).await;
    }
    // Whichever is away, the others flow on, and it is read again when it is back.
    for away in 0..brokers.len() {
        brokers[away].kill9();
        for queue in queues.iter().filter(|queue| queue.kind() != queues[away].kind()) {
            invalidates(queue, &cache, parts.next().unwrap()).await;
        }
        brokers[away].restart().await;
        invalidates(&queues[away], &cache, parts.next().unwrap()).await;
    }
    // Each keeps the dead letters of its own events.
    for queue in &queues {
        queue.publish(["no event"]).await;
        becomes(LIMIT, "it is a dead letter", 1, async || queue.dead_letters().await).await;
        queue.drained(LIMIT).await;
    }
    assert!(worker.lives());
    assert_eq!(worker.terminate().await, 0);
}

fn config(queues: &[Queue], cache: &RedisServer) -> String {
    let source = |queue: &Queue| format!("  {}: {}\n", queue.kind().name(), queue.source(""));
    let sources: String = queues.iter().map(source).collect();
    let target = format!("targets: {{ main: {{ redis: {{ url: \"{}\" }}, timeout: 1s }} }}\n", cache.url(0));
    format!("version: 1\n{target}sources:\n{sources}{HASTY}{PRODUCT}")
}

async fn invalidates(queue: &Queue, cache: &RedisServer, ids: std::ops::Range<u32>) {
    let keys = products(ids.clone());
    cache.fill(&keys).await;
    queue.publish(bodies(&updates(ids))).await;
    gone(cache, &keys).await;
}
