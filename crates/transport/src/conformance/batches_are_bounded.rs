//! Promises that a batch is never larger than asked for, and full where it can be.

use std::time::Duration;

use super::Harness;
use super::tools::{LIMIT, ack, consume, holding, numbered, ok, payloads, receive};
use crate::ConsumeOptions;

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
