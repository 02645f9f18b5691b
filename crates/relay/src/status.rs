//! Keeps what is known of a running relay, for metrics and pages.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// What a time or a number is that is not known.
const UNKNOWN: i64 = i64::MIN;

/// What is known of a relay. Shared by who runs it and who shows it.
#[derive(Debug)]
pub struct Status {
    rows: AtomicU64,
    transactions: AtomicU64,
    knows_transactions: bool,
    lag_bytes: AtomicI64,
    committed_us: AtomicI64,
    pending_us: AtomicI64,
    caught_up: AtomicBool,
    working: AtomicBool,
    standing_by: AtomicBool,
    error: Mutex<Option<String>>,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            rows: AtomicU64::new(0),
            transactions: AtomicU64::new(0),
            knows_transactions: true,
            lag_bytes: AtomicI64::new(UNKNOWN),
            committed_us: AtomicI64::new(UNKNOWN),
            pending_us: AtomicI64::new(UNKNOWN),
            caught_up: AtomicBool::new(false),
            working: AtomicBool::new(false),
            standing_by: AtomicBool::new(false),
            error: Mutex::new(None),
        }
    }
}

impl Status {
    /// Of what says nothing of transactions.
    pub(crate) fn of_rows() -> Self {
        Self { knows_transactions: false, ..Self::default() }
    }

    /// Changes of rows that the broker has, since this process started.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows.load(Relaxed)
    }

    /// Transactions that the broker has, since this process started; `None` where nobody says what belongs to one.
    #[must_use]
    pub fn transactions(&self) -> Option<u64> {
        self.knows_transactions.then(|| self.transactions.load(Relaxed))
    }

    /// Bytes of the log that are not confirmed to the slot; `None` while the database does not say.
    #[must_use]
    pub fn lag_bytes(&self) -> Option<u64> {
        u64::try_from(self.lag_bytes.load(Relaxed)).ok()
    }

    /// How long ago the oldest commit was that the broker may not have, in seconds; 0 where the broker has all, `None` while that
    /// is not known. `now_us` is the time in microseconds since 1970.
    #[must_use]
    pub fn lag_seconds(&self, now_us: i64) -> Option<f64> {
        if self.caught_up.load(Relaxed) {
            return Some(0.0);
        }
        let known = |time: &AtomicI64| Some(time.load(Relaxed)).filter(|time| *time != UNKNOWN);
        let since = known(&self.pending_us).or_else(|| known(&self.committed_us))?;
        #[expect(clippy::cast_precision_loss, reason = "a lag of centuries is no lag that anybody reads")]
        Some(now_us.saturating_sub(since).max(0) as f64 / 1e6)
    }

    /// Whether it holds the slot and reads the log.
    #[must_use]
    pub fn is_working(&self) -> bool {
        self.working.load(Relaxed)
    }

    /// Whether another relay holds the slot, and this one waits to take over.
    #[must_use]
    pub fn is_standing_by(&self) -> bool {
        self.standing_by.load(Relaxed)
    }

    /// What keeps it from its work at this moment.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn counted(&self, rows: u64, transactions: u64) {
        self.rows.fetch_add(rows, Relaxed);
        self.transactions.fetch_add(transactions, Relaxed);
    }

    /// The oldest commit that was read and is not with the broker.
    pub(crate) fn pending(&self, time_us: Option<i64>) {
        self.pending_us.store(time_us.unwrap_or(UNKNOWN), Relaxed);
    }

    /// The oldest row that waits in an outbox, if one does. An outbox has no log to be behind of.
    pub(crate) fn waiting(&self, since_us: Option<i64>) {
        self.pending(since_us);
        self.caught_up.store(since_us.is_none(), Relaxed);
    }

    /// The broker has everything that was committed up to then.
    pub(crate) fn committed(&self, time_us: i64) {
        self.committed_us.store(time_us, Relaxed);
    }

    /// How far behind the end of the log the confirmed position is.
    pub(crate) fn behind(&self, bytes: u64, caught_up: bool) {
        self.lag_bytes.store(i64::try_from(bytes).unwrap_or(i64::MAX), Relaxed);
        self.caught_up.store(caught_up, Relaxed);
    }

    pub(crate) fn works(&self) {
        self.working.store(true, Relaxed);
        self.standing_by.store(false, Relaxed);
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn stands_by(&self) {
        self.standing_by.store(true, Relaxed);
        self.unknown();
    }

    pub(crate) fn failed(&self, why: &str) {
        self.standing_by.store(false, Relaxed);
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_owned());
        self.unknown();
    }

    fn unknown(&self) {
        self.working.store(false, Relaxed);
        self.lag_bytes.store(UNKNOWN, Relaxed);
        self.pending_us.store(UNKNOWN, Relaxed);
        self.committed_us.store(UNKNOWN, Relaxed);
        self.caught_up.store(false, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_absent() {
        let status = Status::default();
        assert_eq!((status.lag_bytes(), status.lag_seconds(5_000_000)), (None, None));
        status.works();
        status.committed(2_000_000);
        status.behind(10, false);
        assert_eq!((status.lag_bytes(), status.lag_seconds(5_000_000)), (Some(10), Some(3.0)));
        status.behind(0, true);
        assert_eq!(status.lag_seconds(5_000_000), Some(0.0));
        status.failed("gone");
        assert_eq!((status.lag_bytes(), status.problem().as_deref()), (None, Some("gone")));
    }
}
