//! Promises that settled entries go, unsettled ones stay, and groups do not hurt each other.

use std::time::Duration;

use quash_config::Span;
use quash_transport::conformance::eventually;
use quash_transport::redis_streams::Config;

use super::server::{LIMIT, Server, ack, consume, numbered, receive_many, texts};

async fn length(server: &Server) -> usize {
    server.ask(&["XLEN", "quash.events"]).await
}

#[tokio::test]
async fn an_entry_stays_until_every_group_has_settled_it() {
    let server = Server::start().await;
    let [one, two] = ["one", "two"].map(|group| Config { group: group.into(), ..server.config() }.build().unwrap());
    one.prepare().await.unwrap();
    two.prepare().await.unwrap();
    one.publish(&numbered(0..100)).await.unwrap();
    let mut first = consume(&*one, "a", 20).await;
    let batch = receive_many(&mut first, 100).await;
    ack(&first, &batch).await;
    server.called_again("xtrim", 2).await;
    let mut second = consume(&*two, "b", 20).await;
    let batch = receive_many(&mut second, 100).await;
    assert_eq!(batch.len(), 100);
    ack(&second, &batch[..60]).await;
    eventually(LIMIT, "what both have settled is gone", async || length(&server).await == 40).await;
    ack(&second, &batch[60..]).await;
    eventually(LIMIT, "all is gone", async || length(&server).await == 0).await;
}

#[tokio::test]
async fn a_group_of_somebody_else_that_never_reads_keeps_everything() {
    let server = Server::start().await;
    let transport = server.transport();
    transport.publish(&numbered(0..10)).await.unwrap();
    server.ask::<String>(&["XGROUP", "CREATE", "quash.events", "audit", "0"]).await;
    let mut consumer = consume(&*transport, "a", 10).await;
    let batch = receive_many(&mut consumer, 10).await;
    ack(&consumer, &batch).await;
    // Else its last read might still take the next entry, and hand it back as one more.
    consumer.receiver.close().await;
    let mut consumer = consume(&*transport, "b", 10).await;
    transport.publish(&numbered(10..11)).await.unwrap();
    let batch = receive_many(&mut consumer, 1).await;
    ack(&consumer, &batch).await;
    server.called_again("xtrim", 2).await;
    assert_eq!(length(&server).await, 11);
    server.ask::<u64>(&["XGROUP", "DESTROY", "quash.events", "audit"]).await;
    eventually(LIMIT, "all is gone", async || length(&server).await == 0).await;
}

#[tokio::test]
async fn settled_entries_stay_as_long_as_asked_for() {
    let server = Server::start().await;
    let keep = Span(Duration::from_secs(4));
    let transport = Config { keep, ..server.config() }.build().unwrap();
    transport.publish(&numbered(0..5)).await.unwrap();
    let mut consumer = consume(&*transport, "a", 10).await;
    let batch = receive_many(&mut consumer, 5).await;
    ack(&consumer, &batch).await;
    server.called_again("xtrim", 2).await;
    assert_eq!(length(&server).await, 5);
    eventually(LIMIT, "all is gone", async || length(&server).await == 0).await;
}

#[tokio::test]
async fn a_large_number_of_settled_entries_goes_in_pieces() {
    let server = Server::with(&["--appendonly", "no"]).await;
    let transport = server.transport();
    transport.publish(&numbered(0..25_000)).await.unwrap();
    let mut consumer = consume(&*transport, "a", 500).await;
    let mut count = 0;
    while count < 25_000 {
        let batch = receive_many(&mut consumer, 1).await;
        ack(&consumer, &batch).await;
        count += batch.len();
    }
    eventually(LIMIT, "all is gone", async || length(&server).await == 0).await;
}

#[tokio::test]
async fn names_of_consumers_do_not_pile_up_and_take_nothing_with_them() {
    let server = Server::start().await;
    let transport = server.transport();
    transport.publish(&numbered(0..4)).await.unwrap();
    let mut leaving = consume(&*transport, "leaving", 4).await;
    let batch = receive_many(&mut leaving, 4).await;
    ack(&leaving, &batch[..3]).await;
    drop(leaving);
    let names = async || {
        let consumers: Vec<redis::Value> = server.ask(&["XINFO", "CONSUMERS", "quash.events", "quash"]).await;
        consumers.len()
    };
    let mut heir = consume(&*transport, "heir", 4).await;
    let inherited = receive_many(&mut heir, 1).await;
    assert_eq!(texts(&inherited), ["3"]);
    ack(&heir, &inherited).await;
    drop(heir);
    // What still held an entry when it ended keeps its name; it is removed after an hour of silence.
    eventually(LIMIT, "the heir's name is gone", async || names().await <= 1).await;
}
