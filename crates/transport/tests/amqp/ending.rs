//! Promises that batches are settled in any order, and that a consumer which ends leaves the rest to others.

use std::time::Duration;

use quash_e2e::becomes;
use quash_transport::{Backlog, Destination as Where, Replacement, Verdict};
use tokio::time::timeout;

use super::node::{Fixture, LIMIT, ack, consume, message, numbered, receive, receive_many, texts};

#[tokio::test]
async fn batches_are_settled_in_any_order() {
    let fixture = Fixture::shared().await;
    let transport = fixture.transport();
    transport.prepare().await.unwrap();
    transport.publish(&numbered(0..256)).await.unwrap();
    let mut consumer = consume(&*transport, "a", 32).await;
    let held = receive_many(&mut consumer, 256).await;
    let kept = async || in_queue(&fixture).await;
    becomes(LIMIT, "the node counts what was received", 256, kept).await;
    let mut batches: Vec<_> = held.chunks(8).collect();
    fastrand::Rng::with_seed(7).shuffle(&mut batches);
    for four in batches.chunks(4) {
        let [a, b, c, d] = four else { panic!("batches in fours") };
        tokio::join!(ack(&consumer, a), ack(&consumer, b), ack(&consumer, c), ack(&consumer, d));
    }
    assert!(consumer.settler.connected(), "the broker refused no ack");
    assert_eq!(transport.backlog().await.unwrap(), Backlog::default());
    // A channel keeps back some acks of a quorum queue that is slow, and forgets them when it ends at once.
    becomes(LIMIT, "all are acked", 0, kept).await;
    drop(consumer);
    let mut next = consume(&*transport, "b", 8).await;
    assert!(timeout(Duration::from_millis(500), next.receiver.receive()).await.is_err(), "all are acked");
}

/// How many messages the node counts in the queue, received or not; it counts every five seconds.
async fn in_queue(fixture: &Fixture) -> u64 {
    let list = fixture.node().await.ctl(&["list_queues", "--no-table-headers", "name", "messages"]).await;
    let lines = list.lines().filter_map(|line| line.split_once('\t'));
    let own = lines.filter(|(name, _)| *name == fixture.queue());
    own.filter_map(|(_, count)| count.trim().parse::<u64>().ok()).sum()
}

#[tokio::test]
async fn closing_hands_back_what_nobody_received_and_lets_the_rest_be_settled() {
    let fixture = Fixture::shared().await;
    let transport = fixture.transport();
    transport.prepare().await.unwrap();
    transport.publish(&numbered(0..20)).await.unwrap();
    let mut closing = consume(&*transport, "closing", 4).await;
    let held = receive_many(&mut closing, 4).await;
    let (receiver, settler) = (closing.receiver, closing.settler);
    receiver.close().await;
    let mut next = consume(&*transport, "next", 16).await;
    let rest = receive_many(&mut next, 16).await;
    assert!(rest.iter().all(|delivery| delivery.deliveries == 1), "nobody had them in his hands");
    let verdicts: Vec<_> = held.iter().map(|delivery| (delivery.tag, Verdict::Ack)).collect();
    settler.settle(&verdicts).await.unwrap();
    drop(settler);
    ack(&next, &rest).await;
    assert_eq!(transport.backlog().await.unwrap(), Backlog::default());
}

#[tokio::test]
async fn what_is_held_after_closing_comes_back_when_nobody_can_settle_it() {
    let fixture = Fixture::shared().await;
    let transport = fixture.transport();
    transport.prepare().await.unwrap();
    transport.publish(&numbered(0..2)).await.unwrap();
    let mut closing = consume(&*transport, "closing", 2).await;
    receive_many(&mut closing, 2).await;
    closing.receiver.close().await;
    drop(closing.settler);
    let mut next = consume(&*transport, "next", 2).await;
    assert_eq!(texts(&receive_many(&mut next, 2).await), ["0", "1"]);
}

#[tokio::test]
async fn a_copy_that_is_too_large_is_told_and_its_original_comes_again() {
    let fixture = Fixture::shared().await;
    let transport = fixture.transport();
    transport.prepare().await.unwrap();
    transport.publish(&[message("large"), message("small")]).await.unwrap();
    let mut consumer = consume(&*transport, "a", 2).await;
    let held = receive_many(&mut consumer, 2).await;
    let mut large = held[0].message.clone();
    large.headers.set("quash-attempts", "x".repeat(200 * 1024));
    let later = |message| Verdict::Replace(vec![Replacement { message, to: Where::Later(Duration::ZERO) }]);
    let verdicts = [(held[0].tag, later(large)), (held[1].tag, later(held[1].message.clone()))];
    assert_eq!(consumer.settler.settle(&verdicts).await.unwrap(), [held[0].tag]);
    let small = receive(&mut consumer).await;
    assert_eq!(texts(&small), ["small"]);
    ack(&consumer, &small).await;
    let again = receive(&mut consumer).await;
    assert_eq!((texts(&again), again[0].deliveries), (vec!["large".into()], 2));
    ack(&consumer, &again).await;
    assert_eq!(transport.backlog().await.unwrap(), Backlog::default());
}
