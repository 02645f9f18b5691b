//! Promises that what happens to the server or the way to it loses nothing.

use std::time::Duration;

use quash_config::Secret;
use quash_e2e::{ChaosProxy, Mode, eventually};
use quash_transport::nats::Config;
use quash_transport::{TransportError, Verdict};
use tokio::time::Instant;

use super::flow::{drain, flow};
use super::server::{LIMIT, Server, all, consume, message, numbered, quick, receive_many, refusal};

async fn behind_proxy(server: &Server) -> (ChaosProxy, Config) {
    let proxy = ChaosProxy::before(server.url().trim_start_matches("nats://")).await;
    let config = quick(&format!("nats://{}", proxy.address()));
    (proxy, config)
}

#[tokio::test]
async fn a_server_that_is_killed_and_restarted_loses_nothing() {
    let server = Server::start().await;
    flow(&*server.transport(), 3000, async |flow| {
        for round in 1..=3 {
            flow.until_seen(round * 300).await;
            server.process().await.kill9();
            flow.until_noticed().await;
            server.restart().await;
        }
    })
    .await;
}

#[tokio::test]
async fn cut_connections_lose_nothing() {
    let server = Server::start().await;
    let (proxy, config) = behind_proxy(&server).await;
    flow(&*config.build().unwrap(), 3000, async |flow| {
        for round in 1..=10 {
            flow.until_seen(round * 150).await;
            proxy.cut_once();
        }
    })
    .await;
}

#[tokio::test]
async fn a_half_open_server_is_noticed_and_loses_nothing() {
    let server = Server::start().await;
    flow(&*server.transport(), 2000, async |flow| {
        flow.until_seen(500).await;
        server.process().await.stop();
        let stopped = Instant::now();
        flow.until_noticed().await;
        // The machine may be busy; the system itself would notice after many minutes.
        let limit = 3 * *server.config().heartbeat + Duration::from_secs(15);
        assert!(stopped.elapsed() < limit, "noticed after {:?}", stopped.elapsed());
        server.process().await.cont();
    })
    .await;
}

#[tokio::test]
async fn a_slow_server_is_only_slow() {
    let server = Server::start().await;
    let (proxy, config) = behind_proxy(&server).await;
    proxy.set(Mode::Delay(Duration::from_millis(20)));
    flow(&*config.build().unwrap(), 200, async |_| {}).await;
}

#[tokio::test]
async fn lost_connections_with_much_fetched_end_in_no_dead_letter() {
    let server = Server::start().await;
    let (proxy, config) = behind_proxy(&server).await;
    let transport = config.build().unwrap();
    transport.prepare().await.unwrap();
    transport.publish(&numbered(0..1000)).await.unwrap();
    for _ in 0..21 {
        let mut consumer = consume(&*transport, "a", 250).await;
        receive_many(&mut consumer, 1).await;
        proxy.cut_once();
        drop(consumer);
    }
    let mut consumer = consume(&*transport, "a", 250).await;
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 1000 {
        let batch = receive_many(&mut consumer, 1).await;
        while consumer.settler.settle(&all(&batch, &Verdict::Ack)).await.is_err() {}
        seen.extend(batch.into_iter().map(|delivery| delivery.message.payload));
    }
    drain(&*transport, consumer).await;
    assert_eq!(transport.dead_letters().len().await.unwrap(), 0);
}

#[tokio::test]
async fn an_idle_consumer_recovers_from_a_half_open_server() {
    let server = Server::start().await;
    let transport = server.transport();
    transport.prepare().await.unwrap();
    let mut consumer = consume(&*transport, "a", 4).await;
    assert!(consumer.settler.connected(), "one that has just begun raises no alarm");
    let settler = consumer.settler.clone();
    server.process().await.stop();
    eventually(LIMIT, "the silence is noticed", async || !settler.connected()).await;
    server.process().await.cont();
    eventually(LIMIT, "connected again", async || settler.connected()).await;
    transport.publish(&[message("after")]).await.unwrap();
    let next = receive_many(&mut consumer, 1).await;
    assert_eq!(next[0].message.payload, "after");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_to_be_out_of_reach() {
    let server = Server::start().await;
    let transport = server.transport();
    server.process().await.kill9();
    let started = Instant::now();
    for result in [
        transport.prepare().await,
        transport.publish(&[message("x")]).await,
        transport.backlog().await.map(drop),
        transport.inspect().await.map(drop),
        transport.dead_letters().len().await.map(drop),
    ] {
        let Err(TransportError::Unreachable(words)) = result else { panic!("{result:?}") };
        assert!(words.contains(server.url().trim_start_matches("nats://")), "{words}");
    }
    // Each is told at once, and none waits for its own patience; the machine may be busy.
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn wrong_credentials_are_refused_and_not_told() {
    let server = Server::with("authorization { user: quash, password: right }\n").await;
    let address = server.url().trim_start_matches("nats://");
    for config in [
        quick(&format!("nats://quash:hunter2@{address}")),
        Config { token: Some(Secret::new("hunter2")), ..server.config() },
        Config { username: Some(Secret::new("x")), password: Some(Secret::new("hunter2")), ..server.config() },
        server.config(),
    ] {
        let words = refusal(config.build().unwrap().prepare().await);
        assert!(words.contains(address) && words.contains("credentials") && !words.contains("hunter2"), "{words}");
    }
    for config in [
        quick(&format!("nats://quash:right@{address}")),
        Config { username: Some(Secret::new("quash")), password: Some(Secret::new("right")), ..server.config() },
    ] {
        config.build().unwrap().prepare().await.unwrap();
    }
}
