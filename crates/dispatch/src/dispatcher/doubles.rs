//! Stands in for a broker and a cache in tests: they refuse, hang and come back as a test says.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use quash_config::Finding;
use quash_core::action::{Action, ActionSet};
use quash_store::memory::Memory;
use quash_store::{Applied, Can, Identity, Questions, Store, StoreError};
use tokio::sync::watch;

use quash_transport::{Backlog, ConsumeOptions, Consumer, DeadLetters, LetterId, Message, Transport, TransportError};

/// What a broker does with messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mood {
    Takes,
    Hangs,
    IsAway,
    /// It refuses batches with a message that holds this.
    Refuses(&'static str),
}

/// A broker that remembers what it took.
pub(super) struct Broker {
    mood: watch::Sender<Mood>,
    pub(super) taken: watch::Sender<Vec<Message>>,
    pub(super) letters: Mutex<Vec<Message>>,
    /// How many messages came in each call that it took.
    pub(super) calls: Mutex<Vec<usize>>,
}

impl Broker {
    pub(super) fn new(mood: Mood) -> Arc<Self> {
        let (mood, taken) = (watch::Sender::new(mood), watch::Sender::new(Vec::new()));
        Arc::new(Self { mood, taken, letters: Mutex::default(), calls: Mutex::default() })
    }

    pub(super) fn becomes(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// The messages that it took, as bodies with their headers.
    pub(super) fn messages(&self) -> Vec<Message> {
        self.taken.borrow().clone()
    }

    /// Waits until it took so many.
    pub(super) async fn took(&self, count: usize) {
        self.taken.subscribe().wait_for(|taken| taken.len() >= count).await.unwrap();
    }

    async fn ask(&self, messages: &[Message]) -> Result<(), TransportError> {
        let mood = self.mood.borrow().clone();
        match mood {
            Mood::Takes => Ok(()),
            Mood::Hangs => {
                self.mood.subscribe().wait_for(|mood| *mood != Mood::Hangs).await.unwrap();
                Ok(())
            }
            Mood::IsAway => Err(TransportError::Unreachable("away".to_owned())),
            Mood::Refuses(text) => {
                let is_bad = |message: &Message| String::from_utf8_lossy(&message.payload).contains(text);
                let refused = messages.iter().any(is_bad).then(|| TransportError::Refused("too bad".to_owned()));
                refused.map_or(Ok(()), Err)
            }
        }
    }
}

#[async_trait]
impl Transport for Broker {
    async fn prepare(&self) -> Result<(), TransportError> {
        Ok(())
    }

    async fn publish(&self, messages: &[Message]) -> Result<(), TransportError> {
        self.ask(messages).await?;
        self.calls.lock().unwrap().push(messages.len());
        self.taken.send_modify(|taken| taken.extend_from_slice(messages));
        Ok(())
    }

    async fn consume(&self, _: &ConsumeOptions) -> Result<Consumer, TransportError> {
        Err(TransportError::Refused("nobody consumes in these tests".to_owned()))
    }

    fn dead_letters(&self) -> &dyn DeadLetters {
        self
    }

    async fn backlog(&self) -> Result<Backlog, TransportError> {
        Ok(Backlog::default())
    }

    async fn inspect(&self) -> Result<Vec<Finding>, TransportError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl DeadLetters for Broker {
    async fn append(&self, letters: &[Message]) -> Result<(), TransportError> {
        self.ask(letters).await?;
        self.letters.lock().unwrap().extend_from_slice(letters);
        Ok(())
    }

    async fn scan(&self, _: Option<&LetterId>, _: usize) -> Result<Vec<(LetterId, Message)>, TransportError> {
        Ok(Vec::new())
    }

    async fn remove(&self, _: &[LetterId]) -> Result<u64, TransportError> {
        Ok(0)
    }

    async fn len(&self) -> Result<u64, TransportError> {
        Ok(self.letters.lock().unwrap().len() as u64)
    }
}

/// A cache that can be made to wait, and counts how often it is asked.
pub(super) struct Slow {
    pub(super) memory: Memory,
    pub(super) asked: AtomicUsize,
    /// How many calls may go through.
    pub(super) open: watch::Sender<usize>,
    /// Whether the next call panics.
    pub(super) panics: AtomicUsize,
}

impl Slow {
    pub(super) fn new(open: usize) -> Arc<Self> {
        let (asked, panics) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { memory: Memory::new(), asked, open: watch::Sender::new(open), panics })
    }

    /// Waits until it was asked so often.
    pub(super) async fn was_asked(&self, times: usize) {
        while self.asked.load(Ordering::SeqCst) < times {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[async_trait]
impl Store for Slow {
    async fn apply(&self, actions: &[Action]) -> Result<Applied, StoreError> {
        let number = self.asked.fetch_add(1, Ordering::SeqCst);
        assert!(self.panics.load(Ordering::SeqCst) <= number, "the driver is broken");
        self.open.subscribe().wait_for(|open| *open > number).await.unwrap();
        self.memory.apply(actions).await
    }

    async fn identity(&self) -> Result<Identity, StoreError> {
        self.memory.identity().await
    }

    fn can(&self) -> Can {
        self.memory.can()
    }

    fn questions(&self) -> Option<&dyn Questions> {
        self.memory.questions()
    }

    async fn inspect(&self, needs: ActionSet) -> Result<Vec<Finding>, StoreError> {
        self.memory.inspect(needs).await
    }
}
