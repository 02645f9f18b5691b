//! Proves that `CloudEvents` in binary mode, published by other programs, are understood from every broker.

use quash_e2e::{Kind, Quash, becomes};

use crate::foreign::Foreign;
use crate::scene::{LIMIT, PRODUCT, Scene, config_of, on_every_broker, products};

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

const ATTRIBUTES: &[(&str, &str)] =
    &[("specversion", "1.0"), ("id", "event-1"), ("source", "/shop"), ("type", "shop.product.changed")];

on_every_broker!(
    an_event_in_binary_mode_invalidates,
    a_dead_letter_of_an_event_in_binary_mode_keeps_its_attributes_its_trace_and_its_bytes,
);

async fn an_event_in_binary_mode_invalidates(kind: Kind) {
    let scene = scene(kind).await;
    let _worker = scene.quash.worker("alone").await;
    scene.cache.fill(&products([1, 2])).await;
    let body = r#"{"entity":"shop.Product","op":"update","key":{"id":1},"before":{"id":1},"after":{"id":1}}"#;
    event(body).publish(&scene.broker, &scene.queue).await;
    scene.gone(&products([1])).await;
    assert_eq!(scene.settled().await, 0);
    assert_eq!(scene.cache.count(&products([2])).await, 1);
}

async fn a_dead_letter_of_an_event_in_binary_mode_keeps_its_attributes_its_trace_and_its_bytes(kind: Kind) {
    let scene = scene(kind).await;
    let _worker = scene.quash.worker("alone").await;
    let body = r#"{ "entity":"shop.Product",  "op":"explode" }"#;
    event(body).publish(&scene.broker, &scene.queue).await;
    becomes(LIMIT, "it is a dead letter", 1, async || scene.queue.dead_letters().await).await;
    assert_eq!(scene.settled().await, 1);
    let letter = scene.queue.letters().await.pop().unwrap();
    assert_eq!(letter.payload, body);
    // As they were written: over AMQP they are spelt in another way.
    let prefix = if kind == Kind::Amqp { "cloudevents:" } else { "ce-" };
    for (name, value) in ATTRIBUTES {
        assert_eq!(letter.headers.get(&format!("{prefix}{name}")), Some(*value), "{name} of {letter:?}");
    }
    assert_eq!(letter.headers.get("content-type"), Some("application/json"), "{letter:?}");
    assert_eq!(letter.headers.get("traceparent"), Some(TRACEPARENT), "{letter:?}");
}

/// One whose source takes nothing but `CloudEvents`.
async fn scene(kind: Kind) -> Scene {
    let mut scene = Scene::with(kind, PRODUCT).await;
    let source = scene.queue.source(", format: cloud_events");
    scene.quash = Quash::with(&config_of(&source, &[("main", &scene.cache)], PRODUCT));
    scene
}

fn event(body: &str) -> Foreign<'_> {
    Foreign {
        attributes: &[("specversion", "1.0"), ("id", "event-1"), ("source", "/shop"), ("type", "shop.product.changed")],
        traceparent: TRACEPARENT,
        content_type: "application/json",
        body,
    }
}
