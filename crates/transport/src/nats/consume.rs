//! Runs a consumer: three fetchers that fill one buffer, and what keeps and moves deliveries beside them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::buffer::Buffer;
use super::fetch::Fetcher;
use super::held::Held;
use super::settle::{self, Settling};
use super::topology::{self, Lane};
use super::{Shared, stranded, suspects, unreadable, upkeep};
use crate::{ConsumeOptions, Consumer, Delivery, Receiver, TransportError};

/// How long a consumer that ends waits for what is still going on.
const ENDING_MAX: Duration = Duration::from_secs(4);

/// What the parts of one consumer share.
pub(super) struct Consuming {
    pub(super) shared: Arc<Shared>,
    pub(super) name: String,
    pub(super) batch: usize,
    linger: Duration,
    /// How long the server waits before it hands out again what it has not heard of.
    pub(super) ack_wait: Duration,
    pub(super) held: Held,
    pub(super) buffer: Buffer,
    /// Takes what must be moved aside.
    pub(super) aside: mpsc::UnboundedSender<Delivery>,
    /// Whether nothing more is wanted.
    pub(super) stop: watch::Sender<bool>,
    /// Whether somebody looks for what the driver cannot hand over.
    pub(super) looking: watch::Sender<bool>,
    /// Rings when something says that a consumer may not be there any more.
    pub(super) doubt: Notify,
    /// How many settles are going on.
    pub(super) settling: watch::Sender<usize>,
    /// Whether receiving has ended, and what was received may still be settled.
    closed: AtomicBool,
}

impl Consuming {
    /// How long the server may be silent while something is asked for.
    pub(super) fn patience(&self) -> Duration {
        *self.shared.config.heartbeat * 5 / 2
    }

    pub(super) fn is_connected(&self) -> bool {
        self.shared.link.is_connected() && self.buffer.is_whole()
    }

    /// Lets go of everything that a consumer handed out which is not there any more.
    pub(super) fn forget(&self, lane: Lane) {
        tracing::warn!(consumer = %self.shared.names.consumer_of(lane), stream = %self.shared.names.stream_of(lane),
            "the consumer had vanished and was made again; what it had handed out comes again");
        self.shared.link.consumer_ended();
        self.buffer.clear(lane);
        self.held.let_go_lane(lane);
    }

    /// Hands back what is held; if that fails, the server hands it out again when its patience is over.
    async fn hand_back(&self, all: bool) {
        let back = self.held.take_back(all);
        match timeout(ENDING_MAX, settle::hand_back(&self.shared, back)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(consumer = %self.name, %error, "what was fetched comes back later"),
            Err(_) => tracing::debug!(consumer = %self.name, "what was fetched comes back later"),
        }
    }

    /// Waits until no settle is going on.
    async fn until_settled(&self) {
        let mut settling = self.settling.subscribe();
        let settled = settling.wait_for(|&count| count == 0);
        _ = timeout(ENDING_MAX, settled).await;
    }

    /// Hands back what was received and will not be settled any more, as nobody is left to do so.
    pub(super) fn abandon(self: &Arc<Self>) {
        if self.closed.load(Ordering::Relaxed) && !self.held.is_empty() {
            let consuming = Arc::clone(self);
            let ending = Ending::begin(&self.shared);
            in_background(async move {
                consuming.until_settled().await;
                consuming.hand_back(true).await;
                drop(ending);
            });
        }
    }
}

/// Counts a consumer that is just ending, so that the next one begins after it.
struct Ending(Arc<Shared>);

impl Ending {
    fn begin(shared: &Arc<Shared>) -> Self {
        shared.ending.send_modify(|count| *count += 1);
        Self(Arc::clone(shared))
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.ending.send_modify(|count| *count -= 1);
    }
}

/// Starts a consumer; its parts stop when the receiver is dropped.
pub(super) async fn start(shared: Arc<Shared>, options: &ConsumeOptions) -> Result<Consumer, TransportError> {
    let mut ending = shared.ending.subscribe();
    // What an earlier consumer held comes first, so it must be with the server again.
    _ = timeout(2 * ENDING_MAX, ending.wait_for(|&count| count == 0)).await;
    let mut created = Vec::with_capacity(Lane::ALL.len());
    let mut ack_wait = *shared.config.ack_wait;
    for lane in Lane::ALL {
        let found = topology::ensure_consumer(&shared, lane).await?;
        ack_wait = ack_wait.min(Duration::from_nanos(found.config.ack_wait.max(1)));
        created.push((lane, found.created));
    }
    let (aside, suspected) = mpsc::unbounded_channel();
    let consuming = Arc::new(Consuming {
        held: Held::new(Arc::clone(&shared.due_held)),
        shared,
        name: options.name.clone(),
        batch: options.batch.max(1),
        linger: options.linger,
        ack_wait,
        buffer: Buffer::default(),
        aside,
        stop: watch::Sender::new(false),
        looking: watch::Sender::new(false),
        doubt: Notify::new(),
        settling: watch::Sender::new(0),
        closed: AtomicBool::new(false),
    });
    let mut parts = JoinSet::new();
    for (lane, created) in created {
        parts.spawn(Fetcher::new(Arc::clone(&consuming), lane, created).run());
    }
    parts.spawn(suspects::move_aside(Arc::clone(&consuming), suspected));
    parts.spawn(stranded::watch(Arc::clone(&consuming)));
    parts.spawn(unreadable::watch(Arc::clone(&consuming)));
    // Not one of the parts: what was received is kept until it is settled, after receiving has ended too.
    tokio::spawn(upkeep::keep_held(Arc::clone(&consuming)));
    let receiver = Receiving { consuming: Arc::clone(&consuming), parts: Some(parts) };
    Ok(Consumer { receiver: Box::new(receiver), settler: Arc::new(Settling { consuming }) })
}

struct Receiving {
    consuming: Arc<Consuming>,
    /// What goes on beside; gone once it has ended.
    parts: Option<JoinSet<()>>,
}

#[async_trait]
impl Receiver for Receiving {
    async fn receive(&mut self) -> Result<Vec<Delivery>, TransportError> {
        let Consuming { buffer, held, batch, linger, .. } = &*self.consuming;
        loop {
            let mut deliveries = buffer.next(*batch, *linger, || held.len()).await?;
            held.hand_out(&mut deliveries);
            if !deliveries.is_empty() {
                return Ok(deliveries);
            }
        }
    }

    async fn close(mut self: Box<Self>) {
        self.consuming.closed.store(true, Ordering::Relaxed);
        if let Some(rest) = self.end(false) {
            rest.await;
        }
    }
}

impl Receiving {
    /// Stops the parts; what is left to do is returned, once: handing back everything, or what never left `receive`.
    fn end(&mut self, all: bool) -> Option<impl Future<Output = ()> + Send + 'static> {
        let mut parts = self.parts.take()?;
        let consuming = Arc::clone(&self.consuming);
        let ending = Ending::begin(&consuming.shared);
        consuming.stop.send_replace(true);
        Some(async move {
            let ended = async { while parts.join_next().await.is_some() {} };
            _ = timeout(ENDING_MAX, ended).await;
            parts.shutdown().await;
            if all {
                consuming.until_settled().await;
            }
            consuming.hand_back(all).await;
            drop(ending);
        })
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        if let Some(rest) = self.end(true) {
            in_background(rest);
        }
    }
}

/// Runs something to its end without anybody waiting for it, if there is still somebody to run it.
fn in_background(work: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(work);
    }
}
