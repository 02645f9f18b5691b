//! Walks over the keys of a target, page by page, round after round.

use std::collections::VecDeque;

use quash_core::action::GUARD;
use quash_core::freshness::chunks::is_chunk;
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
        // Beside entries there are guards, and chunks of entries.
        let is_entry = |key: &String| !key.ends_with(GUARD) && !is_chunk(key) && counts(key);
        self.keys.extend(page.keys.into_iter().filter(is_entry));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_and_chunks_are_no_entries() {
        let mut walk = Walk::default();
        let keys = ["p:1", "p:1!q", "p:1~000000000000000a~0", "x:1"].map(str::to_owned).to_vec();
        walk.take(Page { keys, next: None }, |key| key.starts_with("p:"));
        assert_eq!(walk.next(9), ["p:1"]);
        assert_eq!((walk.rounds, walk.wants()), (1, Some(Place::default())));
    }
}
