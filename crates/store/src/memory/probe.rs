//! Takes samples of entries in memory.

use std::ops::Bound;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::{Entry, Memory};
use crate::StoreError;
use crate::probe::{Probe, ScanPage, ScanPosition, Stood, is_own};

/// As many keys as a step of a server's looks at.
const PAGE_KEYS: usize = 100;

#[async_trait]
impl Probe for Memory {
    async fn page(&self, from: ScanPosition) -> Result<ScanPage, StoreError> {
        let (state, now) = (self.reached()?, Instant::now());
        let begin = if from.cursor.is_empty() { Bound::Unbounded } else { Bound::Excluded(from.cursor) };
        let living = state.entries.range((begin, Bound::Unbounded)).filter(|(_, entry)| entry.lives(now));
        let keys: Vec<String> = living.map(|(key, _)| key.clone()).take(PAGE_KEYS).collect();
        let next = keys.last().filter(|_| keys.len() == PAGE_KEYS).cloned();
        Ok(ScanPage { keys, next: next.map(|cursor| ScanPosition { node: 0, cursor }) })
    }

    async fn read(&self, keys: &[&str], bytes_max: usize) -> Result<Vec<Option<Stood>>, StoreError> {
        let (state, now) = (self.reached()?, Instant::now());
        let stood = |entry: &Entry| {
            let bytes = entry.value.get(..=bytes_max).unwrap_or(&entry.value).to_vec();
            Stood { bytes: Some(bytes), ttl_ms: entry.described(now).ttl_ms }
        };
        let living = |key: &&str| state.entries.get(*key).filter(|entry| entry.lives(now));
        Ok(keys.iter().map(|key| living(key).map(stood)).collect())
    }

    async fn note(&self, key: &str, bytes: &[u8], life: Duration, only_new: bool) -> Result<bool, StoreError> {
        is_own(key)?;
        let (mut state, now) = (self.reached()?, Instant::now());
        if only_new && state.entries.get(key).is_some_and(|entry| entry.lives(now)) {
            return Ok(false);
        }
        state.write(key, bytes.to_vec(), now.checked_add(life));
        Ok(true)
    }
}
