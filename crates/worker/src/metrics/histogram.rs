//! Counts observations in buckets without a lock; the library's own histogram takes one for each observation.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// Latencies, from the half millisecond of an idle worker to the five seconds of a target's time-out and beyond.
const DURATIONS: &[f64] =
    &[0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Staleness, which is a day and more after an outage.
const STALENESS: &[f64] =
    &[0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3600.0, 86_400.0];
/// Messages of a batch.
const BATCH_SIZES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

/// A histogram of non-negative numbers. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Histogram(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bounds: &'static [f64],
    /// One per bound, and one for what is above all of them.
    buckets: Box<[AtomicU64]>,
    /// Millionths, so that the sum is one atomic addition; enough for half a million years of seconds.
    sum_millionths: AtomicU64,
}

impl Histogram {
    /// A histogram of seconds that things take.
    #[must_use]
    pub fn of_durations() -> Self {
        Self::new(DURATIONS)
    }

    /// A histogram of seconds that entries were stale.
    #[must_use]
    pub fn of_staleness() -> Self {
        Self::new(STALENESS)
    }

    /// A histogram of how many messages a batch had.
    #[must_use]
    pub fn of_batch_sizes() -> Self {
        Self::new(BATCH_SIZES)
    }

    fn new(bounds: &'static [f64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Inner { bounds, buckets, sum_millionths: AtomicU64::new(0) }))
    }

    /// Counts one observation; negative ones (another clock is ahead) count as zero.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped at zero, and casts saturate")]
    pub fn observe(&self, value: f64) {
        let value = value.max(0.0);
        let bucket = self.0.bounds.partition_point(|bound| *bound < value);
        self.0.buckets[bucket].fetch_add(1, Relaxed);
        self.0.sum_millionths.fetch_add((value * 1e6) as u64, Relaxed);
    }

    /// How many observations there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.buckets.iter().map(|bucket| bucket.load(Relaxed)).sum()
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    #[expect(clippy::cast_precision_loss, reason = "a sum beyond 2^53 millionths loses its last digit, which is fine")]
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let counts = self.0.buckets.iter().map(|bucket| bucket.load(Relaxed));
        let bounds = self.0.bounds.iter().copied().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = self.0.sum_millionths.load(Relaxed) as f64 / 1e6;
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn observations_land_in_their_buckets() {
        let histogram = Histogram::new(&[1.0, 10.0]);
        [0.5, 1.0, 1.5, 10.0, 11.0, -3.0].into_iter().for_each(|value| histogram.observe(value));
        let mut registry = Registry::default();
        registry.register("h", "x", histogram);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in
            ["h_bucket{le=\"1.0\"} 3", "h_bucket{le=\"10.0\"} 5", "h_bucket{le=\"+Inf\"} 6", "h_count 6", "h_sum 24.0"]
        {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
