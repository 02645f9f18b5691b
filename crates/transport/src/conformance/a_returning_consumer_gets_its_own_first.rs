//! Promises that a consumer which comes back under its name is given at once what it left.

use super::Harness;
use super::tools::{consume, holding, numbered, payloads, receive, receive_many};

/// What an earlier consumer of the same name had received and not settled comes before everything else.
pub async fn a_returning_consumer_gets_its_own_first(harness: &dyn Harness) {
    // All before the first comes: what is published just when a consumer leaves may be on its way to it, and a broker that
    // hears nothing of that hands it out only when its patience is over.
    let transport = holding(harness, &numbered(0..4)).await;
    let mut consumer = consume(&*transport, "a", 2).await;
    assert_eq!(payloads(&receive(&mut consumer).await), ["0", "1"]);
    drop(consumer);
    let mut consumer = consume(&*transport, "a", 2).await;
    let again = receive(&mut consumer).await;
    assert_eq!(payloads(&again), ["0", "1"]);
    assert!(again.iter().all(|delivery| delivery.deliveries == 2), "{again:?}");
    // In whatever order: the earlier consumer may have fetched some of them ahead, and handed them back.
    let mut rest = payloads(&receive_many(&mut consumer, 2).await);
    rest.sort();
    assert_eq!(rest, ["2", "3"]);
}
