//! Promises that a message whose headers the driver cannot read is received all the same, and others around it.

use std::collections::BTreeSet;
use std::time::Duration;

use quash_e2e::raw::publish_raw_nats;
use quash_transport::conformance::eventually;
use quash_transport::message::UNREADABLE;
use quash_transport::{Delivery, Verdict};
use tokio::time::{Instant, timeout};

use super::server::{LIMIT, Server, all, consume, dead, message, numbered};

/// Blocks that the driver cannot read, and what is said about each.
const UNREADABLE_BLOCKS: [(&[u8], &str); 6] = [
    (b"NATS/1.0\r\nX-File: caf\xe9.txt\r\n\r\n", "is not UTF-8"),
    (b"NATS/1.0\r\nno colon\r\n\r\n", "has no colon"),
    (b"NATS/1.0\r\na b: c\r\n\r\n", "has a space"),
    (b"NATS/2.0\r\na: b\r\n\r\n", "do not begin with NATS/1.0"),
    (b"NATS/1.0 abc\r\na: b\r\n\r\n", "the status `abc`"),
    // At this one the driver itself dies.
    (b"NATS/1.0\r\na: b\rc\r\n\r\n", "a carriage return"),
];

fn address(server: &Server) -> &str {
    server.url().trim_start_matches("nats://")
}

#[tokio::test]
async fn a_message_whose_headers_cannot_be_read_is_received_with_why_and_settled_once() {
    let server = Server::start().await;
    let transport = server.transport();
    transport.prepare().await.unwrap();
    for (number, (block, why)) in UNREADABLE_BLOCKS.into_iter().enumerate() {
        let mut consumer = consume(&*transport, "a", 8).await;
        let bad = (block.to_vec(), format!("bad {number}").into_bytes());
        publish_raw_nats(address(&server), "quash.events", [bad]).await;
        let delivery = only(&mut consumer).await;
        assert_eq!(delivery.message.payload, format!("bad {number}"), "{why}");
        let said = delivery.message.headers.get(UNREADABLE).unwrap_or_default();
        assert!(said.contains(why), "{why}: {said}");
        let letter = dead(delivery.message.clone());
        consumer.settler.settle(&[(delivery.tag, letter)]).await.unwrap();
        assert_eq!(transport.backlog().await.unwrap(), Default::default(), "{why}");
    }
    let letters = transport.dead_letters().scan(None, 10).await.unwrap();
    let payloads: Vec<_> = letters.iter().map(|(_, letter)| letter.payload.clone()).collect();
    assert_eq!(payloads, ["bad 0", "bad 1", "bad 2", "bad 3", "bad 4", "bad 5"]);
}

async fn only(consumer: &mut quash_transport::Consumer) -> Delivery {
    let mut batch = timeout(LIMIT, consumer.receiver.receive()).await.unwrap().unwrap();
    assert_eq!(batch.len(), 1);
    batch.remove(0)
}

#[tokio::test]
async fn many_of_them_among_others_hold_up_none_for_as_long_as_the_servers_patience() {
    let server = Server::start().await;
    let mut config = server.config();
    config.ack_wait.0 = Duration::from_secs(120);
    let transport = config.build().unwrap();
    transport.prepare().await.unwrap();
    for round in 0..30 {
        transport.publish(&numbered(round * 10..(round + 1) * 10)).await.unwrap();
        let (block, _) = UNREADABLE_BLOCKS[round % UNREADABLE_BLOCKS.len()];
        publish_raw_nats(address(&server), "quash.events", [(block.to_vec(), format!("bad {round}").into_bytes())])
            .await;
    }
    let started = Instant::now();
    let mut consumer = consume(&*transport, "a", 16).await;
    let (mut good, mut bad) = (BTreeSet::new(), BTreeSet::new());
    while good.len() + bad.len() < 330 {
        let batch = timeout(LIMIT, consumer.receiver.receive()).await;
        let batch = batch.unwrap_or_else(|_| panic!("{} good, {} bad", good.len(), bad.len())).unwrap();
        for delivery in &batch {
            let seen = if delivery.message.headers.get(UNREADABLE).is_some() { &mut bad } else { &mut good };
            seen.insert(delivery.message.payload.clone());
        }
        let acks = all(&batch, &Verdict::Ack);
        // The connection is lost again and again; what was said on it is said once more.
        eventually(LIMIT, "it is settled", async || consumer.settler.settle(&acks).await.is_ok()).await;
    }
    assert_eq!((good.len(), bad.len()), (300, 30));
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    assert_eq!(transport.backlog().await.unwrap(), Default::default());
}

#[tokio::test]
async fn a_status_in_front_of_a_message_is_no_word_of_the_server() {
    let server = Server::start().await;
    let transport = server.transport();
    transport.prepare().await.unwrap();
    let mut consumer = consume(&*transport, "a", 8).await;
    for status in ["404 No Messages", "408", "409 Leadership Change", "503", "100 FlowControl Request"] {
        let block = format!("NATS/1.0 {status}\r\na: 1\r\n\r\n").into_bytes();
        publish_raw_nats(address(&server), "quash.events", [(block, status.into())]).await;
        let delivery = only(&mut consumer).await;
        assert_eq!(delivery.message.payload, status);
        assert_eq!(delivery.message.headers.get("a"), Some("1"), "{status}");
        consumer.settler.settle(&[(delivery.tag, Verdict::Ack)]).await.unwrap();
    }
    transport.publish(&[message("last")]).await.unwrap();
    assert_eq!(only(&mut consumer).await.message.payload, "last");
}
