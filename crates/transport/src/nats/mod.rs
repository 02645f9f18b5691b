//! Moves messages over NATS JetStream: a stream for work, one for what waits or is suspected, one for dead letters.
//!
//! What takes an original's place is stored before the original is acked, and every copy has an identifier of its own, so
//! that a settle which is repeated stores nothing twice.

// What is where, and how to reach it.
mod api;
mod config;
mod connection;
mod reply;
mod topology;
mod wire;

// Publishing.
mod publish;

// Consuming: one fetcher for each of the three consumers fills one buffer.
mod buffer;
mod consume;
mod fetch;
mod held;
mod intake;
mod settle;

// What goes on beside: keeping what is held, finding what is stranded or cannot be handed over, moving suspects aside.
mod block;
mod stored;
mod stranded;
mod suspects;
mod unreadable;
mod upkeep;

// Dead letters, and looking at it all.
mod ages;
mod backlog;
mod dead_letters;
mod inspect;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use async_trait::async_trait;
use tokio::sync::watch;

pub use self::config::{Config, Retention};
use self::connection::Link;
use self::topology::Names;
use super::{Ages, Backlog, ConsumeOptions, Consumer, DeadLetters, Message, Transport, TransportError};
use quash_config::Finding;

/// One stream at one server or cluster. Connects when it is first used.
struct Nats {
    shared: Arc<Shared>,
    dead_letters: dead_letters::DeadStream,
}

/// Where messages are, and what this process holds of them.
struct Shared {
    link: Link,
    names: Names,
    config: Config,
    /// Copies whose delay is over and that some consumer of this process holds.
    due_held: Arc<AtomicU64>,
    /// How many consumers are just handing back what they held.
    ending: watch::Sender<usize>,
}

impl Nats {
    fn new(config: Config, link: Link) -> Self {
        let names = Names::new(&config);
        let shared = Shared { link, names, config, due_held: Arc::default(), ending: watch::Sender::new(0) };
        let shared = Arc::new(shared);
        Self { dead_letters: dead_letters::DeadStream::new(Arc::clone(&shared)), shared }
    }
}

#[async_trait]
impl Transport for Nats {
    async fn prepare(&self) -> Result<(), TransportError> {
        topology::prepare(&self.shared).await
    }

    async fn publish(&self, messages: &[Message]) -> Result<(), TransportError> {
        publish::publish(&self.shared, messages).await
    }

    async fn consume(&self, options: &ConsumeOptions) -> Result<Consumer, TransportError> {
        consume::start(Arc::clone(&self.shared), options).await
    }

    fn dead_letters(&self) -> &dyn DeadLetters {
        &self.dead_letters
    }

    async fn backlog(&self) -> Result<Backlog, TransportError> {
        backlog::backlog(&self.shared).await
    }

    async fn ages(&self) -> Result<Ages, TransportError> {
        ages::ages(&self.shared).await
    }

    async fn inspect(&self) -> Result<Vec<Finding>, TransportError> {
        inspect::inspect(&self.shared).await
    }
}
