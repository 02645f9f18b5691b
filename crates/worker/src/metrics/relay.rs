//! Shows what is known of a relay.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::{Known, Metrics, labels};

/// The metrics of one relay.
#[derive(Debug)]
pub struct RelayMetrics {
    lag_bytes: Known<Gauge>,
    lag_seconds: Known<Gauge<f64, AtomicU64>>,
    rows: Counter,
    transactions: Known<Counter>,
}

/// What is known of a relay at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RelayReading {
    /// Bytes of the database's log that are not confirmed; `None` where that is not known.
    pub lag_bytes: Option<u64>,
    /// Seconds since the oldest commit that is not confirmed; `None` where that is not known.
    pub lag_seconds: Option<f64>,
    /// Changes of rows that the broker has, since the process started.
    pub rows: u64,
    /// Transactions that the broker has, since the process started; `None` where nobody says what belongs to one.
    pub transactions: Option<u64>,
}

impl RelayMetrics {
    pub(super) fn new(metrics: &Metrics, relay: &str) -> Self {
        let labels = labels([("relay", relay)]);
        Self {
            lag_bytes: Known::new(&metrics.relay_lag_bytes, &labels),
            lag_seconds: Known::new(&metrics.relay_lag_seconds, &labels),
            rows: metrics.relay_rows.get_or_create_owned(&labels),
            transactions: Known::new(&metrics.relay_transactions, &labels),
        }
    }

    /// Shows a reading; counters only ever grow.
    pub fn show(&self, reading: &RelayReading) {
        match reading.lag_bytes {
            Some(bytes) => self.lag_bytes.set(|gauge| gauge.set(i64::try_from(bytes).unwrap_or(i64::MAX))),
            None => self.lag_bytes.forget(),
        }
        match reading.lag_seconds {
            Some(seconds) => self.lag_seconds.set(|gauge| gauge.set(seconds)),
            None => self.lag_seconds.forget(),
        }
        self.rows.inc_by(reading.rows.saturating_sub(self.rows.get()));
        if let Some(transactions) = reading.transactions {
            self.transactions.set(|counter| counter.inc_by(transactions.saturating_sub(counter.get())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_absent() {
        let metrics = Metrics::new();
        let relay = metrics.relay("shop");
        relay.show(&RelayReading { lag_bytes: Some(5), lag_seconds: Some(0.5), rows: 7, transactions: Some(2) });
        let page = metrics.encode();
        for line in [
            "quash_relay_lag_bytes{relay=\"shop\"} 5",
            "quash_relay_lag_seconds{relay=\"shop\"} 0.5",
            "quash_relay_rows_total{relay=\"shop\"} 7",
            "quash_relay_transactions_total{relay=\"shop\"} 2",
        ] {
            assert!(page.contains(line), "{page}");
        }
        relay.show(&RelayReading { rows: 9, transactions: Some(2), ..RelayReading::default() });
        let page = metrics.encode();
        assert!(!page.contains("quash_relay_lag_bytes{") && !page.contains("quash_relay_lag_seconds{"), "{page}");
        assert!(page.contains("quash_relay_rows_total{relay=\"shop\"} 9"), "{page}");
    }
}
