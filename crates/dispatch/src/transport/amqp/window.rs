//! Remembers what a channel has delivered and nobody has acked yet, and groups acks; pure.
//!
//! A channel numbers its deliveries from one. Batches are settled in any order, so that the numbers settled may have
//! gaps. Up to the first gap one ack stands for all; what lies beyond it is acked one by one.

use std::collections::VecDeque;

use crate::transport::Message;

/// The deliveries of one channel, from the oldest that is not settled on.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// The number of the first slot.
    first: u64,
    slots: VecDeque<Slot>,
    held: u64,
}

/// A message that is held, as it must be published anew when it is handed back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Held {
    pub(super) message: Message,
    /// How often it was handed out before this time.
    pub(super) handed_out: u32,
}

#[derive(Debug)]
enum Slot {
    /// Fetched and not settled; whether somebody settles it right now.
    Held { held: Held, claimed: bool },
    /// Settled.
    Done,
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

/// Which acks to write.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Acks {
    /// Everything up to this number, itself included.
    pub(super) up_to: Option<u64>,
    /// These alone.
    pub(super) singly: Vec<u64>,
}

impl Window {
    /// Takes a delivery in. Numbers ascend.
    pub(super) fn hold(&mut self, number: u64, held: Held) {
        if self.slots.is_empty() {
            self.first = number;
        }
        while self.first + self.slots.len() as u64 <= number {
            self.slots.push_back(Slot::Done);
        }
        if let Some(slot @ Slot::Done) = self.slots.back_mut() {
            *slot = Slot::Held { held, claimed: false };
            self.held += 1;
        }
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
            Some(Slot::Done) | None => Claim::Gone,
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

    /// Notes that deliveries are settled, and says which acks tell the broker so. They must be written in the order of
    /// these calls.
    pub(super) fn done(&mut self, mut numbers: Vec<u64>) -> Acks {
        numbers.retain(|number| self.finish(*number));
        while let Some(Slot::Done) = self.slots.front() {
            self.slots.pop_front();
            self.first += 1;
        }
        // Numbers below `first` are settled without a gap; the greatest of these was not acked before, so it may stand for all.
        let up_to = numbers.iter().copied().filter(|number| *number < self.first).max();
        numbers.retain(|number| *number >= self.first);
        Acks { up_to, singly: numbers }
    }

    /// Lets go of a delivery that goes back to the broker by another way than an ack.
    pub(super) fn forget(&mut self, number: u64) {
        self.finish(number);
    }

    /// Lets go of everything, and says how many were held.
    pub(super) fn clear(&mut self) -> u64 {
        self.first += self.slots.len() as u64;
        self.slots.clear();
        std::mem::take(&mut self.held)
    }

    fn finish(&mut self, number: u64) -> bool {
        match self.slot(number) {
            Some(slot @ Slot::Held { .. }) => {
                *slot = Slot::Done;
                self.held -= 1;
                true
            }
            _ => false,
        }
    }

    fn slot(&mut self, number: u64) -> Option<&mut Slot> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.slots.get_mut(place)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn holding(numbers: impl IntoIterator<Item = u64>) -> Window {
        let mut window = Window::default();
        numbers.into_iter().for_each(|number| window.hold(number, Held::default()));
        window
    }

    #[test]
    fn one_ack_stands_for_all_up_to_the_first_gap() {
        let mut window = holding(1..=6);
        let cases = [
            (vec![2], None, vec![2]),
            (vec![1], Some(1), vec![]),
            (vec![4, 3], Some(4), vec![]),
            (vec![6], None, vec![6]),
            (vec![6, 9, 1], None, vec![]),
            (vec![5], Some(5), vec![]),
        ];
        for (settled, up_to, singly) in cases {
            assert_eq!(window.done(settled.clone()), Acks { up_to, singly }, "{settled:?}");
        }
        assert_eq!(window.held(), 0);
    }

    #[test]
    fn a_delivery_is_settled_by_one_at_a_time() {
        let mut window = holding(1..=2);
        assert_eq!(window.claim(1), Claim::Granted);
        assert_eq!(window.claim(1), Claim::Busy);
        window.unclaim(1);
        assert_eq!(window.claim(1), Claim::Granted);
        window.done(vec![1]);
        assert_eq!(window.claim(1), Claim::Gone);
        assert_eq!(window.claim(3), Claim::Gone);
        assert_eq!(window.clear(), 1);
        assert_eq!(window.claim(2), Claim::Gone);
        window.hold(3, Held::default());
        assert_eq!(window.done(vec![3]), Acks { up_to: Some(3), singly: vec![] });
    }

    proptest! {
        /// What a broker would make of it: every ack names a delivery that it still waits for, and in the end all are acked.
        #[test]
        fn every_delivery_is_acked_once(order in Just((1..=40_u64).collect::<Vec<_>>()).prop_shuffle(), size in 1..9_usize) {
            let mut window = holding(1..=40);
            let mut waiting: BTreeSet<u64> = (1..=40).collect();
            for batch in order.chunks(size) {
                let acks = window.done(batch.to_vec());
                if let Some(up_to) = acks.up_to {
                    prop_assert!(waiting.contains(&up_to));
                    waiting.retain(|number| *number > up_to);
                }
                for number in acks.singly {
                    prop_assert!(waiting.remove(&number), "{number} was acked before");
                }
                prop_assert_eq!(window.held(), waiting.len() as u64);
            }
            prop_assert!(waiting.is_empty());
        }
    }
}
