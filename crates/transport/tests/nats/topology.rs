//! Promises that what is at the server already is checked, and that groups do not disturb each other.

use std::time::Duration;

use async_nats::jetstream::{self, stream};
use quash_config::Severity;
use quash_config::Span;
use quash_transport::nats::{Config, Retention};
use quash_transport::{Destination, Replacement, Verdict};

use super::server::{Server, all, consume, message, numbered, receive_many, refusal};

async fn with_stream(config: stream::Config) -> Server {
    let server = Server::start().await;
    let operator = jetstream::new(async_nats::connect(server.url()).await.unwrap());
    operator.create_stream(config).await.unwrap();
    server
}

fn own(retention: stream::RetentionPolicy) -> stream::Config {
    let discard = stream::DiscardPolicy::New;
    stream::Config {
        name: "QUASH".into(),
        subjects: vec!["quash.events".into()],
        retention,
        discard,
        ..Default::default()
    }
}

#[tokio::test]
async fn a_stream_that_would_lose_events_is_refused_with_its_mend() {
    let discard = stream::DiscardPolicy::Old;
    let server = with_stream(stream::Config { discard, ..own(stream::RetentionPolicy::WorkQueue) }).await;
    let words = refusal(server.transport().prepare().await);
    assert!(
        words.contains("stream QUASH: discard is old, new is needed: mend with `nats stream edit QUASH"),
        "{words}"
    );
    let findings = server.transport().inspect().await.unwrap();
    assert!(
        findings.iter().any(|finding| finding.severity == Severity::Error && finding.what.contains("discard is old"))
    );
}

#[tokio::test]
async fn a_subject_of_another_stream_is_said_in_clear_words() {
    let other = stream::Config { name: "OTHER".into(), subjects: vec!["quash.>".into()], ..Default::default() };
    let server = with_stream(other).await;
    let words = refusal(server.transport().prepare().await);
    assert!(words.contains("another stream takes that subject already"), "{words}");
}

#[tokio::test]
async fn a_second_consumer_of_a_work_queue_is_said_in_clear_words() {
    let server = Server::start().await;
    server.transport().prepare().await.unwrap();
    let words = refusal(Config { consumer: "other".into(), ..server.config() }.build().unwrap().prepare().await);
    assert!(words.contains("is a work queue") && words.contains("limits"), "{words}");
}

#[tokio::test]
async fn nothing_is_made_where_nothing_may_be() {
    let server = Server::start().await;
    let checking = Config { declare: false, ..server.config() }.build().unwrap();
    assert!(refusal(checking.prepare().await).contains("stream QUASH does not exist"));
    server.transport().prepare().await.unwrap();
    checking.prepare().await.unwrap();
}

#[tokio::test]
async fn a_stream_of_others_is_read_through_a_filter() {
    let mut wide = own(stream::RetentionPolicy::WorkQueue);
    wide.subjects = vec!["quash.>".into()];
    let server = with_stream(wide).await;
    let transport = server.transport();
    transport.prepare().await.unwrap();
    let client = async_nats::connect(server.url()).await.unwrap();
    jetstream::new(client).publish("quash.other", "not ours".into()).await.unwrap().await.unwrap();
    transport.publish(&[message("ours")]).await.unwrap();
    let mut consumer = consume(&*transport, "a", 8).await;
    let batch = receive_many(&mut consumer, 1).await;
    assert_eq!(batch[0].message.payload, "ours");
    consumer.settler.settle(&all(&batch, &Verdict::Ack)).await.unwrap();
    assert_eq!(transport.backlog().await.unwrap(), Default::default());
}

#[tokio::test]
async fn every_group_gets_everything_and_its_own_retries() {
    let server = Server::start().await;
    let group = |name: &str| {
        let age = Some(Span(Duration::from_secs(3600)));
        let config = Config { consumer: name.into(), retention: Retention::Limits, max_age: age, ..server.config() };
        config.build().unwrap()
    };
    let (one, other) = (group("one"), group("other"));
    one.prepare().await.unwrap();
    other.prepare().await.unwrap();
    one.publish(&numbered(0..3)).await.unwrap();
    let (mut first, mut second) = (consume(&*one, "a", 8).await, consume(&*other, "b", 8).await);
    let batch = receive_many(&mut first, 3).await;
    let later = |delivery: &quash_transport::Delivery| {
        let copy = Replacement { message: delivery.message.clone(), to: Destination::Later(Duration::from_millis(50)) };
        (delivery.tag, Verdict::Replace(vec![copy]))
    };
    first.settler.settle(&[later(&batch[0])]).await.unwrap();
    first.settler.settle(&all(&batch[1..2], &Verdict::Release)).await.unwrap();
    first.settler.settle(&all(&batch[2..], &Verdict::Ack)).await.unwrap();
    assert_eq!(receive_many(&mut first, 2).await.len(), 2, "the retry and what was released come back");
    let batch = receive_many(&mut second, 3).await;
    assert_eq!(batch.len(), 3);
    second.settler.settle(&all(&batch, &Verdict::Ack)).await.unwrap();
    assert_eq!(other.backlog().await.unwrap(), Default::default(), "nothing of the other group's");
}

#[tokio::test]
async fn an_identifier_of_the_publisher_makes_one_of_two() {
    let server = Server::start().await;
    let transport = server.transport();
    transport.prepare().await.unwrap();
    let mut named = message("x");
    named.headers.set("nats-msg-id", "1");
    transport.publish(&[named.clone()]).await.unwrap();
    transport.publish(&[named]).await.unwrap();
    assert_eq!(transport.backlog().await.unwrap().ready, 1);
    let mut consumer = consume(&*transport, "a", 8).await;
    let batch = receive_many(&mut consumer, 1).await;
    assert_eq!(batch[0].message, message("x"), "it is about that publish alone");
    // Published again, as a replay does it, it is stored.
    transport.publish(&[batch[0].message.clone()]).await.unwrap();
    assert_eq!(receive_many(&mut consumer, 1).await.len(), 1);
}

#[tokio::test]
async fn a_prepared_server_is_looked_at_without_an_error() {
    let server = Server::start().await;
    let transport = server.transport();
    let before = transport.inspect().await.unwrap();
    assert!(before.iter().any(|finding| finding.what.contains("stream QUASH does not exist")));
    transport.prepare().await.unwrap();
    let findings = transport.inspect().await.unwrap();
    assert!(findings.iter().all(|finding| finding.severity != Severity::Error), "{findings:?}");
    assert!(
        findings.iter().any(|finding| finding.severity == Severity::Warning && finding.what.contains("power loss"))
    );
}
