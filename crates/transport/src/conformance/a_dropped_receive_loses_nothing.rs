//! Promises that a receive may be dropped while it waits, at any moment.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Harness;
use super::tools::{LIMIT, ack, consume, holding, numbered, ok, payloads, set_of};

/// Receives that are dropped after all kinds of waits, while messages arrive, lose none of them and double none.
pub async fn a_dropped_receive_loses_nothing(harness: &dyn Harness) {
    let transport = holding(harness, &[]).await;
    let mut consumer = consume(&*transport, "a", 4).await;
    let messages = numbered(0..200);
    let publishing = async {
        for message in &messages {
            ok(transport.publish(std::slice::from_ref(message)).await, "publish");
            tokio::task::yield_now().await;
        }
    };
    let receiving = async {
        let mut received = Vec::new();
        let mut round = 0;
        while received.len() < messages.len() {
            round += 1;
            let patience = Duration::from_micros(50 * (round % 40));
            if let Ok(batch) = tokio::time::timeout(patience, consumer.receiver.receive()).await {
                let batch = ok(batch, "receive");
                ack(&consumer, &batch).await;
                received.extend(payloads(&batch));
            }
        }
        received
    };
    let (received, ()) = tokio::join!(tokio::time::timeout(LIMIT, receiving), publishing);
    let received = received.unwrap_or_else(|_| panic!("messages are missing after {LIMIT:?}"));
    assert_eq!(received.len(), messages.len(), "a message came twice");
    assert_eq!(received.into_iter().collect::<BTreeSet<_>>(), set_of(&messages));
}
