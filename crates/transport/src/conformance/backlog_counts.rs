//! Promises that the counts of what waits are right.

use std::time::Duration;

use super::Harness;
use super::tools::{ack, consume, holding, later, numbered, ok, receive_many, settle};
use crate::{Backlog, Transport};

/// Ready, unsettled and delayed messages are counted where they are, and nowhere when they are done.
pub async fn backlog_counts(harness: &dyn Harness) {
    let transport = holding(harness, &numbered(0..10)).await;
    assert_eq!(counts(&*transport).await, Backlog { ready: 10, ..Backlog::default() });
    let mut consumer = consume(&*transport, "a", 10).await;
    let batch = receive_many(&mut consumer, 10).await;
    assert_eq!(counts(&*transport).await, Backlog { unsettled: 10, ..Backlog::default() });
    settle(&consumer, &batch[..4], |delivery| later(delivery, Duration::from_secs(3600))).await;
    assert_eq!(counts(&*transport).await, Backlog { unsettled: 6, delayed: 4, ..Backlog::default() });
    ack(&consumer, &batch[4..]).await;
    assert_eq!(counts(&*transport).await, Backlog { delayed: 4, ..Backlog::default() });
    ok(transport.publish(&numbered(0..0)).await, "publish nothing");
    assert_eq!(counts(&*transport).await, Backlog { delayed: 4, ..Backlog::default() });
}

async fn counts(transport: &dyn Transport) -> Backlog {
    ok(transport.backlog().await, "backlog")
}
