//! Holds what the batches of one source are handled with, and reaches the other sources of the worker.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use quash_dispatch::config::SourceOptions;
use quash_transport::{Message, Settler, Transport, TransportError};
use tokio::time::{Instant, timeout};

use crate::metrics::SourceMetrics;
use crate::snapshot::Snapshot;

/// A source, and what its messages are handled with.
pub struct Source {
    /// The configured name.
    pub name: String,
    /// How it is consumed.
    pub options: SourceOptions,
    /// The broker.
    pub transport: Arc<dyn Transport>,
    /// The worker's name.
    pub worker: String,
    /// Its counters.
    pub metrics: SourceMetrics,
    /// The rules and lanes in force; a reload swaps them.
    pub rules: Arc<ArcSwap<Snapshot>>,
    /// All sources of this worker, for caches that name another one as theirs.
    pub others: Arc<OtherSources>,
    /// The settling half of its consumer, once it consumes.
    pub settler: OnceLock<Arc<dyn Settler>>,
}

impl Source {
    /// The rules and lanes in force now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.rules.load_full()
    }
}

/// How long a source may take for the copies of a batch.
const PUBLISH_MAX: Duration = Duration::from_secs(5);

/// How long later passes wait as copies of their events after the source did not take them together: it may be full, or its
/// user may not publish, and then each attempt costs time.
const APART_FOR: Duration = Duration::from_secs(60);

/// How long a source that could not be reached is not asked again, so that batches do not wait for it one after the other.
const AWAY_FOR: Duration = Duration::from_secs(1);

/// What a worker can hand over to: all of its sources, by name.
pub type OtherSources = BTreeMap<String, OtherSource>;

/// A source to hand over to.
pub struct OtherSource {
    transport: Arc<dyn Transport>,
    /// Until when it is not asked, and why.
    away: Mutex<Option<(Instant, String)>>,
    /// Until when passes are not left to it together.
    apart: Mutex<Option<Instant>>,
}

impl OtherSource {
    /// A source that can be reached, as far as is known.
    #[must_use]
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self { transport, away: Mutex::new(None), apart: Mutex::new(None) }
    }

    /// Publishes to it, unless it could not be reached a moment ago.
    ///
    /// # Errors
    /// Why it did not take the messages, in words.
    pub(crate) async fn publish(&self, messages: &[Message]) -> Result<(), String> {
        if let Some(error) = self.away() {
            return Err(error);
        }
        self.published(messages).await.map_err(|error| {
            let error = error.to_string();
            *self.lock() = Some((Instant::now() + AWAY_FOR, error.clone()));
            error
        })
    }

    /// Publishes what later passes do together. False when it did not take that, now or within [`APART_FOR`]: whoever asks
    /// has another way.
    pub(crate) async fn publish_passes(&self, messages: &[Message], metrics: &SourceMetrics) -> bool {
        let apart = *self.apart.lock().unwrap_or_else(PoisonError::into_inner);
        if apart.is_some_and(|until| until > Instant::now()) {
            return false;
        }
        let published = self.published(messages).await;
        if let (Err(error), None) = (&published, apart) {
            metrics.passes_are_apart(error);
        }
        let until = published.is_err().then(|| Instant::now() + APART_FOR);
        *self.apart.lock().unwrap_or_else(PoisonError::into_inner) = until;
        published.is_ok()
    }

    async fn published(&self, messages: &[Message]) -> Result<(), TransportError> {
        let silent = || TransportError::Unreachable(format!("no answer within {PUBLISH_MAX:?}"));
        timeout(PUBLISH_MAX, self.transport.publish(messages)).await.unwrap_or_else(|_| Err(silent()))
    }

    fn away(&self) -> Option<String> {
        let away = self.lock();
        away.as_ref().filter(|(until, _)| *until > Instant::now()).map(|(_, error)| error.clone())
    }

    /// Held for moments only, never across an await.
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Instant, String)>> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
