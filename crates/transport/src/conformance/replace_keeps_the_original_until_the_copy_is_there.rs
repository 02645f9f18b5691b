//! Promises that there is no moment at which neither the original nor its copies exist.

use std::time::Duration;

use super::Harness;
use super::tools::{LIMIT, consume, holding, message, ok, payloads, receive};
use crate::{Delivery, Destination, Message, Replacement, Verdict};

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
    super::tools::ack(&heir, &next).await;
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
