//! Holds what the promises share: short ways to publish, receive and settle that fail the test when the transport does.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use super::Harness;
use crate::{ConsumeOptions, Consumer, Delivery, Destination, LetterId, Message, Replacement, Transport, Verdict};

/// How long anything may take that must happen. Long, because it is only waited for when the test fails.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

/// How often a condition is asked for.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// How long nothing must happen.
pub(super) const QUIET: Duration = Duration::from_millis(500);

/// Waits until a condition holds by asking again and again; fails the test when it does not hold within the limit.
///
/// # Panics
/// When the limit is over.
pub async fn eventually(limit: Duration, what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let asking = async {
        let mut pace = tokio::time::interval(ASK_EVERY);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !condition().await {
            pace.tick().await;
        }
    };
    assert!(tokio::time::timeout(limit, asking).await.is_ok(), "not within {limit:?}: {what}");
}

/// A message with a payload and no header.
pub(super) fn message(payload: impl AsRef<[u8]>) -> Message {
    Message { payload: Bytes::copy_from_slice(payload.as_ref()), ..Message::default() }
}

/// Messages with numbers as payloads.
pub(super) fn numbered(numbers: std::ops::Range<usize>) -> Vec<Message> {
    numbers.map(|number| message(number.to_string())).collect()
}

/// The payloads of deliveries, to compare.
pub(super) fn payloads(deliveries: &[Delivery]) -> Vec<Bytes> {
    deliveries.iter().map(|delivery| delivery.message.payload.clone()).collect()
}

/// The payloads of dead letters, to compare.
pub(super) fn payloads_of(letters: &[(LetterId, Message)]) -> Vec<Bytes> {
    letters.iter().map(|(_, letter)| letter.payload.clone()).collect()
}

/// The payloads of messages without their order.
pub(super) fn set_of(messages: &[Message]) -> BTreeSet<Bytes> {
    messages.iter().map(|message| message.payload.clone()).collect()
}

/// The verdict that a copy of the delivery comes back later.
pub(super) fn later(delivery: &Delivery, delay: Duration) -> Verdict {
    Verdict::Replace(vec![Replacement { message: delivery.message.clone(), to: Destination::Later(delay) }])
}

/// The verdict that the delivery becomes a dead letter.
pub(super) fn dead(delivery: &Delivery) -> Verdict {
    Verdict::Replace(vec![Replacement { message: delivery.message.clone(), to: Destination::DeadLetters }])
}

/// The transport, prepared, holding these messages.
pub(super) async fn holding(harness: &dyn Harness, messages: &[Message]) -> std::sync::Arc<dyn Transport> {
    let transport = harness.transport();
    ok(transport.prepare().await, "prepare");
    ok(transport.publish(messages).await, "publish");
    transport
}

/// A consumer.
pub(super) async fn consume(transport: &dyn Transport, name: &str, batch: usize) -> Consumer {
    let options = ConsumeOptions { name: name.into(), batch, linger: Duration::ZERO };
    ok(transport.consume(&options).await, "consume")
}

/// The next batch.
pub(super) async fn receive(consumer: &mut Consumer) -> Vec<Delivery> {
    let batch = tokio::time::timeout(LIMIT, consumer.receiver.receive()).await;
    let batch = ok(batch.unwrap_or_else(|_| panic!("nothing received within {LIMIT:?}")), "receive");
    assert!(!batch.is_empty(), "an empty batch was received");
    batch
}

/// The next so many deliveries, settled by nobody.
pub(super) async fn receive_many(consumer: &mut Consumer, count: usize) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    while deliveries.len() < count {
        deliveries.extend(receive(consumer).await);
    }
    deliveries
}

/// A batch, if one comes while nothing should.
pub(super) async fn receive_nothing(consumer: &mut Consumer, limit: Duration) {
    if let Ok(batch) = tokio::time::timeout(limit, consumer.receiver.receive()).await {
        panic!("nothing should have been received: {batch:?}");
    }
}

/// Settles a batch with the same kind of verdict for each.
pub(super) async fn settle(consumer: &Consumer, batch: &[Delivery], verdict: impl Fn(&Delivery) -> Verdict) {
    let verdicts: Vec<_> = batch.iter().map(|delivery| (delivery.tag, verdict(delivery))).collect();
    ok(consumer.settler.settle(&verdicts).await, "settle");
}

/// Acks a batch.
pub(super) async fn ack(consumer: &Consumer, batch: &[Delivery]) {
    settle(consumer, batch, |_| Verdict::Ack).await;
}

/// The value, or a failed test that says what failed.
pub(super) fn ok<T, E: std::fmt::Display>(result: Result<T, E>, what: &str) -> T {
    result.unwrap_or_else(|error| panic!("{what} failed: {error}"))
}
