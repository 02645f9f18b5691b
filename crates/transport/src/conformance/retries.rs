//! Promises: copies come back after their delay, and originals stay until they are there.

use std::time::Duration;

use tokio::time::Instant;

use super::Harness;
use super::tools::{
    LIMIT, QUIET, ack, consume, dead, holding, later, message, numbered, ok, payloads, receive, receive_many,
    receive_nothing, settle,
};
use crate::{Delivery, Destination, Message, Replacement, Verdict};

/// Copies come back in the order of their delays, whichever order they were parked in, and each after its own.
pub async fn a_retry_comes_back_after_its_delay(harness: &dyn Harness) {
    let delays = [1200, 100, 700];
    let messages = delays.map(|delay: u64| message(delay.to_string()));
    let transport = holding(harness, &messages).await;
    let mut consumer = consume(&*transport, "a", 1).await;
    let batch = receive_many(&mut consumer, 3).await;
    let started = Instant::now();
    settle(&consumer, &batch, |delivery| later(delivery, delay_of(delivery))).await;
    for expected in [100, 700, 1200] {
        let back = receive(&mut consumer).await;
        let waited = started.elapsed();
        let delays: Vec<_> = back.iter().map(delay_of).collect();
        assert_eq!(delays, [Duration::from_millis(expected)]);
        assert!(waited.as_millis() + 20 >= expected.into(), "{expected} ms came after {waited:?}");
        assert!(waited.as_millis() <= (expected * 10).into(), "{expected} ms came after {waited:?}");
        ack(&consumer, &back).await;
    }
}

fn delay_of(delivery: &Delivery) -> Duration {
    let text = String::from_utf8_lossy(&delivery.message.payload);
    Duration::from_millis(text.parse().unwrap_or_else(|_| panic!("a payload became {text}")))
}

/// The copy comes to another consumer when the one that parked it is gone, and after the broker's restart.
pub async fn a_parked_copy_survives_the_consumer(harness: &dyn Harness) {
    let mut parked = message(b"parked\0bytes");
    parked.headers.set("quash-attempt", "3");
    let transport = holding(harness, std::slice::from_ref(&parked)).await;
    let mut consumer = consume(&*transport, "a", 1).await;
    let batch = receive(&mut consumer).await;
    settle(&consumer, &batch, |delivery| later(delivery, Duration::from_millis(1500))).await;
    drop(consumer);
    drop(transport);
    harness.restart().await;
    let transport = harness.transport();
    let mut heir = consume(&*transport, "b", 1).await;
    let again = receive(&mut heir).await;
    assert_eq!(again.first().map(|delivery| &delivery.message), Some(&parked));
    assert_eq!(again.first().map(|delivery| delivery.deliveries), Some(1), "a parked copy is a new message");
    ack(&heir, &again).await;
}

/// With a thousand copies waiting for an hour, a fresh message comes as if there were none.
pub async fn a_thousand_delayed_do_not_hold_up_fresh_ones(harness: &dyn Harness) {
    let transport = holding(harness, &numbered(0..1000)).await;
    let mut consumer = consume(&*transport, "a", 250).await;
    let failing = receive_many(&mut consumer, 1000).await;
    settle(&consumer, &failing, |delivery| later(delivery, Duration::from_secs(3600))).await;
    ok(transport.publish(&[message("fresh")]).await, "publish");
    let batch = tokio::time::timeout(Duration::from_secs(5), receive(&mut consumer)).await;
    let batch = ok(batch, "receive a fresh message");
    assert_eq!(payloads(&batch), ["fresh"]);
    ack(&consumer, &batch).await;
    let backlog = ok(transport.backlog().await, "backlog");
    assert_eq!((backlog.delayed, backlog.unsettled), (1000, 0));
}

/// A settle that is dropped at any moment leaves the original or all of its copies; a finished one leaves the copies.
pub async fn replace_keeps_the_original_until_the_copy_is_there(harness: &dyn Harness) {
    for microseconds in [0, 30, 100, 300, 1000] {
        interrupted(harness, Duration::from_micros(microseconds)).await;
    }
    interrupted(harness, LIMIT).await;
}

async fn interrupted(harness: &dyn Harness, patience: Duration) {
    let transport = holding(harness, &[message("original")]).await;
    let mut consumer = consume(&*transport, "a", 1).await;
    let batch = receive(&mut consumer).await;
    let verdicts: Vec<_> = batch.iter().map(|delivery| (delivery.tag, both(delivery))).collect();
    let settled = tokio::time::timeout(patience, consumer.settler.settle(&verdicts)).await;
    drop(consumer);
    let mut heir = consume(&*transport, "b", 1).await;
    let next = receive(&mut heir).await;
    let dead = ok(transport.dead_letters().scan(None, 10).await, "scan");
    let expected = if settled.is_ok() || !dead.is_empty() { "later" } else { "original" };
    assert_eq!(payloads(&next), [expected], "after {patience:?}");
    if expected == "later" {
        assert_eq!(dead.iter().map(|(_, letter)| &letter.payload[..]).collect::<Vec<_>>(), [b"dead"]);
    }
    ack(&heir, &next).await;
    let ids: Vec<_> = dead.into_iter().map(|(id, _)| id).collect();
    ok(transport.dead_letters().remove(&ids).await, "remove");
}

fn both(delivery: &Delivery) -> Verdict {
    let copy = |payload, to| Replacement { message: Message { payload, ..delivery.message.clone() }, to };
    Verdict::Replace(vec![
        copy("later".into(), Destination::Later(Duration::from_millis(50))),
        copy("dead".into(), Destination::DeadLetters),
    ])
}

/// The same verdicts twice have the effect of one: one copy, one dead letter, one release.
pub async fn settle_may_be_repeated(harness: &dyn Harness) {
    let transport = holding(harness, &numbered(0..4)).await;
    let mut consumer = consume(&*transport, "a", 4).await;
    let batch = receive_many(&mut consumer, 4).await;
    let verdicts: Vec<_> = batch
        .iter()
        .map(|delivery| match &delivery.message.payload[..] {
            b"0" => (delivery.tag, Verdict::Ack),
            b"1" => (delivery.tag, later(delivery, Duration::from_millis(100))),
            b"2" => (delivery.tag, dead(delivery)),
            _ => (delivery.tag, Verdict::Release),
        })
        .collect();
    for _ in 0..3 {
        ok(consumer.settler.settle(&verdicts).await, "settle again");
    }
    let mut back = Vec::new();
    while back.len() < 2 {
        let batch = receive(&mut consumer).await;
        ack(&consumer, &batch).await;
        back.extend(payloads(&batch));
    }
    back.sort();
    assert_eq!(back, ["1", "3"]);
    receive_nothing(&mut consumer, QUIET).await;
    assert_eq!(ok(transport.dead_letters().len().await, "len"), 1);
}
