//! Promises that what cannot work is refused in words that say why, and works once it is mended.

use std::time::Duration;

use quash_config::{Secret, Span};
use quash_transport::conformance::eventually;
use quash_transport::redis_streams::Config;
use quash_transport::{Destination, Replacement, TransportError, Verdict};

use super::server::{LIMIT, Server, ack, consume, message, numbered, receive_many, texts};

#[track_caller]
fn check_refused<T>(result: Result<T, TransportError>, words: &str) {
    match result {
        Err(TransportError::Refused(text)) => assert!(text.contains(words), "{text}"),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("accepted"),
    }
}

#[tokio::test]
async fn a_server_that_may_evict_the_stream_is_refused() {
    let server = Server::with(&["--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru"]).await;
    check_refused(server.transport().prepare().await, "allkeys-lru");
    Config { allow_eviction: true, ..server.config() }.build().unwrap().prepare().await.unwrap();
    server.ask::<String>(&["CONFIG", "SET", "maxmemory-policy", "volatile-lru"]).await;
    server.transport().prepare().await.unwrap();
}

#[tokio::test]
async fn a_cluster_is_refused() {
    let server = Server::with(&["--cluster-enabled", "yes"]).await;
    check_refused(server.transport().prepare().await, "part of a cluster");
}

#[tokio::test]
async fn keys_of_another_type_are_refused() {
    for (key, words) in [
        ("quash.events", "the key quash.events is a list, not a stream"),
        ("quash.events.due", "quash.events.due is a list, not a zset"),
        ("quash.events.parked", "quash.events.parked is a list, not a hash"),
        ("quash.events.dead", "quash.events.dead is a list, not a stream"),
    ] {
        let server = Server::start().await;
        server.ask::<u64>(&["RPUSH", key, "x"]).await;
        check_refused(server.transport().prepare().await, words);
    }
}

#[tokio::test]
async fn a_backlog_over_its_limit_is_refused_until_it_shrinks() {
    let server = Server::start().await;
    let transport = Config { max_length: Some(5), ..server.config() }.build().unwrap();
    transport.publish(&numbered(0..5)).await.unwrap();
    check_refused(transport.publish(&numbered(5..6)).await, "max_length is 5");
    let mut consumer = consume(&*transport, "a", 10).await;
    let batch = receive_many(&mut consumer, 5).await;
    assert_eq!(batch.len(), 5);
    ack(&consumer, &batch).await;
    eventually(LIMIT, "there is room again", async || transport.publish(&numbered(5..6)).await.is_ok()).await;
}

#[tokio::test]
async fn a_full_server_takes_no_messages_and_yet_all_verdicts() {
    let server = Server::with(&["--maxmemory", "1gb"]).await;
    let transport = server.transport();
    transport.prepare().await.unwrap();
    transport.publish(&numbered(0..4)).await.unwrap();
    server.ask::<String>(&["CONFIG", "SET", "maxmemory", "1"]).await;
    check_refused(transport.publish(&[message("refused")]).await, "OOM");

    // What is stored takes the place of what goes: without that, what must be parked would keep a server full for ever.
    let mut consumer = consume(&*transport, "a", 10).await;
    let batch = receive_many(&mut consumer, 4).await;
    let copy = |text: &str, to| Verdict::Replace(vec![Replacement { message: message(text), to }]);
    let verdicts = [
        copy("parked", Destination::Later(Duration::ZERO)),
        copy("dead", Destination::DeadLetters),
        Verdict::Release,
        Verdict::Ack,
    ];
    let verdicts: Vec<_> = batch.iter().map(|delivery| delivery.tag).zip(verdicts).collect();
    consumer.settler.settle(&verdicts).await.unwrap();
    let mut back = texts(&receive_many(&mut consumer, 2).await);
    back.sort();
    assert_eq!(back, ["2", "parked"]);
    assert_eq!(transport.dead_letters().len().await, Ok(1));
}

#[tokio::test]
async fn a_wrong_password_is_said_by_receiving_and_mended_without_a_restart() {
    let server = Server::start().await;
    let set_password = async |password: &str| {
        let password = format!(">{password}");
        server.ask::<String>(&["ACL", "SETUSER", "worker", "reset", "on", &password, "~*", "+@all"]).await;
        server.ask::<u64>(&["CLIENT", "KILL", "USER", "worker"]).await;
    };
    set_password("right").await;
    let credentials = |password: &str| Config {
        username: Some(Secret::new("worker")),
        password: Some(Secret::new(password)),
        ..server.config()
    };
    let wrong = credentials("wrong-secret").build().unwrap().prepare().await;
    assert!(!format!("{wrong:?}").contains("wrong-secret"), "{wrong:?}");
    check_refused(wrong, "");
    let transport = credentials("right").build().unwrap();
    transport.publish(&[message("first")]).await.unwrap();
    let mut consumer = consume(&*transport, "a", 1).await;
    let first = receive_many(&mut consumer, 1).await;
    ack(&consumer, &first).await;
    set_password("rotated").await;
    let refused = tokio::time::timeout(LIMIT, consumer.receiver.receive()).await.unwrap();
    check_refused(refused, "");
    assert!(!consumer.settler.connected());
    set_password("right").await;
    transport.publish(&[message("second")]).await.unwrap();
    let second = loop {
        match tokio::time::timeout(LIMIT, consumer.receiver.receive()).await.unwrap() {
            Ok(batch) => break batch,
            Err(error) => assert!(matches!(error, TransportError::Refused(_)), "{error}"),
        }
    };
    assert_eq!(second[0].message.payload, "second");
}

#[tokio::test]
async fn a_stream_that_became_something_else_is_said_by_receiving() {
    let server = Server::start().await;
    let transport = server.transport();
    let mut consumer = consume(&*transport, "a", 1).await;
    // In one step, or the consumer would make the stream again in between.
    let script = "redis.call('DEL', 'quash.events') return redis.call('RPUSH', 'quash.events', 'x')";
    server.ask::<u64>(&["EVAL", script, "0"]).await;
    let refused = tokio::time::timeout(LIMIT, consumer.receiver.receive()).await.unwrap();
    check_refused(refused, "WRONGTYPE");
}

#[tokio::test]
async fn publishing_waits_for_replicas_where_asked() {
    let server = Server::start().await;
    let waiting = Config { replicas_to_wait: 1, replica_timeout: Span(Duration::from_millis(300)), ..server.config() };
    let transport = waiting.build().unwrap();
    match transport.publish(&[message("alone")]).await {
        Err(TransportError::Unreachable(words)) => assert_eq!(words, "0 of 1 replicas have the messages"),
        other => panic!("{other:?}"),
    }
    let primary = format!("127.0.0.1 {}", server.port());
    let _replica = Server::with(&["--replicaof", &primary]).await;
    eventually(LIMIT, "the replica has them", async || transport.publish(&[message("safe")]).await.is_ok()).await;
}
