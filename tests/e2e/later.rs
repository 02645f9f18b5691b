//! Proves that the later passes of many events are few messages, and that none is lost.

use quash_e2e::{Kind, becomes};

use crate::scene::{LIMIT, Scene, bodies, on_every_broker, products, updates};

on_every_broker!(later_passes_of_many_events_are_few_messages_and_survive_the_worker);

const EVENTS: u32 = 2_000;
const TWICE: &str =
    "caches:\n  product: { key: \"product:{id}\", again_after: [2s, 6s], depends_on: [ { row: shop.Product } ] }\n";

async fn later_passes_of_many_events_are_few_messages_and_survive_the_worker(kind: Kind) {
    let scene = Scene::with(kind, TWICE).await;
    let keys = products(0..EVENTS);
    scene.cache.fill(&keys).await;
    scene.queue.publish(bodies(&updates(0..EVENTS))).await;
    let mut worker = scene.quash.worker("first").await;
    scene.gone(&keys).await;
    // Whoever read before the change stores now, again and again: after each pass.
    scene.cache.fill(&keys).await;
    scene.gone(&keys).await;
    let received = worker.metric("quash_events_received_total", &["source=\"events\""]).await;
    assert!(received < f64::from(EVENTS) * 1.5, "{received} messages for {EVENTS} events and one of their passes");
    worker.kill9();
    scene.cache.fill(&keys).await;
    worker.restart();
    scene.gone(&keys).await;
    scene.queue.drained(LIMIT).await;
    becomes(LIMIT, "nothing was given up", 0, async || scene.queue.dead_letters().await).await;
}
