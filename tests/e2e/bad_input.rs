//! Proves the exact outcome of every kind of bad input, and that good events around it flow on.

use std::iter;

use quash_e2e::{Broker, Kind, Quash, becomes};
use serde_json::{Value, json};

use crate::scene::{LIMIT, Scene, bodies, on_every_broker, products, update, updates};

const RULES: &str = r#"
caches:
  product: { key: "product:{id}", depends_on: [ { row: shop.Product } ] }
  shelf: { key: "shelf:{shelf}:{page}", depends_on: [ { row: shop.Shelf, map: { shelf: name } } ] }
  loose: { key: "loose:{code}", depends_on: [ { row: shop.Item } ] }
  strict: { key: "strict:{code}", depends_on: [ { row: shop.Strict, on_unknown: dead_letter } ] }
"#;

/// What becomes of a bad message.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Outcome {
    Acked,
    Dead(&'static str),
}
use Outcome::{Acked, Dead};

on_every_broker!(
    every_bad_message_has_its_outcome_and_good_ones_flow_on,
    a_value_removes_its_own_key_whatever_bytes_it_holds,
    an_empty_or_globbing_partition_value_removes_its_own_partition,
    a_missing_column_widens_to_all_entries_of_its_cache_and_says_so,
    a_poisonous_flood_does_not_stop_the_good_events,
);

async fn every_bad_message_has_its_outcome_and_good_ones_flow_on(kind: Kind) {
    let scene = Scene::on(Broker::spacious(kind).await, RULES).await;
    let _worker = scene.quash.worker("alone").await;
    let mut letters = 0;
    for (number, (what, body, expected)) in (1..).zip(bad_messages(kind)) {
        let around = products([number * 2, number * 2 + 1]);
        scene.cache.fill(&around).await;
        let [before, after] = [number * 2, number * 2 + 1].map(|id| update(id).to_string().into_bytes());
        scene.queue.publish([before, body, after]).await;
        scene.gone(&around).await;

        scene.settled().await;
        // A broker may count a message neither in one queue nor in the other while it moves.
        let now = letters + u64::from(matches!(expected, Dead(_)));
        becomes(LIMIT, what, now, async || scene.queue.dead_letters().await).await;
        if let Dead(reason) = expected {
            let letter = scene.quash.dead_letters().await.pop().unwrap();
            assert_eq!(letter["reason"], reason, "{what}");
        }
        letters = now;
    }
}

fn bad_messages(kind: Kind) -> Vec<(&'static str, Vec<u8>, Outcome)> {
    let event = |entity: &str, op: &str, row: Value| {
        json!({ "entity": entity, "op": op, "before": row, "after": row }).to_string().into_bytes()
    };
    let nested =
        |depth: usize| [iter::repeat_n(b'[', depth), iter::repeat_n(b']', depth)].into_iter().flatten().collect();
    vec![
        ("garbage bytes", vec![0xff, 0x00, 0xfe, b'{'], Dead("decode")),
        ("truncated JSON", br#"{"entity":"shop.Product","op":"upd"#.to_vec(), Dead("decode")),
        ("300-deep nesting", nested(300), Dead("limit")),
        ("a body of many megabytes", vec![b' '; kind.body_max()], Dead("limit")),
        ("no bytes at all", Vec::new(), Dead("decode")),
        ("a tombstone of null", b"null".to_vec(), Acked),
        ("an unknown operation", event("shop.Product", "explode", json!({ "id": 1 })), Dead("decode")),
        ("an unknown entity", event("shop.Nobody", "update", json!({ "id": 1 })), Acked),
        ("JSON that is no event", b"[1, 2, 3]".to_vec(), Dead("decode")),
        ("a command for a cache that nobody declared", br#"{"invalidate":{"cache":"nope"}}"#.to_vec(), Dead("rule")),
        ("a key of 10 kB", event("shop.Product", "update", json!({ "id": "x".repeat(10_000) })), Dead("limit")),
        ("a missing column where rules are strict", event("shop.Strict", "update", json!({ "id": 1 })), Dead("rule")),
        ("a missing column where rules widen", event("shop.Item", "update", json!({ "id": 1 })), Acked),
    ]
}

#[tokio::test]
async fn a_tombstone_of_a_deleted_row_is_acked() {
    let scene = Scene::with(Kind::RedisStreams, RULES).await;
    let _worker = scene.quash.worker("alone").await;
    scene.queue.declare().await;
    let client = redis::Client::open(scene.broker.url()).unwrap();
    let mut broker = client.get_multiplexed_async_connection().await.unwrap();
    let entry: redis::Cmd =
        redis::cmd("XADD").arg(scene.queue.name()).arg("*").arg(&["key", "{\"id\":1}", "value", ""]).clone();
    let () = entry.exec_async(&mut broker).await.unwrap();
    scene.cache.fill(&products([1])).await;
    scene.queue.publish(bodies(&updates([1]))).await;
    scene.gone(&products([1])).await;
    assert_eq!(scene.settled().await, 0);
}

async fn a_value_removes_its_own_key_whatever_bytes_it_holds(kind: Kind) {
    let scene = Scene::with(kind, RULES).await;
    let _worker = scene.quash.worker("alone").await;
    let bystanders = ["product:1", "product:other", "productx", "shelf:3:1", "unrelated"].map(str::to_owned);
    scene.cache.fill(&bystanders).await;
    for value in ["*", "?", "[a-z]*", "\\*", "a\nb", "a\u{0}b", "", "product:1 unrelated", "\u{1b}[31m"] {
        let key = [format!("product:{value}")];
        scene.cache.fill(&key).await;
        let row = json!({ "id": value });
        let event = json!({ "entity": "shop.Product", "op": "update", "before": row, "after": row });
        scene.queue.publish([event.to_string()]).await;
        scene.gone(&key).await;
        assert_eq!(scene.cache.count(&bystanders).await, bystanders.len(), "{value:?} removed what is not its own");
    }
    assert_eq!(scene.settled().await, 0);
}

async fn an_empty_or_globbing_partition_value_removes_its_own_partition(kind: Kind) {
    let scene = Scene::with(kind, RULES).await;
    let _worker = scene.quash.worker("alone").await;
    let others = ["shelf:3:1", "shelf:3:2", "shelf:x", "product:1"].map(str::to_owned);
    scene.cache.fill(&others).await;
    for value in ["", "*", "[0-9]", "?"] {
        let pages = [1, 2].map(|page| format!("shelf:{value}:{page}"));
        scene.cache.fill(&pages).await;
        let row = json!({ "name": value });
        let event = json!({ "entity": "shop.Shelf", "op": "update", "before": row, "after": row });
        scene.queue.publish([event.to_string()]).await;
        scene.gone(&pages).await;
        assert_eq!(scene.cache.count(&others).await, others.len(), "{value:?} removed what is not its own");
    }
    assert_eq!(scene.settled().await, 0);
}

async fn a_missing_column_widens_to_all_entries_of_its_cache_and_says_so(kind: Kind) {
    let scene = Scene::with(kind, RULES).await;
    let worker = scene.quash.worker("alone").await;
    let (stale, others) = (["loose:1", "loose:2"].map(str::to_owned), ["looser", "strict:1"].map(str::to_owned));
    scene.cache.fill(&stale).await;
    scene.cache.fill(&others).await;
    scene.queue.publish([r#"{"entity":"shop.Item","op":"update","after":{"name":"no code"}}"#]).await;
    scene.gone(&stale).await;
    assert_eq!(scene.cache.count(&others).await, others.len());
    assert_eq!(scene.settled().await, 0);
    let widened = async || worker.metric("quash_widened_total", &["cache=\"loose\""]).await > 0.0;
    becomes(LIMIT, "widening is counted", true, widened).await;
}

async fn a_poisonous_flood_does_not_stop_the_good_events(kind: Kind) {
    let scene = Scene::with(kind, RULES).await;
    let _worker = scene.quash.worker("alone").await;
    let keys = products(0..1_000);
    scene.cache.fill(&keys).await;
    let mixed = bodies(&updates(0..1_000)).into_iter().flat_map(|good| [good, b"\xff no event".to_vec()]);
    scene.queue.publish(mixed).await;
    scene.gone(&keys).await;
    assert_eq!(scene.settled().await, 1_000, "each bad one is a dead letter, each good one is none");
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_with_its_place() {
    let head = "version: 1\ntargets:\n  main: { redis: { url: \"redis://127.0.0.1:6379/0\" } }\ncaches:\n";
    let cases = [
        (
            "a cycle",
            "  a: { key: \"a:{id}\", depends_on: [ { cache: b } ] }\n  b: { key: \"b:{id}\", depends_on: [ { cache: a } ] }\n",
            "a → b → a",
        ),
        (
            "a rule that wipes the database",
            "  all: { key: \"{id}\", depends_on: [ { row: x.Y, map: { id: \"*\" } } ] }\n",
            "quash.yaml:5",
        ),
        ("an unknown target", "  a: { targets: [mian], key: \"a:{id}\", depends_on: [ { row: x.Y } ] }\n", "main"),
        ("an unknown cache", "  a: { key: \"a:{id}\", depends_on: [ { cache: nobody } ] }\n", "nobody"),
        ("an unknown key", "  a: { key: \"a:{id}\", depend_on: [ { row: x.Y } ] }\n", "depends_on"),
        (
            "a condition with an unknown name",
            "  a: { key: \"a:{id}\", depends_on: [ { row: x.Y, when: \"aftr.id == 1\" } ] }\n",
            "aftr",
        ),
    ];
    for (what, caches, said) in cases {
        let quash = Quash::with(&format!("{head}{caches}"));
        for command in [vec!["check"], vec!["run"]] {
            let ran = quash.run(&command).await.ended_with(78);
            let all = format!("{}{}", ran.stdout, ran.stderr);
            assert!(all.contains("quash.yaml:") && all.contains(said), "{what}, {command:?}: {all}");
        }
    }
}
