//! Counts what came of entries that were compared with what is true.

use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Counters, FloatGauges, Gauges, Histogram, Histograms, labels};

/// The metrics of whoever compares entries. Cloning shares them.
#[derive(Debug, Clone)]
pub struct VerifyMetrics {
    samples: Counters,
    stale: Histograms,
    last_violation: FloatGauges,
    canary_ok: Gauges,
    skipped: Counters,
}

impl Default for VerifyMetrics {
    fn default() -> Self {
        Self {
            samples: Counters::default(),
            stale: Histograms::new_with_constructor(Histogram::of_staleness),
            last_violation: FloatGauges::default(),
            canary_ok: Gauges::default(),
            skipped: Counters::default(),
        }
    }
}

impl VerifyMetrics {
    pub(super) fn register(&self, r: &mut Registry) {
        r.register("quash_verify_samples", "Entries compared with what is true", self.samples.clone());
        r.register("quash_verify_stale_seconds", "How long entries were known to be stale", self.stale.clone());
        r.register(
            "quash_verify_last_violation_timestamp_seconds",
            "When an entry was found stale last",
            self.last_violation.clone(),
        );
        r.register(
            "quash_verify_canary_ok",
            "Whether the entry made stale on purpose was found last time",
            self.canary_ok.clone(),
        );
        r.register("quash_verify_budget_skipped", "Entries that there was no room to follow", self.skipped.clone());
    }

    /// This came of a sample, for one of the times.
    pub fn sampled(&self, cache: &str, target: &str, within: &str, outcome: &str) {
        let labels = labels([("cache", cache), ("target", target), ("within", within), ("outcome", outcome)]);
        self.samples.get_or_create(&labels).inc();
    }

    /// An entry was stale for so long already.
    pub fn violated(&self, cache: &str, stale: Duration) {
        let labels = labels([("cache", cache)]);
        self.stale.get_or_create(&labels).observe(stale.as_secs_f64());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let gauge: &Gauge<f64, AtomicU64> = &self.last_violation.get_or_create(&labels);
        gauge.set(now.as_secs_f64());
    }

    /// What was made stale on purpose was found, or was not.
    pub fn canary(&self, cache: &str, target: &str, found: bool) {
        self.canary_ok.get_or_create(&labels([("cache", cache), ("target", target)])).set(i64::from(found));
        if found {
            tracing::debug!(cache, target, "the entry made stale on purpose was found");
        } else {
            tracing::error!(cache, target, "blind: the entry made stale on purpose was not found");
        }
    }

    /// There was no room to follow one.
    pub fn skipped(&self, cache: &str, target: &str) {
        self.skipped.get_or_create(&labels([("cache", cache), ("target", target)])).inc();
    }
}

#[cfg(test)]
mod tests {
    use crate::metrics::Metrics;

    #[test]
    fn each_outcome_of_each_time_is_counted_by_itself() {
        let metrics = Metrics::new();
        let verify = metrics.verify();
        verify.sampled("product", "main", "1s", "fresh");
        verify.canary("product", "main", true);
        verify.violated("product", std::time::Duration::from_secs(2));
        let page = metrics.encode();
        for line in [
            "quash_verify_samples_total{cache=\"product\",target=\"main\",within=\"1s\",outcome=\"fresh\"} 1",
            "quash_verify_canary_ok{cache=\"product\",target=\"main\"} 1",
            "quash_verify_stale_seconds_count{cache=\"product\"} 1",
        ] {
            assert!(page.contains(line), "{page}");
        }
    }
}
