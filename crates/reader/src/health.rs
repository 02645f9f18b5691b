//! Remembers that the cache could not be asked, so that readers do not wait for it one after the other.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How long the cache is not asked after it failed.
const REST: Duration = Duration::from_secs(1);

/// Whether the cache is asked.
pub(crate) struct Health {
    begun: Instant,
    /// Milliseconds since the begin.
    rests_until: AtomicU64,
}

impl Default for Health {
    fn default() -> Self {
        Self { begun: Instant::now(), rests_until: AtomicU64::new(0) }
    }
}

impl Health {
    /// Whether it failed within the last second.
    pub(crate) fn rests(&self) -> bool {
        self.since(Duration::ZERO) < self.rests_until.load(Ordering::Relaxed)
    }

    /// It failed. Whether that is news.
    pub(crate) fn fail(&self) -> bool {
        let before = self.rests_until.swap(self.since(REST), Ordering::Relaxed);
        before <= self.since(Duration::ZERO)
    }

    fn since(&self, plus: Duration) -> u64 {
        u64::try_from((self.begun.elapsed() + plus).as_millis()).unwrap_or(u64::MAX)
    }
}
