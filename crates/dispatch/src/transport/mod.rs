//! Defines the transport, a kind of broker, and lists its kinds.
//!
//! Everything is a batch. Transports move bytes and headers and know no event. The contract is the suite under
//! [`conformance`]; a transport that passes it keeps the promise that nothing ends in silence.

pub mod memory;
pub mod message;

mod glance;

// Shared with the worker; nothing that applications or further transports need.
#[doc(hidden)]
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
mod absent;
#[cfg(not(feature = "amqp"))]
absent::absent!(amqp, "amqp");
#[cfg(not(feature = "nats"))]
absent::absent!(nats, "nats");
#[cfg(not(feature = "redis_streams"))]
absent::absent!(redis_streams, "redis_streams");

#[cfg(feature = "conformance")]
pub mod conformance;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use glance::Glance;
pub use message::{Headers, Message};
pub use quash_core::store::{Finding, Severity};

quash_core::plugins! {
    /// Every kind of transport. Adding one is a folder here, a feature and a line.
    ///
    /// ```
    /// let config = quash_dispatch::config::Config::parse("{ version: 1, sources: { events: { memory: {} } } }")?;
    /// let source: &quash_dispatch::transport::TransportConfig = &config.sources["events"].kind;
    /// assert_eq!(source.kind(), "memory");
    /// assert!(source.build().is_ok());
    /// # Ok::<(), quash_core::config::LoadError>(())
    /// ```
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
///
/// ```
/// use quash_dispatch::transport::{Message, Transport, TransportError};
///
/// async fn send(transport: &dyn Transport, payload: &'static str) -> Result<(), TransportError> {
///     let message = Message { payload: payload.into(), ..Message::default() };
///     transport.publish(&[message]).await
/// }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let transport = quash_dispatch::transport::memory::Config::default().build().map_err(|e| e.message)?;
/// send(&*transport, r#"{"entity":"shop.Book","op":"truncate"}"#).await?;
/// assert_eq!(transport.backlog().await?.ready, 1);
/// # Ok(()) }
/// ```
#[async_trait]
pub trait Transport: Send + Sync {
    /// Declares what it needs at the broker, or checks that it is there. May be repeated, also by several processes at once.
    ///
    /// # Errors
    /// [`TransportError::Refused`] says exactly what differs from what is needed.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let transport = quash_dispatch::transport::memory::Config::default().build().map_err(|e| e.message)?;
    /// transport.prepare().await?;
    /// # Ok(()) }
    /// ```
    async fn prepare(&self) -> Result<(), TransportError>;

    /// Hands messages to the broker; returns when it has taken responsibility for every one of them.
    ///
    /// # Errors
    /// It is then not known which of them the broker took: publishing all of them again is allowed, and may double some.
    ///
    /// ```
    /// # use quash_dispatch::transport::Message;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let transport = quash_dispatch::transport::memory::Config::default().build().map_err(|e| e.message)?;
    /// let message = Message { payload: r#"{"entity":"shop.Book","op":"truncate"}"#.into(), ..Message::default() };
    /// transport.publish(&[message]).await?;
    /// assert_eq!(transport.backlog().await?.ready, 1);
    /// # Ok(()) }
    /// ```
    async fn publish(&self, messages: &[Message]) -> Result<(), TransportError>;

    /// Starts consuming under a name that is unique among the living workers. What an earlier consumer of the same name
    /// left unsettled comes first.
    ///
    /// # Errors
    /// When the broker cannot be reached or refuses.
    ///
    /// ```
    /// # use quash_dispatch::transport::{ConsumeOptions, Consumer, Message, Verdict};
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let transport = quash_dispatch::transport::memory::Config::default().build().map_err(|e| e.message)?;
    /// # transport.publish(&[Message::default()]).await?;
    /// let options = ConsumeOptions { name: "worker-1".to_owned(), batch: 256, linger: Duration::ZERO };
    /// let Consumer { mut receiver, settler } = transport.consume(&options).await?;
    /// for delivery in receiver.receive().await? {
    ///     settler.settle(&[(delivery.tag, Verdict::Ack)]).await?;
    /// }
    /// # Ok(()) }
    /// ```
    async fn consume(&self, options: &ConsumeOptions) -> Result<Consumer, TransportError>;

    /// Where this broker keeps dead letters.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let transport = quash_dispatch::transport::memory::Config::default().build().map_err(|e| e.message)?;
    /// assert!(transport.dead_letters().is_empty().await?);
    /// # Ok(()) }
    /// ```
    fn dead_letters(&self) -> &dyn DeadLetters;

    /// How much is waiting.
    ///
    /// # Errors
    /// When the broker cannot be reached or refuses.
    ///
    /// ```
    /// # use quash_dispatch::transport::Message;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let transport = quash_dispatch::transport::memory::Config::default().build().map_err(|e| e.message)?;
    /// transport.publish(&[Message::default()]).await?;
    /// let backlog = transport.backlog().await?;
    /// assert_eq!((backlog.ready, backlog.unsettled), (1, 0));
    /// # Ok(()) }
    /// ```
    async fn backlog(&self) -> Result<Backlog, TransportError>;

    /// Inspects the broker for `check --connect`: reachability, rights, durability. Changes nothing.
    ///
    /// # Errors
    /// When the broker cannot be reached.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let transport = quash_dispatch::transport::memory::Config::default().build().map_err(|e| e.message)?;
    /// let findings = transport.inspect().await?;
    /// assert_eq!(findings[0].what, "messages are kept in this process and end with it");
    /// # Ok(()) }
    /// ```
    async fn inspect(&self) -> Result<Vec<Finding>, TransportError>;
}

/// How to consume.
///
/// ```
/// # use std::time::Duration;
/// # use quash_dispatch::transport::ConsumeOptions;
/// let options = ConsumeOptions { name: "worker-1".to_owned(), batch: 256, linger: Duration::from_millis(5) };
/// ```
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
///
/// ```
/// use quash_dispatch::transport::{Consumer, TransportError, Verdict};
///
/// async fn ack_one_batch(consumer: &mut Consumer) -> Result<(), TransportError> {
///     let batch = consumer.receiver.receive().await?;
///     let verdicts: Vec<_> = batch.iter().map(|delivery| (delivery.tag, Verdict::Ack)).collect();
///     consumer.settler.settle(&verdicts).await?;
///     Ok(())
/// }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let transport = quash_dispatch::transport::memory::Config::default().build().map_err(|e| e.message)?;
/// # transport.publish(&[Default::default()]).await?;
/// # let how = quash_dispatch::transport::ConsumeOptions { name: "a".into(), batch: 9, linger: <_>::default() };
/// # let mut consumer = transport.consume(&how).await?;
/// # ack_one_batch(&mut consumer).await?;
/// # assert_eq!(transport.backlog().await?, Default::default());
/// # Ok(()) }
/// ```
pub struct Consumer {
    /// Takes deliveries in.
    pub receiver: Box<dyn Receiver>,
    /// Tells the broker what became of them.
    pub settler: Arc<dyn Settler>,
}

/// How often a delivery is handed out in company without being settled before it comes alone.
pub const SUSPECT_AFTER: u32 = 3;

/// Takes deliveries in. When dropped, what was received by it and not settled comes back to another consumer.
///
/// ```
/// use quash_dispatch::transport::{Receiver, TransportError};
///
/// async fn payload_lengths(receiver: &mut dyn Receiver) -> Result<Vec<usize>, TransportError> {
///     let batch = receiver.receive().await?;
///     Ok(batch.iter().map(|delivery| delivery.message.payload.len()).collect())
/// }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let transport = quash_dispatch::transport::memory::Config::default().build().map_err(|e| e.message)?;
/// # transport.publish(&[Default::default()]).await?;
/// # let how = quash_dispatch::transport::ConsumeOptions { name: "a".into(), batch: 9, linger: <_>::default() };
/// # let mut consumer = transport.consume(&how).await?;
/// # assert_eq!(payload_lengths(&mut *consumer.receiver).await?, [0]);
/// # Ok(()) }
/// ```
#[async_trait]
pub trait Receiver: Send {
    /// Waits for deliveries and returns between 1 and `batch` of them. May be dropped while waiting: no delivery is lost
    /// by that. A delivery that was handed out [`SUSPECT_AFTER`] times before and never settled comes in a batch of its
    /// own, so that its neighbours do not suffer should it be the one that ends processes.
    ///
    /// # Errors
    /// A cut connection is mended inside and is not an error. [`TransportError::Refused`] means that consuming cannot go on
    /// as configured (rights, wrong type); receiving again tries again.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let transport = quash_dispatch::transport::memory::Config::default().build().map_err(|e| e.message)?;
    /// # transport.publish(&[Default::default()]).await?;
    /// # let how = quash_dispatch::transport::ConsumeOptions { name: "a".into(), batch: 9, linger: <_>::default() };
    /// # let mut consumer = transport.consume(&how).await?;
    /// let batch = consumer.receiver.receive().await?;
    /// assert_eq!((batch.len(), batch[0].deliveries), (1, 1));
    /// # Ok(()) }
    /// ```
    async fn receive(&mut self) -> Result<Vec<Delivery>, TransportError>;

    /// Ends receiving, and returns once what was fetched and never left [`Receiver::receive`] is with the broker again, as
    /// far as the broker can be reached. Dropping does the same without anybody knowing when, and not at all when the
    /// process ends before.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let transport = quash_dispatch::transport::memory::Config::default().build().map_err(|e| e.message)?;
    /// # transport.publish(&[Default::default()]).await?;
    /// # let how = quash_dispatch::transport::ConsumeOptions { name: "a".into(), batch: 9, linger: <_>::default() };
    /// # let mut consumer = transport.consume(&how).await?;
    /// consumer.receiver.close().await;
    /// assert_eq!(transport.backlog().await?.ready, 1);
    /// # Ok(()) }
    /// ```
    async fn close(self: Box<Self>) {}
}

/// Tells the broker what became of deliveries.
///
/// ```
/// use quash_dispatch::transport::{Settler, Tag, TransportError, Verdict};
///
/// async fn give_back(settler: &dyn Settler, tags: &[Tag]) -> Result<(), TransportError> {
///     let verdicts: Vec<_> = tags.iter().map(|tag| (*tag, Verdict::Release)).collect();
///     settler.settle(&verdicts).await.map(drop)
/// }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let transport = quash_dispatch::transport::memory::Config::default().build().map_err(|e| e.message)?;
/// # transport.publish(&[Default::default()]).await?;
/// # let how = quash_dispatch::transport::ConsumeOptions { name: "a".into(), batch: 9, linger: <_>::default() };
/// # let mut consumer = transport.consume(&how).await?;
/// # let batch = consumer.receiver.receive().await?;
/// # give_back(&*consumer.settler, &[batch[0].tag]).await?;
/// # assert_eq!(transport.backlog().await?.ready, 1);
/// # Ok(()) }
/// ```
#[async_trait]
pub trait Settler: Send + Sync {
    /// Carries out the verdicts and returns once the broker has answered for all of them. Copies (retries and dead letters)
    /// are with the broker before the original is acked, or in the same atomic step. A call that is
    /// dropped leaves each original or all of its copies.
    ///
    /// Returns the deliveries with a copy that is larger than the broker ever takes: they are not settled, and whoever asks
    /// again with smaller copies may succeed. Usually none.
    ///
    /// # Errors
    /// It is then not known which the broker heard: calling again with the same verdicts is allowed and harmless.
    /// One verdict that cannot be carried out does not keep the others from being.
    /// Verdicts on deliveries that the broker has handed to somebody else meanwhile do nothing, and are no error.
    ///
    /// ```
    /// # use quash_dispatch::transport::{Copy, Place, Verdict};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let transport = quash_dispatch::transport::memory::Config::default().build().map_err(|e| e.message)?;
    /// # transport.publish(&[Default::default()]).await?;
    /// # let how = quash_dispatch::transport::ConsumeOptions { name: "a".into(), batch: 9, linger: <_>::default() };
    /// # let mut consumer = transport.consume(&how).await?;
    /// for delivery in consumer.receiver.receive().await? {
    ///     let letter = Copy { message: delivery.message, place: Place::DeadLetters };
    ///     consumer.settler.settle(&[(delivery.tag, Verdict::Replace(vec![letter]))]).await?;
    /// }
    /// assert_eq!(transport.dead_letters().len().await?, 1);
    /// # Ok(()) }
    /// ```
    async fn settle(&self, verdicts: &[(Tag, Verdict)]) -> Result<Vec<Tag>, TransportError>;

    /// Whether the consumer reaches its broker at this moment, as far as it knows; for metrics and health.
    fn connected(&self) -> bool {
        true
    }

    /// What keeps the consumer from its broker at this moment, in the broker's words where it said any.
    fn problem(&self) -> Option<TransportError> {
        (!self.connected()).then(|| TransportError::Unreachable("the consumer is cut off".to_owned()))
    }
}

/// Identifies a delivery within the transport that made it; opaque to everybody else. It is bound to the connection's
/// generation where the broker's own tags are, so that an old tag never settles another delivery.
///
/// ```
/// use quash_dispatch::transport::{Tag, Verdict};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let transport = quash_dispatch::transport::memory::Config::default().build().map_err(|e| e.message)?;
/// # transport.publish(&[Default::default()]).await?;
/// # let how = quash_dispatch::transport::ConsumeOptions { name: "a".into(), batch: 9, linger: <_>::default() };
/// # let mut consumer = transport.consume(&how).await?;
/// let tags: Vec<Tag> = consumer.receiver.receive().await?.iter().map(|delivery| delivery.tag).collect();
/// consumer.settler.settle(&[(tags[0], Verdict::Ack)]).await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(pub u128);

/// One message received, not yet settled.
///
/// ```
/// use quash_dispatch::transport::{Delivery, SUSPECT_AFTER};
///
/// fn is_suspect(delivery: &Delivery) -> bool {
///     delivery.deliveries > SUSPECT_AFTER
/// }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let transport = quash_dispatch::transport::memory::Config::default().build().map_err(|e| e.message)?;
/// # transport.publish(&[Default::default()]).await?;
/// # let how = quash_dispatch::transport::ConsumeOptions { name: "a".into(), batch: 9, linger: <_>::default() };
/// # let mut consumer = transport.consume(&how).await?;
/// # assert!(!is_suspect(&consumer.receiver.receive().await?[0]));
/// # Ok(()) }
/// ```
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
///
/// ```
/// # use std::time::Duration;
/// use quash_dispatch::transport::{Copy, Delivery, Place, Verdict};
///
/// fn verdict(delivery: &Delivery, is_done: bool) -> Verdict {
///     if is_done {
///         return Verdict::Ack;
///     }
///     let place = Place::Later(Duration::from_secs(5));
///     Verdict::Replace(vec![Copy { message: delivery.message.clone(), place }])
/// }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It is done.
    Ack,
    /// These copies take its place; it is acked once all of them are with the broker. Never empty.
    Replace(Vec<Copy>),
    /// It goes back to the broker at once, as if never received.
    Release,
}

/// A message that takes the place of a delivery.
///
/// ```
/// # use quash_dispatch::transport::{Copy, Message, Place};
/// let letter = Copy { message: Message::default(), place: Place::DeadLetters };
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Copy {
    /// The payload is the original's, byte for byte; the headers carry Quash's state.
    pub message: Message,
    /// Where it goes.
    pub place: Place,
}

/// Where a copy goes.
///
/// ```
/// # use std::time::Duration;
/// # use quash_dispatch::transport::Place;
/// let places = [Place::Later(Duration::from_secs(5)), Place::DeadLetters];
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Back to the consumers after a delay, never much earlier; survives the worker and the broker's restart.
    Later(Duration),
    /// To the dead letters.
    DeadLetters,
}

/// Keeps the dead letters of one source, in the broker that carried the events.
///
/// ```
/// use quash_dispatch::transport::{DeadLetters, TransportError};
///
/// async fn remove_oldest(letters: &dyn DeadLetters, count: usize) -> Result<u64, TransportError> {
///     let oldest = letters.scan(None, count).await?;
///     let ids: Vec<_> = oldest.into_iter().map(|(id, _)| id).collect();
///     letters.remove(&ids).await
/// }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let transport = quash_dispatch::transport::memory::Config::default().build().map_err(|e| e.message)?;
/// # transport.dead_letters().append(&[Default::default(), Default::default()]).await?;
/// # assert_eq!(remove_oldest(transport.dead_letters(), 1).await?, 1);
/// # Ok(()) }
/// ```
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Appends letters; returns when the broker has taken responsibility for every one of them.
    ///
    /// # Errors
    /// As [`Transport::publish`].
    ///
    /// ```
    /// # use quash_dispatch::transport::Message;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let transport = quash_dispatch::transport::memory::Config::default().build().map_err(|e| e.message)?;
    /// transport.dead_letters().append(&[Message::default(), Message::default()]).await?;
    /// assert_eq!(transport.dead_letters().len().await?, 2);
    /// # Ok(()) }
    /// ```
    async fn append(&self, letters: &[Message]) -> Result<(), TransportError>;

    /// Up to `max` letters after the one named, oldest first; `None` starts at the oldest. The one named need not be there
    /// any more. Disturbs neither content nor order.
    ///
    /// # Errors
    /// When the broker cannot be reached or refuses.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let transport = quash_dispatch::transport::memory::Config::default().build().map_err(|e| e.message)?;
    /// # transport.dead_letters().append(&vec![Default::default(); 3]).await?;
    /// let (mut after, mut seen) = (None, 0);
    /// loop {
    ///     let page = transport.dead_letters().scan(after.as_ref(), 2).await?;
    ///     let Some((last, _)) = page.last() else { break };
    ///     after = Some(last.clone());
    ///     seen += page.len();
    /// }
    /// assert_eq!(seen, 3);
    /// # Ok(()) }
    /// ```
    async fn scan(&self, after: Option<&LetterId>, max: usize) -> Result<Vec<(LetterId, Message)>, TransportError>;

    /// Removes letters and says how many of them were there. May be repeated.
    ///
    /// # Errors
    /// As [`DeadLetters::scan`]; some may be removed.
    ///
    /// ```
    /// # use quash_dispatch::transport::Message;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let transport = quash_dispatch::transport::memory::Config::default().build().map_err(|e| e.message)?;
    /// transport.dead_letters().append(&[Message::default()]).await?;
    /// let (id, _) = transport.dead_letters().scan(None, 1).await?.remove(0);
    /// assert_eq!(transport.dead_letters().remove(&[id.clone()]).await?, 1);
    /// assert_eq!(transport.dead_letters().remove(&[id]).await?, 0);
    /// # Ok(()) }
    /// ```
    async fn remove(&self, ids: &[LetterId]) -> Result<u64, TransportError>;

    /// How many there are.
    ///
    /// # Errors
    /// As [`DeadLetters::scan`].
    ///
    /// ```
    /// # use quash_dispatch::transport::Message;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let transport = quash_dispatch::transport::memory::Config::default().build().map_err(|e| e.message)?;
    /// transport.dead_letters().append(&[Message::default()]).await?;
    /// assert_eq!(transport.dead_letters().len().await?, 1);
    /// # Ok(()) }
    /// ```
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

    /// Whether there are none.
    ///
    /// # Errors
    /// As [`DeadLetters::scan`].
    async fn is_empty(&self) -> Result<bool, TransportError> {
        Ok(self.len().await? == 0)
    }
}

/// Identifies a dead letter; ascending in the order of arrival where compared by the broker.
///
/// ```
/// # use quash_dispatch::transport::LetterId;
/// let id: LetterId = serde_json::from_str(r#""1017""#)?;
/// assert_eq!(id, LetterId("1017".to_owned()));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct LetterId(pub String);

/// How much is waiting at the broker.
///
/// ```
/// # use quash_dispatch::transport::Backlog;
/// let backlog = Backlog { ready: 3, delayed: 1, ..Backlog::default() };
/// assert_eq!(serde_json::to_string(&backlog)?, r#"{"ready":3,"unsettled":0,"delayed":1,"lost":0}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
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
///
/// ```
/// # use quash_dispatch::transport::TransportError;
/// let error = TransportError::Unreachable("connection refused".to_owned());
/// assert_eq!(error.to_string(), "cannot reach the broker: connection refused");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
