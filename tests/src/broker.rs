//! Runs a broker of any kind, so that one test proves its promise on each of them.

use crate::rabbitmq::Ctl;
use crate::{NatsServer, Queue, RabbitMq, RedisServer};
use std::sync::atomic::{AtomicU32, Ordering};

/// NATS takes 1 MiB unless told otherwise. It can be told to take more than this, but JetStream 2.9 then loses what it
/// took: a record of more than 32 MiB is damage to it when it reads its files.
const NATS_PAYLOAD_MAX: &str = "max_payload: 31MB\n";

/// The kinds of brokers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Redis Streams.
    RedisStreams,
    /// RabbitMQ.
    Amqp,
    /// NATS JetStream.
    Nats,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::RedisStreams, Self::Amqp, Self::Nats];

    /// What it is called in `sources`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RedisStreams => "redis_streams",
            Self::Amqp => "amqp",
            Self::Nats => "nats",
        }
    }

    /// Bytes of a body that one can be made to take, as far as these tests need them.
    #[must_use]
    pub const fn body_max(self) -> usize {
        match self {
            Self::RedisStreams | Self::Amqp => 50 * 1024 * 1024,
            Self::Nats => 30 * 1024 * 1024,
        }
    }

    /// The URL of one that listens on `host:port`, also behind a proxy.
    #[must_use]
    pub fn url(self, address: &str) -> String {
        match self {
            Self::RedisStreams => format!("redis://{address}/0"),
            Self::Amqp => format!("amqp://guest:guest@{address}"),
            Self::Nats => format!("nats://{address}"),
        }
    }
}

/// A broker on a free port that keeps what it confirmed over a kill.
pub struct Broker(Server);

enum Server {
    Redis(RedisServer),
    RabbitMq(RabbitMq),
    SharedRabbitMq(&'static RabbitMq),
    Nats(NatsServer),
}

impl Broker {
    /// Starts one that the test may kill and stop.
    pub async fn start(kind: Kind) -> Self {
        Self(match kind {
            Kind::RedisStreams => Server::Redis(RedisServer::durable().await),
            Kind::Amqp => Server::RabbitMq(RabbitMq::start().await),
            Kind::Nats => Server::Nats(NatsServer::start().await),
        })
    }

    /// One that other tests may use as well, where starting one takes long; queues in it have [names of their own].
    ///
    /// [names of their own]: Self::queue
    pub async fn shared(kind: Kind) -> Self {
        match kind {
            Kind::Amqp => Self(Server::SharedRabbitMq(RabbitMq::shared().await)),
            Kind::RedisStreams | Kind::Nats => Self::start(kind).await,
        }
    }

    /// As [`Self::shared`], and takes bodies of [`Kind::body_max`].
    pub async fn spacious(kind: Kind) -> Self {
        match kind {
            Kind::Nats => Self(Server::Nats(NatsServer::with(NATS_PAYLOAD_MAX).await)),
            Kind::RedisStreams | Kind::Amqp => Self::shared(kind).await,
        }
    }

    /// A queue in it that nobody else has; declares nothing yet.
    #[must_use]
    pub fn queue(&self) -> Queue {
        static QUEUES: AtomicU32 = AtomicU32::new(0);
        Queue::on(self, &format!("quash.events.{}", QUEUES.fetch_add(1, Ordering::Relaxed)))
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self.0 {
            Server::Redis(_) => Kind::RedisStreams,
            Server::RabbitMq(_) | Server::SharedRabbitMq(_) => Kind::Amqp,
            Server::Nats(_) => Kind::Nats,
        }
    }

    /// Its address, without a scheme.
    #[must_use]
    pub fn address(&self) -> String {
        match &self.0 {
            Server::Redis(server) => server.address(),
            Server::RabbitMq(server) => server.address(),
            Server::SharedRabbitMq(server) => server.address(),
            Server::Nats(server) => server.address(),
        }
    }

    /// Its URL, with a user where its kind has one from the beginning.
    #[must_use]
    pub fn url(&self) -> String {
        self.kind().url(&self.address())
    }

    /// Kills it with signal 9.
    ///
    /// # Panics
    /// When other tests use it as well.
    pub fn kill9(&mut self) {
        match &mut self.0 {
            Server::Redis(server) => server.kill9(),
            Server::RabbitMq(server) => server.kill9(),
            Server::SharedRabbitMq(_) => refuse_to("kill"),
            Server::Nats(server) => server.kill9(),
        }
    }

    /// Kills it, brings it back on the same port with what it had stored, and waits until it answers.
    ///
    /// # Panics
    /// When it does not answer in time, or when other tests use it as well.
    pub async fn restart(&mut self) {
        match &mut self.0 {
            Server::Redis(server) => server.restart().await,
            Server::RabbitMq(server) => server.restart().await,
            Server::SharedRabbitMq(_) => refuse_to("restart"),
            Server::Nats(server) => server.restart().await,
        }
    }

    /// Stops it half-way, as a machine that hangs: connections stay open and nothing answers.
    ///
    /// # Panics
    /// When other tests use it as well.
    pub fn stop(&mut self) {
        match &mut self.0 {
            Server::Redis(server) => server.stop(),
            Server::RabbitMq(server) => server.stop(),
            Server::SharedRabbitMq(_) => refuse_to("stop"),
            Server::Nats(server) => server.stop(),
        }
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// When other tests use it as well.
    pub fn cont(&mut self) {
        match &mut self.0 {
            Server::Redis(server) => server.cont(),
            Server::RabbitMq(server) => server.cont(),
            Server::SharedRabbitMq(_) => refuse_to("continue"),
            Server::Nats(server) => server.cont(),
        }
    }

    /// Declares a queue and waits until it survives a kill of this broker.
    ///
    /// # Panics
    /// When RabbitMQ cannot write down what it knows.
    pub async fn settled_in(&self, queue: &Queue) {
        queue.declare().await;
        if let Some(node) = self.ctl() {
            node.write_down().await.unwrap_or_else(|error| panic!("{error}"));
        }
    }

    /// Runs `rabbitmqctl` with these arguments on a node of RabbitMQ and returns what it printed.
    ///
    /// # Panics
    /// When it fails, or this is another kind.
    pub async fn rabbitmqctl(&self, arguments: &[&str]) -> String {
        let node = self.ctl().expect("a node of RabbitMQ");
        node.run(arguments).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// What asks a RabbitMQ node about itself.
    pub(crate) fn ctl(&self) -> Option<Ctl> {
        match &self.0 {
            Server::RabbitMq(server) => Some(server.control()),
            Server::SharedRabbitMq(server) => Some(server.control()),
            Server::Redis(_) | Server::Nats(_) => None,
        }
    }
}

impl From<NatsServer> for Broker {
    fn from(server: NatsServer) -> Self {
        Self(Server::Nats(server))
    }
}

fn refuse_to(harm: &str) -> ! {
    panic!("other tests use this broker as well: a test that has to {harm} one starts its own")
}
