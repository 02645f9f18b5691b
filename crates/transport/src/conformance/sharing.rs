//! Promises: consumers share what there is, and take over from one another.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Harness;
use super::tools::{
    LIMIT, ack, consume, dead, eventually, holding, later, message, numbered, ok, payloads, receive, receive_many,
    set_of, settle,
};
use crate::{Consumer, Delivery, SUSPECT_AFTER, Verdict};

/// Four consumers at once get everything between them, and nothing twice.
pub async fn concurrent_consumers_share_without_doubling(harness: &dyn Harness) {
    let messages = numbered(0..2000);
    let transport = holding(harness, &messages).await;
    let received = Mutex::new(Vec::new());
    let done = tokio::sync::Notify::new();
    let consuming = ["a", "b", "c", "d"].map(|name| async {
        let mut consumer = consume(&*transport, name, 16).await;
        loop {
            let batch = ok(consumer.receiver.receive().await, "receive");
            ack(&consumer, &batch).await;
            let mut received = received.lock().unwrap_or_else(PoisonError::into_inner);
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
    let received = std::mem::take(&mut *received.lock().unwrap_or_else(PoisonError::into_inner));
    assert_eq!(received.len(), messages.len(), "a message came twice");
    assert_eq!(received.into_iter().collect::<BTreeSet<_>>(), set_of(&messages));
}

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

/// A release makes the message available without the wait that a dead consumer's messages have, and counts as no delivery.
pub async fn release_hands_back_at_once(harness: &dyn Harness) {
    let mut sent = message("released");
    sent.headers.set("kept", "yes");
    let transport = holding(harness, std::slice::from_ref(&sent)).await;
    let mut consumer = consume(&*transport, "a", 4).await;
    let batch = receive(&mut consumer).await;
    settle(&consumer, &batch, |_| Verdict::Release).await;
    let again = tokio::time::timeout(Duration::from_secs(2), receive(&mut consumer)).await;
    let again = ok(again, "receive at once");
    assert_eq!(again.first().map(|delivery| &delivery.message), Some(&sent));
    assert_eq!(again.first().map(|delivery| delivery.deliveries), Some(1));
    ack(&consumer, &again).await;
}

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

/// When another consumer has taken messages over, verdicts of all kinds under the old tags are no error and do nothing.
pub async fn settle_after_takeover_does_nothing(harness: &dyn Harness) {
    let transport = holding(harness, &numbered(0..4)).await;
    let mut late = consume(&*transport, "late", 4).await;
    let old = receive_many(&mut late, 4).await;
    let Consumer { receiver, settler: late } = late;
    drop(receiver);
    let mut heir = consume(&*transport, "heir", 4).await;
    let taken = receive_many(&mut heir, 4).await;
    let verdicts: Vec<_> =
        old.iter().enumerate().map(|(kind, delivery)| (delivery.tag, verdict(kind, delivery))).collect();
    ok(late.settle(&verdicts).await, "settle after a takeover");
    let backlog = ok(transport.backlog().await, "backlog");
    assert_eq!((backlog.ready, backlog.unsettled, backlog.delayed), (0, 4, 0));
    assert_eq!(ok(transport.dead_letters().len().await, "len"), 0);
    ack(&heir, &taken).await;
    assert_eq!(ok(transport.backlog().await, "backlog").unsettled, 0);
}

fn verdict(kind: usize, delivery: &Delivery) -> Verdict {
    match kind {
        0 => Verdict::Ack,
        1 => Verdict::Release,
        2 => later(delivery, Duration::ZERO),
        _ => dead(delivery),
    }
}

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
