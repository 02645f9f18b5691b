//! Publishes events of many callers together: a bounded buffer, and one task that empties it.

use std::sync::Arc;
use std::time::Duration;

use quash_core::rule::dispatch::{Batch, WhenBufferFull};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::engine::Hand;
use super::publish::patiently;
use super::receipt::{Cause, Ticket};
use quash_transport::backoff::Pace;
use quash_transport::{Message, Transport, TransportError};

/// How often messages that the broker refuses are tried again, once all others have gone past them.
const REFUSED_EVERY: Duration = Duration::from_secs(5);

type Confirmation = Result<(), TransportError>;

/// A message that waits to be published.
struct Entry {
    message: Message,
    ticket: Ticket,
    /// Whoever waits for the first answer of the broker.
    confirm: Option<oneshot::Sender<Confirmation>>,
}

/// Where callers leave messages.
pub(super) struct Buffer {
    entries: mpsc::Sender<Entry>,
    options: Batch,
    limit: Duration,
}

/// Room for one message.
pub(super) struct Room(mpsc::OwnedPermit<Entry>);

impl Room {
    /// Leaves a message. It is published whatever becomes of the caller.
    pub(super) fn leave(self, message: Message, ticket: Ticket) -> oneshot::Receiver<Confirmation> {
        let (confirm, confirmed) = oneshot::channel();
        self.0.send(Entry { message, ticket, confirm: Some(confirm) });
        confirmed
    }
}

impl Buffer {
    pub(super) fn start(
        hand: &Hand,
        transport: Arc<dyn Transport>,
        source: String,
        options: Batch,
        limit: Duration,
    ) -> Self {
        let (entries, waiting) = mpsc::channel(options.capacity);
        let pump = Pump { transport, source, options: options.clone(), refused: Vec::new() };
        hand.spawn(pump.run(waiting));
        Self { entries, options, limit }
    }

    /// Room for a message: at once, or within the limit where there is none yet.
    pub(super) async fn room(&self, hand: &Hand) -> Result<Room, Cause> {
        let full = || Cause::Full { dispatcher: "queue", capacity: self.options.capacity };
        match self.entries.clone().try_reserve_owned() {
            Ok(room) => Ok(Room(room)),
            Err(TrySendError::Closed(_)) => Err(Cause::Closed),
            Err(TrySendError::Full(entries)) => match self.options.when_full {
                WhenBufferFull::Refuse => Err(full()),
                WhenBufferFull::Block => match hand.within(self.limit, entries.reserve_owned()).await {
                    Some(Ok(room)) => Ok(Room(room)),
                    Some(Err(_)) => Err(Cause::Closed),
                    None => Err(full()),
                },
            },
        }
    }
}

/// Takes messages out of the buffer in the order in which they were left, and publishes them until the broker has them.
struct Pump {
    transport: Arc<dyn Transport>,
    source: String,
    options: Batch,
    /// Messages that the broker refused one by one: they wait aside, so that others can go on.
    refused: Vec<Entry>,
}

impl Pump {
    async fn run(mut self, mut waiting: mpsc::Receiver<Entry>) {
        let mut batch = Vec::new();
        let mut again = interval(REFUSED_EVERY);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let has_room = self.refused.len() < self.options.capacity;
            tokio::select! {
                taken = waiting.recv_many(&mut batch, self.options.max), if has_room => {
                    if taken == 0 {
                        return;
                    }
                    self.fill(&mut waiting, &mut batch).await;
                    self.publish(&mut batch).await;
                }
                _ = again.tick(), if !self.refused.is_empty() => {
                    let refused = std::mem::take(&mut self.refused);
                    self.one_by_one(refused).await;
                }
            }
        }
    }

    /// Waits for more, if configured so.
    async fn fill(&self, waiting: &mut mpsc::Receiver<Entry>, batch: &mut Vec<Entry>) {
        if self.options.linger.is_zero() || batch.len() >= self.options.max {
            return;
        }
        sleep(*self.options.linger).await;
        while batch.len() < self.options.max
            && let Ok(entry) = waiting.try_recv()
        {
            batch.push(entry);
        }
    }

    /// Publishes until the broker has all of them, or has refused some of them alone.
    async fn publish(&mut self, batch: &mut Vec<Entry>) {
        let messages: Vec<Message> = batch.iter().map(|entry| entry.message.clone()).collect();
        let mut pace = Pace::of_reconnects();
        let mut is_told = false;
        loop {
            match patiently(self.transport.publish(&messages)).await {
                Ok(()) => return batch.drain(..).for_each(Entry::confirmed),
                Err(error @ (TransportError::Refused(_) | TransportError::TooLarge(_))) => {
                    tracing::warn!(source = %self.source, %error, messages = batch.len(), "the broker refused a batch of events; trying them one by one");
                    let entries = std::mem::take(batch);
                    return self.one_by_one(entries).await;
                }
                Err(error) => {
                    if !is_told {
                        tracing::warn!(source = %self.source, %error, "events wait for the broker");
                        is_told = true;
                    }
                    batch.iter_mut().for_each(|entry| entry.tell(&error));
                    pace.failed().await;
                }
            }
        }
    }

    async fn one_by_one(&mut self, entries: Vec<Entry>) {
        for mut entry in entries {
            match patiently(self.transport.publish(std::slice::from_ref(&entry.message))).await {
                Ok(()) => entry.confirmed(),
                Err(error) => {
                    entry.tell(&error);
                    self.refused.push(entry);
                }
            }
        }
    }
}

impl Entry {
    fn confirmed(mut self) {
        self.hear(Ok(()));
        self.ticket.done();
    }

    fn tell(&mut self, error: &TransportError) {
        self.hear(Err(error.clone()));
    }

    fn hear(&mut self, confirmation: Confirmation) {
        if let Some(confirm) = self.confirm.take() {
            // Nobody need wait for it.
            let _ = confirm.send(confirmation);
        }
    }
}
