//! Defines the transport, a kind of broker, and lists its kinds.
//!
//! Everything is a batch. Transports move bytes and headers and know no event. The contract is the suite under
//! [`conformance`]; a transport that passes it keeps the promise that nothing ends in silence.

mod ages;
mod glance;
pub mod memory;
pub mod message;

// How long who could not be reached is left alone.
pub mod backoff;

#[cfg(any(feature = "amqp", feature = "nats"))]
mod linger;

#[cfg(feature = "amqp")]
pub mod amqp;
#[cfg(feature = "nats")]
pub mod nats;
#[cfg(feature = "redis_streams")]
pub mod redis_streams;
#[cfg(any(feature = "amqp", feature = "nats", feature = "redis_streams"))]
pub mod tls;

// Those that this program is built without: configuration still knows them, and says so.
#[cfg(not(feature = "amqp"))]
quash_config::absent! { amqp builds dyn crate::Transport: "the transport `amqp`", "amqp" }
#[cfg(not(feature = "nats"))]
quash_config::absent! { nats builds dyn crate::Transport: "the transport `nats`", "nats" }
#[cfg(not(feature = "redis_streams"))]
quash_config::absent! { redis_streams builds dyn crate::Transport: "the transport `redis_streams`", "redis_streams" }

#[cfg(feature = "conformance")]
pub mod conformance;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use ages::{Ages, Dated};
pub use glance::Glance;
pub use message::{Headers, Message};
use quash_config::Finding;

quash_config::plugins! {
    /// Every kind of transport. Adding one is a folder here, a feature and a line.
    TransportConfig builds dyn Transport {
        /// RabbitMQ.
        "amqp": Amqp(amqp::Config),
        /// NATS JetStream.
        "nats": Nats(nats::Config),
        /// Redis Streams.
        "redis_streams": RedisStreams(redis_streams::Config),
        /// Messages in this process.
        "memory": Memory(memory::Config),
    }
}

/// A broker to publish to and to consume from. Cheap to share; all methods may be called concurrently.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Declares what it needs at the broker, or checks that it is there. May be repeated, also by several processes at once.
    ///
    /// # Errors
    /// [`TransportError::Refused`] says exactly what differs from what is needed.
    async fn prepare(&self) -> Result<(), TransportError>;

    /// Hands messages to the broker; returns when it has taken responsibility for every one of them.
    ///
    /// # Errors
    /// It is then not known which of them the broker took: publishing all of them again is allowed, and may double some.
    async fn publish(&self, messages: &[Message]) -> Result<(), TransportError>;

    /// Starts consuming under a name that is unique among the living workers. What an earlier consumer of the same name
    /// left unsettled comes first.
    ///
    /// # Errors
    /// When the broker cannot be reached or refuses.
    async fn consume(&self, options: &ConsumeOptions) -> Result<Consumer, TransportError>;

    /// Where this broker keeps dead letters.
    fn dead_letters(&self) -> &dyn DeadLetters;

    /// How much is waiting.
    ///
    /// # Errors
    /// When the broker cannot be reached or refuses.
    async fn backlog(&self) -> Result<Backlog, TransportError>;

    /// Since when messages wait, as far as that is told cheaply: it may be asked for every few seconds by many.
    ///
    /// # Errors
    /// When the broker cannot be reached or refuses.
    async fn ages(&self) -> Result<Ages, TransportError> {
        Ok(Ages::default())
    }

    /// Inspects the broker for `check --connect`: reachability, rights, durability. Changes nothing.
    ///
    /// # Errors
    /// When the broker cannot be reached.
    async fn inspect(&self) -> Result<Vec<Finding>, TransportError>;
}

/// How to consume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumeOptions {
    /// The consumer's name.
    pub name: String,
    /// Deliveries of one batch at most; at least 1.
    pub batch: usize,
    /// How long to wait for a batch to fill once it has its first delivery.
    pub linger: Duration,
}

/// The two halves of consuming, so that a batch can be settled while the next one is waited for.
pub struct Consumer {
    /// Takes deliveries in.
    pub receiver: Box<dyn Receiver>,
    /// Tells the broker what became of them.
    pub settler: Arc<dyn Settler>,
}

/// How often a delivery is handed out in company without being settled before it comes alone.
pub const SUSPECT_AFTER: u32 = 3;

/// Takes deliveries in. When dropped, what was received by it and not settled comes back to another consumer.
#[async_trait]
pub trait Receiver: Send {
    /// Waits for deliveries and returns between 1 and `batch` of them. May be dropped while waiting: no delivery is lost
    /// by that. A delivery that was handed out [`SUSPECT_AFTER`] times before and never settled comes in a batch of its
    /// own, so that its neighbours do not suffer should it be the one that ends processes.
    ///
    /// # Errors
    /// A cut connection is mended inside and is not an error. [`TransportError::Refused`] means that consuming cannot go on
    /// as configured (rights, wrong type); receiving again tries again.
    async fn receive(&mut self) -> Result<Vec<Delivery>, TransportError>;

    /// Ends receiving, and returns once what was fetched and never left [`Receiver::receive`] is with the broker again, as
    /// far as the broker can be reached. Dropping does the same without anybody knowing when, and not at all when the
    /// process ends before.
    async fn close(self: Box<Self>) {}
}

/// Tells the broker what became of deliveries.
#[async_trait]
pub trait Settler: Send + Sync {
    /// Carries out the verdicts and returns once the broker has answered for all of them. Copies (retries and dead letters)
    /// are with the broker before the original is acked, or in the same atomic step. A call that is
    /// dropped leaves each original or all of its copies.
    ///
    /// # Errors
    /// It is then not known which the broker heard: calling again with the same verdicts is allowed and harmless.
    /// One verdict that cannot be carried out does not keep the others from being.
    /// Verdicts on deliveries that the broker has handed to somebody else meanwhile do nothing, and are no error.
    async fn settle(&self, verdicts: &[(Tag, Verdict)]) -> Result<Settled, TransportError>;

    /// Whether the consumer reaches its broker at this moment, as far as it knows; for metrics and health.
    fn connected(&self) -> bool {
        true
    }

    /// What keeps the consumer from its broker at this moment, in the broker's words where it said any.
    fn problem(&self) -> Option<TransportError> {
        (!self.connected()).then(|| TransportError::Unreachable("the consumer is cut off".to_owned()))
    }

    /// How often the broker, or what lies on the way to it, has ended what this consumer receives on, since the process
    /// started. Each time is a warning in the log, with the broker's words.
    fn interruptions(&self) -> u64 {
        0
    }
}

/// What came of verdicts that the broker heard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settled {
    /// The deliveries with a copy that is larger than the broker ever takes: they are not settled, and whoever asks again
    /// with smaller copies may succeed. Usually none.
    pub oversized: Vec<Tag>,
}

/// Identifies a delivery within the transport that made it; opaque to everybody else. It is bound to the connection's
/// generation where the broker's own tags are, so that an old tag never settles another delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(pub u128);

/// One message received, not yet settled.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Names it when it is settled.
    pub tag: Tag,
    /// The broker's own identifier, for people: a stream id, a sequence number.
    pub broker_id: String,
    /// What travelled.
    pub message: Message,
    /// How often the broker has handed it out, this time included, as far as the broker counts.
    pub deliveries: u32,
}

/// What becomes of a delivery.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It is done.
    Ack,
    /// These copies take its place; it is acked once all of them are with the broker. Never empty.
    Replace(Vec<Replacement>),
    /// It goes back to the broker at once, as if never received.
    Release,
}

/// A message that takes the place of a delivery.
#[derive(Debug, Clone, PartialEq)]
pub struct Replacement {
    /// The payload is the original's, byte for byte; the headers carry Quash's state.
    pub message: Message,
    /// Where it goes.
    pub to: Destination,
}

/// Where a copy goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Back to the consumers after a delay, never much earlier; survives the worker and the broker's restart.
    Later(Duration),
    /// To the dead letters.
    DeadLetters,
}

/// Keeps the dead letters of one source, in the broker that carried the events.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Appends letters; returns when the broker has taken responsibility for every one of them.
    ///
    /// # Errors
    /// As [`Transport::publish`].
    async fn append(&self, letters: &[Message]) -> Result<(), TransportError>;

    /// Up to `max` letters after the one named, oldest first; `None` starts at the oldest. The one named need not be there
    /// any more. Disturbs neither content nor order.
    ///
    /// # Errors
    /// When the broker cannot be reached or refuses.
    async fn scan(&self, after: Option<&LetterId>, max: usize) -> Result<Vec<(LetterId, Message)>, TransportError>;

    /// Removes letters and says how many of them were there. May be repeated.
    ///
    /// # Errors
    /// As [`DeadLetters::scan`]; some may be removed.
    async fn remove(&self, ids: &[LetterId]) -> Result<u64, TransportError>;

    /// How many there are.
    ///
    /// # Errors
    /// As [`DeadLetters::scan`].
    async fn len(&self) -> Result<u64, TransportError>;

    /// How many there are, and the oldest, for gauges: it may be asked for every few seconds by many, and disturbs nobody who
    /// looks at the letters.
    ///
    /// # Errors
    /// As [`DeadLetters::scan`]; that something did not answer is never told as if there were no letters.
    async fn glance(&self) -> Result<Glance, TransportError> {
        let count = self.len().await?;
        let mut oldest = if count > 0 { self.scan(None, 1).await? } else { Vec::new() };
        Ok(Glance { count, oldest: oldest.pop().map(|(_, letter)| letter) })
    }

    /// Whether looking at letters hides them from others for as long as it takes, so that nobody should look more often than
    /// needed.
    fn hides_while_looking(&self) -> bool {
        false
    }

    /// Whether there are none.
    ///
    /// # Errors
    /// As [`DeadLetters::scan`].
    async fn is_empty(&self) -> Result<bool, TransportError> {
        Ok(self.len().await? == 0)
    }
}

/// Identifies a dead letter; ascending in the order of arrival where compared by the broker.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct LetterId(pub String);

/// How much is waiting at the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Backlog {
    /// Messages never handed to anybody.
    pub ready: u64,
    /// Messages handed out and not settled. Where the broker does not tell (AMQP), those of this transport's own consumers.
    pub unsettled: u64,
    /// Copies that wait for their delay.
    pub delayed: u64,
    /// Messages that the broker no longer had when they should have been handed out again, since this process started:
    /// somebody trimmed or evicted them. Each of them is a lost event.
    pub lost: u64,
}

/// Why a broker could not do what was asked. Messages carry no credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The broker cannot be reached or stopped answering: the outcome is unknown, trying again can help.
    #[error("cannot reach the broker: {0}")]
    Unreachable(String),
    /// The broker answered with an error: trying again does not help until somebody changes something.
    #[error("the broker refused: {0}")]
    Refused(String),
    /// A message is larger than this broker ever takes; others may be taken.
    #[error("the broker refused: {0}")]
    TooLarge(String),
}
