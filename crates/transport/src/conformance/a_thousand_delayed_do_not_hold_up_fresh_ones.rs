//! Promises that waiting copies take no place from messages that need not wait.

use std::time::Duration;

use super::Harness;
use super::tools::{ack, consume, holding, later, message, numbered, ok, payloads, receive, receive_many, settle};

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
