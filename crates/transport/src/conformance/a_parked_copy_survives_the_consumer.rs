//! Promises that a copy which waits for its delay needs nobody to live.

use std::time::Duration;

use super::Harness;
use super::tools::{ack, consume, holding, later, message, receive, settle};

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
