//! Promises that what happens to the broker or the way to it loses nothing.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quash_config::{Secret, Span};
use quash_e2e::ChaosProxy;
use quash_transport::amqp::Config;
use quash_transport::conformance::eventually;
use quash_transport::{Backlog, Consumer, Delivery, Message, Settler, Transport, TransportError, Verdict};
use tokio::time::Instant;

use super::node::{Fixture, LIMIT, ack, consume, message, numbered, receive, receive_many, texts};

const MESSAGES: usize = 2000;

/// What a fault can see of the flow that it disturbs.
struct Flow {
    seen: Mutex<BTreeSet<Vec<u8>>>,
    settler: Arc<dyn Settler>,
}

impl Flow {
    fn seen(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    async fn until_seen(&self, count: usize) {
        eventually(LIMIT, "some are received", async || self.seen() > count).await;
    }

    async fn until_noticed(&self) {
        eventually(LIMIT, "the fault is noticed", async || !self.settler.connected()).await;
    }

    async fn until_recovered(&self) {
        eventually(LIMIT, "connected again", async || self.settler.connected()).await;
    }
}

#[tokio::test]
async fn a_node_that_is_killed_and_restarted_loses_nothing() {
    let fixture = Fixture::own().await;
    let transport = fixture.transport();
    transport.prepare().await.unwrap();
    fixture.until_settled().await;
    flow(transport, async |flow| {
        for round in 1..=2 {
            flow.until_seen(round * 300).await;
            fixture.node().await.kill9();
            flow.until_noticed().await;
            fixture.node().await.restart().await;
            flow.until_recovered().await;
        }
    })
    .await;
}

#[tokio::test]
async fn connections_that_the_broker_closes_lose_nothing() {
    let fixture = Fixture::own().await;
    flow(fixture.transport(), async |flow| {
        for round in 1..=3 {
            flow.until_seen(round * 200).await;
            fixture.node().await.ctl(&["close_all_connections", "a test"]).await;
            flow.until_recovered().await;
        }
    })
    .await;
}

#[tokio::test]
async fn connections_that_are_cut_mid_batch_lose_nothing() {
    let fixture = Fixture::shared().await;
    let proxy = ChaosProxy::before(fixture.address()).await;
    flow(fixture.config_at(&proxy.address()).build().unwrap(), async |flow| {
        for round in 1..=15 {
            flow.until_seen(round * 100).await;
            proxy.cut_once();
            flow.until_recovered().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_node_that_hangs_is_noticed_and_loses_nothing() {
    let fixture = Fixture::own().await;
    let config = Config { heartbeat: Span(Duration::from_secs(1)), ..fixture.config() };
    flow(config.build().unwrap(), async |flow| {
        flow.until_seen(300).await;
        fixture.node().await.stop();
        let stopped = Instant::now();
        flow.until_noticed().await;
        assert!(stopped.elapsed() < Duration::from_secs(5), "noticed after {:?}", stopped.elapsed());
        fixture.node().await.cont();
    })
    .await;
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_said_to_be_out_of_reach() {
    // Nobody listens on the first port.
    let transport = Config::at(Secret::new("amqp://user:hunter2@127.0.0.1:1")).build().unwrap();
    for result in [
        transport.prepare().await,
        transport.publish(&[message("x")]).await,
        transport.backlog().await.map(drop),
        transport.consume(&options()).await.map(drop),
        transport.dead_letters().len().await.map(drop),
    ] {
        let words = format!("{result:?}");
        assert!(matches!(result, Err(TransportError::Unreachable(_))), "{words}");
        assert!(words.contains("127.0.0.1:1") && !words.contains("hunter2"), "{words}");
    }
}

#[tokio::test]
async fn wrong_credentials_are_refused_without_being_shown() {
    let fixture = Fixture::shared().await;
    let config = Config { password: Some(Secret::new("hunter2")), ..fixture.config() };
    let transport = config.build().unwrap();
    for result in [transport.publish(&[message("x")]).await, transport.consume(&options()).await.map(drop)] {
        let words = format!("{result:?}");
        assert!(matches!(result, Err(TransportError::Refused(_))), "{words}");
        assert!(words.contains("ACCESS_REFUSED") && !words.contains("hunter2"), "{words}");
    }
}

#[tokio::test]
async fn what_no_queue_takes_is_refused_and_its_original_kept() {
    let fixture = Fixture::own().await;
    // One that makes queues, and one that leaves that to others.
    let (maker, transport) = (fixture.transport(), Config { declare: false, ..fixture.config() }.build().unwrap());
    let refused = transport.publish(&[message("x")]).await;
    assert!(matches!(&refused, Err(TransportError::Refused(words)) if words.contains(fixture.queue())), "{refused:?}");
    maker.prepare().await.unwrap();
    transport.publish(&[message("kept"), message("acked")]).await.unwrap();
    let mut consumer = consume(&*transport, "a", 2).await;
    let held = receive_many(&mut consumer, 2).await;
    fixture.node().await.ctl(&["delete_queue", &format!("{}.dead", fixture.queue())]).await;
    let dead = Verdict::Replace(vec![quash_transport::Replacement {
        message: held[0].message.clone(),
        to: quash_transport::Destination::DeadLetters,
    }]);
    let verdicts = [(held[0].tag, dead), (held[1].tag, Verdict::Ack)];
    let refused = consumer.settler.settle(&verdicts).await;
    assert!(matches!(&refused, Err(TransportError::Refused(words)) if words.contains(".dead")), "{refused:?}");
    assert_eq!(transport.backlog().await.unwrap().unsettled, 1, "the other one is acked nevertheless");
    maker.prepare().await.unwrap();
    consumer.settler.settle(&verdicts).await.unwrap();
    assert_eq!(transport.dead_letters().len().await.unwrap(), 1);
    assert_eq!(transport.backlog().await.unwrap(), Backlog::default());
}

#[tokio::test]
async fn consuming_goes_on_while_the_broker_is_short_of_memory() {
    let fixture = Fixture::own().await;
    let config = Config { publish_timeout: Span(Duration::from_secs(2)), ..fixture.config() };
    let transport = config.build().unwrap();
    transport.prepare().await.unwrap();
    transport.publish(&numbered(0..40)).await.unwrap();
    let mut consumer = consume(&*transport, "a", 8).await;
    let first = receive_many(&mut consumer, 8).await;
    ack(&consumer, &first).await;
    fixture.node().await.ctl(&["set_vm_memory_high_watermark", "0"]).await;
    let blocked = transport.publish(&[message("late")]).await;
    assert!(matches!(&blocked, Err(TransportError::Unreachable(words)) if words.contains("memory")), "{blocked:?}");
    let mut received = 8;
    while received < 40 {
        let batch = receive(&mut consumer).await;
        ack(&consumer, &batch).await;
        received += batch.len();
    }
    assert_eq!(transport.backlog().await.unwrap(), Backlog::default());
    fixture.node().await.ctl(&["set_vm_memory_high_watermark", "0.4"]).await;
    eventually(LIMIT, "publishing works again", async || transport.publish(&[message("x")]).await.is_ok()).await;
    // The one that was given up may have been written, or not.
    let batch = receive_many(&mut consumer, 1).await;
    assert!(batch.iter().all(|delivery| delivery.message.payload == "x" || delivery.message.payload == "late"));
}

#[tokio::test]
async fn a_queue_that_is_deleted_is_declared_again() {
    let fixture = Fixture::own().await;
    let transport = fixture.transport();
    transport.prepare().await.unwrap();
    let mut consumer = consume(&*transport, "a", 4).await;
    fixture.node().await.ctl(&["delete_queue", fixture.queue()]).await;
    let publishing = async {
        // Until the queue is there again, nothing is taken in silence: it is missing, or has no leader yet.
        let messages = [message("after")];
        eventually(LIMIT, "the queue is there", async || transport.publish(&messages).await.is_ok()).await;
    };
    let (batch, ()) = tokio::join!(receive(&mut consumer), publishing);
    assert_eq!(texts(&batch), ["after"]);
    ack(&consumer, &batch).await;
}

#[tokio::test]
async fn without_the_right_to_declare_a_missing_queue_is_refused_until_it_is_there() {
    let fixture = Fixture::own().await;
    let transport = fixture.transport();
    transport.prepare().await.unwrap();
    let checking = Config { declare: false, ..fixture.config() }.build().unwrap();
    let mut consumer = consume(&*checking, "a", 4).await;
    fixture.node().await.ctl(&["delete_queue", fixture.queue()]).await;
    let refused = tokio::time::timeout(LIMIT, consumer.receiver.receive()).await.unwrap();
    assert!(matches!(&refused, Err(TransportError::Refused(words)) if words.contains(fixture.queue())), "{refused:?}");
    transport.prepare().await.unwrap();
    transport.publish(&[message("again")]).await.unwrap();
    let batch = loop {
        // What was tried before the queue was there may be told yet.
        match tokio::time::timeout(LIMIT, consumer.receiver.receive()).await.unwrap() {
            Ok(batch) => break batch,
            Err(error) => assert!(matches!(error, TransportError::Refused(_)), "{error}"),
        }
    };
    assert_eq!(texts(&batch), ["again"]);
}

fn options() -> quash_transport::ConsumeOptions {
    quash_transport::ConsumeOptions { name: "a".into(), batch: 1, linger: Duration::ZERO }
}

/// Publishes and consumes while something happens; in the end everything was received and nothing waits.
async fn flow(transport: Arc<dyn Transport>, fault: impl AsyncFnOnce(&Flow)) {
    transport.prepare().await.unwrap();
    let mut consumer = consume(&*transport, "a", 16).await;
    let flow = Flow { seen: Mutex::default(), settler: Arc::clone(&consumer.settler) };
    let consuming = async {
        while flow.seen() < MESSAGES {
            let batch = consumer.receiver.receive().await.unwrap();
            settle(&consumer, &batch).await;
            flow.seen.lock().unwrap().extend(batch.into_iter().map(|delivery| delivery.message.payload.to_vec()));
        }
    };
    let messages = numbered(0..MESSAGES);
    let all = async { tokio::join!(publish(&*transport, &messages), consuming, fault(&flow)) };
    assert!(tokio::time::timeout(3 * LIMIT, all).await.is_ok(), "{} of {MESSAGES}", flow.seen());
    let empty = async || transport.backlog().await.is_ok_and(|backlog| backlog == Backlog::default());
    let draining = async {
        loop {
            let batch = consumer.receiver.receive().await.unwrap();
            settle(&consumer, &batch).await;
        }
    };
    tokio::select! { () = draining => {}, () = eventually(LIMIT, "nothing waits", empty) => {} }
    assert_eq!(transport.dead_letters().len().await.unwrap(), 0, "nothing is given up for that");
}

/// Publishes a few at a time, again when it is not known whether they arrived.
async fn publish(transport: &dyn Transport, messages: &[Message]) {
    for chunk in messages.chunks(10) {
        eventually(LIMIT, "the broker takes them", async || transport.publish(chunk).await.is_ok()).await;
    }
}

async fn settle(consumer: &Consumer, batch: &[Delivery]) {
    let verdicts: Vec<_> = batch.iter().map(|delivery| (delivery.tag, Verdict::Ack)).collect();
    let settled = async || consumer.settler.settle(&verdicts).await.is_ok();
    eventually(LIMIT, "the broker takes the verdicts", settled).await;
}
