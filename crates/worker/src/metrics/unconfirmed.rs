//! Knows since when the oldest event of a source waits for its confirmed invalidation, as far as anybody tells.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use quash_delivery::state::read_first_failure;
use quash_transport::{Ages, Backlog, Dated};

/// For how many moments the oldest parked share is remembered; further ones share the last.
const PARKED_MAX: usize = 1_024;

/// What is known of a source. All times are in milliseconds since the Unix epoch.
#[derive(Debug, Default)]
pub(super) struct Unconfirmed(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Since when the oldest event of each batch in hand waits, by a number of the batch.
    in_hand: BTreeMap<u64, i64>,
    batches: u64,
    /// By the second in which parked shares come back: since when the oldest of them waits.
    parked: BTreeMap<i64, i64>,
    at_broker: AtBroker,
}

/// What the broker says of what waits there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AtBroker {
    /// It did not answer, or does not tell the age of what it has.
    #[default]
    Unknown,
    /// Nothing waits there.
    Nothing,
    /// The oldest waits since then.
    Since(i64),
}

impl AtBroker {
    /// What follows from its counts and dates. Copies that wait for their delay may be later passes of what is done: those
    /// do not say since when they fail.
    pub(super) fn of(backlog: &Backlog, ages: Option<&Ages>) -> Self {
        let first_failure = |dated: &Dated| read_first_failure(&dated.headers);
        let oldest = ages.and_then(|ages| ages.oldest.as_ref());
        let oldest = oldest.map(|dated| first_failure(dated).unwrap_or(i64::MAX).min(milliseconds(dated.since)));
        let parked = ages.and_then(|ages| first_failure(ages.oldest_delayed.as_ref()?));
        match oldest.into_iter().chain(parked).min() {
            Some(since) => Self::Since(since),
            None if backlog.ready + backlog.unsettled + backlog.delayed == 0 => Self::Nothing,
            None => Self::Unknown,
        }
    }
}

/// A batch that is in hand as long as this lives.
#[derive(Debug)]
pub struct InHand {
    of: Arc<Unconfirmed>,
    batch: u64,
}

impl Unconfirmed {
    /// A batch came whose oldest event waits since then, as far as is known before it is read.
    pub(super) fn take(self: &Arc<Self>, since_ms: i64) -> InHand {
        let mut state = self.state();
        state.batches += 1;
        let batch = state.batches;
        state.in_hand.insert(batch, since_ms);
        drop(state);
        InHand { of: Arc::clone(self), batch }
    }

    /// A share that waits since then is parked, and comes back at a later moment.
    pub(super) fn park(&self, back_ms: i64, since_ms: i64) {
        let mut state = self.state();
        let mut back = back_ms.div_euclid(1_000);
        if state.parked.len() >= PARKED_MAX && !state.parked.contains_key(&back) {
            // The next moment that is remembered, or the last: at worst a share is remembered for too short a time.
            let next = state.parked.range(back..).next().or_else(|| state.parked.iter().next_back());
            back = next.map_or(back, |(next, _)| *next);
        }
        let since = state.parked.entry(back).or_insert(since_ms);
        *since = (*since).min(since_ms);
    }

    /// The broker said what waits there.
    pub(super) fn at_broker(&self, at_broker: AtBroker) {
        self.state().at_broker = at_broker;
    }

    /// For how many seconds the oldest event waits: the oldest of which anybody knows, zero where nothing waits, `None`
    /// where nobody knows of any and the broker does not say that there is none.
    pub(super) fn age(&self, now_ms: i64) -> Option<f64> {
        let mut state = self.state();
        state.parked.retain(|back, _| *back >= now_ms.div_euclid(1_000));
        let at_broker = match state.at_broker {
            AtBroker::Since(since) => Some(since),
            AtBroker::Nothing | AtBroker::Unknown => None,
        };
        let known = state.in_hand.values().chain(state.parked.values()).copied().chain(at_broker).min();
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of an age are far below 2^53")]
        let age = |since: i64| now_ms.saturating_sub(since).max(0) as f64 / 1_000.0;
        match known {
            Some(since) => Some(age(since)),
            None => (state.at_broker == AtBroker::Nothing).then_some(0.0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InHand {
    /// An event of the batch turned out to be as old as this.
    pub fn is_of(&self, since_ms: i64) {
        if let Some(since) = self.of.state().in_hand.get_mut(&self.batch) {
            *since = (*since).min(since_ms);
        }
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.of.state().in_hand.remove(&self.batch);
    }
}

/// A time in milliseconds since the Unix epoch.
pub(super) fn milliseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use quash_delivery::headers;
    use quash_transport::Headers;

    use super::*;

    #[test]
    fn what_the_broker_says_is_taken_for_no_more_than_it_is() {
        let dated = |at_ms, failed: &str| {
            let mut headers = Headers::default();
            if !failed.is_empty() {
                headers.set(headers::FIRST_FAILURE, failed);
            }
            Some(Dated { since: UNIX_EPOCH + Duration::from_millis(at_ms), headers })
        };
        let counts = |ready, delayed| Backlog { ready, delayed, ..Backlog::default() };
        let ages = |oldest, oldest_delayed| Some(Ages { oldest, oldest_delayed, next_due: None });
        let cases = [
            (counts(0, 0), None, AtBroker::Nothing),
            (counts(0, 0), ages(None, None), AtBroker::Nothing),
            (counts(3, 0), None, AtBroker::Unknown),
            (counts(0, 3), ages(None, None), AtBroker::Unknown),
            (counts(3, 0), ages(dated(70, ""), None), AtBroker::Since(70)),
            (counts(3, 0), ages(dated(70, "50"), None), AtBroker::Since(50)),
            (counts(3, 0), ages(dated(70, "90"), None), AtBroker::Since(70)),
            (counts(3, 0), ages(dated(70, "soon"), None), AtBroker::Since(70)),
            (counts(0, 3), ages(None, dated(70, "60")), AtBroker::Since(60)),
            (counts(0, 3), ages(None, dated(70, "")), AtBroker::Unknown),
        ];
        for (backlog, ages, expected) in cases {
            assert_eq!(AtBroker::of(&backlog, ages.as_ref()), expected, "{backlog:?} {ages:?}");
        }
    }

    #[test]
    fn the_oldest_of_all_that_is_known_counts() {
        let known = Arc::new(Unconfirmed::default());
        assert_eq!(known.age(100_000), None, "nobody has said anything yet");
        known.at_broker(AtBroker::Nothing);
        assert_eq!(known.age(100_000), Some(0.0));

        let batch = known.take(90_000);
        let other = known.take(95_000);
        assert_eq!(known.age(100_000), Some(10.0));
        other.is_of(70_000);
        other.is_of(80_000);
        assert_eq!(known.age(100_000), Some(30.0));
        drop(other);
        known.at_broker(AtBroker::Since(60_000));
        assert_eq!(known.age(100_000), Some(40.0));
        known.at_broker(AtBroker::Unknown);
        assert_eq!(known.age(100_000), Some(10.0), "what is in hand is known whatever the broker says");
        drop(batch);
        assert_eq!(known.age(100_000), None);
    }

    #[test]
    fn a_parked_share_counts_until_it_comes_back() {
        let known = Arc::new(Unconfirmed::default());
        known.at_broker(AtBroker::Nothing);
        known.park(105_500, 50_000);
        known.park(105_200, 40_000);
        known.park(103_000, 90_000);
        assert_eq!(known.age(100_000), Some(60.0));
        assert_eq!(known.age(105_999), Some(65.999));
        assert_eq!(known.age(106_000), Some(0.0));
    }

    #[test]
    fn what_is_remembered_of_parked_shares_is_bounded() {
        let known = Arc::new(Unconfirmed::default());
        let many = i64::try_from(PARKED_MAX).unwrap() * 2;
        (0..many).for_each(|second| known.park(second * 1_000, 5));
        assert_eq!(known.state().parked.len(), PARKED_MAX);
        known.park(many * 1_000, 1);
        assert_eq!(known.age(2_001), Some(2.0), "the oldest is not forgotten");
    }

    #[test]
    fn clocks_that_differ_make_no_negative_age() {
        let known = Arc::new(Unconfirmed::default());
        let _batch = known.take(200_000);
        assert_eq!(known.age(100_000), Some(0.0));
    }
}
