//! Names dead letters, so that their names ascend in the order of arrival and no two are equal.

use std::hash::Hasher;
use std::sync::atomic::{AtomicU64, Ordering};

use lapin::BasicProperties;
use lapin::types::AMQPValue;
use rustc_hash::{FxHashMap, FxHashSet, FxHasher};

use super::wire::now_ms;
use crate::LetterId;

/// Bits of a name's number that count within one millisecond.
const COUNTER_BITS: u32 = 16;

/// A new name: Unix milliseconds, a number that grows within this process, and something random against other processes.
pub(super) fn fresh() -> String {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let number = next(&LAST, now_ms());
    let (ms, counter) = (number >> COUNTER_BITS, number & ((1 << COUNTER_BITS) - 1));
    format!("{ms:013}-{counter:05}-{:08x}", fastrand::u32(..))
}

/// Grows also when the clock stands still or goes back.
fn next(last: &AtomicU64, now_ms: u64) -> u64 {
    let now = now_ms << COUNTER_BITS;
    let next = |last: u64| now.max(last + 1);
    let before = last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
    before.map_or(now, next)
}

/// The name of a letter. What has none, because the broker itself or somebody else put it there, gets one that is always
/// the same: from the time of its death and what it holds.
pub(super) fn of(properties: &BasicProperties, payload: &[u8]) -> LetterId {
    let own = properties.message_id().as_ref().map(lapin::types::ShortString::as_str);
    if let Some(own) = own.filter(|id| is_own(id)) {
        return LetterId(own.into());
    }
    let mut hasher = FxHasher::default();
    hasher.write(own.unwrap_or_default().as_bytes());
    hasher.write(format!("{:?}", death(properties)).as_bytes());
    hasher.write(payload);
    LetterId(format!("{:013}-{:016x}", time_of_death(properties).saturating_mul(1000), hasher.finish()))
}

/// Whether a name is of the form that this transport gives.
fn is_own(id: &str) -> bool {
    let lengths = id.split('-').map(str::len);
    lengths.eq([13, 5, 8]) && id.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

fn death(properties: &BasicProperties) -> Option<&AMQPValue> {
    properties.headers().as_ref()?.inner().get("x-death")
}

/// Unix seconds of the last death that the broker tells of, else of the publishing, else 0.
fn time_of_death(properties: &BasicProperties) -> u64 {
    let died = death(properties).and_then(|death| match death {
        AMQPValue::FieldArray(deaths) => match deaths.as_slice().first()? {
            AMQPValue::FieldTable(death) => match death.inner().get("time")? {
                AMQPValue::Timestamp(seconds) => Some(*seconds),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    });
    died.or(*properties.timestamp()).unwrap_or(0)
}

/// Makes equal names distinct in the order in which they come: the second gets a 2, and so on.
#[derive(Debug, Default)]
pub(super) struct Twins(FxHashSet<LetterId>);

impl Twins {
    /// The name itself, or one that was not given before.
    pub(super) fn distinct(&mut self, id: LetterId) -> LetterId {
        let mut distinct = id.clone();
        let mut number = 2;
        while !self.0.insert(distinct.clone()) {
            distinct = LetterId(format!("{}-{number}", id.0));
            number += 1;
        }
        distinct
    }
}

/// Remembers in which order letters came, because the clocks of those who named them may differ.
#[derive(Debug, Default)]
pub(super) struct Order(FxHashMap<LetterId, usize>);

impl Order {
    /// Adds one that comes after all others.
    pub(super) fn add(&mut self, id: &LetterId) {
        let index = self.0.len();
        self.0.entry(id.clone()).or_insert(index);
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether this one was seen.
    pub(super) fn knows(&self, id: &LetterId) -> bool {
        self.0.contains_key(id)
    }

    /// Whether a letter comes after one that was seen. What was not seen yet came later.
    pub(super) fn is_after(&self, id: &LetterId, seen: &LetterId) -> bool {
        match (self.0.get(id), self.0.get(seen)) {
            (Some(index), Some(seen)) => index > seen,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use lapin::types::{FieldArray, FieldTable};

    use super::*;

    #[test]
    fn names_ascend_whatever_the_clock_does() {
        let last = AtomicU64::new(0);
        let numbers: Vec<_> = [5, 5, 4, 6, 1].into_iter().map(|ms| next(&last, ms)).collect();
        assert!(numbers.is_sorted_by(|before, after| before < after), "{numbers:?}");
        let names: Vec<_> = std::iter::repeat_with(fresh).take(1000).collect();
        assert!(names.is_sorted_by(|before, after| before < after));
        assert!(names.iter().all(|name| is_own(name)));
    }

    #[test]
    fn what_nobody_named_has_a_lasting_name() {
        let mut death = FieldTable::default();
        death.insert("time".into(), AMQPValue::Timestamp(1_700_000_000));
        let mut headers = FieldTable::default();
        headers.insert("x-death".into(), FieldArray::from(vec![death.into()]).into());
        let dead = BasicProperties::default().with_headers(headers);
        let name = of(&dead, b"a");
        assert!(name.0.starts_with("1700000000000-"), "{name:?}");
        assert_eq!(name, of(&dead, b"a"));
        assert_ne!(name, of(&dead, b"b"));
        let theirs = dead.with_message_id("theirs".into());
        assert_ne!(name, of(&theirs, b"a"));
        let own = fresh();
        assert_eq!(of(&theirs.with_message_id(own.as_str().into()), b"a"), LetterId(own));
        assert!(of(&BasicProperties::default(), b"").0.starts_with("0000000000000-"));
    }

    #[test]
    fn equal_letters_are_told_apart() {
        let mut twins = Twins::default();
        let names = ["a", "a", "b", "a"].map(|name| twins.distinct(LetterId(name.into())).0);
        assert_eq!(names, ["a", "a-2", "b", "a-3"]);
    }

    #[test]
    fn the_order_seen_counts_and_not_the_names() {
        let [first, second, new] = ["z", "a", "b"].map(|name| LetterId(name.into()));
        let mut order = Order::default();
        order.add(&first);
        order.add(&second);
        order.add(&first);
        let cases = [(&second, &first, true), (&first, &second, false), (&first, &first, false), (&new, &second, true)];
        for (id, seen, after) in cases {
            assert_eq!(order.is_after(id, seen), after, "{id:?} {seen:?}");
        }
        assert!(order.knows(&first) && !order.knows(&new));
    }
}
