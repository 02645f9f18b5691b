//! Promises that what was acked never comes again.

use super::Harness;
use super::tools::{QUIET, ack, consume, holding, numbered, receive_many, receive_nothing};
use crate::Backlog;

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
    let backlog = super::tools::ok(transport.backlog().await, "backlog");
    assert_eq!(backlog, Backlog::default());
}
