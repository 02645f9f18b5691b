//! Promises that what a work queue keeps is handed out, also when the server believes that it was settled.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use async_nats::jetstream;
use quash_e2e::eventually;
use quash_transport::{Consumer, Delivery, Destination, Replacement, Transport, Verdict};
use tokio::time::sleep;

use super::rights;
use super::server::{LIMIT, Server, all, consume, numbered, receive_many};

const STREAMS: [&str; 2] = ["QUASH", "QUASH_RETRY"];

#[tokio::test]
async fn what_the_server_holds_settled_and_keeps_is_handed_out_again() {
    let server = Server::start().await;
    let transport = server.transport();
    let operator = operator(&server).await;
    disagree(&server, &*transport, &operator).await;
    let findings = transport.inspect().await.unwrap();
    for consumer in ["quash", "quash_retry"] {
        let words = format!("consumer {consumer} does not know of 30 messages");
        assert!(findings.iter().any(|finding| finding.what.contains(&words)), "{findings:?}");
    }
    let mut seen = BTreeSet::new();
    let consumer = consume(&*transport, "a", 16).await;
    tokio::select! {
        () = settle_all(consumer, &mut seen) => {}
        () = until_empty(&operator) => {}
    }
    assert_eq!(seen.len(), 60, "all that the streams had");
    assert_eq!(transport.backlog().await.unwrap(), Default::default());
    assert_eq!(transport.dead_letters().len().await.unwrap(), 0);
}

#[tokio::test]
async fn workers_that_notice_it_at_once_do_no_harm() {
    let server = Server::start().await;
    let transport = server.transport();
    let operator = operator(&server).await;
    disagree(&server, &*transport, &operator).await;
    let (mut one, mut other) = (BTreeSet::new(), BTreeSet::new());
    let (first, second) = (consume(&*transport, "a", 16).await, consume(&*transport, "b", 16).await);
    tokio::select! {
        () = settle_all(first, &mut one) => {}
        () = settle_all(second, &mut other) => {}
        () = until_empty(&operator) => {}
    }
    one.extend(other);
    assert_eq!(one.len(), 60, "all that the streams had");
    assert_eq!(transport.backlog().await.unwrap(), Default::default());
}

#[tokio::test]
async fn the_rights_of_the_manual_are_enough_to_hand_out_again() {
    let server = rights::server().await;
    let client = async_nats::ConnectOptions::with_user_and_password("operator".into(), "PASSWORD".into());
    let operator = jetstream::new(client.connect(server.url()).await.unwrap());
    disagree(&server, &*rights::as_user(&server, "operator").build().unwrap(), &operator).await;
    let mut config = rights::as_user(&server, "quash");
    config.declare = true;
    let worker = config.build().unwrap();
    let consumer = consume(&*worker, "a", 16).await;
    let mut seen = BTreeSet::new();
    tokio::select! {
        () = settle_all(consumer, &mut seen) => {}
        () = until_empty(&operator) => {}
    }
    assert_eq!(seen.len(), 60, "all that the streams had");
}

/// Makes the server's files disagree: 60 messages, half of them parked, are settled after a copy was made of what the
/// streams held, and that copy is put back in its place.
async fn disagree(server: &Server, transport: &dyn Transport, operator: &jetstream::Context) {
    transport.prepare().await.unwrap();
    transport.publish(&numbered(0..60)).await.unwrap();
    let mut consumer = consume(transport, "a", 60).await;
    let batch = receive_many(&mut consumer, 60).await;
    let parked: Vec<_> = batch[30..].iter().map(|delivery| (delivery.tag, later(delivery))).collect();
    consumer.settler.settle(&parked).await.unwrap();
    drop(consumer);
    while_down(server, copy).await;
    let (consumer, mut settled) = (consume(transport, "b", 60).await, BTreeSet::new());
    tokio::select! {
        () = settle_all(consumer, &mut settled) => {}
        () = until_empty(operator) => {}
    }
    // Until the consumers have written down that they have nothing more.
    while_down(server, |_, _| {}).await;
    let empty = async || transport.backlog().await.is_ok_and(|backlog| backlog == Default::default());
    eventually(LIMIT, "the consumers have nothing", empty).await;
    while_down(server, |messages, saved| {
        std::fs::remove_dir_all(messages).unwrap();
        copy(saved, messages);
    })
    .await;
    eventually(LIMIT, "the streams have their messages again", async || held(operator).await == Some([30, 30])).await;
    assert_eq!(transport.backlog().await.unwrap(), Default::default(), "and no consumer knows of it");
}

fn later(delivery: &Delivery) -> Verdict {
    let copy = Replacement { message: delivery.message.clone(), to: Destination::Later(Duration::from_millis(10)) };
    Verdict::Replace(vec![copy])
}

/// Does something with the messages of each stream while the server is down, given where a copy may be.
async fn while_down(server: &Server, each: impl Fn(&Path, &Path)) {
    let mut process = server.process().await;
    process.end();
    for stream in STREAMS {
        let folder = process.stream_folder(stream);
        each(&folder.join("msgs"), &folder.join("saved"));
    }
    process.restart().await;
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

/// Receives and settles whatever comes; what could not be settled comes again.
async fn settle_all(mut consumer: Consumer, seen: &mut BTreeSet<Vec<u8>>) {
    loop {
        let batch = consumer.receiver.receive().await.unwrap_or_default();
        seen.extend(batch.iter().map(|delivery| delivery.message.payload.to_vec()));
        if consumer.settler.settle(&all(&batch, &Verdict::Ack)).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn until_empty(operator: &jetstream::Context) {
    eventually(LIMIT, "the streams are empty", async || held(operator).await == Some([0, 0])).await;
}

async fn operator(server: &Server) -> jetstream::Context {
    jetstream::new(async_nats::connect(server.url()).await.unwrap())
}

/// How many messages each of the streams has.
async fn held(operator: &jetstream::Context) -> Option<[u64; 2]> {
    let mut held = [0; 2];
    for (stream, count) in STREAMS.into_iter().zip(&mut held) {
        *count = operator.get_stream(stream).await.ok()?.cached_info().state.messages;
    }
    Some(held)
}
