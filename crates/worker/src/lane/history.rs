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
    /// When the target was last known to have all that was done there. The window reaches back from then, however long the
    /// target has been away since: it may come back as it was at that time or before.
    whole: Instant,
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
    /// Nothing is known of what others, or this worker before it started, did in the window before now.
    pub(super) fn new(window: Duration, now: Instant) -> Self {
        let incomplete_until = (!window.is_zero()).then(|| now + window);
        Self { window, buckets: VecDeque::new(), kept: 0, incomplete_until, whole: now, everything: Vec::new() }
    }

    /// The target has all that was done there.
    pub(super) fn is_whole(&mut self, now: Instant) {
        self.whole = now;
        self.forget();
    }

    pub(super) fn set_everything(&mut self, actions: Vec<Action>) {
        self.everything = actions;
    }

    pub(super) fn has_everything(&self) -> bool {
        !self.everything.is_empty()
    }

    /// Whether anything would have to be applied again.
    pub(super) fn is_empty(&self) -> bool {
        self.buckets.is_empty() && self.incomplete_until.is_none()
    }

    /// Remembers the actions of a share. Moves them: the hot path neither clones nor hashes.
    pub(super) fn record(&mut self, now: Instant, actions: Vec<Action>) {
        if self.window.is_zero() {
            return;
        }
        // It answered just now.
        self.is_whole(now);
        self.kept += actions.len();
        match self.buckets.back_mut() {
            Some(last) if now.duration_since(last.started) < self.window / BUCKETS => last.actions.extend(actions),
            _ => self.buckets.push_back(Bucket { started: now, actions }),
        }
        if self.kept > ACTIONS_MAX {
            self.compact(now);
        }
    }

    /// What has to be applied again.
    pub(super) fn recent(&self) -> Recent {
        let everything = self.incomplete_until.is_some();
        let last_resort = if everything { self.everything.as_slice() } else { &[] };
        let all = last_resort.iter().chain(self.buckets.iter().flat_map(|bucket| &bucket.actions));
        let mut seen = HashSet::new();
        let actions = all.filter(|action| seen.insert(*action)).cloned().collect();
        Recent { actions, everything }
    }

    fn forget(&mut self) {
        let (age, whole) = (self.window + self.window / BUCKETS, self.whole);
        while self.buckets.front().is_some_and(|bucket| whole.duration_since(bucket.started) > age) {
            self.pop();
        }
        self.incomplete_until = self.incomplete_until.filter(|until| *until > whole);
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

    /// A history whose worker has run for longer than the window.
    fn settled() -> History {
        let now = Instant::now();
        let mut history = History::new(WINDOW, now.checked_sub(WINDOW).unwrap());
        history.is_whole(now);
        history
    }

    #[tokio::test(start_paused = true)]
    async fn actions_are_kept_for_the_window_and_each_once() {
        tokio::time::advance(2 * WINDOW).await;
        let (mut history, start) = (settled(), Instant::now());
        history.record(start, vec![delete(1), delete(2)]);
        history.record(start + WINDOW / 2, vec![delete(2), delete(3)]);
        history.is_whole(start + WINDOW);
        assert_eq!(history.recent(), Recent { actions: vec![delete(1), delete(2), delete(3)], everything: false });
        history.is_whole(start + WINDOW + WINDOW / 4);
        assert_eq!(history.recent().actions, [delete(2), delete(3)]);
        history.is_whole(start + WINDOW * 2);
        assert!(history.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_forgotten_while_the_target_is_away() {
        tokio::time::advance(2 * WINDOW).await;
        let (mut history, start) = (settled(), Instant::now());
        history.record(start, vec![delete(1)]);
        tokio::time::advance(10 * WINDOW).await;
        assert!(!history.is_empty());
        assert_eq!(history.recent(), Recent { actions: vec![delete(1)], everything: false });
        history.is_whole(Instant::now());
        assert!(history.is_empty(), "it is back, and the window goes on");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_done_before_the_worker_started_is_unknown_for_one_window() {
        let (mut history, start) = (History::new(WINDOW, Instant::now()), Instant::now());
        history.set_everything(vec![Action::DeletePrefix("k:".into())]);
        history.record(start, vec![delete(1)]);
        assert_eq!(history.recent().actions, [Action::DeletePrefix("k:".into()), delete(1)]);
        history.is_whole(start + WINDOW);
        assert_eq!(history.recent(), Recent { actions: vec![delete(1)], everything: false });
    }

    #[tokio::test(start_paused = true)]
    async fn repeats_do_not_push_others_out() {
        tokio::time::advance(2 * WINDOW).await;
        let (mut history, now) = (settled(), Instant::now());
        history.record(now, vec![delete(0)]);
        for _ in 0..ACTIONS_MAX {
            history.record(now, vec![delete(1), delete(2)]);
        }
        assert_eq!(history.recent(), Recent { actions: vec![delete(0), delete(1), delete(2)], everything: false });
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_is_kept_becomes_everything_until_the_window_has_passed() {
        tokio::time::advance(2 * WINDOW).await;
        let (mut history, start) = (settled(), Instant::now());
        history.set_everything(vec![Action::DeletePrefix("k:".into())]);
        history.record(start, (0..ACTIONS_MAX).map(delete).collect());
        let later = start + WINDOW / 2;
        history.record(later, vec![delete(ACTIONS_MAX)]);
        let recent = history.recent();
        assert!(recent.everything);
        assert_eq!(recent.actions, [Action::DeletePrefix("k:".into()), delete(ACTIONS_MAX)]);
        history.is_whole(later + WINDOW / 2);
        assert!(!history.is_empty());
        history.is_whole(later + WINDOW * 2);
        assert!(history.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_window_nothing_is_kept() {
        let mut history = History::new(Duration::ZERO, Instant::now());
        history.record(Instant::now(), vec![delete(1)]);
        assert!(history.is_empty());
    }
}
