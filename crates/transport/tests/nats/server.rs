//! Starts nats-servers for these tests, and says how to reach them quickly.

use std::sync::Arc;
use std::time::Duration;

use quash_config::{Secret, Span};
use quash_e2e::NatsServer;
use quash_transport::nats::Config;
use quash_transport::{
    ConsumeOptions, Consumer, Delivery, Destination, Message, Replacement, Tag, Transport, TransportError, Verdict,
};
use tokio::sync::{Mutex, MutexGuard};

/// A server that a test may kill while others use it.
pub(crate) struct Server {
    process: Mutex<NatsServer>,
    url: String,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with("").await
    }

    /// Starts one with more of its configuration file.
    pub(crate) async fn with(settings: &str) -> Self {
        let process = NatsServer::with(settings).await;
        let url = process.url();
        Self { process: Mutex::new(process), url }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) async fn process(&self) -> MutexGuard<'_, NatsServer> {
        self.process.lock().await
    }

    /// With the shortest waits.
    pub(crate) fn config(&self) -> Config {
        quick(&self.url)
    }

    pub(crate) fn transport(&self) -> Arc<dyn Transport> {
        self.config().build().unwrap()
    }

    pub(crate) async fn restart(&self) {
        self.process.lock().await.restart().await;
    }
}

/// A configuration with the shortest waits.
pub(crate) fn quick(url: &str) -> Config {
    let mut config = Config::at(Secret::new(url));
    config.ack_wait = Span(Duration::from_secs(2));
    config.heartbeat = Span(Duration::from_millis(500));
    config
}

/// How long anything may take that must happen.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

pub(crate) fn message(payload: &str) -> Message {
    Message { payload: bytes::Bytes::copy_from_slice(payload.as_bytes()), ..Message::default() }
}

pub(crate) fn numbered(numbers: std::ops::Range<usize>) -> Vec<Message> {
    numbers.map(|number| message(&number.to_string())).collect()
}

pub(crate) async fn consume(transport: &dyn Transport, name: &str, batch: usize) -> Consumer {
    let options = ConsumeOptions { name: name.into(), batch, linger: Duration::ZERO };
    transport.consume(&options).await.unwrap()
}

/// Deliveries that come within a limit, as many as asked for.
pub(crate) async fn receive_many(consumer: &mut Consumer, count: usize) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    while deliveries.len() < count {
        let batch = tokio::time::timeout(LIMIT, consumer.receiver.receive()).await;
        deliveries.extend(batch.unwrap_or_else(|_| panic!("{} of {count}", deliveries.len())).unwrap());
    }
    deliveries
}

/// The same verdict on all of them.
pub(crate) fn all(batch: &[Delivery], verdict: &Verdict) -> Vec<(Tag, Verdict)> {
    batch.iter().map(|delivery| (delivery.tag, verdict.clone())).collect()
}

/// The verdict that a message becomes a dead letter.
pub(crate) fn dead(message: Message) -> Verdict {
    Verdict::Replace(vec![Replacement { message, to: Destination::DeadLetters }])
}

/// The words of a refusal.
pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T, TransportError>) -> String {
    match result {
        Err(TransportError::Refused(words) | TransportError::TooLarge(words)) => words,
        other => panic!("not refused: {other:?}"),
    }
}
