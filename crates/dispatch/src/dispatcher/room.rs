//! Bounds what a dispatcher of this process has taken and not done, and says what happens to one event more.

use std::sync::Arc;
use std::time::Duration;

use quash_core::rule::dispatch::WhenFull;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::engine::Hand;
use super::receipt::Cause;

/// The room of one dispatcher.
pub(super) struct Room {
    permits: Arc<Semaphore>,
    capacity: usize,
    when_full: WhenFull,
    limit: Duration,
    dispatcher: &'static str,
}

/// Where an event goes.
pub(super) enum Seat {
    /// It has room until this is dropped.
    Taken(OwnedSemaphorePermit),
    /// The caller does it.
    Caller,
}

impl Room {
    pub(super) fn new(capacity: usize, when_full: WhenFull, limit: Duration, dispatcher: &'static str) -> Self {
        let permits = Arc::new(Semaphore::new(capacity.clamp(1, Semaphore::MAX_PERMITS)));
        Self { permits, capacity, when_full, limit, dispatcher }
    }

    /// A seat: at once, or within the limit where the configuration says to wait.
    pub(super) async fn seat(&self, hand: &Hand) -> Result<Seat, Cause> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(Seat::Taken(permit));
        }
        let full = Cause::Full { dispatcher: self.dispatcher, capacity: self.capacity };
        match self.when_full {
            WhenFull::Inline => Ok(Seat::Caller),
            WhenFull::Refuse => Err(full),
            WhenFull::Block => {
                let waited = hand.within(self.limit, Arc::clone(&self.permits).acquire_owned()).await;
                waited.and_then(Result::ok).map(Seat::Taken).ok_or(full)
            }
        }
    }
}
