//! Promises that a message which may be ending processes does not take its neighbours with it for ever.

use super::Harness;
use super::tools::{ack, consume, holding, message, numbered, ok, payloads, receive};
use crate::SUSPECT_AFTER;

/// What was handed out several times and never settled comes in batches of one; what was not still comes in company.
pub async fn a_suspect_comes_alone(harness: &dyn Harness) {
    let transport = holding(harness, &numbered(0..3)).await;
    for round in 1..=SUSPECT_AFTER {
        let mut consumer = consume(&*transport, "a", 8).await;
        let batch = receive(&mut consumer).await;
        assert_eq!(payloads(&batch), ["0", "1", "2"], "round {round}");
        assert!(batch.iter().all(|delivery| delivery.deliveries == round), "round {round}: {batch:?}");
    }
    ok(transport.publish(&[message("fresh"), message("fresh")]).await, "publish");
    let mut consumer = consume(&*transport, "a", 8).await;
    let mut suspects = Vec::new();
    let mut fresh = 0;
    while suspects.len() < 3 || fresh < 2 {
        let batch = receive(&mut consumer).await;
        if batch.iter().any(|delivery| delivery.message.payload != "fresh") {
            assert_eq!(batch.len(), 1, "a suspect came in company: {batch:?}");
            assert_eq!(batch.first().map(|suspect| suspect.deliveries), Some(SUSPECT_AFTER + 1));
            suspects.extend(payloads(&batch));
        } else {
            fresh += batch.len();
        }
        ack(&consumer, &batch).await;
    }
    assert_eq!(suspects, ["0", "1", "2"]);
}
