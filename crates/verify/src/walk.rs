//! Walks over the keys of a target, page by page, round after round.

use std::collections::VecDeque;

use quash_store::{Page, Place};

/// Where a walk is.
#[derive(Default)]
pub(crate) struct Walk {
    place: Place,
    keys: VecDeque<String>,
    /// Whether the walk has come round, and how often.
    pub(crate) rounds: u64,
}

impl Walk {
    /// Where the next page begins; `None` while keys of the last one are left.
    pub(crate) fn wants(&self) -> Option<Place> {
        self.keys.is_empty().then(|| self.place.clone())
    }

    /// A page came, of which these keys count.
    pub(crate) fn take(&mut self, page: Page, counts: impl Fn(&str) -> bool) {
        self.keys.extend(page.keys.into_iter().filter(|key| counts(key)));
        match page.next {
            Some(place) => self.place = place,
            None => {
                self.place = Place::default();
                self.rounds += 1;
            }
        }
    }

    /// The next keys, so many at most.
    pub(crate) fn next(&mut self, most: usize) -> Vec<String> {
        self.keys.drain(..most.min(self.keys.len())).collect()
    }
}
