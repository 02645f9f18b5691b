//! Promises that what vanishes at the server is noticed, and that whoever comes late changes nothing.

use std::time::Duration;

use async_nats::jetstream;
use quash_e2e::{ChaosProxy, Mode};
use quash_transport::conformance::eventually;
use quash_transport::{Destination, Replacement, TransportError, Verdict};

use super::flow::{drain, flow};
use super::server::{LIMIT, Server, all, consume, dead, message, numbered, quick, receive_many, refusal};

async fn operator(server: &Server) -> jetstream::Context {
    jetstream::new(async_nats::connect(server.url()).await.unwrap())
}

#[tokio::test]
async fn a_consumer_that_is_deleted_is_made_again() {
    let server = Server::start().await;
    let operator = operator(&server).await;
    flow(&*server.transport(), 2000, async |flow| {
        for (count, name) in [(200, "quash"), (500, "quash_retry"), (800, "quash"), (1100, "quash_suspects")] {
            flow.until_seen(count).await;
            let stream = if name == "quash" { "QUASH" } else { "QUASH_RETRY" };
            operator.delete_consumer_from_stream(name, stream).await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn an_ack_to_a_consumer_that_is_gone_is_no_success() {
    let server = Server::start().await;
    let transport = server.transport();
    transport.prepare().await.unwrap();
    transport.publish(&numbered(0..3)).await.unwrap();
    let mut consumer = consume(&*transport, "a", 8).await;
    let batch = receive_many(&mut consumer, 3).await;
    operator(&server).await.delete_consumer_from_stream("quash", "QUASH").await.unwrap();
    let notified = consumer.settler.settle(&all(&batch, &Verdict::Ack)).await;
    // Unless the consumer was made again already: then these deliveries are nobody's any more.
    assert!(matches!(notified, Err(TransportError::Unreachable(_)) | Ok(_)), "{notified:?}");
    let again = receive_many(&mut consumer, 3).await;
    consumer.settler.settle(&all(&again, &Verdict::Ack)).await.unwrap();
    assert_eq!(transport.backlog().await.unwrap(), Default::default());
}

#[tokio::test]
async fn a_stream_that_is_deleted_is_told_and_not_made_by_publishers() {
    let server = Server::start().await;
    let transport = server.transport();
    transport.prepare().await.unwrap();
    let mut consumer = consume(&*transport, "a", 8).await;
    let operator = operator(&server).await;
    operator.delete_stream("QUASH").await.unwrap();
    let words = refusal(transport.publish(&[message("x")]).await);
    assert!(words.contains("stream QUASH does not exist"), "{words}");
    let words = refusal(tokio::time::timeout(LIMIT, consumer.receiver.receive()).await.unwrap());
    assert!(words.contains("stream QUASH does not exist"), "{words}");
    assert!(!consumer.settler.connected());
    assert!(operator.get_stream("QUASH").await.is_err(), "nobody made it");

    transport.prepare().await.unwrap();
    transport.publish(&[message("x")]).await.unwrap();
    let mut received = Vec::new();
    while received.is_empty() {
        received = consumer.receiver.receive().await.unwrap_or_default();
    }
    assert_eq!(received[0].message.payload, "x");
    assert!(consumer.settler.connected());
}

#[tokio::test]
async fn deleted_streams_of_letters_and_delays_are_made_again_when_something_must_go_there() {
    let server = Server::start().await;
    let transport = server.transport();
    transport.prepare().await.unwrap();
    transport.publish(&numbered(0..2)).await.unwrap();
    let mut consumer = consume(&*transport, "a", 2).await;
    let held = receive_many(&mut consumer, 2).await;
    let operator = operator(&server).await;
    for stream in ["QUASH_DEAD", "QUASH_RETRY"] {
        operator.delete_stream(stream).await.unwrap();
    }
    let later = Replacement { message: held[1].message.clone(), to: Destination::Later(Duration::from_millis(100)) };
    let verdicts = [(held[0].tag, dead(held[0].message.clone())), (held[1].tag, Verdict::Replace(vec![later]))];
    eventually(LIMIT, "it is settled", async || consumer.settler.settle(&verdicts).await.is_ok()).await;
    assert_eq!(transport.dead_letters().len().await.unwrap(), 1);
    let mut back = Vec::new();
    while back.is_empty() {
        back = tokio::time::timeout(LIMIT, consumer.receiver.receive()).await.unwrap().unwrap_or_default();
    }
    assert_eq!(back[0].message.payload, "1");
    consumer.settler.settle(&all(&back, &Verdict::Ack)).await.unwrap();
    assert!(consumer.settler.connected());
}

#[tokio::test]
async fn a_settle_after_the_servers_patience_changes_nothing() {
    let server = Server::start().await;
    let proxy = ChaosProxy::before(server.url().trim_start_matches("nats://")).await;
    let slow = quick(&format!("nats://{}", proxy.address())).build().unwrap();
    slow.prepare().await.unwrap();
    slow.publish(&numbered(0..2)).await.unwrap();
    let mut late = consume(&*slow, "late", 8).await;
    let old = receive_many(&mut late, 2).await;
    proxy.set(Mode::BlackHole);
    let transport = server.transport();
    let mut heir = consume(&*transport, "heir", 8).await;
    let taken = receive_many(&mut heir, 2).await;
    assert!(taken.iter().all(|delivery| delivery.deliveries == 2));
    proxy.set(Mode::Pass);
    let letters = all(&old, &dead(message("late")));
    eventually(LIMIT, "it can settle", async || late.settler.settle(&letters).await.is_ok()).await;
    assert_eq!(transport.dead_letters().len().await.unwrap(), 0);
    assert_eq!(transport.backlog().await.unwrap().unsettled, 2);
    heir.settler.settle(&all(&taken, &Verdict::Ack)).await.unwrap();
    assert_eq!(transport.backlog().await.unwrap(), Default::default());
}

#[tokio::test]
async fn what_is_worked_on_for_long_is_nobody_elses() {
    let server = Server::start().await;
    let transport = server.transport();
    transport.prepare().await.unwrap();
    transport.publish(&numbered(0..2)).await.unwrap();
    let mut slow = consume(&*transport, "slow", 8).await;
    let batch = receive_many(&mut slow, 2).await;
    let mut idle = consume(&*transport, "idle", 8).await;
    let waited = tokio::time::timeout(2 * *server.config().ack_wait, idle.receiver.receive()).await;
    assert!(waited.is_err(), "{waited:?}");
    slow.settler.settle(&all(&batch, &Verdict::Ack)).await.unwrap();
    assert_eq!(transport.backlog().await.unwrap(), Default::default());
}

#[tokio::test]
async fn closing_hands_back_what_was_not_begun_and_leaves_the_rest_to_be_settled() {
    let server = Server::start().await;
    let transport = server.transport();
    transport.prepare().await.unwrap();
    transport.publish(&numbered(0..10)).await.unwrap();
    let mut ending = consume(&*transport, "ending", 2).await;
    let begun = receive_many(&mut ending, 2).await;
    ending.receiver.close().await;
    let mut next = consume(&*transport, "next", 16).await;
    let rest = tokio::time::timeout(Duration::from_secs(1), receive_many(&mut next, 8)).await.unwrap();
    assert_eq!(rest.len(), 8, "at once, and none of those that are worked on");
    ending.settler.settle(&all(&begun, &Verdict::Ack)).await.unwrap();
    next.settler.settle(&all(&rest, &Verdict::Ack)).await.unwrap();
    assert_eq!(transport.backlog().await.unwrap(), Default::default());
}

#[tokio::test]
async fn whoever_will_not_settle_any_more_hands_back() {
    let server = Server::start().await;
    let transport = server.transport();
    transport.prepare().await.unwrap();
    transport.publish(&numbered(0..2)).await.unwrap();
    let mut ending = consume(&*transport, "ending", 2).await;
    receive_many(&mut ending, 2).await;
    ending.receiver.close().await;
    drop(ending.settler);
    let next = consume(&*transport, "next", 16).await;
    drain(&*transport, next).await;
}
