//! Promises that what cannot work is refused in words that say why, and works once it is mended.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ConnectionProperties};
use quash_config::Secret;
use quash_transport::amqp::{Config, QueueType};
use quash_transport::{Transport, TransportError};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::node::{Fixture, LIMIT};

#[track_caller]
fn check_refused<T: Debug>(result: Result<T, TransportError>, words: &[&str]) {
    match result {
        Err(TransportError::Refused(text)) => check_words(&text, words),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check_unreachable<T: Debug>(result: Result<T, TransportError>, words: &[&str]) {
    match result {
        Err(TransportError::Unreachable(text)) => check_words(&text, words),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check_words(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{text} lacks {word}");
    }
    assert!(!text.contains("hunter"), "{text}");
}

async fn prepare(config: &Config) -> Result<(), TransportError> {
    config.build().unwrap().prepare().await
}

async fn declare_by_hand(fixture: &Fixture, name: &str, durable: bool, arguments: &[(&str, AMQPValue)]) {
    let url = format!("amqp://guest:guest@{}", fixture.address());
    let connection = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        table.insert((*name).into(), value.clone());
    }
    let options = QueueDeclareOptions { durable, ..QueueDeclareOptions::default() };
    channel.queue_declare(name.into(), options, table).await.unwrap();
}

#[tokio::test]
async fn wrong_credentials_and_places_are_named_without_a_secret() {
    let fixture = Fixture::shared().await;
    let address = fixture.address();
    let at = |url: String| Config::at(Secret::new(url));
    let wrong = at(format!("amqp://guest:hunter2@{address}"));
    check_refused(prepare(&wrong).await, &[address, "ACCESS_REFUSED", "Login was refused"]);
    let outside = Config { password: Some(Secret::new("hunter3")), ..fixture.config() };
    check_refused(prepare(&outside).await, &["ACCESS_REFUSED"]);
    let elsewhere = at(format!("amqp://guest:guest@{address}/shop"));
    check_refused(prepare(&elsewhere).await, &[address, "virtual host shop", "not found"]);
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let config = Config::at(Secret::new(format!("amqp://guest:hunter2@{address}")));
    check_unreachable(prepare(&config).await, &[&address, "refused"]);
}

#[tokio::test]
async fn what_is_no_broker_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let speaking = tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            drop(socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await);
        }
    });
    let error = prepare(&Config::at(Secret::new(format!("amqp://{address}")))).await.unwrap_err();
    assert!(error.to_string().contains(&address), "{error}");
    speaking.abort();
}

#[tokio::test]
async fn a_broker_that_accepts_and_says_nothing_is_given_up_with_all_that_waits_for_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let accepting = tokio::spawn(async move { listener.accept().await.unwrap() });
    let start = Instant::now();
    let config = Config::at(Secret::new(format!("amqp://{address}")));
    check_unreachable(prepare(&config).await, &[&address, "no answer"]);
    assert!(start.elapsed() < Duration::from_secs(10));
    // The driver's thread holds the other end: once it ends, this one is closed.
    let (mut socket, _) = accepting.await.unwrap();
    let closed = async {
        let mut buffer = [0; 64];
        while tokio::io::AsyncReadExt::read(&mut socket, &mut buffer).await.is_ok_and(|read| read > 0) {}
    };
    tokio::time::timeout(LIMIT, closed).await.expect("the connection is closed");
}

/// The end of a queue's name, whether it is durable, its arguments, and what is said of it.
type Case = (&'static str, bool, Vec<(&'static str, AMQPValue)>, &'static [&'static str]);

#[tokio::test]
async fn queues_that_differ_are_refused_with_what_differs_until_they_are_gone() {
    let text = |value: &str| AMQPValue::LongString(value.into());
    let quorum = || ("x-queue-type", text("quorum"));
    let cases: [Case; 6] = [
        ("", true, vec![], &["x-queue-type is not set, which means classic, quorum is needed"]),
        ("", true, vec![("x-queue-type", text("classic"))], &["is classic, quorum is needed", "queue_type: classic"]),
        ("", false, vec![], &["x-queue-type is not set"]),
        (
            "",
            true,
            vec![quorum(), ("x-max-length", AMQPValue::LongInt(5)), ("x-delivery-limit", AMQPValue::LongInt(7))],
            &[
                "x-max-length is '5', not set is needed",
                "x-delivery-limit is '7', '100' is needed",
                "x-overflow is not set",
            ],
        ),
        (
            ".dead",
            true,
            vec![quorum(), ("x-message-ttl", AMQPValue::LongInt(5))],
            &["x-message-ttl is '5', not set is needed", "x-delivery-limit is not set, '2147483647' is needed"],
        ),
        (".retry.3", true, vec![quorum()], &["x-message-ttl is not set, '2000' is needed"]),
    ];
    let transport = |fixture: &Fixture| fixture.config().build().unwrap();
    for (suffix, durable, arguments, words) in cases {
        let fixture = Fixture::shared().await;
        let name = format!("{}{suffix}", fixture.queue());
        declare_by_hand(&fixture, &name, durable, &arguments).await;
        check_refused(transport(&fixture).prepare().await, words);
        let refused = transport(&fixture).prepare().await;
        check_refused(refused, &[&name]);
        fixture.node().await.ctl(&["delete_queue", &name]).await;
        transport(&fixture).prepare().await.unwrap();
    }
}

#[tokio::test]
async fn a_quorum_queue_is_not_taken_for_a_classic_one() {
    let fixture = Fixture::shared().await;
    fixture.transport().prepare().await.unwrap();
    let classic = Config { queue_type: QueueType::Classic, ..fixture.config() };
    check_refused(prepare(&classic).await, &["x-queue-type is quorum, classic is needed"]);
}

#[tokio::test]
async fn without_the_right_to_declare_the_queues_must_be_there() {
    let fixture = Fixture::own().await;
    let node = fixture.node().await;
    node.ctl(&["add_user", "poor", "hunter4"]).await;
    node.ctl(&["set_permissions", "poor", "^$", ".*", ".*"]).await;
    drop(node);
    let (username, password) = (Some(Secret::new("poor")), Some(Secret::new("hunter4")));
    let declaring = Config { username, password, ..fixture.config() };
    let checking = Config { declare: false, ..declaring.clone() };
    check_refused(prepare(&declaring).await, &["ACCESS_REFUSED", "declare: false"]);
    check_refused(prepare(&checking).await, &["there is no queue", "declare: true"]);
    fixture.transport().prepare().await.unwrap();
    check_refused(prepare(&declaring).await, &["ACCESS_REFUSED", "declare: false"]);
    prepare(&checking).await.unwrap();
    let transport: std::sync::Arc<dyn Transport> = checking.build().unwrap();
    transport.publish(&super::node::numbered(0..2)).await.unwrap();
    assert_eq!(transport.backlog().await.unwrap().ready, 2);
    check_refused(transport.dead_letters().scan(None, 1).await, &["dead.lock", "ACCESS_REFUSED"]);
    let lock = format!("^{}\\.dead\\.lock$", fixture.queue());
    fixture.node().await.ctl(&["set_permissions", "poor", &lock, ".*", ".*"]).await;
    assert_eq!(transport.dead_letters().scan(None, 1).await, Ok(Vec::new()));
}
