//! Runs a consumer: hands out what its fetcher has fetched, and ends it in order.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::Shared;
use super::buffer::{Buffer, Next};
use super::fetch::{Fetcher, Opened};
use super::session::Session;
use super::settle::Settling;
use crate::linger::goes_at_once;
use crate::{ConsumeOptions, Consumer, Delivery, Receiver, TransportError};

/// Quorum queues take no more.
const PREFETCH_MAX: usize = 2000;

/// Batches that are fetched ahead or worked on: several are in flight, and more must be on the way meanwhile.
const BATCHES_AHEAD: usize = 8;

/// How long the first batch of a connection waits to be filled, at least: what waited at the broker comes message by
/// message, and the first would come alone.
const FIRST_LINGER: Duration = Duration::from_millis(50);

/// How long ending may take before the rest is left to the broker.
const END_LIMIT: Duration = Duration::from_secs(8);

/// What the parts of one consumer share.
pub(super) struct Consuming {
    pub(super) shared: Arc<Shared>,
    pub(super) name: String,
    pub(super) prefetch: u16,
    pub(super) buffer: Buffer,
    /// How many settles are under way: nothing is handed back before they have ended.
    pub(super) settling: watch::Sender<usize>,
    /// Rings when nobody can settle any more.
    pub(super) settler_gone: Notify,
    session: Mutex<Option<Arc<Session>>>,
    generations: AtomicU64,
    /// Whether nothing of the present connection was received yet.
    fresh: AtomicBool,
}

impl Consuming {
    /// The connection whose deliveries may be settled.
    pub(super) fn session(&self) -> Option<Arc<Session>> {
        self.slot().clone().filter(|session| !session.is_over())
    }

    pub(super) fn use_session(&self, session: &Arc<Session>) {
        self.fresh.store(true, Ordering::Relaxed);
        self.shared.watch(session);
        *self.slot() = Some(Arc::clone(session));
    }

    /// Forgets the connection: verdicts on its deliveries do nothing from now on.
    pub(super) fn forget_session(&self) {
        *self.slot() = None;
    }

    pub(super) fn next_generation(&self) -> u64 {
        self.generations.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// How many deliveries of the work queue are fetched and not settled.
    fn held(&self) -> usize {
        self.slot().as_ref().map_or(0, |session| usize::try_from(session.held()).unwrap_or(usize::MAX))
    }

    pub(super) fn is_connected(&self) -> bool {
        self.slot().as_ref().is_some_and(|session| session.lives())
    }

    fn slot(&self) -> MutexGuard<'_, Option<Arc<Session>>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a consumer ends.
pub(super) enum Ending {
    /// What was not handed out goes back at once; what was may still be settled. Rings when the first is done.
    Close(oneshot::Sender<()>),
    /// Everything goes back at once.
    Drop,
}

/// An ending under way; those who consume from here again wait for it.
pub(super) struct Closing(Arc<Shared>);

impl Closing {
    pub(super) fn begin(shared: &Arc<Shared>) -> Self {
        shared.closings.send_modify(|count| *count += 1);
        Self(Arc::clone(shared))
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.closings.send_modify(|count| *count -= 1);
    }
}

/// Starts a consumer once earlier ones have handed back what they held.
pub(super) async fn start(shared: Arc<Shared>, options: &ConsumeOptions) -> Result<Consumer, TransportError> {
    _ = timeout(END_LIMIT, shared.closings.subscribe().wait_for(|count| *count == 0)).await;
    let batch = options.batch.max(1);
    let consuming = Arc::new(Consuming {
        shared,
        name: options.name.clone(),
        prefetch: u16::try_from(batch.saturating_mul(BATCHES_AHEAD).min(PREFETCH_MAX)).unwrap_or(u16::MAX),
        buffer: Buffer::default(),
        settling: watch::Sender::new(0),
        settler_gone: Notify::new(),
        session: Mutex::default(),
        generations: AtomicU64::new(0),
        fresh: AtomicBool::new(true),
    });
    let opened = Opened::try_open(&consuming).await?;
    let (end, ending) = oneshot::channel();
    tokio::spawn(Fetcher::new(Arc::clone(&consuming), ending).run(opened));
    let receiver = Receiving { consuming: Arc::clone(&consuming), batch, linger: options.linger, end: Some(end) };
    Ok(Consumer { receiver: Box::new(receiver), settler: Arc::new(Settling { consuming }) })
}

struct Receiving {
    consuming: Arc<Consuming>,
    batch: usize,
    linger: Duration,
    /// Gone once it has ended.
    end: Option<oneshot::Sender<(Ending, Closing)>>,
}

#[async_trait]
impl Receiver for Receiving {
    async fn receive(&mut self) -> Result<Vec<Delivery>, TransportError> {
        loop {
            self.filled().await;
            // Nothing is taken out before here, so that it may be dropped while it waits.
            let batch = self.consuming.buffer.take(self.batch)?;
            // What came may be gone with its connection.
            if !batch.is_empty() {
                self.consuming.fresh.store(false, Ordering::Relaxed);
                return Ok(batch);
            }
        }
    }

    async fn close(mut self: Box<Self>) {
        let (done, is_done) = oneshot::channel();
        self.end(Ending::Close(done));
        _ = timeout(END_LIMIT, is_done).await;
    }
}

impl Receiving {
    /// Waits until there is something to receive, and then until it is a whole batch or the time for that is over.
    async fn filled(&self) {
        let buffer = &self.consuming.buffer;
        while buffer.next() == Next::Nothing {
            buffer.arrived().await;
        }
        let fresh = self.consuming.fresh.load(Ordering::Relaxed);
        let linger = if fresh { self.linger.max(FIRST_LINGER) } else { self.linger };
        // What the broker sends at once is there after a moment.
        tokio::task::yield_now().await;
        let until = Instant::now() + linger;
        while let Next::Work(length) = buffer.next()
            && length < self.batch
        {
            let at_once = goes_at_once(linger, length, self.consuming.held());
            if at_once || timeout_at(until, buffer.arrived()).await.is_err() {
                break;
            }
        }
    }

    fn end(&mut self, ending: Ending) {
        if let Some(end) = self.end.take() {
            // If the fetcher has died there is nothing left to end, and its connection has ended with it.
            _ = end.send((ending, Closing::begin(&self.consuming.shared)));
        }
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        if self.end.is_some() {
            self.consuming.forget_session();
            self.end(Ending::Drop);
        }
    }
}
