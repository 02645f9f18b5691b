//! Decides who gets which message of an in-process queue, and when; it reads no clock.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::{Ages, Backlog, Dated, Delivery, Destination, Message, Replacement, SUSPECT_AFTER, Tag, Verdict};

/// The messages of one queue, each in exactly one of four places.
#[derive(Default)]
pub(super) struct Queue {
    ready: VecDeque<Waiting>,
    held: BTreeMap<Tag, Held>,
    later: BTreeMap<(Instant, u64), Parked>,
    dead: BTreeMap<u64, Message>,
    last: u64,
}

struct Waiting {
    id: u64,
    message: Message,
    deliveries: u32,
    since: SystemTime,
}

struct Parked {
    message: Message,
    since: SystemTime,
}

struct Held {
    consumer: u64,
    waiting: Waiting,
}

impl Queue {
    /// A number that this queue never gave before.
    pub(super) const fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub(super) fn push(&mut self, message: Message) {
        let id = self.number();
        self.ready.push_back(Waiting { id, message, deliveries: 0, since: SystemTime::now() });
    }

    /// How many deliveries a consumer would get now. A suspect counts as a full batch: it is not worth waiting for more.
    pub(super) fn ready(&mut self, now: Instant, batch: usize) -> usize {
        self.bring_due(now);
        match self.ready.front() {
            Some(first) if first.is_suspect() => batch,
            _ => self.ready.len(),
        }
    }

    /// When the next delayed copy is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.later.keys().next().map(|(due, _)| *due)
    }

    /// Hands out up to `batch` messages, a suspect alone.
    pub(super) fn take(&mut self, consumer: u64, batch: usize) -> Vec<Delivery> {
        let company = self.ready.iter().take(batch).take_while(|waiting| !waiting.is_suspect()).count();
        let count = company.max(1).min(self.ready.len());
        let taken: Vec<_> = self.ready.drain(..count).collect();
        taken.into_iter().map(|waiting| self.hold(consumer, waiting)).collect()
    }

    fn hold(&mut self, consumer: u64, mut waiting: Waiting) -> Delivery {
        waiting.deliveries += 1;
        let tag = Tag(self.number().into());
        let delivery = Delivery {
            tag,
            broker_id: waiting.id.to_string(),
            message: waiting.message.clone(),
            deliveries: waiting.deliveries,
        };
        self.held.insert(tag, Held { consumer, waiting });
        delivery
    }

    /// Carries out a verdict; nothing happens when the delivery is no longer held under this tag.
    pub(super) fn settle(&mut self, tag: Tag, verdict: &Verdict, now: Instant) {
        let Some(held) = self.held.remove(&tag) else { return };
        match verdict {
            Verdict::Ack => {}
            Verdict::Replace(copies) => copies.iter().for_each(|copy| self.put(copy, now)),
            Verdict::Release => {
                let deliveries = held.waiting.deliveries - 1;
                self.ready.push_front(Waiting { deliveries, ..held.waiting });
            }
        }
    }

    fn put(&mut self, copy: &Replacement, now: Instant) {
        let number = self.number();
        match copy.to {
            Destination::Later(delay) => {
                let parked = Parked { message: copy.message.clone(), since: SystemTime::now() };
                self.later.insert((after(now, delay), number), parked);
            }
            Destination::DeadLetters => {
                self.dead.insert(number, copy.message.clone());
            }
        }
    }

    /// Puts back what a consumer held, in the order in which it got it.
    pub(super) fn abandon(&mut self, consumer: u64) {
        let (abandoned, held) =
            std::mem::take(&mut self.held).into_iter().partition(|(_, held)| held.consumer == consumer);
        self.held = held;
        let abandoned: BTreeMap<_, _> = abandoned;
        for held in abandoned.into_values().rev() {
            self.ready.push_front(held.waiting);
        }
    }

    fn bring_due(&mut self, now: Instant) {
        while let Some(next) = self.later.first_entry() {
            if next.key().0 > now {
                break;
            }
            let parked = next.remove();
            self.push(parked.message);
        }
    }

    pub(super) fn bury(&mut self, letter: Message) {
        let id = self.number();
        self.dead.insert(id, letter);
    }

    pub(super) fn letters(&self, after: Option<u64>) -> impl Iterator<Item = (&u64, &Message)> {
        self.dead.range(after.map_or(0, |after| after.saturating_add(1))..)
    }

    pub(super) fn exhume(&mut self, id: u64) -> bool {
        self.dead.remove(&id).is_some()
    }

    pub(super) fn backlog(&mut self, now: Instant) -> Backlog {
        self.bring_due(now);
        Backlog {
            ready: self.ready.len() as u64,
            unsettled: self.held.len() as u64,
            delayed: self.later.len() as u64,
            lost: 0,
        }
    }
}

impl Queue {
    /// Since when messages wait, at a moment of both clocks.
    pub(super) fn ages(&mut self, now: Instant, wall: SystemTime) -> Ages {
        self.bring_due(now);
        let waiting = self.ready.iter().chain(self.held.values().map(|held| &held.waiting));
        let oldest = waiting.min_by_key(|waiting| waiting.since);
        let parked = self.later.values().min_by_key(|parked| parked.since);
        let dated = |message: &Message, since| Dated { since, headers: message.headers.clone() };
        Ages {
            oldest: oldest.map(|waiting| dated(&waiting.message, waiting.since)),
            oldest_delayed: parked.map(|parked| dated(&parked.message, parked.since)),
            next_due: self.next_due().and_then(|due| wall.checked_add(due.saturating_duration_since(now))),
        }
    }
}

/// A moment so long after another; a century where the clock cannot count that far.
pub(super) fn after(now: Instant, delay: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    now + delay.min(CENTURY)
}

impl Waiting {
    const fn is_suspect(&self) -> bool {
        self.deliveries >= SUSPECT_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes_of_batches(deliveries: &[u32], batch: usize) -> Vec<usize> {
        let mut queue = Queue::default();
        for &deliveries in deliveries {
            let id = queue.number();
            let since = SystemTime::now();
            queue.ready.push_back(Waiting { id, message: Message::default(), deliveries, since });
        }
        std::iter::from_fn(|| Some(queue.take(1, batch).len()).filter(|len| *len > 0)).collect()
    }

    #[test]
    fn a_suspect_comes_alone() {
        let cases: [(&[u32], usize, &[usize]); 5] = [
            (&[], 4, &[]),
            (&[0, 0, 0], 2, &[2, 1]),
            (&[2, 2, 2], 4, &[3]),
            (&[0, 3, 0, 0], 4, &[1, 1, 2]),
            (&[3, 3], 4, &[1, 1]),
        ];
        for (deliveries, batch, sizes) in cases {
            assert_eq!(sizes_of_batches(deliveries, batch), sizes, "{deliveries:?}");
        }
    }
}
