//! Shows that whatever happens to a batch, every delivery in it ends as done, as parked, as a dead letter, or handed back.

use std::sync::Arc;
use std::time::Duration;

use quash_store::TargetOptions;
use quash_transport::{Headers, Verdict};

use crate::app::Running;
use crate::app::doubles::{FakeBroker, FakeStore, Mode, app, app_of, body, config, text, until};
use quash_delivery::headers;
use quash_delivery::record::{Reason, Record};
use quash_delivery::state::read_attempts;

/// A worker over these targets.
async fn started(targets: &[(&str, Mode)]) -> (Running, Arc<FakeBroker>, Vec<Arc<FakeStore>>) {
    let names: Vec<&str> = targets.iter().map(|(name, _)| *name).collect();
    let stores: Vec<Arc<FakeStore>> = targets.iter().map(|(_, mode)| FakeStore::new(*mode)).collect();
    let named: Vec<(&str, &Arc<FakeStore>)> = names.iter().copied().zip(&stores).collect();
    let (app, broker) = app(&named);
    (app.start().await.unwrap(), broker, stores)
}

fn record(broker: &FakeBroker, index: usize) -> Record {
    serde_json::from_str(broker.letters()[index].headers.get(headers::RECORD).unwrap()).unwrap()
}

fn with(pairs: &[(&'static str, &str)]) -> Headers {
    let mut headers = Headers::default();
    pairs.iter().for_each(|(name, value)| headers.set(*name, *value));
    headers
}

fn sorted(mut list: Vec<String>) -> Vec<String> {
    list.sort();
    list
}

#[tokio::test(start_paused = true)]
async fn what_is_done_on_every_target_is_acked() {
    let (_running, broker, stores) = started(&[("eu", Mode::Works), ("main", Mode::Works)]).await;
    broker.send(&["main:a eu:b", "nothing", "main:c"]);
    until("everything is settled", || broker.is_empty()).await;
    assert_eq!(stores[0].applied(), ["delete b"]);
    assert_eq!(stores[1].applied(), ["delete a", "delete c"]);
    assert_eq!(broker.letters(), []);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_asks_for_too_much_is_done_in_parts() {
    let store = FakeStore::new(Mode::Works);
    let mut small = config(&["main"], TargetOptions::default());
    // Two deletes are enough for a plan.
    small.limits.max_plan_bytes = 200;
    let (app, broker) = app_of(small, &[("main", &store)]);
    let _running = app.start().await.unwrap();
    broker.send(&["product:a", "product:b", "garbage", "product:c", "nothing", "product:d"]);
    until("everything is settled", || broker.is_empty()).await;
    assert_eq!(
        sorted(store.applied()),
        ["delete product:a", "delete product:b", "delete product:c", "delete product:d"]
    );
    assert_eq!(broker.letters().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_dead_target_costs_only_its_own_share() {
    let (_running, broker, stores) = started(&[("eu", Mode::Dead), ("main", Mode::Works)]).await;
    broker.send(&["main:a eu:b"]);
    until("the share is parked", || broker.received() == 1 && broker.waiting().len() == 1).await;
    let (_, parked) = &broker.waiting()[0];
    assert_eq!((parked.get(headers::TARGETS), parked.get(headers::ATTEMPT)), (Some("eu"), None));
    assert_eq!(stores[1].applied(), ["delete a"]);

    stores[0].set(Mode::Works);
    until("everything is settled", || broker.is_empty()).await;
    assert_eq!((stores[0].applied(), stores[1].applied()), (vec!["delete b".to_owned()], vec!["delete a".to_owned()]));
    assert_eq!(broker.letters(), []);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_refused_again_and_again_is_a_dead_letter_of_its_target_alone() {
    let (_running, broker, stores) = started(&[("eu", Mode::Picky), ("main", Mode::Picky)]).await;
    broker.send(&["main:good", "main:bad eu:good2", "main:good3"]);
    until("it is given up", || broker.letters().len() == 1 && broker.is_empty()).await;
    assert_eq!(stores[0].applied(), ["delete good2"]);
    assert_eq!(stores[1].applied(), ["delete good", "delete good3"]);

    let letter = &broker.letters()[0];
    assert_eq!((text(letter), letter.headers.get(headers::TARGETS)), (body("main:bad eu:good2"), Some("main")));
    let record = record(&broker, 0);
    assert_eq!(record.reason, Reason::TargetError);
    assert_eq!((record.attempts_made, record.attempts.len()), (3, 3));
    assert_eq!((record.target.as_deref(), record.source.as_str()), (Some("main"), "events"));
    assert_eq!((record.error.as_str(), record.worker.as_str()), ("delete bad: ERR bad key", "tester"));
    assert_eq!(record.trace, ["invalidate key bad", "delete bad on main", "invalidate key good2"]);
    assert!(record.first_failure_ms <= record.last_failure_ms);
    let state = [headers::ATTEMPT, headers::FIRST_FAILURE].map(|name| letter.headers.get(name));
    assert_eq!(state, [None, None], "a replay starts afresh");
    assert_eq!(read_attempts(&letter.headers).len(), 3, "a replay keeps the history");
}

#[tokio::test(start_paused = true)]
async fn garbage_is_a_dead_letter_at_once_and_its_neighbours_are_done() {
    let (_running, broker, stores) = started(&[("main", Mode::Works)]).await;
    broker.send(&["main:a", "garbage", "main:b"]);
    until("everything is settled", || broker.is_empty()).await;
    assert_eq!(stores[0].applied(), ["delete a", "delete b"]);
    let record = record(&broker, 0);
    let error = "not valid JSON: expected value at line 1 column 1, near 'garbage'";
    assert_eq!((record.reason, record.error.as_str(), record.attempts_made), (Reason::Decode, error, 1));
    assert_eq!(text(&broker.letters()[0]), "garbage");
}

#[tokio::test(start_paused = true)]
async fn a_panic_costs_only_the_one_that_panics_and_the_process_lives_on() {
    let (_running, broker, stores) = started(&[("main", Mode::Works)]).await;
    broker.send(&["main:a", "panic", "main:explode", "main:b"]);
    until("both are given up", || broker.letters().len() == 2 && broker.is_empty()).await;
    for index in [0, 1] {
        let record = record(&broker, index);
        assert_eq!((record.reason, record.attempts_made), (Reason::Panic, 3));
        assert!(record.error.contains("panicked"), "{}", record.error);
    }
    broker.send(&["main:c"]);
    until("everything is settled", || broker.is_empty()).await;
    let done = sorted(stores[0].applied());
    assert!(
        ["delete a", "delete b", "delete c"].iter().all(|action| done.iter().any(|done| done == action)),
        "{done:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_kills_workers_is_a_dead_letter_before_it_is_looked_at() {
    let (_running, broker, stores) = started(&[("main", Mode::Works)]).await;
    broker.send_with(&body("main:a panic"), Headers::default(), 10);
    broker.send_with(&body("main:b"), Headers::default(), 9);
    until("everything is settled", || broker.is_empty()).await;
    assert_eq!(stores[0].applied(), ["delete b"]);
    let record = record(&broker, 0);
    assert_eq!(record.reason, Reason::Panic);
    assert!(record.error.contains("handed out 10 times"), "{}", record.error);
}

#[tokio::test(start_paused = true)]
async fn a_share_of_a_target_that_is_not_configured_waits_for_it_and_is_given_up_in_the_end() {
    let (_running, broker, stores) = started(&[("main", Mode::Works)]).await;
    broker.send_with(&body("main:a"), with(&[(headers::TARGETS, "gone")]), 1);
    broker.send_with(&body("main:b"), with(&[(headers::TARGETS, "gone,main")]), 1);
    let waits = |headers: &Headers| {
        headers.get(headers::TARGETS) == Some("gone") && headers.get(headers::FIRST_FAILURE).is_some()
    };
    until("both wait", || broker.waiting().iter().filter(|(_, headers)| waits(headers)).count() == 2).await;
    assert_eq!(stores[0].applied(), ["delete b"]);

    let long_ago = with(&[(headers::FIRST_FAILURE, "1000"), (headers::TARGETS, "main,gone,lost")]);
    broker.send_with(&body("main:c"), long_ago, 1);
    until("it is given up", || broker.letters().len() == 1).await;
    let record = record(&broker, 0);
    assert_eq!((record.reason, record.target.as_deref()), (Reason::GaveUp, Some("gone,lost")));
    assert_eq!(broker.letters()[0].headers.get(headers::TARGETS), Some("gone,lost"));
}

#[tokio::test(start_paused = true)]
async fn later_passes_travel_through_the_broker() {
    let (_running, broker, stores) = started(&[("main", Mode::Works)]).await;
    let begun = tokio::time::Instant::now();
    broker.send(&["again:a"]);
    let parked = |pass: &str| broker.waiting().iter().any(|(_, headers)| headers.get(headers::PASS) == Some(pass));
    until("the second pass is parked", || parked("1000")).await;
    until("the third pass is parked", || parked("30000")).await;
    until("everything is settled", || broker.is_empty()).await;
    assert_eq!(stores[0].applied(), ["delete again:a"; 3]);
    assert_eq!(begun.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_share_that_waited_too_long_for_its_target_is_given_up() {
    let (_running, broker, _stores) = started(&[("eu", Mode::Dead), ("main", Mode::Works)]).await;
    let long_ago = with(&[(headers::FIRST_FAILURE, "1000"), (headers::TARGETS, "eu"), (headers::ATTEMPT, "2")]);
    broker.send_with(&body("eu:a main:b"), long_ago, 1);
    until("everything is settled", || broker.is_empty()).await;
    let record = record(&broker, 0);
    assert_eq!((record.reason, record.target.as_deref(), record.attempts_made), (Reason::GaveUp, Some("eu"), 2));
    assert_eq!(record.first_failure_ms, 1000);
}

#[tokio::test(start_paused = true)]
async fn settling_is_repeated_with_the_same_verdicts_until_the_broker_has_heard() {
    let (_running, broker, stores) = started(&[("main", Mode::Works)]).await;
    broker.lose_answers(3);
    broker.send(&["main:a", "garbage"]);
    until("the broker has heard", || broker.settled().len() == 4).await;
    let calls = broker.settled();
    assert!(calls.iter().all(|verdicts| *verdicts == calls[0]));
    assert_eq!(stores[0].applied(), ["delete a"]);
    assert_eq!(broker.letters().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_panic_in_settling_left_is_handed_back() {
    let (_running, broker, stores) = started(&[("main", Mode::Works)]).await;
    broker.panic_when_settling(1);
    broker.send(&["main:a"]);
    until("the broker has heard twice", || broker.settled().len() == 2).await;
    let verdicts: Vec<_> = broker.settled().into_iter().flatten().map(|(_, verdict)| verdict).collect();
    assert_eq!(verdicts, [Verdict::Release, Verdict::Ack]);
    assert_eq!(stores[0].applied(), ["delete a", "delete a"]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_finishes_what_is_in_flight() {
    let (running, broker, stores) = started(&[("main", Mode::Hangs)]).await;
    broker.send(&["main:a"]);
    until("it is in flight", || broker.received() == 1).await;
    let stopping = tokio::spawn(running.stop());
    tokio::time::sleep(Duration::from_secs(1)).await;
    broker.send(&["main:late"]);
    stores[0].set(Mode::Works);
    stopping.await.unwrap();
    assert_eq!(stores[0].applied(), ["delete a"]);
    assert_eq!(broker.waiting().into_iter().map(|(text, _)| text).collect::<Vec<_>>(), [body("main:late")]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_hands_back_what_does_not_finish_in_time() {
    let (running, broker, stores) = started(&[("main", Mode::Works)]).await;
    stores[0].set(Mode::Hangs);
    broker.send(&["main:a"]);
    until("it is in flight", || broker.received() == 1).await;
    let begun = tokio::time::Instant::now();
    running.stop_within(Duration::from_secs(1)).await;
    assert_eq!(begun.elapsed().as_secs(), 1);
    let verdicts = broker.settled();
    assert_eq!(verdicts.iter().flatten().map(|(_, verdict)| verdict).collect::<Vec<_>>(), [&Verdict::Release]);
    assert_eq!(broker.waiting().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_later_passes_of_a_batch_travel_together_and_each_key_once() {
    let (_running, broker, stores) = started(&[("main", Mode::Works)]).await;
    broker.send(&["again:a", "again:b", "product:x", "again:a"]);
    let is_parked =
        |(_, headers): &(String, Headers)| headers.get(headers::PASS).is_some() && headers.get(headers::DUE).is_none();
    until("the passes are parked", || broker.waiting().len() == 1 && broker.waiting().iter().all(is_parked)).await;
    let (body, headers) = broker.waiting().remove(0);
    let commands = ["a", "b"].map(|id| format!(r#"{{"invalidate":{{"cache":"again","args":{{"id":"{id}"}}}}}}"#));
    assert_eq!(body, format!(r#"{{"events":[{}]}}"#, commands.join(",")));
    let said = [headers::PASS, headers::TARGETS, headers::CACHES, headers::DUE].map(|name| headers.get(name));
    assert_eq!(said, [Some("1000"), Some("main"), Some("again"), None]);
    until("everything is settled", || broker.is_empty()).await;
    let done = sorted(stores[0].applied());
    assert_eq!(done, [&["delete again:a"; 3][..], &["delete again:b"; 3], &["delete product:x"]].concat());
    // Four events, a message that is parked for the first pass and done, and its own copy for the second.
    assert_eq!((broker.received(), broker.letters().len()), (4 + 2 + 1, 0));
}

#[tokio::test(start_paused = true)]
async fn later_passes_that_the_broker_does_not_take_together_stay_with_their_events() {
    let (_running, broker, stores) = started(&[("main", Mode::Hangs)]).await;
    broker.send(&["again:a", "again:b"]);
    until("they are in hand", || broker.received() == 2).await;
    broker.set_away(true);
    stores[0].set(Mode::Works);
    until("they are removed", || stores[0].applied().len() == 2).await;
    broker.set_away(false);
    until("each has its copy", || broker.waiting().len() == 2).await;
    until("everything is settled", || broker.is_empty()).await;
    assert_eq!(sorted(stores[0].applied()), [["delete again:a"; 3], ["delete again:b"; 3]].concat());
}
