//! Runs a consumer: a fetcher that works ahead, and what keeps, finds and brings back entries beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use redis::{Pipeline, RedisResult, Value};
use rustc_hash::FxHashSet;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout};

use super::connection::Link;
use super::fetch::Fetcher;
use super::held::Held;
use super::scripts::{self, CHUNK};
use super::settle::{Settling, pending, release, report_lost, retire};
use super::suspects::{Reclaimer, Suspects};
use super::wire::{format_id, list, number, parse_id, text};
use super::{Shared, mover, topology, upkeep};
use crate::{ConsumeOptions, Consumer, Delivery, Receiver, TransportError};

/// How long a consumer that ends waits for the answer to its last read; an idle one would wait for a whole heartbeat.
const LAST_ANSWER: Duration = Duration::from_millis(100);

/// A batch, or why there is none.
pub(super) type Batch = Result<Vec<Delivery>, TransportError>;

/// What the parts of one consumer share.
pub(super) struct Consuming {
    pub(super) shared: Arc<Shared>,
    pub(super) name: String,
    pub(super) batch: usize,
    pub(super) linger: Duration,
    /// Carries everything but the blocking reads.
    pub(super) link: Link,
    pub(super) held: Held,
    /// Taken by whoever hands out entries again, so that two of them do not hand out the same.
    pub(super) taking: Mutex<()>,
    /// Rings when a copy was parked here: it may be due before all others.
    pub(super) parked: Notify,
    pub(super) reading: AtomicBool,
    /// Why reading stopped last, in the server's words where it said any.
    pub(super) stopped: std::sync::Mutex<Option<TransportError>>,
}

impl Consuming {
    pub(super) fn claim_after(&self) -> Duration {
        *self.shared.config.claim_after
    }

    pub(super) fn is_connected(&self) -> bool {
        // A fetcher whose entries nobody takes notices nothing; the other connection is used every second.
        self.reading.load(Ordering::Relaxed) && self.link.is_reached()
    }

    /// What keeps it from the server, if anything does.
    pub(super) fn problem(&self) -> Option<TransportError> {
        let cut_off = || TransportError::Unreachable("the consumer is cut off".to_owned());
        let stopped = || self.stopped.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        if self.is_connected() { self.shared.problem() } else { Some(stopped().unwrap_or_else(cut_off)) }
    }

    /// Removes this consumer from the group once it holds nothing, so that names do not pile up.
    pub(super) fn end(self: &Arc<Self>) {
        let consuming = Arc::clone(self);
        in_background(async move { consuming.retire_self().await });
    }

    async fn retire_self(&self) {
        let removed = scripts::call(&self.link, retire(self, &self.name, Duration::MAX)).await;
        if let Err(error) = removed {
            tracing::debug!(consumer = %self.name, %error, "the consumer's name stays in the group");
        }
    }

    /// Hands back what was fetched and never left `receive`. If that fails, others find it after `claim_after`.
    async fn hand_back(&self, ended: Instant) {
        match self.try_hand_back(ended).await {
            Ok(()) => self.retire_self().await,
            Err(error) => tracing::debug!(consumer = %self.name, %error, "entries fetched ahead come back later"),
        }
    }

    async fn try_hand_back(&self, ended: Instant) -> Result<(), TransportError> {
        let kept: FxHashSet<_> = self.held.handed_out().into_iter().collect();
        // What was fetched after the end is held by a consumer that came back under this name. Measured before the server is
        // asked: by the time it answers, what was fetched just before the end would seem to be younger than the end. The
        // server counts whole milliseconds.
        let since = ended.elapsed().saturating_sub(Duration::from_millis(1));
        let own = own(self).await?.unwrap_or_default();
        let before = own.into_iter().filter(|entry| entry.idle >= since);
        let unused: Vec<_> = before.map(|entry| entry.id).filter(|id| !kept.contains(id)).collect();
        let mut pipeline = Pipeline::new();
        for chunk in unused.chunks(CHUNK) {
            pipeline.add_command(release(self, chunk));
        }
        if !pipeline.is_empty() {
            report_lost(self, scripts::run(&self.link, &mut pipeline).await?);
        }
        self.held.let_go(unused);
        Ok(())
    }
}

/// An entry that was handed out and not settled, as the server sees it.
pub(super) struct Pending {
    pub(super) id: u128,
    /// How long ago it was handed out, or said to be still worked on.
    pub(super) idle: Duration,
    /// How often it was handed out.
    pub(super) deliveries: u32,
}

impl Pending {
    /// Reads one line of an answer to `XPENDING`.
    pub(super) fn read(line: Value) -> Option<Self> {
        let mut line = list(line)?.into_iter();
        let id = parse_id(&text(line.next()?)?)?;
        let idle = Duration::from_millis(number(&line.nth(1)?));
        Some(Self { id, idle, deliveries: u32::try_from(number(&line.next()?)).unwrap_or(u32::MAX) })
    }
}

/// The entries that the server says this consumer holds; its error where it has one to say.
pub(super) async fn own(consuming: &Consuming) -> Result<RedisResult<Vec<Pending>>, TransportError> {
    const PAGE: usize = 1000;
    let (mut own, mut from) = (Vec::new(), String::from("-"));
    loop {
        let page = match consuming.link.try_ask(pending(consuming, &from, PAGE)).await? {
            Ok(page) => list(page).unwrap_or_default(),
            Err(error) => return Ok(Err(error)),
        };
        let last_page = page.len() < PAGE;
        own.extend(page.into_iter().filter_map(Pending::read));
        match own.last() {
            Some(last) if !last_page => from = format!("({}", format_id(last.id)),
            _ => return Ok(Ok(own)),
        }
    }
}

/// Starts a consumer; its parts stop when the receiver is dropped.
pub(super) async fn start(shared: Arc<Shared>, options: &ConsumeOptions) -> Result<Consumer, TransportError> {
    let consuming = Arc::new(Consuming {
        link: Link::new(shared.server.clone()),
        shared,
        name: options.name.clone(),
        batch: options.batch.max(1),
        linger: options.linger,
        held: Held::default(),
        taking: Mutex::new(()),
        parked: Notify::new(),
        // Nothing is known to be wrong yet: the group has just answered.
        reading: AtomicBool::new(true),
        stopped: std::sync::Mutex::default(),
    });
    topology::ensure_group(&consuming.link, &consuming.shared.names).await?;
    // Before anything is read: from then on it cannot be told what others removed while nobody was there.
    upkeep::look(&consuming).await;
    // One batch waits while the next one is read: the server works while the worker does.
    let (fresh_in, fresh) = mpsc::channel(1);
    let (again_in, again) = mpsc::channel(1);
    let (suspects_in, suspects) = mpsc::unbounded_channel();
    let mut parts = JoinSet::new();
    let fetcher = tokio::spawn(Fetcher::new(Arc::clone(&consuming), fresh_in, suspects_in.clone()).run());
    parts.spawn(Reclaimer::new(Arc::clone(&consuming), again_in.clone(), suspects_in).run());
    parts.spawn(Suspects::new(Arc::clone(&consuming), suspects, again_in).run());
    parts.spawn(mover::run(Arc::clone(&consuming)));
    parts.spawn(upkeep::keep_held(Arc::clone(&consuming)));
    parts.spawn(upkeep::tidy(Arc::clone(&consuming)));
    let receiver = Receiving { consuming: Arc::clone(&consuming), fresh, again, running: Some((fetcher, parts)) };
    Ok(Consumer { receiver: Box::new(receiver), settler: Arc::new(Settling { consuming }) })
}

struct Receiving {
    consuming: Arc<Consuming>,
    fresh: mpsc::Receiver<Batch>,
    again: mpsc::Receiver<Batch>,
    /// The fetcher and what goes on beside it; gone once it has ended.
    running: Option<(JoinHandle<()>, JoinSet<()>)>,
}

#[async_trait]
impl Receiver for Receiving {
    async fn receive(&mut self) -> Batch {
        // Neither side can starve the other: which one is asked first is drawn anew each time.
        let batch = tokio::select! {
            Some(batch) = self.fresh.recv() => batch,
            Some(batch) = self.again.recv() => batch,
            else => return Err(TransportError::Unreachable("the consumer has ended".into())),
        }?;
        self.consuming.held.hand_out(&batch);
        Ok(batch)
    }

    async fn close(mut self: Box<Self>) {
        if let Some(rest) = self.end(LAST_ANSWER) {
            rest.await;
        }
    }
}

impl Receiving {
    /// Stops the parts; what is left to do is returned, once. The last read may take so long to be answered.
    fn end(&mut self, last_answer: Duration) -> Option<impl Future<Output = ()> + Send + 'static> {
        let (mut fetcher, mut parts) = self.running.take()?;
        parts.abort_all();
        self.fresh.close();
        let consuming = Arc::clone(&self.consuming);
        consuming.reading.store(false, Ordering::Relaxed);
        Some(async move {
            // Best with the answer that it waits for, or the server may hand out entries behind our back.
            if timeout(last_answer, &mut fetcher).await.is_err() {
                fetcher.abort();
                _ = fetcher.await;
            }
            while parts.join_next().await.is_some() {}
            consuming.hand_back(Instant::now()).await;
        })
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        if let Some(rest) = self.end(Duration::ZERO) {
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
