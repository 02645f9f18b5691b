//! Keeps what came of samples on the target, hour by hour, and sees to it that one process alone takes them.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quash_store::{Store, StoreError};
use serde::{Deserialize, Serialize};

use crate::tally::{Count, SampleCounts};

/// Who takes samples.
const LEASE: &str = "quash:verify:lease";
/// How long that is so without another word.
const LEASE_LIFE: Duration = Duration::from_secs(30);
/// What came of them in an hour, followed by its number since 1970.
const HOUR: &str = "quash:verify:hour:";
/// How long that is kept.
const HOUR_LIFE: Duration = Duration::from_secs(8 * 24 * 3600);
/// Bytes of an hour's note at most.
const BYTES_MAX: usize = 4 * 1024 * 1024;
const HOUR_SECONDS: u64 = 3600;

/// Keeps the notes of one target.
pub struct Keeper {
    store: Arc<dyn Store>,
    name: String,
    hour: u64,
    counts: SampleCounts,
    holds: bool,
}

/// One row of a note.
#[derive(Serialize, Deserialize)]
struct Row {
    cache: String,
    target: String,
    within_ms: u64,
    #[serde(flatten)]
    count: Count,
}

impl Keeper {
    /// One of this name, which is unique among those that live.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, name: &str) -> Self {
        Self { store, name: name.to_owned(), hour: 0, counts: SampleCounts::default(), holds: false }
    }

    /// Whether this process is the one that takes samples now; says so to others. To be repeated every ten seconds.
    ///
    /// # Errors
    /// When the target does not answer: nobody knows who it is then.
    pub async fn holds(&mut self) -> Result<bool, StoreError> {
        let probe = probe(&*self.store)?;
        let held = match probe.note(LEASE, self.name.as_bytes(), LEASE_LIFE, true).await? {
            true => true,
            false => {
                let there = probe.read(&[LEASE], 1024).await?.pop().flatten().and_then(|stood| stood.bytes);
                // Between the two it can only end, and another begin: for a moment there are two, who ask twice as much.
                let is_own = there.as_deref() == Some(self.name.as_bytes());
                is_own && probe.note(LEASE, self.name.as_bytes(), LEASE_LIFE, false).await?
            }
        };
        if held && !self.holds {
            self.hour = hour_of(now_seconds());
            self.counts = read_hour(&*self.store, self.hour).await?;
        }
        self.holds = held;
        Ok(held)
    }

    /// Adds what came of samples, and writes it down.
    ///
    /// # Errors
    /// When the target does not answer; it is written with the next ones.
    pub async fn write(&mut self, more: &SampleCounts) -> Result<(), StoreError> {
        let hour = hour_of(now_seconds());
        if std::mem::replace(&mut self.hour, hour) != hour {
            self.counts = SampleCounts::default();
        }
        self.counts.merge(more);
        let rows: Vec<Row> = self.counts.0.iter().map(row).collect();
        let text = serde_json::to_vec(&rows).unwrap_or_default();
        probe(&*self.store)?.note(&format!("{HOUR}{hour}"), &text, HOUR_LIFE, false).await.map(drop)
    }
}

/// What came of the samples of this much of the past.
///
/// # Errors
/// When the target does not answer, or does not show its entries.
pub async fn read_counts(store: &dyn Store, since: Duration) -> Result<SampleCounts, StoreError> {
    let (now, mut counts) = (now_seconds(), SampleCounts::default());
    let first = hour_of(now.saturating_sub(since.min(HOUR_LIFE).as_secs()));
    for hour in first..=hour_of(now) {
        counts.merge(&read_hour(store, hour).await?);
    }
    Ok(counts)
}

async fn read_hour(store: &dyn Store, hour: u64) -> Result<SampleCounts, StoreError> {
    let read = probe(store)?.read(&[&format!("{HOUR}{hour}")], BYTES_MAX).await?.pop().flatten();
    let text = read.and_then(|stood| stood.bytes).unwrap_or_default();
    // What cannot be read was written by another version, and counts for nothing.
    let rows: Vec<Row> = serde_json::from_slice(&text).unwrap_or_default();
    Ok(SampleCounts(rows.into_iter().map(|row| ((row.cache, row.target, row.within_ms), row.count)).collect()))
}

fn row(((cache, target, within_ms), count): (&(String, String, u64), &Count)) -> Row {
    Row { cache: cache.clone(), target: target.clone(), within_ms: *within_ms, count: count.clone() }
}

fn probe(store: &dyn Store) -> Result<&dyn quash_store::Probe, StoreError> {
    let silent = || StoreError::Refused("this kind of target does not show its entries".to_owned());
    store.probe().ok_or_else(silent)
}

fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

const fn hour_of(seconds: u64) -> u64 {
    seconds / HOUR_SECONDS
}

#[cfg(test)]
mod tests {
    use quash_store::memory::Memory;

    use super::*;
    use crate::tally::Outcome;

    #[tokio::test]
    async fn one_alone_takes_samples_and_the_next_goes_on_with_its_counts() {
        let memory = Memory::new();
        let keeper = |name| Keeper::new(Arc::new(memory.clone()), name);
        let (mut one, mut two) = (keeper("one"), keeper("two"));
        assert!(one.holds().await.unwrap() && one.holds().await.unwrap());
        assert!(!two.holds().await.unwrap());
        let mut counts = SampleCounts::default();
        counts.add("product", "main", Duration::from_secs(1), Outcome::Fresh);
        one.write(&counts).await.unwrap();
        memory.apply(&[quash_core::action::Action::Delete(LEASE.into())]).await.unwrap();
        assert!(two.holds().await.unwrap());
        two.write(&counts).await.unwrap();
        let read = read_counts(&memory, Duration::from_secs(60)).await.unwrap();
        assert_eq!(read.0.values().next().unwrap().of(Outcome::Fresh), 2);
        assert!(memory.entries().keys().all(|key| key.starts_with("quash:verify:")));
    }
}
