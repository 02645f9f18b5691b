//! Promises: what is published is received, once, in batches, and gone when it is acked.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Harness;
use super::tools::{
    LIMIT, QUIET, ack, consume, holding, message, numbered, ok, payloads, receive, receive_many, receive_nothing,
    set_of,
};
use crate::{Backlog, ConsumeOptions, Message};

/// Payloads of any content and size, and headers, arrive as they were published, in their order.
pub async fn publish_then_receive_keeps_bytes_and_headers(harness: &dyn Harness) {
    let sent = messages();
    let transport = holding(harness, &sent).await;
    let mut consumer = consume(&*transport, "a", 4).await;
    let mut received: Vec<Message> = Vec::new();
    while received.len() < sent.len() {
        let batch = receive(&mut consumer).await;
        assert!(batch.iter().all(|delivery| delivery.deliveries == 1), "first deliveries are counted as 1");
        ack(&consumer, &batch).await;
        received.extend(batch.into_iter().map(|delivery| delivery.message));
    }
    assert_eq!(received.len(), sent.len());
    for (received, sent) in received.iter().zip(&sent) {
        assert!(received.payload == sent.payload, "a payload of {} bytes was changed", sent.payload.len());
        assert_eq!(received.headers, sent.headers);
    }
}

fn messages() -> Vec<Message> {
    let every_byte: Vec<u8> = (0..=255).collect();
    let large: Vec<u8> = every_byte.iter().copied().cycle().take(1024 * 1024).collect();
    let mut messages: Vec<_> =
        [&b""[..], b"\0", b"a\0b\r\n*1\r\n", &every_byte, &large].into_iter().map(message).collect();
    let mut with_headers = message("headers");
    for (name, value) in [("quash-attempt", "2"), ("traceparent", "00-ab-cd-01"), ("text", "ä → ∞\r\n"), ("empty", "")]
    {
        with_headers.headers.set(name, value);
    }
    messages.push(with_headers);
    // Names that a broker's own layout could take for the payload.
    let mut with_misleading_headers = message("payload");
    for name in ["body", "data", "value", "key"] {
        with_misleading_headers.headers.set(name, "header");
    }
    messages.push(with_misleading_headers);
    messages
}

/// A batch has at most the size asked for, everything comes in order, and lingering fills it.
pub async fn batches_are_bounded(harness: &dyn Harness) {
    let messages = numbered(0..20);
    let transport = holding(harness, &messages).await;
    let mut consumer = consume(&*transport, "a", 7).await;
    let mut received = Vec::new();
    while received.len() < 20 {
        let batch = receive(&mut consumer).await;
        assert!(batch.len() <= 7, "a batch of {}", batch.len());
        ack(&consumer, &batch).await;
        received.extend(payloads(&batch));
    }
    assert_eq!(received, messages.iter().map(|message| message.payload.clone()).collect::<Vec<_>>());
    drop(consumer);
    lingering_fills(&*transport).await;
}

async fn lingering_fills(transport: &dyn crate::Transport) {
    let options = ConsumeOptions { name: "b".into(), batch: 8, linger: Duration::from_millis(1500) };
    let mut consumer = ok(transport.consume(&options).await, "consume");
    let publishing = async {
        for message in numbered(0..8) {
            ok(transport.publish(&[message]).await, "publish");
        }
    };
    let (batch, ()) = tokio::join!(tokio::time::timeout(LIMIT, consumer.receiver.receive()), publishing);
    let batch = ok(ok(batch, "receive"), "receive");
    assert_eq!(batch.len(), 8, "a batch that lingers is filled");
    ack(&consumer, &batch).await;
}

/// After an ack, neither the same consumer nor the next one sees the message, and nothing of it waits.
pub async fn ack_removes(harness: &dyn Harness) {
    let transport = holding(harness, &numbered(0..10)).await;
    let mut consumer = consume(&*transport, "a", 4).await;
    let batch = receive_many(&mut consumer, 10).await;
    ack(&consumer, &batch).await;
    receive_nothing(&mut consumer, QUIET).await;
    drop(consumer);
    let mut next = consume(&*transport, "b", 4).await;
    receive_nothing(&mut next, QUIET).await;
    let backlog = ok(transport.backlog().await, "backlog");
    assert_eq!(backlog, Backlog::default());
}

/// Receives that are dropped after all kinds of waits, while messages arrive, lose none of them and double none.
pub async fn a_dropped_receive_loses_nothing(harness: &dyn Harness) {
    let transport = holding(harness, &[]).await;
    let mut consumer = consume(&*transport, "a", 4).await;
    let messages = numbered(0..200);
    let publishing = async {
        for message in &messages {
            ok(transport.publish(std::slice::from_ref(message)).await, "publish");
            tokio::task::yield_now().await;
        }
    };
    let receiving = async {
        let mut received = Vec::new();
        let mut round = 0;
        while received.len() < messages.len() {
            round += 1;
            let patience = Duration::from_micros(50 * (round % 40));
            if let Ok(batch) = tokio::time::timeout(patience, consumer.receiver.receive()).await {
                let batch = ok(batch, "receive");
                ack(&consumer, &batch).await;
                received.extend(payloads(&batch));
            }
        }
        received
    };
    let (received, ()) = tokio::join!(tokio::time::timeout(LIMIT, receiving), publishing);
    let received = received.unwrap_or_else(|_| panic!("messages are missing after {LIMIT:?}"));
    assert_eq!(received.len(), messages.len(), "a message came twice");
    assert_eq!(received.into_iter().collect::<BTreeSet<_>>(), set_of(&messages));
}

/// Preparing again, also by several at once and over waiting messages, changes nothing.
pub async fn prepare_may_be_repeated(harness: &dyn Harness) {
    let [one, other] = [harness.transport(), harness.transport()];
    let (first, second) = tokio::join!(one.prepare(), other.prepare());
    ok(first.and(second), "prepare at once");
    let transport = holding(harness, &numbered(0..3)).await;
    ok(transport.prepare().await, "prepare over messages");
    let mut consumer = consume(&*transport, "a", 4).await;
    assert_eq!(payloads(&receive_many(&mut consumer, 3).await), ["0", "1", "2"]);
}
