//! Promises that what leaves a stream unread is counted, and that no letter goes in the place of another.

use std::sync::Arc;

use async_nats::jetstream;
use futures_util::StreamExt;
use quash_transport::conformance::eventually;
use quash_transport::{Consumer, LetterId, Transport, Verdict};

use super::flow::flow;
use super::server::{LIMIT, Server, all, consume, message, numbered, receive_many, refusal};

/// What an operator does.
struct Operator {
    client: async_nats::Client,
    context: jetstream::Context,
}

impl Operator {
    async fn of(server: &Server) -> Self {
        let client = async_nats::connect(server.url()).await.unwrap();
        Self { context: jetstream::new(client.clone()), client }
    }

    async fn stream(&self) -> jetstream::stream::Stream {
        self.context.get_stream("QUASH").await.unwrap()
    }

    /// Waits until the worker has looked at its stream, whatever else asks about it.
    async fn until_looked(&self) {
        const LOOKS: usize = 9;
        let asked = self.client.subscribe("$JS.API.STREAM.INFO.QUASH").await.unwrap();
        tokio::time::timeout(LIMIT, asked.take(LOOKS).count()).await.unwrap();
    }
}

/// A hundred messages, of which a consumer that fetches ahead has some.
async fn backlog(server: &Server) -> (Arc<dyn Transport>, Consumer, Operator) {
    let transport = server.transport();
    transport.prepare().await.unwrap();
    let consumer = consume(&*transport, "a", 1).await;
    transport.publish(&numbered(0..100)).await.unwrap();
    let operator = Operator::of(server).await;
    operator.until_looked().await;
    (transport, consumer, operator)
}

async fn until_lost(transport: &dyn Transport, count: u64) {
    eventually(LIMIT, "the loss is counted", async || transport.backlog().await.unwrap().lost == count).await;
}

#[tokio::test]
async fn what_is_purged_before_it_is_handed_out_is_reported_as_lost() {
    let server = Server::start().await;
    let (transport, mut consumer, operator) = backlog(&server).await;
    let ready = transport.backlog().await.unwrap().ready;
    assert!((1..100).contains(&ready), "{ready}");
    operator.stream().await.purge().await.unwrap();
    until_lost(&*transport, ready).await;
    transport.publish(&[message("new")]).await.unwrap();
    // What it had fetched before the purge comes before it.
    loop {
        let batch = receive_many(&mut consumer, 1).await;
        consumer.settler.settle(&all(&batch, &Verdict::Ack)).await.unwrap();
        if batch[0].message.payload == "new" {
            break;
        }
    }
    operator.until_looked().await;
    assert_eq!(transport.backlog().await.unwrap().lost, ready);
}

#[tokio::test]
async fn what_a_limit_drops_that_somebody_set_meanwhile_is_reported_as_lost() {
    let server = Server::start().await;
    let (transport, _consumer, operator) = backlog(&server).await;
    // What is fetched ahead and unsettled is the oldest, and goes first.
    let fetched = transport.backlog().await.unwrap().unsettled;
    let mut config = operator.stream().await.cached_info().config.clone();
    config.discard = jetstream::stream::DiscardPolicy::Old;
    config.max_messages = 10;
    operator.context.update_stream(&config).await.unwrap();
    until_lost(&*transport, 90 - fetched).await;
}

#[tokio::test]
async fn nothing_counts_as_lost_while_the_server_is_killed_and_messages_flow() {
    let server = Server::start().await;
    let transport = server.transport();
    flow(&*transport, 3000, async |flow| {
        for count in [400, 1200, 2000] {
            flow.until_seen(count).await;
            server.restart().await;
        }
    })
    .await;
    assert_eq!(transport.backlog().await.unwrap().lost, 0);
}

#[tokio::test]
async fn a_letter_with_anothers_number_is_not_removed_and_not_passed_over() {
    let server = Server::start().await;
    let transport = server.transport();
    transport.prepare().await.unwrap();
    let letters = transport.dead_letters();
    letters.append(&numbered(0..5)).await.unwrap();
    let seen: Vec<LetterId> = letters.scan(None, 9).await.unwrap().into_iter().map(|(id, _)| id).collect();
    // Every number stands for another letter, as at a server of a cluster that lacks some.
    Operator::of(&server).await.context.delete_stream("QUASH_DEAD").await.unwrap();
    transport.prepare().await.unwrap();
    letters.append(&numbered(1..6)).await.unwrap();
    for id in &seen {
        let words = refusal(letters.remove(std::slice::from_ref(id)).await);
        assert!(words.contains("another letter as number"), "{words}");
    }
    let words = refusal(letters.scan(seen.get(2), 9).await);
    assert!(words.contains("list the letters again"), "{words}");
    assert_eq!(letters.len().await.unwrap(), 5);
    let now: Vec<LetterId> = letters.scan(None, 9).await.unwrap().into_iter().map(|(id, _)| id).collect();
    assert_eq!(letters.remove(&now).await.unwrap(), 5);
    assert_eq!(letters.remove(&now).await.unwrap(), 0, "it may be repeated");
}
