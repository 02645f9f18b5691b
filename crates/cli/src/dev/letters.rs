//! Counts the dead letters by reason as they come, and keeps their number bounded.

use std::collections::{BTreeMap, VecDeque};

use quash_transport::{DeadLetters, LetterId, TransportError};

use quash_delivery::headers;
use quash_delivery::record::Record;

/// Letters that are kept; a play that runs for days must not grow.
const KEPT_MAX: usize = 2000;
const PAGE: usize = 500;

/// What is known of the dead letters so far.
#[derive(Default)]
pub(super) struct Letters {
    /// How many there were, by the reason in their record.
    pub(super) by_reason: BTreeMap<&'static str, u64>,
    kept: VecDeque<LetterId>,
}

impl Letters {
    /// Reads what came since the last time.
    ///
    /// # Errors
    /// When the broker cannot be reached or refuses.
    pub(super) async fn update(&mut self, letters: &dyn DeadLetters) -> Result<(), TransportError> {
        loop {
            let page = letters.scan(self.kept.back(), PAGE).await?;
            let last = page.len() < PAGE;
            for (id, message) in page {
                *self.by_reason.entry(reason(message.headers.get(headers::RECORD))).or_default() += 1;
                self.kept.push_back(id);
            }
            if last {
                break;
            }
        }
        let surplus = self.kept.len().saturating_sub(KEPT_MAX);
        let surplus: Vec<_> = self.kept.drain(..surplus).collect();
        if !surplus.is_empty() {
            letters.remove(&surplus).await?;
        }
        Ok(())
    }
}

fn reason(record: Option<&str>) -> &'static str {
    let record: Option<Record> = record.and_then(|record| serde_json::from_str(record).ok());
    record.map_or("without a record", |record| record.reason.name())
}

/// Numbers by reason, as `decode 3, limit 1`.
pub(super) fn listed(by_reason: &BTreeMap<&'static str, u64>) -> String {
    by_reason.iter().map(|(reason, number)| format!("{reason} {number}")).collect::<Vec<_>>().join(", ")
}
