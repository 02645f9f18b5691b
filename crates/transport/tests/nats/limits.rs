//! Promises that what is too large or too much is refused, and lost nowhere.

use bytes::Bytes;
use quash_transport::conformance::eventually;
use quash_transport::nats::Config;
use quash_transport::{Message, Verdict};

use super::server::{LIMIT, Server, all, consume, dead, message, receive_many, refusal};

/// What the server takes in one message, by default.
const PAYLOAD_MAX: usize = 1024 * 1024;

fn large(bytes: usize) -> Message {
    Message { payload: Bytes::from(vec![b'x'; bytes]), ..Message::default() }
}

#[tokio::test]
async fn a_full_stream_refuses_and_goes_on_when_there_is_room() {
    let server = Server::start().await;
    let transport = Config { max_bytes: Some(20_000), ..server.config() }.build().unwrap();
    transport.prepare().await.unwrap();
    let mut taken = 0;
    let words = loop {
        match transport.publish(&[large(1000)]).await {
            Ok(()) => taken += 1,
            refused => break refusal(refused),
        }
    };
    assert!(words.contains("stream QUASH") && words.contains("maximum bytes"), "{words}");
    assert!(taken > 10);
    let mut consumer = consume(&*transport, "a", 4).await;
    let batch = receive_many(&mut consumer, taken).await;
    assert_eq!(batch.len(), taken, "what was taken is there");
    // Copies do not go through the full stream.
    consumer.settler.settle(&all(&batch[..1], &Verdict::Release)).await.unwrap();
    consumer.settler.settle(&all(&batch[1..], &Verdict::Ack)).await.unwrap();
    eventually(LIMIT, "there is room", async || transport.publish(&[large(1000)]).await.is_ok()).await;
    assert_eq!(receive_many(&mut consumer, 2).await.len(), 2);
}

#[tokio::test]
async fn what_is_larger_than_the_server_takes_is_refused_with_its_size() {
    let server = Server::start().await;
    let transport = server.transport();
    transport.prepare().await.unwrap();
    transport.publish(&[large(PAYLOAD_MAX)]).await.unwrap();
    let words = refusal(transport.publish(&[message("small"), large(PAYLOAD_MAX + 1)]).await);
    assert!(words.contains("1048577") && words.contains("1048576"), "{words}");
    assert_eq!(transport.backlog().await.unwrap().ready, 1, "the others were not published either");
}

#[tokio::test]
async fn many_large_messages_all_come_though_not_at_once() {
    let server = Server::start().await;
    let transport = server.transport();
    transport.prepare().await.unwrap();
    for _ in 0..20 {
        transport.publish(&vec![large(PAYLOAD_MAX); 5]).await.unwrap();
    }
    let mut consumer = consume(&*transport, "a", 250).await;
    let mut received = 0;
    while received < 100 {
        let batch = receive_many(&mut consumer, 1).await;
        consumer.settler.settle(&all(&batch, &Verdict::Ack)).await.unwrap();
        received += batch.len();
    }
    assert_eq!((received, transport.backlog().await.unwrap()), (100, Default::default()));
}

#[tokio::test]
async fn a_delivery_with_a_copy_that_is_too_large_stays() {
    let server = Server::start().await;
    let transport = server.transport();
    transport.prepare().await.unwrap();
    transport.publish(&[large(PAYLOAD_MAX - 300), message("small")]).await.unwrap();
    let mut consumer = consume(&*transport, "a", 4).await;
    let batch = receive_many(&mut consumer, 2).await;
    let mut letter = batch[0].message.clone();
    letter.headers.set("history", "x".repeat(300));
    let verdicts = [(batch[0].tag, dead(letter)), (batch[1].tag, dead(batch[1].message.clone()))];
    assert_eq!(consumer.settler.settle(&verdicts).await.unwrap().oversized, [batch[0].tag]);
    assert_eq!(transport.dead_letters().len().await.unwrap(), 1, "the other one was settled");
    // Asked again with a smaller copy, it is done.
    let smaller = [(batch[0].tag, dead(batch[0].message.clone()))];
    assert_eq!(consumer.settler.settle(&smaller).await.unwrap().oversized, []);
    assert_eq!(transport.dead_letters().len().await.unwrap(), 2);
    assert_eq!(transport.backlog().await.unwrap(), Default::default());
}

#[tokio::test]
async fn a_delivery_that_is_never_settled_for_its_size_comes_again() {
    let server = Server::start().await;
    let transport = server.transport();
    transport.prepare().await.unwrap();
    transport.publish(&[large(PAYLOAD_MAX)]).await.unwrap();
    let mut consumer = consume(&*transport, "a", 4).await;
    let batch = receive_many(&mut consumer, 1).await;
    let mut letter = batch[0].message.clone();
    letter.headers.set("record", "x");
    assert_eq!(consumer.settler.settle(&all(&batch, &dead(letter))).await.unwrap().oversized, [batch[0].tag]);
    let again = receive_many(&mut consumer, 1).await;
    assert_eq!((again[0].deliveries, again[0].message.payload.len()), (2, PAYLOAD_MAX));
    // Neither can it be copied to be released: then it goes back as it is.
    consumer.settler.settle(&all(&again, &Verdict::Release)).await.unwrap();
    let again = receive_many(&mut consumer, 1).await;
    // As it was published it fits, since the server took it once.
    let as_it_is = dead(again[0].message.clone());
    assert_eq!(consumer.settler.settle(&all(&again, &as_it_is)).await.unwrap().oversized, []);
    assert_eq!(transport.dead_letters().len().await.unwrap(), 1);
    assert_eq!(transport.backlog().await.unwrap(), Default::default());
}

#[tokio::test]
async fn one_that_is_too_large_to_be_moved_aside_still_comes_alone() {
    let server = Server::start().await;
    let transport = server.transport();
    transport.prepare().await.unwrap();
    transport.publish(&[large(PAYLOAD_MAX), message("beside")]).await.unwrap();
    for _ in 0..3 {
        let mut consumer = consume(&*transport, "a", 4).await;
        receive_many(&mut consumer, 2).await;
    }
    let mut consumer = consume(&*transport, "a", 4).await;
    for _ in 0..2 {
        let batch = consumer.receiver.receive().await.unwrap();
        assert_eq!((batch.len(), batch[0].deliveries), (1, 4));
        consumer.settler.settle(&all(&batch, &Verdict::Ack)).await.unwrap();
    }
    assert_eq!(transport.backlog().await.unwrap(), Default::default());
}
