//! Proves that `check --connect` calls a healthy broker healthy and names what is unsafe about another one.

use async_nats::jetstream::stream;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use quash_e2e::{Broker, Kind, Queue};
use redis::AsyncCommands;

use crate::scene::{PRODUCT, Scene, on_every_broker};

on_every_broker!(
    a_healthy_broker_has_nothing_to_mend_before_it_may_be_used,
    a_check_changes_nothing,
    an_unsafe_broker_is_named_with_what_mends_it,
    a_check_asks_what_the_configuration_names_and_says_what_is_away,
);

async fn a_healthy_broker_has_nothing_to_mend_before_it_may_be_used(kind: Kind) {
    let scene = Scene::with(kind, PRODUCT).await;
    scene.queue.declare().await;
    let told = scene.quash.run(&["check", "--connect"]).await.done().stdout;
    assert!(told.contains(&format!("source events ({})", kind.name())), "{told}");
    assert!(!told.contains('✗'), "{told}");
}

async fn a_check_changes_nothing(kind: Kind) {
    let scene = Scene::with(kind, PRODUCT).await;
    assert!(!exists(&scene.broker, &scene.queue).await);
    scene.quash.run(&["check", "--connect"]).await;
    assert!(!exists(&scene.broker, &scene.queue).await, "a check makes no queue");
    scene.queue.declare().await;
    assert!(exists(&scene.broker, &scene.queue).await);
}

async fn an_unsafe_broker_is_named_with_what_mends_it(kind: Kind) {
    let scene = Scene::on(Broker::shared(kind).await, PRODUCT).await;
    make_unsafe(&scene.broker, &scene.queue).await;
    let told = scene.quash.run(&["check", "--connect"]).await.ended_with(1).stdout;
    let words: &[&str] = match kind {
        Kind::RedisStreams => &["maxmemory-policy", "allkeys-lru", "noeviction"],
        Kind::Amqp => &["x-queue-type", "classic", "quorum"],
        Kind::Nats => &["discard", "old", "new"],
    };
    for word in words.iter().chain(&["✗", "mend:"]) {
        assert!(told.contains(word), "{word} in {told}");
    }
}

async fn a_check_asks_what_the_configuration_names_and_says_what_is_away(kind: Kind) {
    let mut scene = Scene::with(kind, PRODUCT).await;
    let there = scene.quash.run(&["check", "--connect"]).await.stdout;
    let source = format!("source events ({})", kind.name());
    assert!(there.contains("target main (redis)") && there.contains(&source), "{there}");
    scene.cache.kill9();
    let away = scene.quash.run(&["check", "--connect"]).await.ended_with(69);
    assert!(format!("{}{}", away.stdout, away.stderr).contains("target main"), "{}{}", away.stdout, away.stderr);
}

/// Whether anything of this name is there.
async fn exists(broker: &Broker, queue: &Queue) -> bool {
    let url = broker.url();
    match broker.kind() {
        Kind::RedisStreams => {
            let client = redis::Client::open(url).unwrap();
            client.get_multiplexed_async_connection().await.unwrap().exists(queue.name()).await.unwrap()
        }
        Kind::Amqp => {
            let connection = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
            let channel = connection.create_channel().await.unwrap();
            let passive = QueueDeclareOptions::durable().passive();
            channel.queue_declare(queue.name().into(), passive, FieldTable::default()).await.is_ok()
        }
        Kind::Nats => {
            let context = async_nats::jetstream::new(async_nats::connect(url).await.unwrap());
            context.get_stream(queue.stream()).await.is_ok()
        }
    }
}

/// Sets the broker up as somebody does who has not read the manual.
async fn make_unsafe(broker: &Broker, queue: &Queue) {
    let url = broker.url();
    match broker.kind() {
        Kind::RedisStreams => {
            let client = redis::Client::open(url).unwrap();
            let mut connection = client.get_multiplexed_async_connection().await.unwrap();
            let mut set = redis::cmd("CONFIG");
            set.arg(&["SET", "maxmemory-policy", "allkeys-lru"]).exec_async(&mut connection).await.unwrap();
        }
        Kind::Amqp => {
            let connection = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
            let channel = connection.create_channel().await.unwrap();
            let classic = QueueDeclareOptions::durable();
            channel.queue_declare(queue.name().into(), classic, FieldTable::default()).await.unwrap();
        }
        Kind::Nats => {
            let context = async_nats::jetstream::new(async_nats::connect(url).await.unwrap());
            let forgetful = stream::Config {
                name: queue.stream(),
                subjects: vec![queue.name().to_owned()],
                discard: stream::DiscardPolicy::Old,
                max_messages: 1_000,
                ..stream::Config::default()
            };
            context.create_stream(forgetful).await.unwrap();
        }
    }
}
