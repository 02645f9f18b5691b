//! Remembers what a channel has delivered and nobody has acked yet, and groups acks; pure.
//!
//! A channel numbers its deliveries from one. Batches are settled in any order, so that the numbers settled may have
//! gaps. Up to the first gap one ack stands for all; what lies beyond it waits for the gap to close, or is acked one by one.

use std::collections::VecDeque;
use std::time::SystemTime;

use crate::Message;

/// The deliveries of one channel, from the oldest that is not settled on.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// The number of the first slot.
    first: u64,
    slots: VecDeque<Slot>,
    held: u64,
}

/// A message that is held, as it must be published anew when it is handed back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) message: Message,
    /// How often it was handed out before this time.
    pub(super) handed_out: u32,
    /// When it came.
    pub(super) since: SystemTime,
}

#[derive(Debug)]
enum Slot {
    /// Fetched and not settled; whether somebody settles it right now.
    Held { held: Held, claimed: bool },
    /// Settled, and the broker waits for an ack.
    Done,
    /// Nothing is left to tell the broker.
    Over,
}

/// Whether a delivery may be settled.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// It may, by whoever asked.
    Granted,
    /// Somebody else settles it right now.
    Busy,
    /// It is settled, or was never here.
    Gone,
}

impl Window {
    /// Takes a delivery in. Numbers ascend.
    pub(super) fn hold(&mut self, number: u64, held: Held) {
        if self.slots.is_empty() {
            self.first = number;
        }
        while self.first + self.slots.len() as u64 <= number {
            self.slots.push_back(Slot::Over);
        }
        if let Some(slot @ Slot::Over) = self.slots.back_mut() {
            *slot = Slot::Held { held, claimed: false };
            self.held += 1;
        }
    }

    /// The one that has been held for the longest time.
    pub(super) fn oldest(&self) -> Option<&Held> {
        self.slots.iter().find_map(|slot| match slot {
            Slot::Held { held, .. } => Some(held),
            Slot::Done | Slot::Over => None,
        })
    }

    /// How many are held.
    pub(super) const fn held(&self) -> u64 {
        self.held
    }

    /// Asks for the right to settle a delivery.
    pub(super) fn claim(&mut self, number: u64) -> Claim {
        match self.slot(number) {
            Some(Slot::Held { claimed: true, .. }) => Claim::Busy,
            Some(Slot::Held { claimed, .. }) => {
                *claimed = true;
                Claim::Granted
            }
            Some(Slot::Done | Slot::Over) | None => Claim::Gone,
        }
    }

    /// Gives the right back: the delivery is held as before.
    pub(super) fn unclaim(&mut self, number: u64) {
        if let Some(Slot::Held { claimed, .. }) = self.slot(number) {
            *claimed = false;
        }
    }

    /// What is held under a number.
    pub(super) fn get(&mut self, number: u64) -> Option<&Held> {
        match self.slot(number) {
            Some(Slot::Held { held, .. }) => Some(held),
            _ => None,
        }
    }

    /// Notes that deliveries are settled. Returns the number up to which one ack now tells the broker of all; acks must be
    /// written in the order of these calls.
    pub(super) fn done(&mut self, numbers: &[u64]) -> Option<u64> {
        numbers.iter().for_each(|number| self.finish(*number, Slot::Done));
        self.advance()
    }

    /// How many of these, which are settled, lie beyond the first gap, so that no ack stands for them yet.
    pub(super) fn beyond(&self, numbers: &[u64]) -> usize {
        numbers.iter().filter(|number| **number >= self.first).count()
    }

    /// Takes out those that no ack stands for yet: each must be acked by itself.
    pub(super) fn singly(&mut self, mut numbers: Vec<u64>) -> Vec<u64> {
        numbers.retain(|number| match self.slot(*number) {
            Some(slot @ Slot::Done) => {
                *slot = Slot::Over;
                true
            }
            _ => false,
        });
        numbers
    }

    /// Lets go of a delivery that goes back to the broker by another way than an ack. Returns as [`Self::done`].
    pub(super) fn forget(&mut self, number: u64) -> Option<u64> {
        self.finish(number, Slot::Over);
        self.advance()
    }

    /// Lets go of everything, and says how many were held.
    pub(super) fn clear(&mut self) -> u64 {
        self.first += self.slots.len() as u64;
        self.slots.clear();
        std::mem::take(&mut self.held)
    }

    fn finish(&mut self, number: u64, over: Slot) {
        if let Some(slot @ Slot::Held { .. }) = self.slot(number) {
            *slot = over;
            self.held -= 1;
        }
    }

    /// Drops what lies before the first gap; the last of it that the broker still waits for stands for all before it.
    fn advance(&mut self) -> Option<u64> {
        let mut up_to = None;
        while let Some(slot @ (Slot::Done | Slot::Over)) = self.slots.front() {
            if matches!(slot, Slot::Done) {
                up_to = Some(self.first);
            }
            self.slots.pop_front();
            self.first += 1;
        }
        up_to
    }

    fn slot(&mut self, number: u64) -> Option<&mut Slot> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.slots.get_mut(index)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    impl Default for Held {
        fn default() -> Self {
            Self { message: Message::default(), handed_out: 0, since: SystemTime::UNIX_EPOCH }
        }
    }

    fn holding(numbers: impl IntoIterator<Item = u64>) -> Window {
        let mut window = Window::default();
        numbers.into_iter().for_each(|number| window.hold(number, Held::default()));
        window
    }

    #[test]
    fn one_ack_stands_for_all_up_to_the_first_gap() {
        let mut window = holding(1..=6);
        let cases = [
            (vec![2], None, 1),
            (vec![1], Some(2), 0),
            (vec![4], None, 1),
            (vec![6], None, 1),
            (vec![6, 9, 3], Some(4), 1),
            (vec![5], Some(6), 0),
        ];
        for (settled, up_to, beyond) in cases {
            assert_eq!(window.done(&settled), up_to, "{settled:?}");
            let of_the_window: Vec<_> = settled.iter().copied().filter(|number| *number <= 6).collect();
            assert_eq!(window.beyond(&of_the_window), beyond, "{settled:?}");
        }
        assert_eq!(window.held(), 0);
    }

    #[test]
    fn what_was_acked_by_itself_is_not_acked_again() {
        let mut window = holding(1..=4);
        assert_eq!(window.done(&[2, 3]), None);
        assert_eq!(window.singly(vec![3, 4]), [3], "the fourth is not settled");
        assert!(window.singly(vec![3]).is_empty());
        assert_eq!(window.done(&[1]), Some(2), "the third is not waited for any more");
        assert_eq!(window.forget(4), None);
        assert_eq!(window.beyond(&[2, 3, 4]), 0);
    }

    #[test]
    fn what_goes_back_closes_a_gap() {
        let mut window = holding(1..=3);
        assert_eq!(window.done(&[2]), None);
        assert_eq!(window.forget(1), Some(2));
        assert_eq!(window.held(), 1);
    }

    #[test]
    fn a_delivery_is_settled_by_one_at_a_time() {
        let mut window = holding(1..=2);
        assert_eq!(window.claim(1), Claim::Granted);
        assert_eq!(window.claim(1), Claim::Busy);
        window.unclaim(1);
        assert_eq!(window.claim(1), Claim::Granted);
        window.done(&[1]);
        assert_eq!(window.claim(1), Claim::Gone);
        assert_eq!(window.claim(3), Claim::Gone);
        assert_eq!(window.clear(), 1);
        assert_eq!(window.claim(2), Claim::Gone);
        window.hold(3, Held::default());
        assert_eq!(window.done(&[3]), Some(3));
    }

    proptest! {
        /// What a broker would make of it: every ack names a delivery that it still waits for, stands for none that is not
        /// settled, and in the end all are acked.
        #[test]
        fn every_delivery_is_acked_once(
            order in Just((1..=40_u64).collect::<Vec<_>>()).prop_shuffle(),
            size in 1..9_usize,
            impatient in any::<u64>(),
        ) {
            let mut window = holding(1..=40);
            let mut waiting: BTreeSet<u64> = (1..=40).collect();
            let mut settled = BTreeSet::<u64>::new();
            for (turn, batch) in order.chunks(size).enumerate() {
                settled.extend(batch);
                if let Some(up_to) = window.done(batch) {
                    prop_assert!(waiting.contains(&up_to));
                    prop_assert!((1..=up_to).all(|number| settled.contains(&number)));
                    waiting.retain(|number| *number > up_to);
                }
                let unacked = batch.iter().filter(|number| waiting.contains(number)).count();
                prop_assert_eq!(window.beyond(batch), unacked);
                if impatient >> turn & 1 == 1 {
                    for number in window.singly(batch.to_vec()) {
                        prop_assert!(waiting.remove(&number), "{} was acked before", number);
                    }
                }
                prop_assert_eq!(window.held(), 40 - settled.len() as u64);
            }
            prop_assert!(waiting.is_empty());
        }
    }
}
