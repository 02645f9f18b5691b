//! Publishes and consumes while something happens, and checks that in the end everything was received.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quash_e2e::eventually;
use quash_transport::{Consumer, Delivery, Destination, Replacement, Settler, Transport, Verdict};

use super::server::{LIMIT, consume, numbered};

/// What a fault can see of the flow that it disturbs.
pub(crate) struct Flow {
    messages: usize,
    seen: Mutex<BTreeSet<Vec<u8>>>,
    settler: Arc<dyn Settler>,
}

impl Flow {
    fn seen(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// Waits until more than so many are received.
    pub(crate) async fn until_seen(&self, count: usize) {
        eventually(LIMIT, "some are received", async || self.seen() > count || self.seen() == self.messages).await;
    }

    pub(crate) async fn until_noticed(&self) {
        eventually(LIMIT, "the fault is noticed", async || !self.settler.connected()).await;
    }

    async fn consume(&self, consumer: &mut Consumer) {
        while self.seen() < self.messages {
            let batch = consumer.receiver.receive().await.unwrap();
            settle(consumer, &batch).await;
            let ended = batch.into_iter().filter(|delivery| !is_retried(delivery));
            self.seen.lock().unwrap().extend(ended.map(|delivery| delivery.message.payload.to_vec()));
        }
    }
}

/// Runs a flow of so many messages with a fault; in the end everything was received and nothing waits.
pub(crate) async fn flow(transport: &dyn Transport, messages: usize, fault: impl AsyncFnOnce(&Flow)) {
    transport.prepare().await.unwrap();
    let mut consumer = consume(transport, "a", 16).await;
    let flow = Flow { messages, seen: Mutex::default(), settler: Arc::clone(&consumer.settler) };
    let all = async { tokio::join!(publish(transport, messages), flow.consume(&mut consumer), fault(&flow)) };
    assert!(tokio::time::timeout(2 * LIMIT, all).await.is_ok(), "{} of {messages}", flow.seen());
    drain(transport, consumer).await;
}

/// Receives and acks until nothing waits.
pub(crate) async fn drain(transport: &dyn Transport, mut consumer: Consumer) {
    let idle = async || {
        transport.backlog().await.is_ok_and(|backlog| backlog.unsettled + backlog.ready + backlog.delayed == 0)
    };
    let draining = async {
        loop {
            let batch = consumer.receiver.receive().await.unwrap();
            settle(&consumer, &batch).await;
        }
    };
    tokio::select! { () = draining => {}, () = eventually(LIMIT, "nothing waits", idle) => {} }
}

/// Publishes a few at a time, again when it is not known whether they arrived.
async fn publish(transport: &dyn Transport, messages: usize) {
    for chunk in numbered(0..messages).chunks(10) {
        eventually(LIMIT, "the broker takes them", async || transport.publish(chunk).await.is_ok()).await;
    }
}

/// Every eighth message fails at first.
fn is_retried(delivery: &Delivery) -> bool {
    delivery.message.payload.last().is_some_and(|digit| digit % 8 == 0)
        && delivery.message.headers.get("again").is_none()
}

fn verdict(delivery: &Delivery) -> Verdict {
    if !is_retried(delivery) {
        return Verdict::Ack;
    }
    let mut message = delivery.message.clone();
    message.headers.set("again", "yes");
    Verdict::Replace(vec![Replacement { message, to: Destination::Later(Duration::from_millis(10)) }])
}

async fn settle(consumer: &Consumer, batch: &[Delivery]) {
    let verdicts: Vec<_> = batch.iter().map(|delivery| (delivery.tag, verdict(delivery))).collect();
    let settled = async || consumer.settler.settle(&verdicts).await.is_ok();
    eventually(LIMIT, "the broker takes the verdicts", settled).await;
}
