//! Promises that what happens to the server or the way to it loses nothing.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quash_transport::conformance::eventually;
use quash_transport::{Consumer, Delivery, Message, Settler, Transport, TransportError, Verdict};
use tokio::time::Instant;

use super::server::{LIMIT, Server, consume, message, numbered, receive_many};

const MESSAGES: usize = 3000;

/// What a fault can see of the flow that it disturbs.
struct Flow {
    seen: Mutex<BTreeSet<Vec<u8>>>,
    settler: Arc<dyn Settler>,
}

impl Flow {
    fn seen(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    async fn until_seen(&self, count: usize) {
        eventually(LIMIT, "some are received", async || self.seen() > count).await;
    }

    async fn until_noticed(&self) {
        eventually(LIMIT, "the fault is noticed", async || !self.settler.connected()).await;
    }
}

#[tokio::test]
async fn a_server_that_is_killed_and_restarted_loses_nothing() {
    let server = Server::start().await;
    flow(&server, async |flow| {
        for round in 1..=4 {
            flow.until_seen(round * 300).await;
            server.kill();
            flow.until_noticed().await;
            server.revive().await;
        }
    })
    .await;
}

#[tokio::test]
async fn cut_connections_lose_nothing() {
    let server = Server::start().await;
    flow(&server, async |flow| {
        for round in 1..=20 {
            flow.until_seen(round * 100).await;
            server.ask::<u64>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_half_open_server_is_noticed_and_loses_nothing() {
    let server = Server::start().await;
    flow(&server, async |flow| {
        flow.until_seen(500).await;
        server.signal("STOP");
        flow.until_noticed().await;
        server.signal("CONT");
    })
    .await;
}

#[tokio::test]
async fn an_idle_consumer_notices_a_half_open_server_and_recovers() {
    let server = Server::start().await;
    let transport = server.transport();
    let mut consumer = consume(&*transport, "a", 4).await;
    let settler = consumer.settler.clone();
    eventually(LIMIT, "connected", async || settler.connected()).await;
    transport.publish(&[message("before")]).await.unwrap();
    let held = receive_many(&mut consumer, 1).await;
    server.signal("STOP");
    let asked = Instant::now();
    let unsettled = settler.settle(&[(held[0].tag, Verdict::Ack)]).await;
    assert!(matches!(unsettled, Err(TransportError::Unreachable(_))), "{unsettled:?}");
    assert!(asked.elapsed() < Duration::from_secs(20), "told only after {:?}", asked.elapsed());
    eventually(LIMIT, "the silence is noticed", async || !settler.connected()).await;
    server.signal("CONT");
    eventually(LIMIT, "connected again", async || settler.connected()).await;
    settler.settle(&[(held[0].tag, Verdict::Ack)]).await.unwrap();
    transport.publish(&[message("after")]).await.unwrap();
    let next = receive_many(&mut consumer, 1).await;
    assert_eq!(next[0].message.payload, "after");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_to_be_out_of_reach() {
    let server = Server::start().await;
    let transport = server.transport();
    server.kill();
    let started = Instant::now();
    for result in [
        transport.prepare().await,
        transport.publish(&[message("x")]).await,
        transport.backlog().await.map(drop),
        transport.inspect().await.map(drop),
        transport.dead_letters().len().await.map(drop),
    ] {
        assert!(matches!(result, Err(TransportError::Unreachable(_))), "{result:?}");
    }
    // Each is told at once, and none waits for its own patience; the machine may be busy.
    assert!(started.elapsed() < Duration::from_secs(20));
}

/// Publishes and consumes while something happens; in the end everything was received and nothing waits.
async fn flow(server: &Server, fault: impl AsyncFnOnce(&Flow)) {
    let transport = server.transport();
    transport.prepare().await.unwrap();
    let mut consumer = consume(&*transport, "a", 16).await;
    let flow = Flow { seen: Mutex::default(), settler: Arc::clone(&consumer.settler) };
    let consuming = async {
        while flow.seen() < MESSAGES {
            let batch = receive(&mut consumer).await;
            settle(&consumer, &batch).await;
            flow.seen.lock().unwrap().extend(batch.into_iter().map(|delivery| delivery.message.payload.to_vec()));
        }
    };
    let messages = numbered(0..MESSAGES);
    let all = async { tokio::join!(publish(&*transport, &messages), consuming, fault(&flow)) };
    assert!(tokio::time::timeout(2 * LIMIT, all).await.is_ok(), "{} of {MESSAGES}", flow.seen());
    let idle = async || transport.backlog().await.is_ok_and(|backlog| backlog.unsettled + backlog.ready == 0);
    let mut rest = consumer;
    let draining = async {
        loop {
            let batch = receive(&mut rest).await;
            settle(&rest, &batch).await;
        }
    };
    tokio::select! { () = draining => {}, () = eventually(LIMIT, "nothing waits", idle) => {} }
    assert_eq!(transport.backlog().await.unwrap().lost, 0);
}

/// Publishes a few at a time, again when it is not known whether they arrived.
async fn publish(transport: &dyn Transport, messages: &[Message]) {
    for chunk in messages.chunks(10) {
        eventually(LIMIT, "the broker takes them", async || transport.publish(chunk).await.is_ok()).await;
    }
}

/// A cut connection is no error of receiving.
async fn receive(consumer: &mut Consumer) -> Vec<Delivery> {
    consumer.receiver.receive().await.unwrap()
}

async fn settle(consumer: &Consumer, batch: &[Delivery]) {
    let verdicts: Vec<_> = batch.iter().map(|delivery| (delivery.tag, Verdict::Ack)).collect();
    let settled = async || consumer.settler.settle(&verdicts).await.is_ok();
    eventually(LIMIT, "the broker takes the verdicts", settled).await;
}

#[tokio::test]
async fn a_consumer_that_has_just_begun_raises_no_alarm() {
    let server = Server::start().await;
    let consumer = consume(&*server.transport(), "a", 1).await;
    assert!(consumer.settler.connected());
}
