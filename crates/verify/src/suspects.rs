//! Keeps the entries that differed from what is true, until they are looked at again; bounded.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// More entries than this that differ at a time are not followed: by then it is known that something is wrong.
const SUSPECTS_MAX: usize = 10_000;

/// An entry that differed.
#[derive(Debug, Clone)]
pub(crate) struct Suspect {
    /// The place of its cache among those that are compared.
    pub(crate) cache: usize,
    /// Where it stands.
    pub(crate) key: String,
    pub(crate) args: Vec<(String, String)>,
    pub(crate) tags: Vec<String>,
    /// What stood there.
    pub(crate) digest: String,
    /// Since when it is known.
    pub(crate) since: Instant,
    /// Which of the times is the next.
    pub(crate) next: usize,
    /// Whether it is there to be found.
    pub(crate) is_canary: bool,
}

#[derive(Default)]
pub(crate) struct Suspects {
    by_time: BTreeMap<(Instant, u64), Suspect>,
    count: u64,
}

impl Suspects {
    /// Keeps one until its next time, of these. Whether there was room.
    pub(crate) fn push(&mut self, suspect: Suspect, within: &[Duration]) -> bool {
        let Some(after) = within.get(suspect.next) else { return true };
        if self.by_time.len() >= SUSPECTS_MAX && !suspect.is_canary {
            return false;
        }
        self.count += 1;
        self.by_time.insert((suspect.since + *after, self.count), suspect);
        true
    }

    /// Those whose time has come, so many at most.
    pub(crate) fn due(&mut self, now: Instant, most: usize) -> Vec<Suspect> {
        let mut due = Vec::new();
        while due.len() < most
            && let Some(first) = self.by_time.first_entry().filter(|first| first.key().0 <= now)
        {
            due.push(first.remove());
        }
        due
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.by_time.first_key_value().map(|((at, _), _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suspect(since: Instant, next: usize, is_canary: bool) -> Suspect {
        let (key, digest) = (String::new(), String::new());
        Suspect { cache: 0, key, args: Vec::new(), tags: Vec::new(), digest, since, next, is_canary }
    }

    #[test]
    fn each_is_due_at_its_next_time_and_there_is_a_bound() {
        let (now, within) = (Instant::now(), [Duration::from_secs(1), Duration::from_secs(60)]);
        let mut suspects = Suspects::default();
        for next in [1, 0, 2] {
            assert!(suspects.push(suspect(now, next, false), &within));
        }
        assert_eq!(suspects.next(), Some(now + within[0]));
        assert_eq!(suspects.due(now, 9).len(), 0);
        let due = suspects.due(now + within[0], 9);
        assert_eq!(due.iter().map(|suspect| suspect.next).collect::<Vec<_>>(), [0]);
        assert_eq!(suspects.due(now + within[1], 9).len(), 1, "after the last time there is none");
        assert!((0..SUSPECTS_MAX).all(|_| suspects.push(suspect(now, 0, false), &within)));
        assert!(!suspects.push(suspect(now, 0, false), &within));
        assert!(suspects.push(suspect(now, 0, true), &within), "a canary is always followed");
    }
}
