//! Promises that a verdict of somebody who no longer has the message changes nothing.

use std::time::Duration;

use super::Harness;
use super::tools::{ack, consume, dead, holding, later, numbered, ok, receive_many};
use crate::{Consumer, Delivery, Verdict};

/// When another consumer has taken messages over, verdicts of all kinds under the old tags are no error and do nothing.
pub async fn settle_after_takeover_does_nothing(harness: &dyn Harness) {
    let transport = holding(harness, &numbered(0..4)).await;
    let mut late = consume(&*transport, "late", 4).await;
    let old = receive_many(&mut late, 4).await;
    let Consumer { receiver, settler: late } = late;
    drop(receiver);
    let mut heir = consume(&*transport, "heir", 4).await;
    let taken = receive_many(&mut heir, 4).await;
    let verdicts: Vec<_> =
        old.iter().enumerate().map(|(kind, delivery)| (delivery.tag, verdict(kind, delivery))).collect();
    ok(late.settle(&verdicts).await, "settle after a takeover");
    let backlog = ok(transport.backlog().await, "backlog");
    assert_eq!((backlog.ready, backlog.unsettled, backlog.delayed), (0, 4, 0));
    assert_eq!(ok(transport.dead_letters().len().await, "len"), 0);
    ack(&heir, &taken).await;
    assert_eq!(ok(transport.backlog().await, "backlog").unsettled, 0);
}

fn verdict(kind: usize, delivery: &Delivery) -> Verdict {
    match kind {
        0 => Verdict::Ack,
        1 => Verdict::Release,
        2 => later(delivery, Duration::ZERO),
        _ => dead(delivery),
    }
}
