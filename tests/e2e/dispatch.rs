//! Proves that an application's dispatchers and a worker do the same work together, on each kind of broker.

use std::time::{Duration, Instant};

use quash_dispatch::config::Config;
use quash_dispatch::dispatcher::Cause;
use quash_dispatch::{Dispatcher, Event};
use quash_e2e::{Broker, Kind, Quash, Queue, RedisServer, becomes};
use serde_json::json;

use crate::scene::{LIMIT, Scene, config, gone, on_every_broker, products};

on_every_broker! {
    what_runs_where_makes_no_difference,
    what_fails_in_the_process_ends_at_a_worker_or_as_a_dead_letter,
    later_passes_of_what_is_done_here_come_from_a_worker,
    a_broker_that_hangs_or_dies_costs_the_time_out,
    a_batch_outlives_an_outage_of_the_broker,
}

const IDS: std::ops::Range<u32> = 0..40;

fn update(id: u32) -> Event {
    let row = json!({ "id": id, "shelf": id % 4 });
    Event::update("shop.Product").key("id", id).before(&row).after(&row)
}

/// A busy machine may take longer for a confirm than a request would wait.
fn caches(dispatch: &str) -> String {
    format!(
        "dispatch: {{ queue: {{ timeout: 20s }} }}\ncaches:\n  product: {{ key: \"product:{{id}}\", depends_on: [ {{ row: shop.Product }} ], dispatch: {dispatch} }}\n  \
         shelf: {{ key: \"shelf:{{shelf}}:{{page}}\", depends_on: [ {{ row: shop.Product }} ] }}\n"
    )
}

fn dispatcher(config: &str) -> Dispatcher {
    Dispatcher::from_config(&Config::parse(config).unwrap()).unwrap()
}

fn everything() -> Vec<String> {
    products(IDS).into_iter().chain((0..4).map(|shelf| format!("shelf:{shelf}:1"))).collect()
}

async fn what_runs_where_makes_no_difference(kind: Kind) {
    let scene = Scene::with(kind, &caches("queue")).await;
    let _worker = scene.quash.worker("alone").await;
    for dispatch in ["queue", "inline", "threadpool", "task"] {
        scene.cache.fill(&everything()).await;
        scene.cache.fill(&["product:1000".to_owned()]).await;
        let source = config(&scene.queue, &[("main", &scene.cache)], &caches(dispatch));
        let dispatcher = dispatcher(&source);
        for id in IDS {
            let receipt = dispatcher.dispatch(update(id)).await.unwrap();
            assert!(receipt.is_queued(), "a worker knows the shelves");
            assert_eq!(receipt.done().is_empty(), dispatch != "inline");
        }
        if dispatch == "inline" {
            assert_eq!(scene.cache.count(&products(IDS)).await, 0, "gone when the call returned");
        }
        assert_eq!(dispatcher.shutdown(LIMIT).await.undone, []);
        scene.gone(&everything()).await;
        assert_eq!(scene.cache.count(&["product:1000".to_owned()]).await, 1, "neighbours stay");
    }
    assert_eq!(scene.settled().await, 0);
}

async fn what_fails_in_the_process_ends_at_a_worker_or_as_a_dead_letter(kind: Kind) {
    for dispatch in ["inline", "threadpool", "task"] {
        let (broker, mut cache) = (Broker::shared(kind).await, RedisServer::durable().await);
        let queue = broker.queue();
        queue.declare().await;
        let sections = |failures: &str| {
            let choice = format!("dispatch: {{ {dispatch}: {{ attempts: 2, timeout: 20s, failures: {failures} }} }}\n");
            format!(
                "retry: {{ initial: 10ms }}\n{choice}caches: {{ product: {{ key: \"product:{{id}}\", depends_on: [ {{ row: shop.Product }} ] }} }}\n"
            )
        };
        let yaml = |failures: &str| config(&queue, &[("main", &cache)], &sections(failures));
        let (handing_over, burying) = (dispatcher(&yaml("hand_over")), dispatcher(&yaml("dead_letter")));
        let quash = Quash::with(&yaml("hand_over"));
        cache.fill(&products(IDS)).await;
        cache.kill9();
        for id in IDS {
            handing_over.dispatch(update(id)).await.unwrap();
        }
        assert_eq!(handing_over.shutdown(LIMIT).await.undone, []);
        assert_eq!(queue.backlog().await.ready, u64::from(IDS.end), "{dispatch}");
        burying.dispatch(update(0)).await.unwrap();
        assert_eq!(burying.shutdown(LIMIT).await.undone, []);

        cache.restart().await;
        let _worker = quash.worker("alone").await;
        gone(&cache, &products(IDS)).await;
        queue.drained(LIMIT).await;
        let letters = quash.dead_letters().await;
        assert_eq!(letters.len(), 1, "{dispatch}: {letters:?}");
        assert_eq!((&letters[0]["reason"], &letters[0]["target"]), (&json!("gave_up"), &json!("main")), "{dispatch}");
        // What a person replays does what is left.
        cache.fill(&["product:0".to_owned()]).await;
        quash.run(&["dlq", "replay", "--filter", "reason:gave_up"]).await.done();
        gone(&cache, &["product:0".to_owned()]).await;
    }
}

async fn later_passes_of_what_is_done_here_come_from_a_worker(kind: Kind) {
    let sections = "dispatch: { inline: { timeout: 20s } }\ncaches: { product: { key: \"product:{id}\", again_after: [1s], depends_on: [ { row: shop.Product } ] } }\n";
    let scene = Scene::with(kind, sections).await;
    let _worker = scene.quash.worker("alone").await;
    let dispatcher = dispatcher(&std::fs::read_to_string(scene.quash.config()).unwrap());
    let key = ["product:1".to_owned()];
    scene.cache.fill(&key).await;
    dispatcher.dispatch(update(1)).await.unwrap();
    assert_eq!(scene.cache.count(&key).await, 0);
    // A reader who read before the change stores after the removal.
    scene.cache.fill(&key).await;
    scene.gone(&key).await;
    assert_eq!(scene.settled().await, 0);
}

async fn a_broker_that_hangs_or_dies_costs_the_time_out(kind: Kind) {
    let mut broker = Broker::start(kind).await;
    let queue = broker.queue();
    broker.settled_in(&queue).await;
    let cache = RedisServer::start().await;
    let choice = "dispatch: { queue: { timeout: 200ms } }\ncaches: {}\n";
    let dispatcher = dispatcher(&config(&queue, &[("main", &cache)], choice));
    becomes(LIMIT, "it publishes", true, async || dispatcher.dispatch(update(1)).await.is_ok()).await;
    broker.stop();
    let began = Instant::now();
    for _ in 0..5 {
        let error = dispatcher.dispatch(update(2)).await.unwrap_err();
        assert!(matches!(error.cause(), Cause::Late { .. } | Cause::Broker { .. }), "{error}");
        assert_eq!(error.into_events().len(), 1);
    }
    // Five time-outs make a second. The machine may be busy; a broker's own patience is far longer for each.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    broker.cont();
    broker.kill9();
    let began = Instant::now();
    for _ in 0..5 {
        assert!(dispatcher.dispatch(update(3)).await.is_err());
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    broker.restart().await;
    becomes(LIMIT, "it publishes again", true, async || dispatcher.dispatch(update(4)).await.is_ok()).await;
}

async fn a_batch_outlives_an_outage_of_the_broker(kind: Kind) {
    let mut broker = Broker::start(kind).await;
    let queue: Queue = broker.queue();
    broker.settled_in(&queue).await;
    let cache = RedisServer::durable().await;
    let choice = "dispatch: { queue: { batch: {} } }\ncaches: { product: { key: \"product:{id}\", depends_on: [ { row: shop.Product } ] } }\n";
    let yaml = config(&queue, &[("main", &cache)], choice);
    let (dispatcher, quash) = (dispatcher(&yaml), Quash::with(&yaml));
    cache.fill(&products(0..400)).await;
    for id in 0..400 {
        if id == 100 {
            broker.kill9();
        }
        // Nobody waits, and nobody keeps the receipt.
        drop(dispatcher.dispatch(update(id)).await.unwrap());
    }
    broker.restart().await;
    let drained = dispatcher.shutdown(LIMIT).await;
    assert_eq!(drained.undone, []);
    let _worker = quash.worker("alone").await;
    gone(&cache, &products(0..400)).await;
    queue.drained(LIMIT).await;
    assert_eq!(queue.dead_letters().await, 0);
}
