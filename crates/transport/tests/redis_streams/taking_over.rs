//! Promises that dead workers are inherited, living ones are left alone, and culprits do not take others with them.

use std::collections::BTreeMap;
use std::time::Duration;

use quash_transport::conformance::eventually;
use quash_transport::{SUSPECT_AFTER, Verdict};

use super::server::{LIMIT, Server, ack, consume, message, numbered, receive_many, texts};

#[tokio::test]
async fn what_a_crashed_worker_held_and_had_fetched_comes_back() {
    let server = Server::start().await;
    let transport = server.transport();
    transport.publish(&numbered(0..40)).await.unwrap();
    // Ending its runtime stops everything of that worker at once, as a kill would.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let crashing = server.transport();
    let worker = runtime.spawn(async move {
        let mut consumer = consume(&*crashing, "crashing", 8).await;
        let held = receive_many(&mut consumer, 8).await.len();
        (held, consumer)
    });
    let (held, consumer) = worker.await.unwrap();
    assert_eq!(held, 8);
    runtime.shutdown_background();
    std::mem::forget(consumer);
    let mut heir = consume(&*transport, "heir", 8).await;
    let mut inherited = BTreeMap::new();
    while inherited.len() < 40 {
        let batch = receive_many(&mut heir, 1).await;
        ack(&heir, &batch).await;
        inherited.extend(batch.into_iter().map(|delivery| (delivery.message.payload, delivery.deliveries)));
    }
    let again = inherited.values().filter(|count| **count == 2).count();
    assert!(again >= held, "{held} were held, and {again} came again");
    assert_eq!(transport.backlog().await.unwrap().unsettled, 0);
}

#[tokio::test]
async fn what_was_fetched_ahead_is_back_once_a_consumer_is_closed() {
    let server = Server::start().await;
    let transport = server.transport();
    transport.publish(&numbered(0..40)).await.unwrap();
    let mut consumer = consume(&*transport, "stopping", 4).await;
    let held = receive_many(&mut consumer, 4).await;
    let unsettled = async || transport.backlog().await.unwrap().unsettled;
    eventually(LIMIT, "it fetches ahead", async || unsettled().await > 4).await;
    consumer.receiver.close().await;
    assert_eq!(unsettled().await, 4);
    consumer
        .settler
        .settle(&held.iter().map(|delivery| (delivery.tag, Verdict::Ack)).collect::<Vec<_>>())
        .await
        .unwrap();
    assert_eq!(unsettled().await, 0);
}

#[tokio::test]
async fn long_work_is_not_taken_away_from_a_living_worker() {
    let server = Server::start().await;
    let transport = server.transport();
    transport.publish(&numbered(0..300)).await.unwrap();
    let mut working = consume(&*transport, "working", 100).await;
    let held = receive_many(&mut working, 300).await;
    let mut idle = consume(&*transport, "idle", 100).await;
    let taken = tokio::time::timeout(4 * *server.config().claim_after, idle.receiver.receive()).await;
    assert!(taken.is_err(), "{:?}", taken.map(|batch| batch.map(|batch| batch.len())));
    ack(&working, &held).await;
    assert_eq!(transport.backlog().await.unwrap().unsettled, 0);
}

#[tokio::test]
async fn fresh_messages_come_while_many_are_inherited() {
    let server = Server::start().await;
    let transport = server.transport();
    transport.publish(&numbered(0..2000)).await.unwrap();
    let mut dying = consume(&*transport, "dying", 2000).await;
    receive_many(&mut dying, 2000).await;
    drop(dying);
    let mut heir = consume(&*transport, "heir", 10).await;
    let mut seen = 0;
    while seen < 100 {
        let batch = receive_many(&mut heir, 1).await;
        ack(&heir, &batch).await;
        seen += batch.len();
    }
    transport.publish(&[message("fresh")]).await.unwrap();
    let mut before = 0;
    loop {
        let batch = receive_many(&mut heir, 1).await;
        ack(&heir, &batch).await;
        if texts(&batch).contains(&"fresh".to_owned()) {
            break;
        }
        before += batch.len();
    }
    assert!(before < 1000, "{before} inherited ones came before a fresh one");
}

#[tokio::test]
async fn a_message_that_ends_processes_is_counted_and_its_neighbours_are_not() {
    let server = Server::start().await;
    let transport = server.transport();
    let mut messages = numbered(0..6);
    messages.insert(3, message("poison"));
    transport.publish(&messages).await.unwrap();
    let (mut counts, mut lives) = (BTreeMap::new(), 0);
    while counts.get("poison") != Some(&8) {
        lives += 1;
        let mut consumer = consume(&*transport, "worker", 16).await;
        loop {
            let batch = receive_many(&mut consumer, 1).await;
            for delivery in &batch {
                counts.insert(texts(std::slice::from_ref(delivery))[0].clone(), delivery.deliveries);
            }
            if batch.iter().any(|delivery| delivery.message.payload == "poison") {
                break;
            }
            ack(&consumer, &batch).await;
        }
    }
    assert_eq!(lives, 8, "each life handed it out once");
    counts.remove("poison");
    assert!(counts.values().all(|count| *count <= SUSPECT_AFTER + 2), "{counts:?}");
    let mut consumer = consume(&*transport, "worker", 16).await;
    let draining = async {
        while transport.backlog().await.unwrap().unsettled > 0 {
            if let Ok(batch) = tokio::time::timeout(Duration::from_millis(100), consumer.receiver.receive()).await {
                let batch = batch.unwrap();
                assert_eq!(batch.len(), 1, "all that is left are suspects");
                ack(&consumer, &batch).await;
            }
        }
    };
    tokio::time::timeout(LIMIT, draining).await.expect("everything is settled");
}
