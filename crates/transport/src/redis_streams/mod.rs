//! Moves messages over Redis Streams: one consumer group, retries in a sorted set, dead letters in a second stream.
//!
//! Nothing here trims what a group has not settled, and every step that takes two commands is one script.

// What is where, and how to reach it.
mod config;
mod connection;
mod scripts;
mod topology;
mod wire;

// Publishing and consuming.
mod consume;
mod fetch;
mod held;
mod publish;
mod settle;
mod suspects;

// What goes on beside: delayed copies, trimming, keeping what is held.
mod mover;
mod upkeep;

// Dead letters, and looking at it all.
mod ages;
mod backlog;
mod dead_letters;
mod inspect;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

pub use self::config::Config;
use self::connection::{Link, Server};
use self::topology::Names;
use super::{Ages, Backlog, ConsumeOptions, Consumer, DeadLetters, Message, Transport, TransportError};
use quash_config::Finding;

/// One stream on one server. Connects when it is first used.
struct RedisStreams {
    shared: Arc<Shared>,
    link: Arc<Link>,
    dead_letters: dead_letters::DeadStream,
}

/// Where messages are, and what happened there since this process started.
struct Shared {
    server: Server,
    names: Names,
    config: Config,
    /// Entries that were gone when they should have been handed out again.
    lost: AtomicU64,
    /// How often the group had vanished and was made again.
    regrouped: AtomicU64,
    /// How often reading was ended from outside.
    interrupted: AtomicU64,
}

impl Shared {
    /// Counts entries that somebody deleted before they were settled: each is a lost event.
    fn report_lost(&self, ids: &[String]) {
        if !ids.is_empty() {
            self.lost.fetch_add(ids.len() as u64, Ordering::Relaxed);
            tracing::error!(stream = %self.names.stream, ?ids, "entries were deleted before they were settled: their events are lost");
        }
    }

    /// Makes the group again after it vanished; it then reads everything that is in the stream.
    async fn regroup(&self, link: &Link) -> Result<(), TransportError> {
        if self.regrouped.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(stream = %self.names.stream, group = %self.names.group,
                "the consumer group had vanished (flushed, evicted or restarted without its data) and is made again");
        }
        topology::ensure_group(link, &self.names).await
    }
}

impl RedisStreams {
    fn new(config: Config, server: Server) -> Self {
        let names = Names::new(&config.stream, &config.group);
        let link = Arc::new(Link::new(server.clone().patient(*config.replica_timeout)));
        let dead_letters = dead_letters::DeadStream::new(Arc::clone(&link), names.dead.clone());
        let shared = Shared {
            server,
            names,
            config,
            lost: AtomicU64::new(0),
            regrouped: AtomicU64::new(0),
            interrupted: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared), link, dead_letters }
    }
}

#[async_trait]
impl Transport for RedisStreams {
    async fn prepare(&self) -> Result<(), TransportError> {
        topology::prepare(&self.link, &self.shared).await
    }

    async fn publish(&self, messages: &[Message]) -> Result<(), TransportError> {
        publish::publish(&self.link, &self.shared, messages).await
    }

    async fn consume(&self, options: &ConsumeOptions) -> Result<Consumer, TransportError> {
        consume::start(Arc::clone(&self.shared), options).await
    }

    fn dead_letters(&self) -> &dyn DeadLetters {
        &self.dead_letters
    }

    async fn backlog(&self) -> Result<Backlog, TransportError> {
        backlog::backlog(&self.link, &self.shared).await
    }

    async fn ages(&self) -> Result<Ages, TransportError> {
        ages::ages(&self.link, &self.shared.names).await
    }

    async fn inspect(&self) -> Result<Vec<Finding>, TransportError> {
        inspect::inspect(&self.link, &self.shared).await
    }
}
