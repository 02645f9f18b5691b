//! Keeps the actions of the last minutes, so that they can be applied again after a target restarted from an old snapshot.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use quash_core::action::Action;
use tokio::time::Instant;

/// Actions kept per target; past it the oldest are replaced by everything that the rules could remove. Some 10 MiB.
const ACTIONS_MAX: usize = 100_000;
/// Parts of the window that are forgotten together.
const BUCKETS: u32 = 12;

pub(super) struct History {
    window: Duration,
    buckets: VecDeque<Bucket>,
    kept: usize,
    /// Until when actions are missing from the buckets although they are in the window.
    incomplete_until: Option<Instant>,
    everything: Vec<Action>,
}

struct Bucket {
    started: Instant,
    actions: Vec<Action>,
}

/// What has to be applied again.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Recent {
    /// The actions, each once.
    pub(super) actions: Vec<Action>,
    /// Whether they include everything that the rules could remove.
    pub(super) everything: bool,
}

impl History {
    pub(super) const fn new(window: Duration) -> Self {
        Self { window, buckets: VecDeque::new(), kept: 0, incomplete_until: None, everything: Vec::new() }
    }

    pub(super) fn set_everything(&mut self, actions: Vec<Action>) {
        self.everything = actions;
    }

    pub(super) fn has_everything(&self) -> bool {
        !self.everything.is_empty()
    }

    /// Whether anything would have to be applied again.
    pub(super) fn is_empty(&mut self, now: Instant) -> bool {
        self.forget(now);
        self.buckets.is_empty() && self.incomplete_until.is_none()
    }

    /// Remembers the actions of a share. Moves them: the hot path neither clones nor hashes.
    pub(super) fn record(&mut self, now: Instant, actions: Vec<Action>) {
        if self.window.is_zero() {
            return;
        }
        self.forget(now);
        self.kept += actions.len();
        match self.buckets.back_mut() {
            Some(last) if now.duration_since(last.started) < self.window / BUCKETS => last.actions.extend(actions),
            _ => self.buckets.push_back(Bucket { started: now, actions }),
        }
        if self.kept > ACTIONS_MAX {
            self.compact(now);
        }
    }

    /// What has to be applied again now.
    pub(super) fn recent(&mut self, now: Instant) -> Recent {
        self.forget(now);
        let everything = self.incomplete_until.is_some();
        let last_resort = if everything { self.everything.as_slice() } else { &[] };
        let all = last_resort.iter().chain(self.buckets.iter().flat_map(|bucket| &bucket.actions));
        let mut seen = HashSet::new();
        let actions = all.filter(|action| seen.insert(*action)).cloned().collect();
        Recent { actions, everything }
    }

    fn forget(&mut self, now: Instant) {
        let age = self.window + self.window / BUCKETS;
        while self.buckets.front().is_some_and(|bucket| now.duration_since(bucket.started) > age) {
            self.pop();
        }
        self.incomplete_until = self.incomplete_until.filter(|until| *until > now);
    }

    /// Drops repeats, and if that is not enough the oldest buckets. Keeps half, so that this cost is spread over at least
    /// as many actions as it looks at.
    fn compact(&mut self, now: Instant) {
        let mut seen = HashSet::with_capacity(self.kept);
        let newest_first = self.buckets.iter().rev().flat_map(|bucket| &bucket.actions);
        let mut is_first = newest_first.map(|action| seen.insert(action)).collect::<Vec<_>>().into_iter();
        self.kept = seen.len();
        for bucket in self.buckets.iter_mut().rev() {
            bucket.actions.retain(|_| is_first.next().unwrap_or(true));
        }
        while self.kept > ACTIONS_MAX / 2 {
            self.pop();
            self.incomplete_until = Some(now + self.window);
        }
    }

    fn pop(&mut self) {
        if let Some(bucket) = self.buckets.pop_front() {
            self.kept -= bucket.actions.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(120);

    fn delete(n: usize) -> Action {
        Action::Delete(format!("k:{n}").into())
    }

    #[tokio::test(start_paused = true)]
    async fn actions_are_kept_for_the_window_and_each_once() {
        let mut history = History::new(WINDOW);
        let start = Instant::now();
        history.record(start, vec![delete(1), delete(2)]);
        history.record(start + WINDOW / 2, vec![delete(2), delete(3)]);
        let recent = history.recent(start + WINDOW);
        assert_eq!(recent, Recent { actions: vec![delete(1), delete(2), delete(3)], everything: false });
        assert_eq!(history.recent(start + WINDOW + WINDOW / 4).actions, [delete(2), delete(3)]);
        assert!(history.is_empty(start + WINDOW * 2));
    }

    #[tokio::test(start_paused = true)]
    async fn repeats_do_not_push_others_out() {
        let mut history = History::new(WINDOW);
        let now = Instant::now();
        history.record(now, vec![delete(0)]);
        for _ in 0..ACTIONS_MAX {
            history.record(now, vec![delete(1), delete(2)]);
        }
        assert_eq!(history.recent(now), Recent { actions: vec![delete(0), delete(1), delete(2)], everything: false });
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_is_kept_becomes_everything_until_the_window_has_passed() {
        let mut history = History::new(WINDOW);
        history.set_everything(vec![Action::DeletePrefix("k:".into())]);
        let start = Instant::now();
        history.record(start, (0..ACTIONS_MAX).map(delete).collect());
        let later = start + WINDOW / 2;
        history.record(later, vec![delete(ACTIONS_MAX)]);
        let recent = history.recent(later);
        assert!(recent.everything);
        assert_eq!(recent.actions, [Action::DeletePrefix("k:".into()), delete(ACTIONS_MAX)]);
        assert!(!history.is_empty(later + WINDOW / 2));
        assert!(history.is_empty(later + WINDOW * 2));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_window_nothing_is_kept() {
        let mut history = History::new(Duration::ZERO);
        history.record(Instant::now(), vec![delete(1)]);
        assert!(history.is_empty(Instant::now()));
    }
}
