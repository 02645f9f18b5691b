//! Keeps messages in flight to the broker, and says up to where the log is safe there.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use quash_core::event::{Change, EventLimits, Format, Payload, decode};
use quash_transport::backoff::Pace;
use quash_transport::{Message, Transport, TransportError};
use tokio::time::{Instant, timeout, timeout_at};

/// Batches that the broker has in hand at once.
const BATCHES: usize = 4;
/// Bytes that are read from the log and not yet safe, at most: with it the relay's memory is bounded, whatever a transaction holds.
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of one batch, about: large enough that the way to the broker and back is no matter.
const BATCH_BYTES: usize = 1024 * 1024;
/// How long the broker may take before the relay lets go of the database.
const BROKER_LIMIT: Duration = Duration::from_secs(10);

/// What a batch stands for once the broker has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    /// The log is told up to here by this batch and those before.
    pub(crate) reached: Option<u64>,
    /// Changes of rows.
    pub(crate) rows: u64,
    /// Transactions.
    pub(crate) transactions: u64,
    /// When the last of them was committed, in microseconds since 1970.
    pub(crate) committed_us: Option<i64>,
}

/// Messages on their way to one broker. Dropped, it is not known which the broker took.
pub(crate) struct Publisher {
    transport: Arc<dyn Transport>,
    waiting: Vec<Message>,
    waiting_bytes: usize,
    progress: Progress,
    in_flight: FuturesOrdered<Flight>,
    in_flight_bytes: usize,
}

type Flight = Pin<Box<dyn Future<Output = Result<(Progress, usize), TransportError>> + Send>>;

impl Publisher {
    /// Publishes there. Nothing is on its way.
    pub(crate) fn new(transport: Arc<dyn Transport>) -> Self {
        let (waiting, in_flight) = (Vec::new(), FuturesOrdered::new());
        Self { transport, waiting, waiting_bytes: 0, progress: Progress::default(), in_flight, in_flight_bytes: 0 }
    }

    /// Takes messages, and what is told by them and by everything before.
    pub(crate) fn push(&mut self, messages: Vec<Bytes>, progress: Progress) {
        for payload in messages {
            self.waiting_bytes += payload.len();
            self.waiting.push(Message { payload, ..Message::default() });
        }
        self.progress = Progress {
            reached: progress.reached.or(self.progress.reached),
            rows: self.progress.rows + progress.rows,
            transactions: self.progress.transactions + progress.transactions,
            committed_us: progress.committed_us.or(self.progress.committed_us),
        };
    }

    /// Whether more may be read.
    pub(crate) const fn has_room(&self) -> bool {
        self.waiting_bytes + self.in_flight_bytes < BYTES_MAX
    }

    /// Whether everything that was pushed is with the broker.
    pub(crate) fn is_empty(&self) -> bool {
        self.in_flight.is_empty() && self.waiting.is_empty() && self.progress == Progress::default()
    }

    /// Sends what waits, as far as the broker has not too much in hand.
    pub(crate) fn launch(&mut self) {
        while self.in_flight.len() < BATCHES && (!self.waiting.is_empty() || self.progress != Progress::default()) {
            let mut bytes = 0;
            let fits = |message: &&Message| {
                bytes += message.payload.len();
                bytes <= BATCH_BYTES
            };
            let count = self.waiting.iter().take_while(fits).count();
            let later = self.waiting.split_off(count.max(1).min(self.waiting.len()));
            let batch = std::mem::replace(&mut self.waiting, later);
            let bytes: usize = batch.iter().map(|message| message.payload.len()).sum();
            // What is told is told by the last of the batches that it was pushed with.
            let progress =
                if self.waiting.is_empty() { std::mem::take(&mut self.progress) } else { Progress::default() };
            (self.waiting_bytes, self.in_flight_bytes) = (self.waiting_bytes - bytes, self.in_flight_bytes + bytes);
            let transport = Arc::clone(&self.transport);
            self.in_flight.push_back(Box::pin(async move {
                publish(&*transport, &batch).await?;
                Ok((progress, bytes))
            }));
        }
    }

    /// Waits until the broker has the oldest batch, and says what it stands for; for ever, where none is on its way. May be dropped
    /// while waiting.
    ///
    /// # Errors
    /// When the broker did not take it within [`BROKER_LIMIT`], whatever was tried.
    pub(crate) async fn landed(&mut self) -> Result<Progress, TransportError> {
        match self.in_flight.next().await {
            Some(landed) => {
                let (progress, bytes) = landed?;
                self.in_flight_bytes -= bytes;
                self.launch();
                Ok(progress)
            }
            None => pending().await,
        }
    }
}

/// Gives the broker [`BROKER_LIMIT`] for whatever it is asked.
///
/// # Errors
/// As the broker said, or that it said nothing.
pub(crate) async fn answered(asking: impl Future<Output = Result<(), TransportError>>) -> Result<(), TransportError> {
    timeout(BROKER_LIMIT, asking).await.map_err(|_| silent()).flatten()
}

fn silent() -> TransportError {
    TransportError::Unreachable(format!("no answer within {BROKER_LIMIT:?}"))
}

/// Publishes a batch, again and again within the limit. An error of the broker may pass as well as its absence: memory is full,
/// a queue is read only.
async fn publish(transport: &dyn Transport, batch: &[Message]) -> Result<(), TransportError> {
    if batch.is_empty() {
        return Ok(());
    }
    let (deadline, mut pace) = (Instant::now() + BROKER_LIMIT, Pace::of_reconnects());
    let mut last = silent();
    loop {
        match timeout_at(deadline, transport.publish(batch)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(TransportError::TooLarge(why))) => return Box::pin(publish_smaller(transport, batch, &why)).await,
            Ok(Err(error)) => last = error,
            Err(_) => return Err(last),
        }
        if timeout_at(deadline, pace.failed()).await.is_err() {
            return Err(last);
        }
    }
}

/// Publishes one by one, and in place of what is too large for the broker that everything of its entities may have changed.
async fn publish_smaller(transport: &dyn Transport, batch: &[Message], why: &str) -> Result<(), TransportError> {
    if let [alone] = batch {
        let smaller = emptied(&alone.payload);
        let bytes = alone.payload.len();
        match smaller.len() {
            0 => tracing::error!(bytes, "a message that an application wrote into the log is left out: {why}"),
            tables => {
                tracing::error!(bytes, tables, "a change is too large: all that depends on its tables goes: {why}")
            }
        }
        for message in smaller {
            match transport.publish(&[message]).await {
                Err(TransportError::TooLarge(why)) => tracing::error!("not even that is small enough: {why}"),
                published => published?,
            }
        }
        return Ok(());
    }
    for message in batch {
        Box::pin(publish(transport, std::slice::from_ref(message))).await?;
    }
    Ok(())
}

/// That everything of a message's entities may have changed.
fn emptied(payload: &[u8]) -> Vec<Message> {
    let mut changes = Vec::new();
    let all = EventLimits { max_message_bytes: usize::MAX, max_depth: usize::MAX, max_events: usize::MAX };
    if decode(Payload { body: payload, headers: &[] }, Format::Json, &all, &mut changes).is_err() {
        return Vec::new();
    }
    let mut entities: Vec<_> = changes
        .iter()
        .filter_map(|change| match change {
            Change::Event(event) => Some(event.entity.to_string()),
            Change::Command(_) => None,
        })
        .collect();
    entities.sort();
    entities.dedup();
    let event = |entity| serde_json::json!({ "entity": entity, "op": "truncate" }).to_string();
    entities.into_iter().map(|entity| Message { payload: event(entity).into(), ..Message::default() }).collect()
}

#[cfg(test)]
mod tests;
