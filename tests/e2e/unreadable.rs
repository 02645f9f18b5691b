//! Proves that a message whose headers no driver can read ends as a dead letter that is named and counted, and holds up none.

use quash_e2e::raw::{RawAmqp, amqp_headers, amqp_nested, amqp_text, publish_raw_nats, short};
use quash_e2e::{Broker, Kind, becomes};

use crate::scene::{LIMIT, PRODUCT, Scene, bodies, products, update, updates};

#[tokio::test]
async fn headers_that_no_driver_reads_are_a_dead_letter_on_amqp() {
    let scene = Scene::on(Broker::start(Kind::Amqp).await, PRODUCT).await;
    let mut raw = RawAmqp::connect(&scene.broker.address()).await;
    let bad = [
        amqp_headers(&amqp_nested(b"deep", 1500)),
        amqp_headers(&amqp_text(b"caf\xe9", b"x")),
        [&[0, 0x80][..], &short(b"caf\xe9")].concat(),
        [&[0x80, 0][..], &short(b"caf\xe9")].concat(),
    ];
    scene.queue.declare().await;
    for properties in &bad {
        raw.publish(scene.queue.name(), properties, update(9).to_string().as_bytes()).await;
    }
    prove(&scene, bad.len()).await;
}

#[tokio::test]
async fn headers_that_no_driver_reads_are_a_dead_letter_on_nats() {
    let scene = Scene::on(Broker::start(Kind::Nats).await, PRODUCT).await;
    let blocks: [&[u8]; 4] = [
        b"NATS/1.0\r\nX-File: caf\xe9.txt\r\n\r\n",
        b"NATS/1.0\r\nno colon\r\n\r\n",
        b"NATS/2.0\r\na: b\r\n\r\n",
        b"NATS/1.0\r\na: b\rc\r\n\r\n",
    ];
    scene.queue.declare().await;
    let bad = blocks.map(|block| (block.to_vec(), update(9).to_string().into_bytes()));
    publish_raw_nats(&scene.broker.address(), scene.queue.name(), bad).await;
    prove(&scene, blocks.len()).await;
}

/// What lies before the worker becomes so many dead letters, and what comes behind it is done.
async fn prove(scene: &Scene, letters: usize) {
    let around = products(1..20);
    scene.cache.fill(&around).await;
    scene.queue.publish(bodies(&updates(1..20))).await;
    let worker = scene.quash.worker("alone").await;
    scene.gone(&around).await;
    let count = letters as u64;
    becomes(LIMIT, "they are dead letters", count, async || scene.queue.dead_letters().await).await;
    assert_eq!(scene.settled().await, count, "each once");
    for letter in scene.quash.dead_letters().await {
        let error = letter["error"].as_str().unwrap();
        assert!(letter["reason"] == "decode" && error.contains("cannot be read as they were published"), "{letter}");
    }
    let payloads: Vec<_> = scene.queue.letters().await.into_iter().map(|letter| letter.payload).collect();
    assert_eq!(payloads, vec![update(9).to_string(); letters], "byte for byte");
    let counted = async || worker.metric("quash_unreadable_messages_total", &["source=\"events\""]).await as u64;
    becomes(LIMIT, "they are counted", count, counted).await;
    let named = |line: &&str| line.contains("ERROR") && line.contains("headers that cannot be read");
    assert_eq!(worker.log().lines().filter(named).count(), letters, "{}", worker.log());

    // Mended or not: what could be read is enough to handle the event.
    scene.cache.fill(&products([9])).await;
    scene.quash.run(&["dlq", "replay", "--all"]).await.done();
    scene.gone(&products([9])).await;
    assert_eq!(scene.settled().await, 0);
}
