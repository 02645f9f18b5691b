//! Shows how a worker starts, pauses, reloads and stops.

use std::sync::Arc;
use std::time::Duration;

use quash_config::{Loader, ProcessEnvironment};
use quash_store::TargetOptions;
use tokio::time::{Instant, sleep};

use super::doubles::{FakeStore, Mode, app, config, until};
use super::*;

fn reload(running: &Running, config: &Config) {
    running.reload_with(config, Arc::new(compile(config).unwrap())).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_source_pauses_while_no_target_can_be_reached_and_loses_nothing() {
    let store = FakeStore::new(Mode::Dead);
    let (app, broker) = app(&[("main", &store)]);
    let running = app.start().await.unwrap();
    broker.send(&["main:first"]);
    until("the lane opens", || running.snapshot().lanes[0].is_open()).await;
    sleep(Duration::from_secs(1)).await;
    let received = broker.received();
    for key in 0..30 {
        broker.send(&[&format!("main:{key}")]);
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(broker.received(), received, "the broker is the buffer");

    store.set(Mode::Works);
    let back = Instant::now();
    until("everything is drained", || broker.is_empty()).await;
    assert!(back.elapsed() < Duration::from_secs(10), "took {:?}", back.elapsed());
    assert_eq!(store.applied().len(), 31);
    assert_eq!(broker.letters(), []);
    assert!(!running.metrics().encode().contains("quash_retries_total{target=\"main\",error=\"failed\"} 1"));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_hangs_does_not_slow_the_other_one_down_for_longer_than_one_time_out() {
    let (healthy, hanging) = (FakeStore::new(Mode::Works), FakeStore::new(Mode::Hangs));
    let (app, broker) = app(&[("eu", &hanging), ("main", &healthy)]);
    let _running = app.start().await.unwrap();
    let begun = Instant::now();
    (0..1_000).for_each(|key| broker.send(&[&format!("main:{key} eu:{key}")]));
    until("the healthy target is done", || healthy.applied().len() >= 1_000).await;
    let limit = TargetOptions::default().timeout.0 + Duration::from_secs(1);
    assert!(begun.elapsed() < limit, "took {:?}", begun.elapsed());

    hanging.set(Mode::Works);
    until("the other one is done too", || broker.is_empty()).await;
    assert_eq!((healthy.applied().len(), hanging.applied().len()), (1_000, 1_000));
}

#[tokio::test(start_paused = true)]
async fn a_batch_ends_with_the_rules_that_it_began_with_and_the_next_one_sees_the_new_ones() {
    let store = FakeStore::new(Mode::Hangs);
    let (app, broker) = app(&[("main", &store)]);
    let running = app.start().await.unwrap();
    broker.send(&["product:a"]);
    until("it is in flight", || broker.received() == 1).await;

    let lane = Arc::clone(&running.snapshot().lanes[0]);
    let mut after = config(&["main"], TargetOptions::default());
    let product = r#"{"key": "new:{id}", "depends_on": [{"row": "Product"}]}"#;
    after.caches.insert("product".to_owned(), serde_json::from_str(product).unwrap());
    reload(&running, &after);
    assert!(Arc::ptr_eq(&lane, &running.snapshot().lanes[0]), "a target that did not change keeps its lane");
    store.set(Mode::Works);
    until("it is done", || broker.is_empty()).await;
    broker.send(&["product:a"]);
    until("it is done", || broker.is_empty()).await;
    assert_eq!(store.applied(), ["delete product:a", "delete new:a"]);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_changed_gets_a_new_lane() {
    let store = FakeStore::new(Mode::Works);
    let (app, _broker) = app(&[("main", &store)]);
    let running = app.start().await.unwrap();
    let before = running.snapshot();
    let mut options = TargetOptions::default();
    options.concurrency = 9;
    reload(&running, &config(&["main"], options));
    assert!(!Arc::ptr_eq(&before.lanes[0], &running.snapshot().lanes[0]));
}

#[tokio::test(start_paused = true)]
async fn a_refused_reload_is_shown_until_one_is_taken() {
    let store = FakeStore::new(Mode::Works);
    let (app, _broker) = app(&[("main", &store)]);
    let running = app.start().await.unwrap();
    let before = running.snapshot();
    let error = Loader::load::<Config>(&["/nowhere/quash.yaml".into()], &ProcessEnvironment).err().unwrap();
    running.reload_refused(&error);
    assert!(Arc::ptr_eq(&before, &running.snapshot()));
    assert!(running.metrics().encode().contains("quash_config_last_reload_successful 0"));
    reload(&running, &config(&["main"], TargetOptions::default()));
    assert!(running.metrics().encode().contains("quash_config_last_reload_successful 1"));
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_refuses_ends_the_start() {
    let store = FakeStore::new(Mode::Works);
    let (app, broker) = app(&[("main", &store)]);
    broker.refuse_to_prepare();
    let error = app.start().await.err().unwrap().to_string();
    assert_eq!(error, "source events: the broker refused: the stream is a list");
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_stops_at_once() {
    let store = FakeStore::new(Mode::Works);
    let (app, _broker) = app(&[("main", &store)]);
    let running = app.start().await.unwrap();
    let begun = Instant::now();
    running.stop().await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_event_matches_once_however_often_it_is_tried() {
    let store = FakeStore::new(Mode::Dead);
    let (app, broker) = app(&[("main", &store)]);
    let running = app.start().await.unwrap();
    broker.send(&["product:a again:b", "product:c panic"]);
    until("the lane opens", || running.snapshot().lanes[0].is_open()).await;
    sleep(Duration::from_secs(60)).await;
    store.set(Mode::Picky);
    until("everything is settled", || broker.is_empty()).await;
    let page = running.metrics().encode();
    for line in [r#"matches_total{cache="product"} 1"#, r#"matches_total{cache="again"} 1"#] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_in_an_outage_has_an_age_before_and_after_it_is_parked() {
    let store = FakeStore::new(Mode::Hangs);
    let (app, broker) = app(&[("main", &store)]);
    let running = app.start().await.unwrap();
    let oldest = || {
        running.sources()[0].metrics.set_oldest_unconfirmed();
        let page = running.metrics().encode();
        let value =
            page.lines().find_map(|line| line.strip_prefix("quash_oldest_unconfirmed_seconds{source=\"events\"} "));
        value.map(|value| value.parse::<f64>().unwrap())
    };
    until("the broker says that nothing waits", || oldest() == Some(0.0)).await;
    // In the words of the doubles, an event was committed a second after 1970.
    broker.send(&["product:a"]);
    until("it is in hand", || broker.received() == 1).await;
    until("its time is known", || oldest().is_some_and(|age| age > 1e9)).await;
    store.set(Mode::Dead);
    until("it is parked", || !broker.settled().is_empty()).await;
    assert!(oldest().is_some_and(|age| age < 60.0), "it fails since a moment: {:?}", oldest());
    store.set(Mode::Works);
    until("everything is settled", || broker.is_empty()).await;
    sleep(Duration::from_secs(60)).await;
    assert!(oldest().is_some_and(|age| age < 60.0), "{:?}", oldest());
}

#[tokio::test(start_paused = true)]
async fn every_metric_is_there_under_its_name() {
    let store = FakeStore::new(Mode::Picky);
    let (app, broker) = app(&[("main", &store)]);
    let running = app.start().await.unwrap();
    broker.send(&["product:a", "nothing", "garbage", "product:bad", "product:"]);
    until("everything is settled", || broker.is_empty()).await;
    sleep(Duration::from_secs(6)).await;
    let page = running.metrics().encode();
    for line in [
        "quash_build_info{version=",
        "quash_events_received_total{source=\"events\"} 7",
        "quash_events_total{source=\"events\",outcome=\"done\"} 2",
        "quash_events_total{source=\"events\",outcome=\"unmatched\"} 1",
        "quash_events_total{source=\"events\",outcome=\"parked\"} 2",
        "quash_events_total{source=\"events\",outcome=\"dead_letter\"} 2",
        "quash_staleness_seconds_count{source=\"events\"} 2",
        "quash_batch_events_sum 7.0",
        "quash_process_duration_seconds_bucket{le=\"+Inf\",source=\"events\"}",
        "quash_source_lag_messages{source=\"events\"} 0",
        "quash_source_connected{source=\"events\"} 1",
        "quash_inflight_events{source=\"events\"} 0",
        "quash_cache_matches_total{cache=\"product\"} 3",
        "quash_unmatched_events_total{source=\"events\"} 1",
        "quash_last_event_timestamp_seconds{source=\"events\"} 1",
        "quash_oldest_unconfirmed_seconds{source=\"events\"} 0.0",
        "quash_parked_messages{source=\"events\"} 0",
        "quash_parked_oldest_age_seconds{source=\"events\"} 0.0",
        "quash_source_interruptions_total{source=\"events\"} 0",
        "process_start_time_seconds 1",
        "process_cpu_seconds_total ",
        "process_resident_memory_bytes ",
        "process_open_fds ",
        "quash_widened_total{cache=\"product\",why=\"too_many_actions\"} 0",
        "quash_widened_total{cache=\"product\",why=\"unknown_column\"} 1",
        "quash_actions_total{target=\"main\",action=\"delete\",outcome=\"done\"} 1",
        "quash_actions_total{target=\"main\",action=\"delete\",outcome=\"failed\"} 3",
        "quash_action_duration_seconds_count{target=\"main\"} 3",
        "quash_keys_removed_total{target=\"main\"} 2",
        "quash_scan_keys_visited_total{target=\"main\"} 0",
        "quash_retries_total{target=\"main\",error=\"failed\"} 2",
        "quash_lane_open{target=\"main\"} 0",
        "quash_dead_letters_total{source=\"events\",reason=\"decode\"} 1",
        "quash_dead_letters_total{source=\"events\",reason=\"target_error\"} 1",
        "quash_dead_letters{source=\"events\"} 2",
        "quash_dead_letter_oldest_age_seconds{source=\"events\"}",
        "quash_config_last_reload_successful 1",
    ] {
        assert!(page.lines().any(|known| known.starts_with(line)), "{line} is not in\n{page}");
    }
}
