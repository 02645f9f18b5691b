//! Promises that a name which two living consumers have by mistake costs nothing but work that is done twice.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::Harness;
use super::tools::{LIMIT, ack, consume, eventually, holding, numbered, ok, payloads, receive, set_of};

/// Two consumers of two processes get everything between them under one name, while a third one of that name comes, takes a
/// batch and dies. Only what somebody had in hand then, or fetched ahead, comes twice.
pub async fn consumers_of_one_name_lose_nothing_and_hold_up_nothing(harness: &dyn Harness) {
    let messages = numbered(0..1000);
    let transport = holding(harness, &messages).await;
    let received = Mutex::new(Vec::new());
    let done = tokio::sync::Notify::new();
    let consuming = [(), ()].map(|()| async {
        let transport = harness.transport();
        let mut consumer = consume(&*transport, "same", 8).await;
        loop {
            let batch = ok(consumer.receiver.receive().await, "receive");
            ack(&consumer, &batch).await;
            let mut received = received.lock().unwrap_or_else(PoisonError::into_inner);
            received.extend(payloads(&batch));
            if received.iter().collect::<BTreeSet<_>>().len() == messages.len() {
                done.notify_one();
            }
        }
    });
    let [one, other] = consuming;
    let dying = async {
        let transport = harness.transport();
        let mut consumer = consume(&*transport, "same", 8).await;
        receive(&mut consumer).await;
        drop(consumer);
        std::future::pending::<()>().await;
    };
    let shared = async {
        let all = async { tokio::join!(one, other, dying) };
        tokio::select! {
            _ = all => {}
            () = async {
                done.notified().await;
                eventually(LIMIT, "nothing is left", async || {
                    let backlog = ok(transport.backlog().await, "backlog");
                    backlog.ready + backlog.unsettled + backlog.delayed == 0
                })
                .await;
            } => {}
        }
    };
    assert!(tokio::time::timeout(2 * LIMIT, shared).await.is_ok(), "messages are missing after {:?}", 2 * LIMIT);
    let received = std::mem::take(&mut *received.lock().unwrap_or_else(PoisonError::into_inner));
    let twice = received.len() - messages.len();
    assert!(twice <= messages.len() / 4, "{twice} came twice");
    assert_eq!(received.into_iter().collect::<BTreeSet<_>>(), set_of(&messages));
    assert_eq!(ok(transport.backlog().await, "backlog").lost, 0);
}
