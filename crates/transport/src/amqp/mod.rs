//! Moves messages over RabbitMQ: quorum queues, confirmed publishing, delays in a ladder of queues with a time to live.
//!
//! What is published is confirmed one by one, and nothing is acked before what takes its place is. Tags are bound to the
//! connection that they came on: when it ends, the broker hands out again all that was not settled on it.

// What is where, and how to reach it.
mod config;
mod connection;
mod topology;
mod wire;

// What the driver gets to read.
mod frames;
mod guard;
mod mend;

// Publishing, and the delays of copies.
mod publish;
mod retry;

// Consuming: what is fetched, held, set aside and settled.
mod buffer;
mod consume;
mod fetch;
mod held;
mod session;
mod settle;
mod suspects;

// Dead letters, and looking at it all.
mod backlog;
mod browse;
mod dead_letters;
mod glance;
mod inspect;
mod letter_id;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use tokio::sync::watch;

pub use self::config::{Config, QueueType};
use self::connection::{Link, Server};
use self::publish::{Outcome, Outgoing, Publisher, Untaken};
use self::session::Session;
use self::topology::Names;
use super::{Ages, Backlog, ConsumeOptions, Consumer, Dated, DeadLetters, Message, Transport, TransportError};
use quash_config::Finding;

/// One queue on one broker. Connects when it is first used.
struct Amqp {
    shared: Arc<Shared>,
    dead_letters: dead_letters::DeadQueue,
}

/// Where messages are, and what is held of them.
struct Shared {
    names: Names,
    /// The names of the delay queues.
    rungs: Vec<String>,
    config: Config,
    /// For publishing and nothing else: a broker that is short of memory reads nothing from connections that publish.
    link: Arc<Link>,
    /// For declaring and counting.
    looking: Arc<Link>,
    publisher: Arc<Publisher>,
    /// Messages that the consumers of this transport hold, not settled.
    held: Arc<AtomicU64>,
    /// How many consumers are handing back what they held.
    closings: watch::Sender<usize>,
    /// The connections of its consumers, some of which may be over.
    sessions: Mutex<Vec<Weak<Session>>>,
    /// How often consuming was ended from outside.
    interrupted: AtomicU64,
    /// What was last counted on each of the delay queues; `None` before.
    delayed: Mutex<Vec<Option<u32>>>,
}

impl Amqp {
    fn new(config: Config, server: Server) -> Self {
        let names = Names::new(&config.queue);
        let link = Arc::new(Link::new(server.clone(), "publishing"));
        let looking = Arc::new(Link::new(server, "looking"));
        let publisher = Arc::new(Publisher::new(Arc::clone(&link), *config.publish_timeout));
        let rungs: Vec<_> = names.rungs().collect();
        let (held, closings) = (Arc::default(), watch::Sender::new(0));
        let dead_letters = dead_letters::DeadQueue::new(Arc::clone(&publisher), Arc::clone(&looking), names.clone());
        let delayed = Mutex::new(vec![None; rungs.len()]);
        let (sessions, interrupted) = (Mutex::default(), AtomicU64::new(0));
        let shared =
            Shared { names, rungs, config, link, looking, publisher, held, closings, sessions, interrupted, delayed };
        Self { shared: Arc::new(shared), dead_letters }
    }
}

impl Shared {
    /// Looks at what a connection of a consumer holds, until it is over.
    fn watch(&self, session: &Arc<Session>) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|session| session.strong_count() > 0);
        sessions.push(Arc::downgrade(session));
    }

    /// What has been held for the longest time. The broker itself does not tell since when its messages wait.
    fn oldest(&self) -> Option<Dated> {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let held = sessions.iter().filter_map(|session| session.upgrade()?.oldest());
        held.min_by_key(|dated| dated.since)
    }

    /// Publishes what can be, and says what became of each. Queues that are not there any more are declared anew, where that
    /// is this transport's business: what must go there could never be settled without them.
    async fn publish_each(&self, messages: &[Outgoing<'_>]) -> Vec<Outcome> {
        let mut outcomes = self.publisher.publish_each(messages).await;
        let missing: Vec<_> = (0..).zip(&outcomes).filter_map(|(index, outcome)| is_missing(index, outcome)).collect();
        let Some((_, queue)) = missing.first().filter(|_| self.config.declare) else { return outcomes };
        tracing::error!(queue, "a queue is not there and is declared; if it was deleted, what it held is lost");
        if let Err(error) = topology::prepare(&self.looking, &self.names, &self.config).await {
            tracing::warn!(%error, "cannot declare the queue");
            return outcomes;
        }
        let indices: Vec<_> = missing.iter().map(|(index, _)| *index).collect();
        let again: Vec<_> = indices.iter().filter_map(|index| messages.get(*index).cloned()).collect();
        for (index, outcome) in indices.into_iter().zip(self.publisher.publish_each(&again).await) {
            outcomes[index] = outcome;
        }
        outcomes
    }
}

fn is_missing(index: usize, outcome: &Outcome) -> Option<(usize, String)> {
    match outcome {
        Err(Untaken::NoQueue(queue)) => Some((index, queue.clone())),
        _ => None,
    }
}

#[async_trait]
impl Transport for Amqp {
    async fn prepare(&self) -> Result<(), TransportError> {
        topology::prepare(&self.shared.looking, &self.shared.names, &self.shared.config).await
    }

    async fn publish(&self, messages: &[Message]) -> Result<(), TransportError> {
        let work = &self.shared.names.work;
        let outgoing: Vec<_> = messages.iter().map(|message| Outgoing::plain(work, message)).collect();
        self.shared.publisher.publish(&outgoing).await
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
        Ok(Ages { oldest: self.shared.oldest(), ..Ages::default() })
    }

    async fn inspect(&self) -> Result<Vec<Finding>, TransportError> {
        inspect::inspect(&self.shared).await
    }
}
