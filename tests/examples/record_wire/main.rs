//! Records what the workers of a version leave in each kind of broker, under `tests/vectors/wire`.
//!
//! `QUASH_BIN=… cargo run -p quash-e2e --example record_wire -- 0.1` with the binary of that version. Each stage starts a
//! worker in some trouble, lets it go when everything has come to lie somewhere, and takes that out of the broker.

mod amqp;
mod nats;
mod redis_streams;
mod stages;

use quash_e2e::recorded::{Lain, Recording};
use quash_e2e::{Broker, Kind, Queue, RedisServer};
use serde_json::Value;

/// The queue of most events, and the one that a cache names as its own.
const QUEUES: [&str; 2] = ["recorded.events", "recorded.bulk"];

/// What a recording is made with.
struct Studio {
    broker: Broker,
    events: Queue,
    bulk: Queue,
    main: RedisServer,
    eu: RedisServer,
}

impl Studio {
    async fn of(kind: Kind) -> Self {
        let broker = Broker::start(kind).await;
        let [events, bulk] = QUEUES.map(|name| Queue::on(&broker, name));
        Self { events, bulk, broker, main: RedisServer::durable().await, eu: RedisServer::durable().await }
    }

    /// Every queue, stream and consumer that a worker has declared.
    async fn declared(&self) -> Vec<Value> {
        match self.broker.kind() {
            Kind::RedisStreams => redis_streams::declared(&self.broker).await,
            Kind::Amqp => amqp::declared(&self.broker).await,
            Kind::Nats => nats::declared(&self.broker).await,
        }
    }

    /// Takes out all that lies in the broker. What it lies in stays, or is declared anew by the next worker.
    async fn take(&self) -> Vec<Lain> {
        match self.broker.kind() {
            Kind::RedisStreams => redis_streams::take(&self.broker).await,
            Kind::Amqp => amqp::take(&self.broker).await,
            Kind::Nats => nats::take(&self.broker).await,
        }
    }

    /// Counts an event that lies alone in the queue as handed out this often to workers that died.
    async fn hand_out(&self, times: u32) {
        match self.broker.kind() {
            Kind::RedisStreams => redis_streams::hand_out(&self.broker, self.events.name(), times).await,
            Kind::Amqp => amqp::hand_out(&self.broker, self.events.name(), times).await,
            Kind::Nats => nats::hand_out(&self.broker, &self.events.stream(), times).await,
        }
    }
}

#[tokio::main]
async fn main() {
    let version = std::env::args().nth(1).expect("the version whose folder is written, as 0.1");
    std::fs::create_dir_all(Recording::folder(&version)).expect("a folder for the recording");
    for kind in Kind::ALL {
        let mut studio = Studio::of(kind).await;
        let mut recording = Recording::default();
        let export = stages::record(&mut studio, &mut recording).await;
        recording.write(&version, kind);
        // An export has one form, whatever the broker.
        if kind == Kind::RedisStreams {
            std::fs::write(Recording::folder(&version).join("export.ndjson"), export).expect("write the export");
        }
        eprintln!("{}: {} messages", kind.name(), recording.messages.len());
    }
}
