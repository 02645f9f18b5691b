//! Promises that living consumers share the messages: each goes to one of them.

use super::Harness;
use super::tools::{LIMIT, ack, consume, holding, numbered, ok, payloads, set_of};

/// Four consumers at once get everything between them, and nothing twice.
pub async fn concurrent_consumers_share_without_doubling(harness: &dyn Harness) {
    let messages = numbered(0..2000);
    let transport = holding(harness, &messages).await;
    let received = std::sync::Mutex::new(Vec::new());
    let done = tokio::sync::Notify::new();
    let consuming = ["a", "b", "c", "d"].map(|name| async {
        let mut consumer = consume(&*transport, name, 16).await;
        loop {
            let batch = ok(consumer.receiver.receive().await, "receive");
            ack(&consumer, &batch).await;
            let mut received = received.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            received.extend(payloads(&batch));
            if received.len() >= messages.len() {
                done.notify_one();
            }
        }
    });
    let [a, b, c, d] = consuming;
    let all = async { tokio::join!(a, b, c, d) };
    let shared = async {
        tokio::select! {
            _ = all => {}
            () = done.notified() => {}
        }
    };
    assert!(tokio::time::timeout(LIMIT, shared).await.is_ok(), "messages are missing after {LIMIT:?}");
    let received = std::mem::take(&mut *received.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    assert_eq!(received.len(), messages.len(), "a message came twice");
    assert_eq!(received.into_iter().collect::<std::collections::BTreeSet<_>>(), set_of(&messages));
}
