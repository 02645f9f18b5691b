//! Walks over the keys of a target, page by page, round after round.

use std::collections::VecDeque;

use quash_core::action::GUARD;
use quash_core::freshness::chunks::is_chunk;
use quash_store::{ScanPage, ScanPosition};

/// Where a walk is.
#[derive(Default)]
pub(crate) struct Walk {
    position: ScanPosition,
    keys: VecDeque<String>,
    /// Whether the keys that are left are the last of a round.
    is_last: bool,
    /// How often the walk has come round, and all of its keys were taken.
    pub(crate) rounds: u64,
}

impl Walk {
    /// Where the next page begins; `None` while keys of the last one are left.
    pub(crate) fn wants(&self) -> Option<ScanPosition> {
        self.keys.is_empty().then(|| self.position.clone())
    }

    /// A page came, of which these keys count.
    pub(crate) fn take(&mut self, page: ScanPage, counts: impl Fn(&str) -> bool) {
        // Beside entries there are guards, and chunks of entries.
        let is_entry = |key: &String| !key.ends_with(GUARD) && !is_chunk(key) && counts(key);
        self.keys.extend(page.keys.into_iter().filter(is_entry));
        match page.next {
            Some(position) => self.position = position,
            None => {
                self.position = ScanPosition::default();
                self.is_last = true;
            }
        }
    }

    /// The next keys, so many at most.
    pub(crate) fn next(&mut self, most: usize) -> Vec<String> {
        let next = self.keys.drain(..most.min(self.keys.len())).collect();
        if self.keys.is_empty() {
            self.rounds += u64::from(std::mem::take(&mut self.is_last));
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_and_chunks_are_no_entries() {
        let mut walk = Walk::default();
        let keys = ["p:1", "p:1!q", "p:1~000000000000000a~0", "x:1"].map(str::to_owned).to_vec();
        walk.take(ScanPage { keys, next: None }, |key| key.starts_with("p:"));
        assert_eq!(walk.next(9), ["p:1"]);
        assert_eq!((walk.rounds, walk.wants()), (1, Some(ScanPosition::default())));
    }

    #[test]
    fn a_round_is_over_when_its_last_key_is_taken() {
        let mut walk = Walk::default();
        walk.take(ScanPage { keys: vec!["a".to_owned(), "b".to_owned()], next: None }, |_| true);
        assert_eq!((walk.next(1), walk.rounds), (vec!["a".to_owned()], 0));
        assert_eq!((walk.next(1), walk.rounds), (vec!["b".to_owned()], 1));
        walk.take(ScanPage::default(), |_| true);
        assert_eq!((walk.next(1), walk.rounds), (Vec::new(), 2));
    }
}
