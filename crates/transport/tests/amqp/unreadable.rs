//! Promises that a message whose headers the driver cannot read is received all the same, and others around it.

use quash_e2e::raw::{RawAmqp, amqp_headers, amqp_nested, amqp_text, short};
use quash_transport::message::UNREADABLE;
use quash_transport::{Destination as Where, Replacement, Verdict};

use super::node::{Fixture, ack, consume, message, receive_many};

/// Properties that the driver cannot read, and what is said about each.
fn unreadable() -> Vec<(Vec<u8>, &'static str)> {
    let property = |bit: u8, high: bool| [&if high { [bit, 0] } else { [0, bit] }[..], &short(b"caf\xe9")].concat();
    vec![
        (amqp_headers(&amqp_nested(b"deep", 1500)), "nested more than 128 deep"),
        (amqp_headers(&amqp_text(b"caf\xe9", b"x")), "the name of the header `caf%E9` is not UTF-8"),
        (property(0x80, false), "the property `message-id` is not UTF-8"),
        (property(0x80, true), "the property `content-type` is not UTF-8"),
        (property(0x40, true), "the property `content-encoding` is not UTF-8"),
    ]
}

#[tokio::test]
async fn a_message_whose_headers_cannot_be_read_is_received_with_why_and_its_neighbours_too() {
    let fixture = Fixture::shared().await;
    let transport = fixture.transport();
    transport.prepare().await.unwrap();
    let mut raw = RawAmqp::connect(fixture.address()).await;
    let mut consumer = consume(&*transport, "a", 8).await;
    for (properties, why) in unreadable() {
        transport.publish(&[message("before")]).await.unwrap();
        raw.publish(fixture.queue(), &properties, b"bad").await;
        transport.publish(&[message("after")]).await.unwrap();
        let deliveries = receive_many(&mut consumer, 3).await;
        let said: Vec<_> = deliveries.iter().map(|delivery| delivery.message.headers.get(UNREADABLE)).collect();
        assert!(said[0].is_none() && said[2].is_none(), "{why}: {said:?}");
        assert!(said[1].is_some_and(|said| said.contains(why)), "{why}: {said:?}");
        assert_eq!(deliveries[1].message.payload, "bad", "{why}");
        assert!(deliveries.iter().all(|delivery| delivery.deliveries == 1), "{why}: nothing came twice");
        ack(&consumer, &deliveries).await;
    }
}

#[tokio::test]
async fn what_cannot_be_read_can_be_a_dead_letter_and_be_seen_there() {
    let fixture = Fixture::shared().await;
    let transport = fixture.transport();
    transport.prepare().await.unwrap();
    let mut raw = RawAmqp::connect(fixture.address()).await;
    // One comes through a worker; the others lie there as the broker itself would put them.
    let (first, _) = unreadable().remove(0);
    raw.publish(fixture.queue(), &first, b"bad").await;
    for (properties, _) in unreadable() {
        raw.publish(&format!("{}.dead", fixture.queue()), &properties, b"as it is").await;
    }
    let mut consumer = consume(&*transport, "a", 8).await;
    let delivery = receive_many(&mut consumer, 1).await.remove(0);
    let letter = Replacement { message: delivery.message, to: Where::DeadLetters };
    consumer.settler.settle(&[(delivery.tag, Verdict::Replace(vec![letter]))]).await.unwrap();
    let letters = transport.dead_letters().scan(None, 10).await.unwrap();
    assert_eq!(letters.len(), 6);
    assert!(letters.iter().all(|(_, letter)| letter.headers.get(UNREADABLE).is_some()), "{letters:?}");
    let ids: Vec<_> = letters.into_iter().map(|(id, _)| id).collect();
    assert_eq!(transport.dead_letters().remove(&ids).await.unwrap(), 6);
}
