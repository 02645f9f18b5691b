//! Promises that settling again, as after an answer that never came, is harmless.

use std::time::Duration;

use super::Harness;
use super::tools::{QUIET, ack, consume, dead, holding, later, numbered, ok, receive, receive_many, receive_nothing};
use crate::Verdict;

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
        back.extend(super::tools::payloads(&batch));
    }
    back.sort();
    assert_eq!(back, ["1", "3"]);
    receive_nothing(&mut consumer, QUIET).await;
    assert_eq!(ok(transport.dead_letters().len().await, "len"), 1);
}
