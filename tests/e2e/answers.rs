//! Proves that whoever waits for his own event is told when it is done, and told that it is not.

use std::time::Duration;

use quash_dispatch::config::Config;
use quash_dispatch::dispatcher::NotInvalidated;
use quash_dispatch::{Dispatcher, Event};
use quash_e2e::{Broker, Kind, Quash, RedisServer, eventually};
use serde_json::{Value, json};

use crate::scene::{HASTY, LIMIT, PRODUCT, Scene, config, on_every_broker, products, updates};

on_every_broker!(
    whoever_waits_finds_what_he_has_just_written,
    an_answer_waits_for_the_caches_of_other_queues,
    a_target_answers_only_when_its_share_is_done,
);

const EVENTS: u32 = 200;
const BOOK: &str = "00000000000000000000000000000001";

async fn whoever_waits_finds_what_he_has_just_written(kind: Kind) {
    let scene = Scene::with(kind, PRODUCT).await;
    let _worker = scene.quash.worker("only").await;
    let keys = products(0..EVENTS);
    scene.cache.fill(&keys).await;
    // An event that nothing depends on is answered as well.
    let other = json!({ "entity": "shop.Other", "op": "truncate" });
    let lines: String = updates(0..EVENTS).iter().chain([&other]).map(|event| format!("{event}\n")).collect();
    let ran = scene.quash.run_with(&["publish", "--wait", "60s", "-o", "json"], lines).await.done().json();
    // Not eventually: it is done.
    assert_eq!(scene.cache.count(&keys).await, 0);
    assert_eq!((&ran["published"], &ran["invalidated"]), (&json!(EVENTS + 1), &json!(EVENTS + 1)));
    assert_eq!(scene.cache.count(&answers(&scene.cache).await).await, 0, "what was heard is gone");
}

async fn an_answer_waits_for_the_caches_of_other_queues(kind: Kind) {
    let broker = Broker::shared(kind).await;
    let (queue, bulk) = (broker.queue(), broker.queue());
    let cache = RedisServer::durable().await;
    let sections = format!(
        "  bulk: {}\n{HASTY}{PRODUCT}  report: {{ key: \"report:{{id}}\", dispatch: {{ queue: {{ source: bulk }} }}, \
         depends_on: [ {{ row: shop.Product }} ] }}\n",
        bulk.source("")
    );
    let quash = Quash::with(&config(&queue, &[("main", &cache)], &sections));
    let _worker = quash.worker("only").await;
    let keys: Vec<String> = (0..EVENTS).flat_map(|id| [format!("product:{id}"), format!("report:{id}")]).collect();
    cache.fill(&keys).await;
    let lines: String = updates(0..EVENTS).iter().map(|event| format!("{event}\n")).collect();
    quash.run_with(&["publish", "--source", "events", "--wait", "60s"], lines).await.done();
    assert_eq!(cache.count(&keys).await, 0);
}

async fn a_target_answers_only_when_its_share_is_done(kind: Kind) {
    let (main, mut eu) = (RedisServer::durable().await, RedisServer::durable().await);
    let broker = Broker::shared(kind).await;
    let queue = broker.queue();
    // Time enough to connect on a busy machine.
    let sections = format!("dispatch: {{ queue: {{ timeout: 20s }} }}\n{HASTY}{PRODUCT}");
    let quash = Quash::with(&config(&queue, &[("eu", &eu), ("main", &main)], &sections));
    let _worker = quash.worker("only").await;
    eu.kill9();
    let dispatcher = Dispatcher::from_config(&Config::load(quash.config()).unwrap()).unwrap();
    let event = || Event::delete("shop.Product").key("id", 1);
    main.fill(&products([1])).await;
    let receipt = dispatcher.dispatch_asking([event()]).await.unwrap();
    receipt.invalidated(&["main"], LIMIT).await.unwrap();
    assert_eq!(main.count(&products([1])).await, 0);
    // Where it is away nothing can be asked; once it is back, it answers when its share is done.
    let away = receipt.invalidated(&["eu"], Duration::from_millis(200)).await.unwrap_err();
    assert!(matches!(away, NotInvalidated::Unheard { .. }), "{away}");
    eu.restart().await;
    eu.fill(&products([1])).await;
    receipt.invalidated(&["eu"], LIMIT).await.unwrap();
    assert_eq!(eu.count(&products([1])).await, 0);
}

#[tokio::test]
async fn a_dead_letter_and_silence_are_told_apart() {
    let scene = Scene::with(Kind::RedisStreams, &format!("{HASTY}{PRODUCT}")).await;
    // Nobody works yet.
    let late = scene.quash.run_with(&["publish", "--wait", "100ms"], line(1)).await;
    assert_eq!(late.code, 1, "{late:?}");
    assert!(
        late.stderr.contains("line 1: target main: no answer within 100ms; it is published all the same"),
        "{late:?}"
    );

    let worker = scene.quash.worker("only").await;
    // What a rule cannot do: a direct command to a target that nobody knows.
    let wrong = json!({ "invalidate": { "key": "a", "target": "mian" } });
    let refused = scene.quash.run_with(&["publish", "--wait", "60s"], wrong.to_string()).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("it is a dead letter (rule): no target is called"), "{refused:?}");
    let said = worker.metric("quash_answers_total", &["target=\"main\"", "outcome=\"said\""]);
    assert!(said.await >= 1.0);
}

#[tokio::test]
async fn an_answer_stands_for_a_minute_and_says_what_is_promised() {
    let scene = Scene::with(Kind::RedisStreams, PRODUCT).await;
    let _worker = scene.quash.worker("only").await;
    let mut event = updates(1..2).remove(0);
    event["answer"] = json!(BOOK);
    scene.quash.publish(&[event]).await;
    let key = format!("quash:answer:{BOOK}");
    let mut connection = scene.cache.connect().await;
    let said = async |connection: &mut redis::aio::MultiplexedConnection| {
        redis::cmd("LRANGE").arg(&key).arg(0).arg(-1).query_async::<Vec<String>>(connection).await.unwrap()
    };
    let mut asking = scene.cache.connect().await;
    eventually(LIMIT, "it is answered", async || !said(&mut asking).await.is_empty()).await;
    let answers: Vec<Value> =
        said(&mut connection).await.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    assert_eq!(answers, [json!({ "target": "main", "source": "events", "outcome": "invalidated" })]);
    let life: i64 = redis::cmd("PTTL").arg(&key).query_async(&mut connection).await.unwrap();
    assert!((1..=60_000).contains(&life), "{life}");
}

#[tokio::test]
async fn what_nobody_can_wait_for_is_refused() {
    let scene = Scene::with(Kind::RedisStreams, PRODUCT).await;
    let unknown = scene.quash.run(&["publish", "--wait", "1s", "--wait-target", "mian"]).await;
    assert!(unknown.code == 2 && unknown.stderr.contains("no target is called `mian`"), "{unknown:?}");
    let wal2json = r#"{"action":"T","schema":"shop","table":"product"}"#;
    let foreign = scene.quash.run_with(&["publish", "--wait", "1s"], wal2json).await;
    assert!(foreign.code == 1 && foreign.stderr.contains("only the native format can ask"), "{foreign:?}");
}

fn line(id: u32) -> String {
    updates(id..=id).remove(0).to_string()
}

/// The keys of all answers that stand.
async fn answers(cache: &RedisServer) -> Vec<String> {
    let mut connection = cache.connect().await;
    redis::cmd("KEYS").arg("quash:answer:*").query_async(&mut connection).await.unwrap()
}
