//! Stands between the worker and its broker and cache, and counts what passes; changes nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use quash_config::Finding;
use quash_core::action::{Action, ActionSet};
use quash_store::{Answers, Applied, Can, Identity, Probe, Questions, Store, StoreError};
use quash_transport::{
    Backlog, ConsumeOptions, Consumer, DeadLetters, Delivery, Destination, Message, Receiver, Settled, Settler, Tag,
    Transport, TransportError, Verdict,
};

use super::tally::Tally;
use quash_delivery::headers;

/// When the shop committed the change of a message: microseconds since the tally began.
pub(super) const COMMITTED: &str = "dev-committed";

/// A cache whose actions are counted.
pub(super) struct ObservedStore {
    pub(super) inner: Arc<dyn Store>,
    pub(super) tally: Arc<Tally>,
}

#[async_trait]
impl Store for ObservedStore {
    async fn apply(&self, actions: &[Action]) -> Result<Applied, StoreError> {
        let applied = self.inner.apply(actions).await?;
        for (action, outcome) in actions.iter().zip(&applied.outcomes) {
            if let Ok(removed) = outcome {
                self.tally.actions.add(1);
                self.tally.removed.add(*removed);
                self.tally.note_removal(action.object());
            }
        }
        Ok(applied)
    }

    async fn identity(&self) -> Result<Identity, StoreError> {
        self.inner.identity().await
    }

    fn can(&self) -> Can {
        self.inner.can()
    }

    fn questions(&self) -> Option<&dyn Questions> {
        self.inner.questions()
    }

    fn answers(&self) -> Option<&dyn Answers> {
        self.inner.answers()
    }

    fn probe(&self) -> Option<&dyn Probe> {
        self.inner.probe()
    }

    async fn inspect(&self, needs: ActionSet) -> Result<Vec<Finding>, StoreError> {
        self.inner.inspect(needs).await
    }
}

/// A broker whose messages are counted.
pub(super) struct ObservedTransport {
    pub(super) inner: Arc<dyn Transport>,
    pub(super) tally: Arc<Tally>,
}

#[async_trait]
impl Transport for ObservedTransport {
    async fn prepare(&self) -> Result<(), TransportError> {
        self.inner.prepare().await
    }

    async fn publish(&self, messages: &[Message]) -> Result<(), TransportError> {
        self.inner.publish(messages).await?;
        self.tally.published.add(messages.iter().filter(|message| is_first_pass(message)).count() as u64);
        Ok(())
    }

    async fn consume(&self, options: &ConsumeOptions) -> Result<Consumer, TransportError> {
        let Consumer { receiver, settler } = self.inner.consume(options).await?;
        let first: FirstPasses = Arc::default();
        Ok(Consumer {
            receiver: Box::new(ObservedReceiver { inner: receiver, first: Arc::clone(&first) }),
            settler: Arc::new(ObservedSettler { inner: settler, first, tally: Arc::clone(&self.tally) }),
        })
    }

    fn dead_letters(&self) -> &dyn DeadLetters {
        self.inner.dead_letters()
    }

    async fn backlog(&self) -> Result<Backlog, TransportError> {
        self.inner.backlog().await
    }

    async fn inspect(&self) -> Result<Vec<Finding>, TransportError> {
        self.inner.inspect().await
    }
}

/// Deliveries in their first pass that are not settled, with the header that says when their change was committed.
type FirstPasses = Arc<Mutex<HashMap<Tag, Option<u64>>>>;

struct ObservedReceiver {
    inner: Box<dyn Receiver>,
    first: FirstPasses,
}

#[async_trait]
impl Receiver for ObservedReceiver {
    async fn receive(&mut self) -> Result<Vec<Delivery>, TransportError> {
        let deliveries = self.inner.receive().await?;
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        first.extend(deliveries.iter().filter(|delivery| is_first_pass(&delivery.message)).map(|delivery| {
            let committed = delivery.message.headers.get(COMMITTED).and_then(|text| text.parse().ok());
            (delivery.tag, committed)
        }));
        drop(first);
        Ok(deliveries)
    }
}

fn is_first_pass(message: &Message) -> bool {
    let has = |name| message.headers.get(name).is_some();
    !has(headers::PASS) && !has(headers::ATTEMPT)
}

struct ObservedSettler {
    inner: Arc<dyn Settler>,
    first: FirstPasses,
    tally: Arc<Tally>,
}

#[async_trait]
impl Settler for ObservedSettler {
    async fn settle(&self, verdicts: &[(Tag, Verdict)]) -> Result<Settled, TransportError> {
        let settled = self.inner.settle(verdicts).await?;
        let now = self.tally.started.elapsed();
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        for (tag, verdict) in verdicts {
            let Some(committed) = first.remove(tag).filter(|_| *verdict != Verdict::Release) else { continue };
            self.tally.handled.add(1);
            if let Some(committed) = committed.filter(|_| !is_dead(verdict)) {
                self.tally.note_staleness(now.saturating_sub(Duration::from_micros(committed)));
            }
        }
        Ok(settled)
    }
}

fn is_dead(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Replace(copies) if copies.iter().any(|copy| copy.to == Destination::DeadLetters))
}
