//! Looks at a queue from outside, through the transport itself, and puts any bytes into it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quash_transport::{Backlog, ConsumeOptions, Message, Transport, TransportConfig, TransportError, Verdict};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::eventually::answered;
use crate::rabbitmq::Ctl;
use crate::{Broker, Kind, becomes};

/// Longer than a consumer that ended in the middle of reading keeps what it was handed last.
const PATIENCE: Duration = Duration::from_secs(90);

/// The queue of one source in a broker.
pub struct Queue {
    transport: Arc<dyn Transport>,
    kind: Kind,
    config: Value,
    name: String,
    ctl: Option<Ctl>,
    declared: OnceCell<()>,
}

impl Queue {
    /// A queue of this name; declares nothing yet.
    ///
    /// # Panics
    /// When the transport refuses its configuration.
    #[must_use]
    pub fn on(broker: &Broker, name: &str) -> Self {
        Self { ctl: broker.ctl(), ..Self::at(broker.kind(), &broker.url(), name) }
    }

    /// A queue behind a URL, as a proxy has.
    ///
    /// # Panics
    /// When the transport refuses its configuration.
    #[must_use]
    pub fn at(kind: Kind, url: &str, name: &str) -> Self {
        let config = match kind {
            Kind::RedisStreams => json!({ "url": url, "stream": name, "group": "quash" }),
            Kind::Amqp => json!({ "url": url, "queue": name }),
            Kind::Nats => json!({ "url": url, "stream": stream_of(name), "subject": name }),
        };
        Self::of(kind, config, name)
    }

    /// The same with another setting of its transport.
    ///
    /// # Panics
    /// When the transport refuses it.
    #[must_use]
    pub fn with(self, setting: &str, value: impl Into<Value>) -> Self {
        let mut config = self.config[self.kind.name()].clone();
        config[setting] = value.into();
        Self { ctl: self.ctl, ..Self::of(self.kind, config, &self.name) }
    }

    fn of(kind: Kind, config: Value, name: &str) -> Self {
        let config = json!({ kind.name(): config });
        let built: TransportConfig = serde_json::from_value(config.clone())
            .unwrap_or_else(|error| panic!("a configuration of {}: {error}", kind.name()));
        let transport = built.build().unwrap_or_else(|problem| panic!("{}: {problem:?}", kind.name()));
        Self { transport, kind, config, name: name.to_owned(), ctl: None, declared: OnceCell::new() }
    }

    /// What it is called in its broker: a stream, a queue, a subject.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its stream is called in NATS.
    #[must_use]
    pub fn stream(&self) -> String {
        stream_of(&self.name)
    }

    /// The kind of its broker.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Its entry in `sources`, with more options of a source as YAML (`, format: wal2json`).
    #[must_use]
    pub fn source(&self, options: &str) -> String {
        let config = &self.config[self.kind.name()];
        // JSON is YAML.
        format!("{{ {}: {config}{options} }}", self.kind.name())
    }

    /// Declares what it needs in its broker.
    ///
    /// # Panics
    /// When the broker refuses.
    pub async fn declare(&self) {
        self.declared.get_or_init(async || patiently("declare", async || self.transport.prepare().await).await).await;
    }

    /// Publishes bodies as they are; again, if the broker is just coming back, which may double some.
    ///
    /// # Panics
    /// When the broker does not take them.
    pub async fn publish(&self, bodies: impl IntoIterator<Item = impl Into<Bytes>>) {
        let messages: Vec<_> =
            bodies.into_iter().map(|body| Message { payload: body.into(), ..Message::default() }).collect();
        self.publish_messages(&messages).await;
    }

    /// Publishes messages with their headers; again, if the broker is just coming back, which may double some.
    ///
    /// # Panics
    /// When the broker does not take them.
    pub async fn publish_messages(&self, messages: &[Message]) {
        self.declare().await;
        patiently("publish", async || self.transport.publish(messages).await).await;
    }

    /// Takes this many messages out, in the order in which they come.
    ///
    /// # Panics
    /// When they do not come.
    pub async fn take(&self, count: usize) -> Vec<Message> {
        self.declare().await;
        let options = ConsumeOptions { name: "test".to_owned(), batch: count.max(1), linger: Duration::ZERO };
        let mut consumer = patiently("consume", async || self.transport.consume(&options).await).await;
        let mut taken = Vec::new();
        while taken.len() < count {
            let received = timeout(PATIENCE, consumer.receiver.receive()).await.expect("messages come in time");
            let batch = received.expect("the broker hands out messages");
            let acks: Vec<_> = batch.iter().map(|delivery| (delivery.tag, Verdict::Ack)).collect();
            consumer.settler.settle(&acks).await.expect("the broker takes acks");
            taken.extend(batch.into_iter().map(|delivery| delivery.message));
        }
        consumer.receiver.close().await;
        taken
    }

    /// How much is waiting.
    ///
    /// # Panics
    /// When the broker cannot be reached.
    pub async fn backlog(&self) -> Backlog {
        patiently("count the backlog", async || self.transport.backlog().await).await
    }

    /// How many messages workers have in hand.
    ///
    /// # Panics
    /// When the broker cannot be asked.
    pub async fn unsettled(&self) -> u64 {
        match self.kind {
            // Over AMQP only those of one's own connection can be seen.
            Kind::Amqp => {
                let what = "count what workers have in hand";
                patiently(what, async || self.ctl().unsettled(&self.name).await.map_err(TransportError::Unreachable))
                    .await
            }
            Kind::RedisStreams | Kind::Nats => self.backlog().await.unsettled,
        }
    }

    /// How many dead letters there are.
    ///
    /// # Panics
    /// When the broker cannot be reached.
    pub async fn dead_letters(&self) -> u64 {
        let what = "count the dead letters";
        match self.kind {
            // Over AMQP those that a command has just browsed are hidden until its connection is gone.
            Kind::Amqp => {
                patiently(what, async || self.ctl().dead_letters(&self.name).await.map_err(TransportError::Unreachable))
                    .await
            }
            Kind::RedisStreams | Kind::Nats => {
                patiently(what, async || self.transport.dead_letters().len().await).await
            }
        }
    }

    /// The oldest dead letters, up to a hundred, as the broker has them.
    ///
    /// # Panics
    /// When the broker cannot be reached.
    pub async fn letters(&self) -> Vec<Message> {
        let letters = self.transport.dead_letters();
        let page = patiently("read the dead letters", async || letters.scan(None, 100).await).await;
        page.into_iter().map(|(_, letter)| letter).collect()
    }

    /// Waits until nothing waits, nothing is being worked on, nothing is delayed and nothing was lost.
    pub async fn drained(&self, limit: Duration) {
        becomes(limit, "the queue is drained", (Backlog::default(), Ok(0)), async || {
            let backlog = self.backlog().await;
            let hidden = if backlog == Backlog::default() { self.hidden().await } else { Err("not asked".to_owned()) };
            (backlog, hidden)
        })
        .await;
    }

    /// What the transport cannot see of the backlog: messages in the hands of other processes, on RabbitMQ.
    async fn hidden(&self) -> Result<u64, String> {
        match self.kind {
            Kind::Amqp => self.ctl().held(&self.name).await,
            Kind::RedisStreams | Kind::Nats => Ok(0),
        }
    }

    fn ctl(&self) -> &Ctl {
        self.ctl.as_ref().expect("a queue behind a URL alone does not know the node to ask")
    }
}

/// A stream of JetStream may not have dots in its name.
fn stream_of(name: &str) -> String {
    name.replace('.', "_").to_uppercase()
}

/// Asks until the broker can be reached: a test may have killed it a moment ago.
async fn patiently<T>(what: &str, mut ask: impl AsyncFnMut() -> Result<T, TransportError>) -> T {
    answered(PATIENCE, what, async || {
        ask().await.map_err(|error| match error {
            TransportError::Unreachable(why) => why,
            refused => panic!("{what}: {refused}"),
        })
    })
    .await
}
