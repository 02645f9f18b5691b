//! Promises that a consumer which comes back under its name is given at once what it left.

use super::Harness;
use super::tools::{consume, holding, numbered, payloads, receive, receive_many};

/// What an earlier consumer of the same name had received and not settled comes before everything else.
pub async fn a_returning_consumer_gets_its_own_first(harness: &dyn Harness) {
    let transport = holding(harness, &numbered(0..2)).await;
    let mut consumer = consume(&*transport, "a", 2).await;
    assert_eq!(payloads(&receive(&mut consumer).await), ["0", "1"]);
    drop(consumer);
    super::tools::ok(transport.publish(&numbered(2..4)).await, "publish");
    let mut consumer = consume(&*transport, "a", 2).await;
    let again = receive(&mut consumer).await;
    assert_eq!(payloads(&again), ["0", "1"]);
    assert!(again.iter().all(|delivery| delivery.deliveries == 2), "{again:?}");
    // In whatever order: the earlier consumer may have fetched one of them ahead, and handed it back.
    let mut rest = payloads(&receive_many(&mut consumer, 2).await);
    rest.sort();
    assert_eq!(rest, ["2", "3"]);
}
