//! Remembers what this consumer holds, and since when, so that it neither loses nor doubles it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::Delivery;

/// The entries that were fetched and are not settled, by their number.
#[derive(Default)]
pub(super) struct Held {
    entries: Mutex<FxHashMap<u128, Entry>>,
    settled: Notify,
}

#[derive(Clone, Copy)]
struct Entry {
    /// When the server last heard that this consumer holds it.
    since: Instant,
    /// Whether it has left `receive`.
    handed_out: bool,
}

impl Held {
    fn entries(&self) -> MutexGuard<'_, FxHashMap<u128, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes fetched entries in.
    pub(super) fn hold(&self, batch: &[Delivery], since: Instant) {
        let mut entries = self.entries();
        entries.extend(batch.iter().map(|delivery| (delivery.tag.0, Entry { since, handed_out: false })));
    }

    /// Notes that entries leave `receive`.
    pub(super) fn hand_out(&self, batch: &[Delivery]) {
        let mut entries = self.entries();
        for delivery in batch {
            if let Some(entry) = entries.get_mut(&delivery.tag.0) {
                entry.handed_out = true;
            }
        }
    }

    /// How long ago the server last heard of an entry; `None` when it is not held any more.
    pub(super) fn ages<'a>(
        &self,
        ids: impl IntoIterator<Item = u128> + 'a,
        now: Instant,
        mut each: impl FnMut(usize, Duration),
    ) {
        let entries = self.entries();
        for (shared, id) in ids.into_iter().enumerate() {
            if let Some(entry) = entries.get(&id) {
                each(shared, now.duration_since(entry.since));
            }
        }
    }

    pub(super) fn contains(&self, id: u128) -> bool {
        self.entries().contains_key(&id)
    }

    /// The entries that the server has not heard of for so long.
    pub(super) fn older_than(&self, age: Duration, now: Instant) -> Vec<u128> {
        let entries = self.entries();
        entries.iter().filter(|(_, entry)| now.duration_since(entry.since) >= age).map(|(id, _)| *id).collect()
    }

    /// The entries that left `receive` and are not settled.
    pub(super) fn handed_out(&self) -> Vec<u128> {
        self.entries().iter().filter(|(_, entry)| entry.handed_out).map(|(id, _)| *id).collect()
    }

    /// Notes that the server heard of entries again.
    pub(super) fn refresh(&self, ids: &[u128], since: Instant) {
        let mut entries = self.entries();
        for id in ids {
            if let Some(entry) = entries.get_mut(id) {
                entry.since = since;
            }
        }
    }

    /// Lets go of entries that are settled or somebody else's.
    pub(super) fn let_go(&self, ids: impl IntoIterator<Item = u128>) {
        let mut entries = self.entries();
        for id in ids {
            entries.remove(&id);
        }
        drop(entries);
        self.settled.notify_waiters();
    }

    /// Waits until an entry is no longer held.
    pub(super) async fn until_let_go(&self, id: u128) {
        loop {
            let mut settled = std::pin::pin!(self.settled.notified());
            settled.as_mut().enable();
            if !self.contains(id) {
                return;
            }
            settled.await;
        }
    }
}
