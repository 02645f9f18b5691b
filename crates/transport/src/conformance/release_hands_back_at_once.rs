//! Promises that a released message is there for others at once, as if it had never been received.

use std::time::Duration;

use super::Harness;
use super::tools::{ack, consume, holding, message, receive, settle};
use crate::Verdict;

/// A release makes the message available without the wait that a dead consumer's messages have, and counts as no delivery.
pub async fn release_hands_back_at_once(harness: &dyn Harness) {
    let mut sent = message("released");
    sent.headers.set("kept", "yes");
    let transport = holding(harness, std::slice::from_ref(&sent)).await;
    let mut consumer = consume(&*transport, "a", 4).await;
    let batch = receive(&mut consumer).await;
    settle(&consumer, &batch, |_| Verdict::Release).await;
    let again = tokio::time::timeout(Duration::from_secs(2), receive(&mut consumer)).await;
    let again = super::tools::ok(again, "receive at once");
    assert_eq!(again.first().map(|delivery| &delivery.message), Some(&sent));
    assert_eq!(again.first().map(|delivery| delivery.deliveries), Some(1));
    ack(&consumer, &again).await;
}
