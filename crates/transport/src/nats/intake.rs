//! Decides what becomes of what was fetched: it is handed out, goes back until it is due, or is moved aside.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::{Message, Subject};
use tokio::time::Instant;

use super::held::Entry;
use super::reply::{self, Facts};
use super::topology::{Lane, Names};
use super::wire;
use crate::{Delivery, SUSPECT_AFTER, Tag};

/// How often a parked copy is handed out before it is suspected, beyond what any message is: it comes at least twice, as
/// it is sent back until it is due, and once more after each restart of the server, which forgets for how long.
const PARKED_OFTEN: u32 = 5;

/// How long something is sent back at most; what is due later is then sent back again.
const BACK_MAX: Duration = Duration::from_secs(24 * 3600);

/// What was fetched at once, sorted by what becomes of it.
#[derive(Default)]
pub(super) struct Sorted {
    /// What this consumer holds from now on.
    pub(super) held: Vec<(u128, Entry)>,
    /// What can be received.
    pub(super) ready: Vec<Delivery>,
    /// What was handed out too often to be received in company.
    pub(super) suspects: Vec<Delivery>,
    /// What is not due yet, and in how long it is.
    pub(super) early: Vec<(Subject, Duration)>,
    /// Whether the server has more on its way.
    pub(super) more: bool,
}

/// Sorts what a lane has fetched. The time is in milliseconds since the Unix epoch.
pub(super) fn sort(names: &Names, lane: Lane, fetched: Vec<Message>, now: Instant, unix_ms: u64) -> Sorted {
    let mut sorted = Sorted { held: Vec::with_capacity(fetched.len()), ..Sorted::default() };
    sorted.ready.reserve(fetched.len());
    for message in fetched {
        let Some(subject) = message.reply.clone() else { continue };
        let Some(facts) = reply::facts(&subject) else { continue };
        let early = wire::due(message.headers.as_ref()).saturating_sub(unix_ms);
        if lane == Lane::Parked && early > 0 {
            sorted.early.push((subject, Duration::from_millis(early).min(BACK_MAX)));
        } else {
            sorted.add(names, lane, message, facts, now);
        }
    }
    sorted
}

impl Sorted {
    fn add(&mut self, names: &Names, lane: Lane, message: Message, facts: Facts, now: Instant) {
        let tag = next_tag();
        let (deliveries, suspect) = count(lane, facts, wire::deliveries_before(message.headers.as_ref()));
        let delivery = Delivery {
            tag: Tag(tag),
            broker_id: format!("{}:{}", names.stream_of(lane), facts.sequence),
            message: wire::message(message.headers.as_ref(), message.payload.clone()),
            deliveries,
        };
        if suspect {
            self.suspects.push(delivery)
        } else {
            self.ready.push(delivery)
        }
        self.more = facts.pending > 0 || facts.delivered > 1;
        let Message { reply, headers, payload, .. } = message;
        let Some(reply) = reply else { return };
        let (sequence, since) = (facts.sequence, now);
        let entry = Entry { lane, reply, sequence, headers, payload, since, handed_out: false, forsaken: false };
        self.held.push((tag, entry));
    }
}

/// How often a delivery was handed out, and whether it must be moved aside.
fn count(lane: Lane, facts: Facts, before: u32) -> (u32, bool) {
    match lane {
        Lane::Work => (facts.delivered, facts.delivered > SUSPECT_AFTER),
        // The server counts what is sent back until it is due like what was never settled.
        Lane::Parked if facts.delivered > SUSPECT_AFTER + PARKED_OFTEN => (SUSPECT_AFTER + 1, true),
        Lane::Parked => (1, false),
        Lane::Suspects => (before.saturating_add(facts.delivered), false),
    }
}

/// A number that no other delivery in this process has.
pub(super) fn next_tag() -> u128 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    u128::from(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The time in milliseconds since the Unix epoch.
pub(super) fn unix_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lane: Lane, delivered: u32, before: u32, expected: (u32, bool)) {
        let facts = Facts { sequence: 1, delivered, pending: 0 };
        assert_eq!(count(lane, facts, before), expected, "{lane:?} {delivered} {before}");
    }

    #[test]
    fn what_was_in_hands_too_often_is_suspected() {
        check(Lane::Work, 1, 0, (1, false));
        check(Lane::Work, SUSPECT_AFTER, 0, (SUSPECT_AFTER, false));
        check(Lane::Work, SUSPECT_AFTER + 1, 0, (SUSPECT_AFTER + 1, true));
        check(Lane::Parked, 2, 0, (1, false));
        check(Lane::Parked, SUSPECT_AFTER + PARKED_OFTEN, 0, (1, false));
        check(Lane::Parked, 100, 0, (SUSPECT_AFTER + 1, true));
        check(Lane::Suspects, 1, SUSPECT_AFTER, (SUSPECT_AFTER + 1, false));
        check(Lane::Suspects, 5, u32::MAX, (u32::MAX, false));
    }
}
