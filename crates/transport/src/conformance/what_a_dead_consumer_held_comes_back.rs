//! Promises that a consumer's death loses nothing that it held.

use super::Harness;
use super::tools::{ack, consume, holding, numbered, ok, payloads, receive_many};

/// What a consumer received and never settled goes to another consumer, whether fetched ahead or handed out.
pub async fn what_a_dead_consumer_held_comes_back(harness: &dyn Harness) {
    let transport = holding(harness, &numbered(0..30)).await;
    let mut dying = consume(&*transport, "dying", 4).await;
    let held = receive_many(&mut dying, 8).await;
    assert!(held.len() < 30);
    drop(dying);
    let mut heir = consume(&*transport, "heir", 4).await;
    let mut inherited = receive_many(&mut heir, 30).await;
    inherited.sort_by_key(|delivery| payloads(std::slice::from_ref(delivery)));
    inherited.dedup_by_key(|delivery| delivery.message.payload.clone());
    assert_eq!(inherited.len(), 30, "some came twice, others never");
    ack(&heir, &inherited).await;
    assert_eq!(ok(transport.backlog().await, "backlog").unsettled, 0);
}
