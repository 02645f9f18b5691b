//! Promises that a verdict of somebody who no longer has the message changes nothing.

use std::time::Duration;

use super::Harness;
use super::tools::{ack, consume, dead, holding, later, message, ok, payloads, receive};
use crate::transport::{Consumer, Delivery, Verdict};

/// When another consumer has taken a message over, verdicts under the old tag are no error and do nothing.
pub async fn settle_after_takeover_does_nothing(harness: &dyn Harness) {
    let transport = holding(harness, &[message("contested")]).await;
    let mut late = consume(&*transport, "late", 1).await;
    let old = receive(&mut late).await;
    let Consumer { receiver, settler: late } = late;
    drop(receiver);
    let mut heir = consume(&*transport, "heir", 1).await;
    let taken = receive(&mut heir).await;
    assert_eq!(payloads(&taken), ["contested"]);
    let verdicts: [fn(&Delivery) -> Verdict; 4] =
        [|_| Verdict::Release, |d| later(d, Duration::ZERO), dead, |_| Verdict::Ack];
    for verdict in verdicts {
        let verdicts: Vec<_> = old.iter().map(|delivery| (delivery.tag, verdict(delivery))).collect();
        ok(late.settle(&verdicts).await, "settle after a takeover");
    }
    let backlog = ok(transport.backlog().await, "backlog");
    assert_eq!((backlog.ready, backlog.unsettled, backlog.delayed), (0, 1, 0));
    assert_eq!(ok(transport.dead_letters().len().await, "len"), 0);
    ack(&heir, &taken).await;
    assert_eq!(ok(transport.backlog().await, "backlog").unsettled, 0);
}
