//! Counts what happens while the shop runs.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What has happened so far. Shared by everybody who does something.
pub(super) struct Tally {
    pub(super) started: Instant,
    /// Messages that the broker took, the broken ones included.
    pub(super) published: Counter,
    /// Messages that were settled in their first pass.
    pub(super) handled: Counter,
    pub(super) reads: Counter,
    pub(super) hits: Counter,
    /// Hits that showed something else than the database held at that moment.
    pub(super) stale: Counter,
    /// Entries that were filled with old data after their removal: the race that a second pass closes.
    pub(super) raced: Counter,
    /// Actions that the cache answered.
    pub(super) actions: Counter,
    /// Entries that were there and are gone.
    pub(super) removed: Counter,
    /// Reads and writes of the shop that the cache did not answer.
    pub(super) failed: Counter,
    staleness: Mutex<Histogram>,
    /// How often each key was removed.
    removals: Mutex<HashMap<Box<str>, u64>>,
    /// Broken messages that were published, by the reason that they must end with.
    broken: Mutex<BTreeMap<&'static str, u64>>,
}

/// A number that only grows.
#[derive(Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            published: Counter::default(),
            handled: Counter::default(),
            reads: Counter::default(),
            hits: Counter::default(),
            stale: Counter::default(),
            raced: Counter::default(),
            actions: Counter::default(),
            removed: Counter::default(),
            failed: Counter::default(),
            staleness: Mutex::default(),
            removals: Mutex::default(),
            broken: Mutex::default(),
        }
    }

    /// Notes how long after its commit a change was confirmed to be invalidated.
    pub(super) fn note_staleness(&self, time: Duration) {
        lock(&self.staleness).note(time);
    }

    /// The time that this part of all changes stayed below, from 0 to 1; `None` before there was any.
    pub(super) fn staleness(&self, part: f64) -> Option<Duration> {
        lock(&self.staleness).quantile(part)
    }

    pub(super) fn note_removal(&self, key: &str) {
        let mut removals = lock(&self.removals);
        match removals.get_mut(key) {
            Some(times) => *times += 1,
            None => drop(removals.insert(key.into(), 1)),
        }
    }

    /// How often a key was removed so far.
    pub(super) fn removals(&self, key: &str) -> u64 {
        lock(&self.removals).get(key).copied().unwrap_or_default()
    }

    pub(super) fn note_broken(&self, reason: &'static str) {
        *lock(&self.broken).entry(reason).or_default() += 1;
    }

    /// Broken messages so far, by the reason that they must end with.
    pub(super) fn broken(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.broken).clone()
    }
}

/// Every change under these locks is complete before anything could panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Times in buckets that are an eighth apart, whatever their size: exact enough for a quantile, and of fixed size.
struct Histogram {
    buckets: [u64; Self::BUCKETS],
    all: u64,
}

impl Histogram {
    /// Eight for each power of two of microseconds.
    const BUCKETS: usize = 8 * 62;

    fn note(&mut self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.buckets[Self::bucket(us)] += 1;
        self.all += 1;
    }

    fn quantile(&self, part: f64) -> Option<Duration> {
        let rank = ((self.all as f64 * part).ceil() as u64).max(1);
        let mut seen = 0;
        let bucket = self.buckets.iter().position(|count| {
            seen += count;
            *count > 0 && seen >= rank
        })?;
        Some(Duration::from_micros(Self::upper(bucket)))
    }

    fn bucket(us: u64) -> usize {
        if us < 8 {
            return us as usize;
        }
        let power = us.ilog2();
        (power as usize - 2) * 8 + (us >> (power - 3) & 7) as usize
    }

    /// The first time above a bucket, so that a quantile is never told too short.
    fn upper(bucket: usize) -> u64 {
        if bucket < 8 {
            return bucket as u64 + 1;
        }
        let (power, eighth) = (bucket / 8 + 2, bucket as u64 % 8);
        u64::try_from(u128::from(9 + eighth) << (power - 3)).unwrap_or(u64::MAX)
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [0; Self::BUCKETS], all: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_has_a_bucket_whose_upper_end_is_above_it_and_near() {
        for us in (0..100_000).chain([u64::MAX / 3, u64::MAX]) {
            let upper = Histogram::upper(Histogram::bucket(us));
            assert!(upper > us || upper == u64::MAX, "{us} {upper}");
            assert!(upper - us <= us / 8 + 1, "{us} {upper}");
        }
    }

    #[test]
    fn quantiles_are_told_from_all_times() {
        let tally = Tally::new();
        assert_eq!(tally.staleness(0.5), None);
        (1..=100).for_each(|ms| tally.note_staleness(Duration::from_millis(ms)));
        let near = |part, ms: u64| {
            let found = tally.staleness(part).unwrap();
            let (low, high) = (Duration::from_millis(ms), Duration::from_millis(ms + ms / 8 + 1));
            assert!(found >= low && found <= high, "{part} {found:?}");
        };
        near(0.5, 50);
        near(0.99, 99);
        near(1.0, 100);
    }
}
