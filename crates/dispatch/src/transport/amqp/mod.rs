//! Moves messages over RabbitMQ: quorum queues, confirmed publishing, delays in a ladder of queues with a time to live.

// What is where, and how to reach it.
mod config;
mod connection;
mod topology;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use async_trait::async_trait;

pub use self::config::{Config, QueueType};
use self::connection::{Link, Server};
use self::topology::Names;
use super::{Backlog, ConsumeOptions, Consumer, DeadLetters, Finding, Message, Transport, TransportError};

/// One queue on one broker. Connects when it is first used.
struct Amqp {
    place: Arc<Place>,
    link: Arc<Link>,
}

/// Where messages are, and what is held of them.
struct Place {
    server: Server,
    names: Names,
    config: Config,
    /// Messages that the consumers of this transport hold, not settled.
    held: Arc<AtomicU64>,
}

impl Amqp {
    fn new(config: Config, server: Server) -> Self {
        let names = Names::new(&config.queue);
        let link = Arc::new(Link::new(server.clone(), "publishing"));
        Self { place: Arc::new(Place { server, names, config, held: Arc::default() }), link }
    }
}

#[async_trait]
impl Transport for Amqp {
    async fn prepare(&self) -> Result<(), TransportError> {
        topology::prepare(&self.link, &self.place.names, &self.place.config).await
    }

    async fn publish(&self, _messages: &[Message]) -> Result<(), TransportError> {
        unreachable!("comes with the flow")
    }

    async fn consume(&self, _options: &ConsumeOptions) -> Result<Consumer, TransportError> {
        unreachable!("comes with the flow")
    }

    fn dead_letters(&self) -> &dyn DeadLetters {
        unreachable!("comes with dead_letters.rs")
    }

    async fn backlog(&self) -> Result<Backlog, TransportError> {
        unreachable!("comes with backlog.rs")
    }

    async fn inspect(&self) -> Result<Vec<Finding>, TransportError> {
        unreachable!("comes with inspect.rs")
    }
}
