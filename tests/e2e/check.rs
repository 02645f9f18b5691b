//! Proves that `check --connect` calls a healthy broker healthy and names what is unsafe about another one.

use async_nats::jetstream::stream;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use quash_e2e::{Broker, Kind, Quash, Queue, RedisServer};
use redis::AsyncCommands;

use crate::scene::{PRODUCT, Scene, on_every_broker};

on_every_broker!(
    a_healthy_broker_has_nothing_to_mend_before_it_may_be_used,
    a_check_changes_nothing,
    an_unsafe_broker_is_named_with_what_mends_it,
    a_check_asks_what_the_configuration_names_and_says_what_is_away,
    a_refusal_comes_with_the_cure_that_fits_and_names_the_server,
);

async fn a_refusal_comes_with_the_cure_that_fits_and_names_the_server(kind: Kind) {
    let scene = Scene::on(Broker::start(kind).await, PRODUCT).await;
    let address = scene.broker.address();
    let right = std::fs::read_to_string(scene.quash.config()).unwrap();
    let url = scene.broker.url();
    let stranger = url.replacen("://", "://nobody:wrong@", 1).replace("guest:guest@", "");
    std::fs::write(scene.quash.config(), right.replace(&url, &stranger)).unwrap();
    let ran = scene.quash.run(&["check", "--connect"]).await;
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(!said.contains("the rights that"), "{said}");
    match kind {
        // It asks for no password, and takes any.
        Kind::Nats => {}
        Kind::Amqp | Kind::RedisStreams => {
            assert!(said.contains("compare the user and the password"), "{said}");
            assert!(said.contains(&address), "{address} in {said}");
            assert!(!said.contains("wrong@"), "{said}");
        }
    }
}

#[tokio::test]
async fn a_queue_in_the_database_of_a_cache_is_found_by_the_server_s_own_id() {
    let server = RedisServer::durable().await;
    let port = server.address().rsplit_once(':').unwrap().1.to_owned();
    let config = |queue: &str| {
        format!(
            "version: 1\ntargets: {{ main: {{ redis: {{ url: \"{}\" }} }} }}\n\
             sources: {{ events: {{ redis_streams: {{ url: \"{queue}\" }} }} }}\n{PRODUCT}",
            server.url(0)
        )
    };
    Quash::with(&config(&server.url(0))).run(&["check"]).await.ended_with(78);
    // 127.0.0.1 as one number: an alias as no address tells it.
    let elsewhere = Quash::with(&config(&format!("redis://2130706433:{port}/0")));
    elsewhere.run(&["check"]).await.done();
    let said = elsewhere.run(&["check", "--connect"]).await;
    let words = "the database of target main";
    assert!(said.code != 0 && said.stdout.contains(words), "{}{}", said.stdout, said.stderr);
}

async fn a_healthy_broker_has_nothing_to_mend_before_it_may_be_used(kind: Kind) {
    let scene = Scene::with(kind, PRODUCT).await;
    scene.queue.declare().await;
    let said = scene.quash.run(&["check", "--connect"]).await.done().stdout;
    assert!(said.contains(&format!("source events ({})", kind.name())), "{said}");
    assert!(!said.contains('✗'), "{said}");
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
    let said = scene.quash.run(&["check", "--connect"]).await.ended_with(1).stdout;
    let words: &[&str] = match kind {
        Kind::RedisStreams => &["maxmemory-policy", "allkeys-lru", "noeviction"],
        Kind::Amqp => &["x-queue-type", "classic", "quorum"],
        Kind::Nats => &["discard", "old", "new"],
    };
    for word in words.iter().chain(&["✗", "mend:"]) {
        assert!(said.contains(word), "{word} in {said}");
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
