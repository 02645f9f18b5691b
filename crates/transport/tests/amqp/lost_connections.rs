//! Promises that lost connections make no dead letters of messages that did nothing.

use std::collections::BTreeSet;

use quash_e2e::ChaosProxy;
use quash_transport::conformance::eventually;
use quash_transport::{Backlog, SUSPECT_AFTER};

use super::node::{Fixture, LIMIT, ack, consume, numbered, receive, receive_many, texts};

#[tokio::test]
async fn many_lost_connections_with_a_full_prefetch_give_up_nothing() {
    let fixture = Fixture::shared().await;
    let proxy = ChaosProxy::before(fixture.address()).await;
    let transport = fixture.config_at(&proxy.address()).build().unwrap();
    transport.prepare().await.unwrap();
    transport.publish(&numbered(0..300)).await.unwrap();
    let mut consumer = consume(&*transport, "a", 16).await;
    for _ in 0..21 {
        receive(&mut consumer).await;
        proxy.cut_once();
        eventually(LIMIT, "noticed", async || !consumer.settler.connected()).await;
        eventually(LIMIT, "connected again", async || consumer.settler.connected()).await;
    }
    let mut seen = BTreeSet::new();
    let empty = async || transport.backlog().await.is_ok_and(|backlog| backlog == Backlog::default());
    // Some come twice: a cut between moving them aside and the ack of that doubles them.
    let draining = async {
        loop {
            let batch = receive(&mut consumer).await;
            ack(&consumer, &batch).await;
            seen.extend(texts(&batch));
        }
    };
    tokio::select! { () = draining => {}, () = eventually(LIMIT, "nothing waits", empty) => {} }
    assert_eq!(seen.len(), 300, "none is lost");
    assert_eq!(transport.dead_letters().len().await.unwrap(), 0);
}

#[tokio::test]
async fn only_what_was_in_somebodys_hands_becomes_more_suspect() {
    let fixture = Fixture::shared().await;
    let proxy = ChaosProxy::before(fixture.address()).await;
    let transport = fixture.config_at(&proxy.address()).build().unwrap();
    transport.prepare().await.unwrap();
    transport.publish(&numbered(0..5)).await.unwrap();
    let mut consumer = consume(&*transport, "a", 8).await;
    for _ in 0..SUSPECT_AFTER {
        receive_many(&mut consumer, 5).await;
        lose(&proxy, &consumer).await;
    }
    // A cut between moving them and the ack of that would double them.
    let moved = Backlog { ready: 4, unsettled: 1, ..Backlog::default() };
    eventually(LIMIT, "all are set aside", async || transport.backlog().await.is_ok_and(|now| now == moved)).await;
    for round in 1..=4 {
        let suspect = receive(&mut consumer).await;
        assert_eq!((texts(&suspect), suspect[0].deliveries), (vec!["0".into()], SUSPECT_AFTER + round));
        lose(&proxy, &consumer).await;
    }
    for expected in 0..5 {
        let suspect = receive(&mut consumer).await;
        assert_eq!(texts(&suspect), [expected.to_string()]);
        let deliveries = if expected == 0 { SUSPECT_AFTER + 5 } else { SUSPECT_AFTER + 1 };
        assert_eq!(suspect[0].deliveries, deliveries, "{expected}");
        ack(&consumer, &suspect).await;
    }
    assert_eq!(transport.backlog().await.unwrap(), Backlog::default());
}

async fn lose(proxy: &ChaosProxy, consumer: &quash_transport::Consumer) {
    proxy.cut_once();
    eventually(LIMIT, "noticed", async || !consumer.settler.connected()).await;
    eventually(LIMIT, "connected again", async || consumer.settler.connected()).await;
}
