//! Picks one page of a list of letters out of a snapshot: filtered, in either order, from a cursor on.

use std::cmp::Ordering;

use quash_worker::dead_letter::filter::{Filter, matches};

use crate::shelf::{Letters, Outline};

/// Letters of one page, unless told otherwise, and at most.
pub(crate) const PAGE: usize = 50;
pub(crate) const PAGE_MAX: usize = 500;

/// Which letter comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Newest,
    Oldest,
}

impl Order {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::Oldest => "oldest",
        }
    }
}

/// Which page is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) filter: Filter,
    pub(crate) order: Order,
    /// The letter that comes before the page, which need not be there any more.
    pub(crate) after: Option<String>,
    pub(crate) limit: usize,
}

/// One page.
pub(crate) struct Page<'l> {
    pub(crate) letters: Vec<&'l Outline>,
    /// How many letters match, on all pages.
    pub(crate) matched: usize,
    /// What to give as `after` for the next page, if there is one.
    pub(crate) next: Option<&'l str>,
}

impl Wanted {
    /// The page of these letters.
    pub(crate) fn of<'l>(&self, letters: &'l Letters, now_ms: i64) -> Page<'l> {
        let matching = letters.outlines.iter().filter(|outline| matches(&self.filter, &outline.letter, now_ms));
        let mut matching: Vec<&Outline> = matching.collect();
        if self.order == Order::Newest {
            matching.reverse();
        }
        let matched = matching.len();
        let begins = self.after.as_deref().map_or(0, |after| self.behind(&matching, after));
        let mut letters = matching.split_off(begins.min(matched));
        let more = letters.len() > self.limit;
        letters.truncate(self.limit);
        let next = letters.last().filter(|_| more).map(|outline| outline.letter.id.0.as_str());
        Page { letters, matched, next }
    }

    /// The place behind a letter. Where it is gone, its name tells where it was: names ascend.
    fn behind(&self, matching: &[&Outline], after: &str) -> usize {
        if let Some(index) = matching.iter().position(|outline| outline.letter.id.0 == after) {
            return index + 1;
        }
        let behind = match self.order {
            Order::Newest => Ordering::Less,
            Order::Oldest => Ordering::Greater,
        };
        let is_behind = |outline: &&Outline| ascending(&outline.letter.id.0, after) == behind;
        matching.iter().position(is_behind).unwrap_or(matching.len())
    }
}

/// The matching letters before and after one, in the order of the list.
pub(crate) fn neighbours<'l>(
    letters: &'l Letters,
    wanted: &Wanted,
    id: &str,
    now_ms: i64,
) -> (Option<&'l str>, Option<&'l str>) {
    let Some(index) = letters.index(id) else { return (None, None) };
    let is_meant = |outline: &&Outline| matches(&wanted.filter, &outline.letter, now_ms);
    let older = letters.outlines[..index].iter().rev().find(is_meant);
    let newer = letters.outlines[index + 1..].iter().find(is_meant);
    let name = |outline: Option<&'l Outline>| outline.map(|outline| outline.letter.id.0.as_str());
    match wanted.order {
        Order::Newest => (name(newer), name(older)),
        Order::Oldest => (name(older), name(newer)),
    }
}

/// Compares names by the numbers in them, as brokers do: `9-0` comes before `10-0`.
fn ascending(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one, other);
    while !one.is_empty() && !other.is_empty() {
        let ((first, rest), (second, others)) = (piece(one), piece(other));
        let numbers = first.trim_start_matches('0').len().cmp(&second.trim_start_matches('0').len());
        let order = match (is_digit(first), is_digit(second)) {
            (true, true) => numbers.then_with(|| first.trim_start_matches('0').cmp(second.trim_start_matches('0'))),
            _ => first.cmp(second),
        };
        if order.is_ne() {
            return order;
        }
        (one, other) = (rest, others);
    }
    one.len().cmp(&other.len())
}

/// A run of digits, or of anything else, and what follows it.
fn piece(text: &str) -> (&str, &str) {
    let is_number = is_digit(text);
    let end = text.find(|letter: char| letter.is_ascii_digit() != is_number).unwrap_or(text.len());
    text.split_at(end)
}

fn is_digit(text: &str) -> bool {
    text.starts_with(|letter: char| letter.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use quash_delivery::record::{Reason, Record};
    use quash_worker::dead_letter::testing::{Broker, NOW_MS, message, record};

    use super::*;
    use crate::shelf::{Shelf, Wish};

    async fn letters() -> Arc<Letters> {
        let letter = |index: u32| {
            let reason = if index.is_multiple_of(2) { Reason::Decode } else { Reason::Rule };
            message(&Record { replays: index, ..record(reason) }, "{}")
        };
        let broker = Broker::with((1..=12).map(letter));
        Arc::new(Shelf::new(Arc::new(broker))).look(Wish::Soon).await.known.unwrap()
    }

    fn wanted(filter: &str, order: Order, after: Option<&str>, limit: usize) -> Wanted {
        Wanted { filter: filter.parse().unwrap(), order, after: after.map(str::to_owned), limit }
    }

    #[tokio::test]
    async fn pages_follow_each_other_in_either_order() {
        let letters = letters().await;
        let cases = [
            ("", Order::Oldest, None, 5, "1 2 3 4 5", 12, Some("5")),
            ("", Order::Oldest, Some("9"), 5, "10 11 12", 12, None),
            ("", Order::Newest, None, 3, "12 11 10", 12, Some("10")),
            ("", Order::Newest, Some("3"), 3, "2 1", 12, None),
            ("reason:rule", Order::Newest, Some("8"), 2, "7 5", 6, Some("5")),
            ("reason:rule", Order::Oldest, Some("8"), 2, "9 11", 6, None),
            ("replays:>99", Order::Oldest, None, 2, "", 0, None),
            ("", Order::Oldest, Some("99"), 2, "", 12, None),
            ("", Order::Newest, Some("99"), 2, "12 11", 12, Some("11")),
        ];
        for (filter, order, after, limit, expect, matched, next) in cases {
            let page = wanted(filter, order, after, limit).of(&letters, NOW_MS);
            let ids: Vec<&str> = page.letters.iter().map(|outline| outline.letter.id.0.as_str()).collect();
            assert_eq!(
                (ids.join(" ").as_str(), page.matched, page.next),
                (expect, matched, next),
                "{filter} {order:?} {after:?}"
            );
        }
    }

    #[tokio::test]
    async fn neighbours_are_those_of_the_list() {
        let letters = letters().await;
        let of = |filter, order, id| neighbours(&letters, &wanted(filter, order, None, 1), id, NOW_MS);
        assert_eq!(of("", Order::Newest, "12"), (None, Some("11")));
        assert_eq!(of("reason:rule", Order::Oldest, "7"), (Some("5"), Some("9")));
        assert_eq!(of("", Order::Oldest, "gone"), (None, None));
    }

    #[test]
    fn names_ascend_by_their_numbers() {
        for (one, other) in [
            ("9-0", "10-0"),
            ("10-2", "10-10"),
            ("7", "007a"),
            ("a9", "a10"),
            ("", "1"),
            ("18446744073709551615", "18446744073709551616"),
        ] {
            assert_eq!(
                (ascending(one, other), ascending(other, one)),
                (Ordering::Less, Ordering::Greater),
                "{one} {other}"
            );
        }
        assert_eq!(ascending("1-1", "1-1"), Ordering::Equal);
    }
}
