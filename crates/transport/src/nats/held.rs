//! Remembers what this consumer holds, what it needs to settle it, and since when the server has heard of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::{HeaderMap, Subject};
use bytes::Bytes;
use rustc_hash::{FxHashMap, FxHashSet};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::topology::Lane;
use crate::Delivery;

/// The deliveries that were fetched and are not settled, by their tags.
pub(super) struct Held {
    entries: Mutex<FxHashMap<u128, Entry>>,
    /// Counts what is held of the parked lane, for everybody in this process.
    due: Arc<AtomicU64>,
    /// Rings when something is no longer held.
    pub(super) settled: Notify,
}

/// One delivery.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) lane: Lane,
    /// Where it is acked. It names this one delivery and no other.
    pub(super) reply: Subject,
    /// Its number in its stream.
    pub(super) sequence: u64,
    pub(super) headers: Option<HeaderMap>,
    pub(super) payload: Bytes,
    /// When the server last heard that it is held.
    pub(super) since: Instant,
    /// Whether it has left `receive`.
    pub(super) handed_out: bool,
    /// Whether the server is left to hand it out again, unless it is settled before.
    pub(super) forsaken: bool,
}

impl Held {
    pub(super) fn new(due: Arc<AtomicU64>) -> Self {
        Self { entries: Mutex::default(), due, settled: Notify::new() }
    }

    fn entries(&self) -> MutexGuard<'_, FxHashMap<u128, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes fetched deliveries in.
    pub(super) fn hold(&self, fetched: Vec<(u128, Entry)>) {
        let due = fetched.iter().filter(|(_, entry)| entry.lane == Lane::Parked).count();
        self.due.fetch_add(due as u64, Ordering::Relaxed);
        self.entries().extend(fetched);
    }

    /// Notes that deliveries leave `receive`; those that are not held any more are taken out.
    pub(super) fn hand_out(&self, batch: &mut Vec<Delivery>) {
        let mut entries = self.entries();
        batch.retain(|delivery| match entries.get_mut(&delivery.tag.0) {
            Some(entry) => {
                entry.handed_out = true;
                true
            }
            None => false,
        });
    }

    /// Looks at deliveries that are still held.
    pub(super) fn look(&self, tags: impl Iterator<Item = u128>, mut each: impl FnMut(usize, u128, &Entry)) {
        let entries = self.entries();
        for (shared, tag) in tags.enumerate() {
            if let Some(entry) = entries.get(&tag) {
                each(shared, tag, entry);
            }
        }
    }

    /// Those that the server has not heard of for so long.
    pub(super) fn older_than(&self, age: Duration, now: Instant) -> Vec<(u128, Entry)> {
        let entries = self.entries();
        let old = entries.iter().filter(|(_, entry)| now.duration_since(entry.since) >= age);
        old.map(|(tag, entry)| (*tag, entry.clone())).collect()
    }

    /// Leaves deliveries to the server, which hands them out again after a while.
    pub(super) fn forsake(&self, tags: impl IntoIterator<Item = u128>) {
        let mut entries = self.entries();
        for tag in tags {
            if let Some(entry) = entries.get_mut(&tag) {
                entry.forsaken = true;
            }
        }
    }

    /// Notes that the server heard of deliveries again.
    pub(super) fn refresh(&self, tags: impl IntoIterator<Item = u128>, since: Instant) {
        let mut entries = self.entries();
        for tag in tags {
            if let Some(entry) = entries.get_mut(&tag) {
                entry.since = since;
            }
        }
    }

    /// Lets go of deliveries that are settled or somebody else's.
    pub(super) fn let_go(&self, tags: impl IntoIterator<Item = u128>) {
        let mut entries = self.entries();
        let gone = tags.into_iter().filter_map(|tag| entries.remove(&tag));
        let due = gone.filter(|entry| entry.lane == Lane::Parked).count();
        drop(entries);
        self.due.fetch_sub(due as u64, Ordering::Relaxed);
        self.settled.notify_waiters();
    }

    /// Lets go of what a consumer held that is not there any more.
    pub(super) fn let_go_lane(&self, lane: Lane) {
        let tags: Vec<_> = self.entries().iter().filter(|(_, entry)| entry.lane == lane).map(|(tag, _)| *tag).collect();
        self.let_go(tags);
    }

    /// The numbers of what is held of a lane.
    pub(super) fn sequences(&self, lane: Lane) -> FxHashSet<u64> {
        self.entries().values().filter(|entry| entry.lane == lane).map(|entry| entry.sequence).collect()
    }

    /// Whether nothing of a lane is held.
    pub(super) fn is_free(&self, lane: Lane) -> bool {
        self.entries().values().all(|entry| entry.lane != lane)
    }

    /// How many deliveries are held.
    pub(super) fn len(&self) -> usize {
        self.entries().len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries().is_empty()
    }

    /// Takes out what is to be handed back, in the order in which it was published: all, or what never left `receive`.
    pub(super) fn take_back(&self, all: bool) -> Vec<Entry> {
        let entries = self.entries();
        let chosen = entries.iter().filter(|(_, entry)| all || !entry.handed_out);
        let mut chosen: Vec<_> = chosen.map(|(tag, entry)| (*tag, entry.clone())).collect();
        drop(entries);
        self.let_go(chosen.iter().map(|(tag, _)| *tag));
        chosen.sort_unstable_by_key(|(_, entry)| (entry.lane, entry.sequence));
        chosen.into_iter().map(|(_, entry)| entry).collect()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let due = self.entries().values().filter(|entry| entry.lane == Lane::Parked).count();
        self.due.fetch_sub(due as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(lane: Lane, sequence: u64) -> Entry {
        let since = Instant::now();
        Entry {
            lane,
            reply: "r".into(),
            sequence,
            headers: None,
            payload: Bytes::new(),
            since,
            handed_out: false,
            forsaken: false,
        }
    }

    #[test]
    fn what_is_handed_back_is_in_order_and_no_longer_held() {
        let due = Arc::new(AtomicU64::new(0));
        let held = Held::new(Arc::clone(&due));
        held.hold(vec![(1, entry(Lane::Parked, 9)), (2, entry(Lane::Work, 8)), (3, entry(Lane::Work, 7))]);
        assert_eq!(due.load(Ordering::Relaxed), 1);
        let order: Vec<_> = held.take_back(false).into_iter().map(|entry| entry.sequence).collect();
        assert_eq!(order, [7, 8, 9]);
        assert!(held.is_empty());
        assert_eq!(due.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_left_stays_until_all_is_taken_back() {
        let held = Held::new(Arc::default());
        held.hold(vec![(1, entry(Lane::Work, 1)), (2, entry(Lane::Work, 2))]);
        let delivery = |tag| Delivery {
            tag: crate::Tag(tag),
            broker_id: String::new(),
            message: Default::default(),
            deliveries: 1,
        };
        let mut batch = vec![delivery(1), delivery(5)];
        held.hand_out(&mut batch);
        assert_eq!(batch.len(), 1, "what is not held is not handed out");
        assert_eq!(held.take_back(false).len(), 1);
        assert_eq!(held.take_back(true).len(), 1);
    }
}
