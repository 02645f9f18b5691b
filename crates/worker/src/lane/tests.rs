//! Shows how a lane opens, fails fast, closes again, and applies the past once more after a restart.

use std::sync::atomic::Ordering::Relaxed;

use quash_config::Span;
use quash_core::plan::{RequestId, TargetId};
use quash_store::{Identity, StoreError};
use tokio::time::advance;

use super::*;
use crate::app::doubles::{FakeStore, Mode, target};
use crate::metrics::Metrics;

fn share(keys: &[&str]) -> Share {
    let actions = keys.iter().map(|key| Action::Delete((*key).into())).collect();
    Share {
        target: TargetId(0),
        actions,
        asked_by: (0..).map(RequestId).zip(keys).map(|(request, _)| std::iter::once(request).collect()).collect(),
    }
}

fn lane(store: &Arc<FakeStore>, options: TargetOptions) -> Arc<Lane> {
    let (changes, _) = tokio::sync::watch::channel(());
    Lane::start(target(options), store.clone(), Metrics::new().target("main"), changes)
}

/// Lets every task run that can.
async fn settle_down() {
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
}

const DONE: LaneOutcome = LaneOutcome::Answered(Vec::new());

#[tokio::test(start_paused = true)]
async fn one_bad_key_costs_only_those_who_asked_for_it() {
    let store = FakeStore::new(Mode::Picky);
    let outcome = lane(&store, TargetOptions::default()).apply(share(&["a", "bad", "c"])).await;
    assert_eq!(outcome, LaneOutcome::Answered(vec![(RequestId(1), "delete bad: ERR bad key".to_owned())]));
    assert_eq!(store.applied(), ["delete a", "delete c"]);
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_target_opens_its_lane_and_shares_fail_at_once_until_it_is_back() {
    let store = FakeStore::new(Mode::Dead);
    let lane = lane(&store, TargetOptions::default());
    assert!(matches!(lane.apply(share(&["a"])).await, LaneOutcome::Unreachable(_)));
    assert!(lane.is_open());

    let asked = Instant::now();
    assert!(matches!(lane.apply(share(&["a"])).await, LaneOutcome::Open { error, .. } if error.contains("refused")));
    assert_eq!(asked.elapsed(), Duration::ZERO);

    store.set(Mode::Works);
    tokio::time::sleep(breaker::PACE_MIN * 2).await;
    assert!(!lane.is_open());
    assert_eq!(lane.apply(share(&["a"])).await, DONE);
}

#[tokio::test(start_paused = true)]
async fn the_first_time_out_lets_go_of_everybody_who_waits() {
    let store = FakeStore::new(Mode::Hangs);
    let mut options = TargetOptions::default();
    options.concurrency = 2;
    let lane = lane(&store, options);
    let started = Instant::now();
    let waiting: Vec<_> = (0..8)
        .map(|_| {
            let lane = Arc::clone(&lane);
            tokio::spawn(async move { lane.apply(share(&["a"])).await })
        })
        .collect();
    for outcome in waiting {
        assert!(!matches!(outcome.await.unwrap(), LaneOutcome::Answered(_)));
    }
    assert_eq!(started.elapsed(), TargetOptions::default().timeout.0);
}

fn without_replay() -> TargetOptions {
    let mut options = TargetOptions::default();
    options.replay_window = Span(Duration::ZERO);
    options
}

#[tokio::test(start_paused = true)]
async fn a_target_that_stays_away_is_asked_ever_more_slowly() {
    let store = FakeStore::new(Mode::Works);
    let lane = lane(&store, without_replay());
    store.set(Mode::Dead);
    lane.apply(share(&["a"])).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let asked = store.asked_who.load(Relaxed);
    // After 0.2, 0.6, 1.4, 3, 6.2 seconds, and then every 5.
    assert_eq!(asked, 5 + 10);
    assert!(lane.is_open());
}

#[tokio::test(start_paused = true)]
async fn a_pass_over_all_keys_is_not_cut_off_by_the_timeout() {
    let store = FakeStore::new(Mode::Hangs);
    let lane = lane(&store, without_replay());
    let mut scan = share(&["a"]);
    scan.actions = vec![Action::DeletePrefix("a".into())];
    let applying = tokio::spawn({
        let lane = Arc::clone(&lane);
        async move { lane.apply(scan).await }
    });
    tokio::time::sleep(Duration::from_secs(300)).await;
    store.set(Mode::Works);
    assert_eq!(applying.await.unwrap(), DONE);
    assert!(!lane.is_open());
}

#[tokio::test(start_paused = true)]
async fn what_was_removed_before_a_restart_is_removed_again() {
    let store = FakeStore::new(Mode::Works);
    let lane = lane(&store, TargetOptions::default());
    settle_down().await;
    lane.apply(share(&["a", "b"])).await;
    lane.apply(share(&["a"])).await;
    store.forget();
    store.is_now(Ok(Identity("second run".to_owned())));
    advance(Duration::from_secs(2)).await;
    settle_down().await;
    assert_eq!(store.applied(), ["delete a", "delete b"]);

    store.forget();
    advance(Duration::from_secs(2)).await;
    settle_down().await;
    assert_eq!(store.applied(), [""; 0], "once is enough");
}

#[tokio::test(start_paused = true)]
async fn the_past_is_applied_before_the_lane_closes() {
    let store = FakeStore::new(Mode::Works);
    let lane = lane(&store, TargetOptions::default());
    settle_down().await;
    lane.apply(share(&["a"])).await;
    store.forget();
    store.set(Mode::Dead);
    lane.apply(share(&["b"])).await;
    store.is_now(Ok(Identity("second run".to_owned())));
    store.set(Mode::Works);
    while lane.is_open() {
        assert_eq!(store.applied(), [""; 0]);
        advance(Duration::from_millis(50)).await;
        settle_down().await;
    }
    assert_eq!(store.applied(), ["delete a"]);
}

#[tokio::test(start_paused = true)]
async fn an_idle_target_is_watched_until_nothing_is_left_to_apply_again() {
    let store = FakeStore::new(Mode::Works);
    let lane = lane(&store, TargetOptions::default());
    lane.apply(share(&["a"])).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let asked = store.asked_who.load(Relaxed);
    assert!((120..=140).contains(&asked), "asked {asked} times");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_does_not_say_who_it_is_is_asked_no_more_and_still_counts_as_reachable() {
    let store = FakeStore::new(Mode::Works);
    store.is_now(Err(StoreError::Refused("NOPERM".to_owned())));
    let lane = lane(&store, TargetOptions::default());
    settle_down().await;
    lane.apply(share(&["a"])).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(store.asked_who.load(Relaxed), 1);
    assert!(!lane.is_open());
}

#[tokio::test(start_paused = true)]
async fn a_target_that_hangs_while_nothing_is_sent_is_noticed() {
    let store = FakeStore::new(Mode::Works);
    let lane = lane(&store, TargetOptions::default());
    lane.apply(share(&["a"])).await;
    store.set(Mode::Hangs);
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert!(lane.is_open());
}

#[tokio::test(start_paused = true)]
async fn the_tasks_of_a_lane_end_with_it() {
    let store = FakeStore::new(Mode::Dead);
    let lane = lane(&store, TargetOptions::default());
    lane.apply(share(&["a"])).await;
    drop(lane);
    tokio::time::sleep(Duration::from_secs(20)).await;
    let asked = store.asked_who.load(Relaxed);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(store.asked_who.load(Relaxed), asked);
    assert_eq!(Arc::strong_count(&store), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_removed_before_a_long_absence_is_removed_again() {
    let store = FakeStore::new(Mode::Works);
    let lane = lane(&store, TargetOptions::default());
    tokio::time::sleep(Duration::from_secs(300)).await;
    lane.apply(share(&["a"])).await;
    store.forget();
    store.set(Mode::Dead);
    lane.apply(share(&["b"])).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    store.is_now(Ok(Identity("second run".to_owned())));
    store.set(Mode::Works);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(!lane.is_open());
    assert_eq!(store.applied(), ["delete a"]);
}

#[tokio::test(start_paused = true)]
async fn a_restart_soon_after_the_worker_started_removes_everything_that_is_declared() {
    let store = FakeStore::new(Mode::Works);
    let lane = lane(&store, TargetOptions::default());
    lane.set_everything(vec![Action::DeletePrefix("product:".into())]);
    settle_down().await;
    store.forget();
    store.is_now(Ok(Identity("second run".to_owned())));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(store.applied(), ["delete_prefix product:"]);
}
