//! Proves that a message which grows too large for NATS on its way still ends where somebody sees it.

use quash_e2e::raw::{RawAmqp, amqp_headers, amqp_text};
use quash_e2e::{Broker, Kind, NatsServer, becomes, eventually};
use serde_json::json;

use crate::dlq::{forbid, permit};
use crate::scene::{HASTY, LIMIT, PRODUCT, Scene, bodies, products, updates};

/// Bytes that the server takes, headers included.
const PAYLOAD_MAX: usize = 16 * 1024;
/// Less than the headers of a share with its history take, and more than those of the smallest dead letter.
const ROOM: usize = 1_000;

#[tokio::test]
async fn an_event_that_is_too_large_with_its_history_becomes_a_dead_letter() {
    let scene = scene().await;
    forbid(&scene.cache).await;
    let worker = scene.quash.worker("alone").await;
    let body = event_of(PAYLOAD_MAX - ROOM);
    scene.queue.publish([body.clone()]).await;
    becomes(LIMIT, "it is a dead letter", 1, async || scene.queue.dead_letters().await).await;
    assert_eq!(scene.settled().await, 1);
    assert_eq!(scene.queue.letters().await.pop().unwrap().payload, body, "byte for byte");
    let letter = scene.quash.dead_letters().await.pop().unwrap();
    assert_eq!(letter["reason"], "target_error", "{letter}");
    drop(worker);
}

#[tokio::test]
async fn an_event_that_leaves_no_room_for_any_header_is_a_dead_letter_as_it_is_and_others_flow_on() {
    let scene = scene().await;
    scene.cache.fill(&products([1])).await;
    forbid(&scene.cache).await;
    let worker = scene.quash.worker("alone").await;
    let body = event_of(PAYLOAD_MAX);
    scene.queue.publish([body.clone()]).await;
    becomes(LIMIT, "it is a dead letter", 1, async || scene.queue.dead_letters().await).await;
    assert_eq!(scene.queue.letters().await.pop().unwrap().payload, body, "byte for byte");
    eventually(LIMIT, "somebody is told", async || {
        worker.log().lines().any(|line| line.contains("ERROR") && line.contains("larger than the broker takes"))
    })
    .await;
    permit(&scene.cache).await;
    scene.queue.publish(bodies(&updates([1]))).await;
    scene.gone(&products([1])).await;
    assert_eq!(scene.settled().await, 1);
}

#[tokio::test]
async fn garbage_whose_headers_fill_a_frame_ends_and_nothing_circles() {
    let scene = Scene::with(Kind::Amqp, PRODUCT).await;
    scene.queue.declare().await;
    let mut raw = RawAmqp::connect(&scene.broker.address()).await;
    // The broker takes frames of 128 KiB.
    let headers = amqp_headers(&amqp_text(b"theirs", &vec![b'x'; 129_300]));
    raw.publish(scene.queue.name(), &headers, b"garbage").await;
    let worker = scene.quash.worker("alone").await;
    becomes(LIMIT, "it is a dead letter", 1, async || scene.queue.dead_letters().await).await;
    assert_eq!(scene.settled().await, 1);
    assert_eq!(scene.queue.letters().await.pop().unwrap().payload, "garbage");
    assert_eq!(scene.quash.dead_letters().await.pop().unwrap()["reason"], "decode");
    assert!(worker.metric("quash_dead_letters_total", &[]).await <= 2.0, "it is written once");
}

async fn scene() -> Scene {
    let server = NatsServer::with(&format!("max_payload: {PAYLOAD_MAX}\n")).await;
    Scene::on(Broker::from(server), &format!("{HASTY}{PRODUCT}")).await
}

/// An update of a product, so many bytes long.
fn event_of(bytes: usize) -> String {
    let event = |padding: &str| {
        let row = json!({ "id": 7 });
        json!({ "id": "large", "entity": "shop.Product", "op": "update", "key": row, "before": row, "after": row, "origin": padding })
            .to_string()
    };
    event(&"x".repeat(bytes - event("").len()))
}
