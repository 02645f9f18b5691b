//! Applies one share to its store within bounds, and reports which deliveries are done.

use std::collections::BTreeMap;
use std::time::Duration;

use quash_core::action::Action;
use quash_core::plan::{RequestId, Share};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::report::{ActionFailure, Outcome, Report};
use crate::{Applied, Store, StoreError, TargetOptions};

/// How long a share with prefixes may take. Its pass over all keys takes as long as there are keys, and the store bounds
/// each of its commands; this only ends what nobody foresaw.
const SCAN_TIMEOUT: Duration = Duration::from_secs(600);

/// How many shares of a target may be in flight, and how long each may take.
#[derive(Debug)]
pub struct Bounds {
    permits: Semaphore,
    timeout: Duration,
}

impl Bounds {
    /// As the target is configured.
    #[must_use]
    pub fn new(options: &TargetOptions) -> Self {
        let permits = Semaphore::new(options.concurrency.clamp(1, Semaphore::MAX_PERMITS));
        Self { permits, timeout: options.timeout.0 }
    }

    /// Waits for the turn of a share; what is returned is held until the share is done. May be dropped while waiting.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // Nobody closes the semaphore; without a permit there would only be one more share in flight.
        match self.permits.try_acquire() {
            Ok(permit) => Some(permit),
            Err(_) => self.permits.acquire().await.ok(),
        }
    }

    /// How long these actions may take together.
    #[must_use]
    pub fn limit(&self, actions: &[Action]) -> Duration {
        if actions.iter().any(Action::scans) { SCAN_TIMEOUT } else { self.timeout }
    }

    /// Applies a share as [`execute`] does. A store that does not answer in time counts as unreachable.
    pub async fn execute(&self, share: &Share, store: &dyn Store) -> Outcome {
        let limit = self.limit(&share.actions);
        match timeout(limit, execute(share, store)).await {
            Ok(report) => report.outcome,
            Err(_) => Outcome::Unreachable { error: format!("no answer within {limit:?}") },
        }
    }
}

/// Applies a share and says which of its deliveries are done. Repeating it is harmless.
pub async fn execute(share: &Share, store: &dyn Store) -> Report {
    let outcome = match store.apply(&share.actions).await {
        Ok(applied) => answered(share, &applied),
        Err(error @ StoreError::Unreachable(_)) => Outcome::Unreachable { error: error.to_string() },
        Err(error @ StoreError::Refused(_)) => refused(share, &error.to_string()),
    };
    Report { target: share.target, outcome }
}

/// What the outcomes of the actions mean for the requests that asked for them.
fn answered(share: &Share, applied: &Applied) -> Outcome {
    let failures = share.actions.iter().enumerate().filter_map(|(index, action)| {
        let error = match applied.outcomes.get(index) {
            Some(Ok(_)) => return None,
            Some(Err(refusal)) => refusal.to_string(),
            // A request is only done when every one of its actions is known to be.
            None => "the store said nothing of it".to_owned(),
        };
        Some((index, ActionFailure::new(action, error)))
    });
    let removed = applied.outcomes.iter().filter_map(|outcome| outcome.as_ref().ok());
    Outcome::Answered {
        failed: by_request(share, failures),
        keys_removed: removed.sum(),
        keys_visited: applied.keys_visited,
    }
}

/// The store refused all of it in one word.
fn refused(share: &Share, error: &str) -> Outcome {
    let failures = share.actions.iter().map(|action| ActionFailure::new(action, error)).enumerate();
    Outcome::Answered { failed: by_request(share, failures), keys_removed: 0, keys_visited: 0 }
}

/// The first failure of every request that has any, given failures with the indices of their actions.
fn by_request(
    share: &Share,
    failures: impl Iterator<Item = (usize, ActionFailure)>,
) -> Vec<(RequestId, ActionFailure)> {
    let mut first = BTreeMap::new();
    for (index, failure) in failures {
        for request in share.asked_by.get(index).into_iter().flatten() {
            first.entry(*request).or_insert_with(|| failure.clone());
        }
    }
    first.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Refusal;
    use crate::memory::Memory;
    use quash_core::action::Action;
    use quash_core::plan::TargetId;

    /// A share of deletes, by key and who asked for it.
    fn share(deletes: &[(&str, &[u32])]) -> Share {
        Share {
            target: TargetId(3),
            actions: deletes.iter().map(|(key, _)| Action::Delete((*key).into())).collect(),
            asked_by: deletes.iter().map(|(_, requests)| requests.iter().copied().map(RequestId).collect()).collect(),
        }
    }

    fn failed(outcome: Outcome) -> Vec<(u32, String)> {
        match outcome {
            Outcome::Answered { failed, .. } => failed
                .into_iter()
                .map(|(request, failure)| (request.0, format!("{}: {}", failure.action, failure.error)))
                .collect(),
            Outcome::Unreachable { error } => panic!("{error}"),
        }
    }

    #[test]
    fn a_failed_action_fails_whoever_asked_for_it_and_no_one_else() {
        let share = share(&[("a", &[0, 2]), ("b", &[1]), ("c", &[2, 5])]);
        let no = |word: &str| Err(Refusal(word.to_owned()));
        let silence = "delete c: the store said nothing of it";
        let cases = [
            (vec![Ok(1), Ok(0), Ok(1)], vec![]),
            (vec![no("x"), Ok(0), Ok(1)], vec![(0, "delete a: x"), (2, "delete a: x")]),
            (vec![no("x"), Ok(0), no("y")], vec![(0, "delete a: x"), (2, "delete a: x"), (5, "delete c: y")]),
            (vec![Ok(1), no("x"), Ok(1)], vec![(1, "delete b: x")]),
            (vec![Ok(1), Ok(1)], vec![(2, silence), (5, silence)]),
        ];
        for (outcomes, expected) in cases {
            let applied = Applied { outcomes, keys_visited: 0 };
            let expected: Vec<_> = expected.into_iter().map(|(delivery, why)| (delivery, why.to_owned())).collect();
            assert_eq!(failed(answered(&share, &applied)), expected, "{applied:?}");
        }
    }

    #[test]
    fn removed_and_visited_keys_are_counted() {
        let share = share(&[("a", &[0]), ("b", &[1]), ("c", &[2])]);
        let applied = Applied { outcomes: vec![Ok(2), Err(Refusal(String::new())), Ok(3)], keys_visited: 9 };
        let Outcome::Answered { keys_removed, keys_visited, .. } = answered(&share, &applied) else { unreachable!() };
        assert_eq!((keys_removed, keys_visited), (5, 9));
    }

    #[tokio::test]
    async fn a_share_is_applied_to_its_store() {
        let memory = Memory::new();
        memory.set("a", "1");
        memory.refuse("b");
        let report = execute(&share(&[("a", &[0]), ("b", &[1])]), &memory).await;
        assert_eq!(report.target, TargetId(3));
        assert_eq!(failed(report.outcome), [(1, "delete b: no permission to touch b".to_owned())]);
        assert_eq!(memory.get("a"), None);
    }

    #[tokio::test]
    async fn nothing_is_known_when_the_target_is_away() {
        let memory = Memory::new();
        memory.set_reachable(false);
        let report = execute(&share(&[("a", &[0])]), &memory).await;
        assert_eq!(report.outcome, Outcome::Unreachable { error: "cannot reach the cache: switched off".to_owned() });
    }
}
