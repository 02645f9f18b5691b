//! Gives each test queues of its own, on a node that tests share or on one that a test may harm.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use quash_config::Secret;
use quash_e2e::RabbitMq;
use quash_transport::amqp::Config;
use quash_transport::{ConsumeOptions, Consumer, Delivery, Message, Transport, Verdict};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

/// How long anything may take that must happen.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// How old a quorum queue must be before its node may be killed: RabbitMQ 3.10 has not written everything about a younger
/// one to its disk, and finds no leader for it afterwards.
const SETTLED: Duration = Duration::from_secs(4);

/// The node that tests share; the last of them ends it.
static SHARED: Mutex<Weak<Mutex<RabbitMq>>> = Mutex::const_new(Weak::new());

/// A queue on a node, and what belongs to it.
pub(crate) struct Fixture {
    node: Arc<Mutex<RabbitMq>>,
    address: String,
    queue: String,
    is_shared: bool,
    /// When a kill does no harm to a queue that was declared at once.
    settled: Instant,
}

impl Fixture {
    /// One on the shared node.
    pub(crate) async fn shared() -> Self {
        let mut shared = SHARED.lock().await;
        let node = match shared.upgrade() {
            Some(node) => node,
            None => Arc::new(Mutex::new(RabbitMq::start().await)),
        };
        *shared = Arc::downgrade(&node);
        Self::on(node, true).await
    }

    /// One on a node of its own.
    pub(crate) async fn own() -> Self {
        Self::on(Arc::new(Mutex::new(RabbitMq::start().await)), false).await
    }

    async fn on(node: Arc<Mutex<RabbitMq>>, is_shared: bool) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let address = node.lock().await.address();
        let queue = format!("q{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Self { node, address, queue, is_shared, settled: Instant::now() + SETTLED }
    }

    /// How to reach it; the broker is asked for a sign of life every second.
    pub(crate) fn config(&self) -> Config {
        self.config_at(&self.address)
    }

    /// The same, through something in between.
    pub(crate) fn config_at(&self, address: &str) -> Config {
        let url = Secret::new(format!("amqp://guest:guest@{address}"));
        Config { queue: self.queue.clone(), ..Config::at(url) }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn queue(&self) -> &str {
        &self.queue
    }

    pub(crate) fn transport(&self) -> Arc<dyn Transport> {
        self.config().build().unwrap()
    }

    /// The node, to harm it.
    pub(crate) async fn node(&self) -> MutexGuard<'_, RabbitMq> {
        self.node.lock().await
    }

    /// Waits until the node may be killed.
    pub(crate) async fn until_settled(&self) {
        sleep_until(self.settled).await;
    }

    /// Kills the node and brings it back; not one that others use.
    pub(crate) async fn restart(&self) -> bool {
        if !self.is_shared {
            self.until_settled().await;
            let (node, runtime) = (Arc::clone(&self.node), Handle::current());
            // What restarting awaits cannot move between threads, and a promise's test may.
            let restarting = spawn_blocking(move || runtime.block_on(async { node.lock().await.restart().await }));
            restarting.await.unwrap();
        }
        !self.is_shared
    }
}

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

/// The next batch.
pub(crate) async fn receive(consumer: &mut Consumer) -> Vec<Delivery> {
    let batch = tokio::time::timeout(LIMIT, consumer.receiver.receive()).await;
    batch.expect("a batch within the limit").unwrap()
}

/// The next so many deliveries, or a few more.
pub(crate) async fn receive_many(consumer: &mut Consumer, count: usize) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    while deliveries.len() < count {
        deliveries.extend(receive(consumer).await);
    }
    deliveries
}

/// Payloads as text, in order.
pub(crate) fn texts(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|delivery| String::from_utf8(delivery.message.payload.to_vec()).unwrap()).collect()
}

pub(crate) async fn ack(consumer: &Consumer, batch: &[Delivery]) {
    let verdicts: Vec<_> = batch.iter().map(|delivery| (delivery.tag, Verdict::Ack)).collect();
    consumer.settler.settle(&verdicts).await.unwrap();
}
