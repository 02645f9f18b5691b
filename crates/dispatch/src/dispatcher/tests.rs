//! Holds dispatchers to what they promise, against a broker and a cache that do as they are told.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::json;

use super::doubles::{Broker, Mood, Slow};
use super::*;
use crate::event::Invalidate;
use quash_delivery::headers;
use quash_delivery::record::{Reason, Record};
use quash_delivery::state::read_attempts;
use quash_transport::Message;

const LONG: Duration = Duration::from_secs(30);

struct World {
    store: Arc<Slow>,
    broker: Arc<Broker>,
    dispatcher: Dispatcher,
}

/// A dispatcher of these choices, over a cache that answers so many calls.
fn world_of(dispatch: &str, caches: &str, open: usize) -> World {
    let yaml = format!(
        "version: 1\ntargets: {{ main: {{ memory: {{}} }} }}\nsources: {{ events: {{ memory: {{}} }} }}\n\
         retry: {{ initial: 1ms, max: 5ms }}\ndispatch: {dispatch}\ncaches:\n{caches}"
    );
    let config = Config::parse(&yaml).unwrap_or_else(|error| panic!("{error}"));
    let (store, broker) = (Slow::new(open), Broker::new(Mood::Takes));
    let plugins = Plugins {
        stores: [("main".to_owned(), Arc::clone(&store) as _)].into(),
        transports: [("events".to_owned(), Arc::clone(&broker) as _)].into(),
    };
    let dispatcher = Dispatcher::builder(&config).plugins(plugins).source("test").start().unwrap();
    World { store, broker, dispatcher }
}

fn world(dispatch: &str) -> World {
    world_of(dispatch, BOOK, usize::MAX)
}

const BOOK: &str = "  book: { key: 'book:{id}', depends_on: [ { row: Book } ] }\n";

fn book(id: i64) -> Event {
    Event::update("Book").key("id", id).after(&json!({ "id": id }))
}

impl World {
    fn is_cached(&self, key: &str) -> bool {
        self.store.memory.get(key).is_some()
    }

    fn cache(&self, keys: &[&str]) {
        keys.iter().for_each(|key| self.store.memory.set(*key, "old"));
    }

    /// What stands in these headers of each message that the broker took.
    fn headers(&self, names: &[&str]) -> Vec<Vec<Option<String>>> {
        let of = |message: &Message| names.iter().map(|name| message.headers.get(name).map(str::to_owned)).collect();
        self.broker.messages().iter().map(of).collect()
    }
}

#[tokio::test]
async fn inline_is_done_when_the_call_returns() {
    let world = world("inline");
    world.cache(&["book:1", "book:2"]);
    let receipt = world.dispatcher.dispatch(book(1)).await.unwrap();
    assert_eq!((receipt.done(), receipt.is_queued()), (&["book".to_owned()][..], false));
    assert!(!world.is_cached("book:1") && world.is_cached("book:2"));
    // Every cache of the configuration is dispatched here: nobody else need hear of it.
    assert_eq!(world.broker.messages(), []);
}

#[tokio::test]
async fn what_a_worker_may_have_to_do_goes_to_the_queue_with_what_is_done() {
    let caches = "  book: { key: 'book:{id}', dispatch: inline, depends_on: [ { row: Book } ] }\n  \
                  shelf: { key: 'shelf:{shelf}', depends_on: [ { row: Book } ] }\n";
    let world = world_of("queue", caches, usize::MAX);
    let receipt = world.dispatcher.dispatch(book(1)).await.unwrap();
    assert_eq!((receipt.done(), receipt.is_queued()), (&["book".to_owned()][..], true));
    // Also what no cache here depends on: a worker may know others.
    world.dispatcher.dispatch(Event::truncate("Author")).await.unwrap();
    let done = world.headers(&[headers::CACHES_DONE, headers::CACHES]);
    assert_eq!(done, [[Some("book".to_owned()), None], [None, None]]);
}

#[tokio::test]
async fn a_direct_command_is_done_where_the_default_says() {
    let caches = "  book: { key: 'book:{id}', dispatch: inline, depends_on: [ { row: Book } ] }\n";
    let queued = world_of("queue", caches, usize::MAX);
    queued.cache(&["x"]);
    let receipt = queued.dispatcher.dispatch(Invalidate::key("x")).await.unwrap();
    assert_eq!((receipt.done(), receipt.is_queued(), queued.is_cached("x")), (&[][..], true, true));
    let inline = world("inline");
    inline.cache(&["x"]);
    inline.dispatcher.dispatch(Invalidate::key("x")).await.unwrap();
    assert!(!inline.is_cached("x") && inline.broker.messages().is_empty());
}

#[tokio::test]
async fn later_passes_go_to_a_worker() {
    let caches = "  book: { key: 'book:{id}', again_after: [1s], depends_on: [ { row: Book } ] }\n";
    let world = world_of("inline", caches, usize::MAX);
    world.dispatcher.dispatch(book(1)).await.unwrap();
    let names = [headers::CACHES, headers::CACHES_DONE, headers::TARGETS, headers::ATTEMPT];
    let book = Some("book".to_owned());
    assert_eq!(world.headers(&names), [[book.clone(), book, Some("main".to_owned()), None]]);
}

#[tokio::test]
async fn what_failed_here_goes_to_a_worker_with_its_history() {
    let world = world("{ inline: { attempts: 2 } }");
    world.store.memory.refuse("book:1");
    let receipt = world.dispatcher.dispatch(book(1)).await.unwrap();
    assert!(receipt.is_handed_over() && receipt.done().is_empty());
    let names = [headers::CACHES, headers::TARGETS, headers::ATTEMPT];
    assert_eq!(world.headers(&names), [["book", "main", "3"].map(|text| Some(text.to_owned()))]);
    assert_eq!(read_attempts(&world.broker.messages()[0].headers).len(), 2);
    assert_eq!(world.store.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn what_failed_here_becomes_a_dead_letter_where_configured() {
    for (kind, attempts) in [("inline", 1), ("threadpool", 3), ("task", 3)] {
        let world = world(&format!("{{ {kind}: {{ failures: dead_letter }} }}"));
        world.store.memory.refuse("book:1");
        world.dispatcher.dispatch(book(1)).await.unwrap();
        assert_eq!(world.dispatcher.shutdown(LONG).await.undone, []);
        let letters = world.broker.letters.lock().unwrap().clone();
        let [letter] = &letters[..] else { panic!("{kind}: {} letters", letters.len()) };
        let record: Record = serde_json::from_str(letter.headers.get(headers::RECORD).unwrap()).unwrap();
        assert_eq!((record.reason, record.attempts_made), (Reason::TargetError, attempts), "{kind}");
        assert_eq!((record.entity.as_deref(), record.target.as_deref()), (Some("Book"), Some("main")));
        assert_eq!((record.source.as_str(), record.attempts.len()), ("events", attempts as usize));
        assert_eq!(letter.headers.get(headers::CACHES), Some("book"));
        assert_eq!(world.broker.messages(), []);
    }
}

#[tokio::test]
async fn a_target_that_is_away_is_asked_by_one_caller_only() {
    let world = world("inline");
    world.store.memory.set_reachable(false);
    for id in 0..10 {
        world.dispatcher.dispatch(book(id)).await.unwrap();
    }
    assert_eq!(world.store.asked.load(Ordering::SeqCst), 1);
    // No attempt is used up by that.
    let waiting = world.headers(&[headers::TARGETS, headers::ATTEMPT]);
    assert_eq!(waiting, vec![[Some("main".to_owned()), None]; 10]);
}

#[tokio::test]
async fn an_event_that_the_rules_refuse_is_left_to_a_worker() {
    let world = world("inline");
    let receipt = world.dispatcher.dispatch(Invalidate::cache("unknown")).await.unwrap();
    assert!(receipt.is_queued());
    assert_eq!(world.headers(&[headers::CACHES_DONE]), [[None]]);
}

#[tokio::test]
async fn the_background_does_it_and_says_when_it_is_full() {
    for kind in ["threadpool", "task"] {
        for (when_full, is_taken) in [("refuse", false), ("block", false), ("inline", true)] {
            let choice = format!("{{ {kind}: {{ capacity: 1, when_full: {when_full}, timeout: 20ms }} }}");
            let world = world_of(&choice, BOOK, 0);
            let receipt = world.dispatcher.dispatch(book(1)).await.unwrap();
            assert_eq!(receipt.in_background(), ["book"]);
            world.store.was_asked(1).await;
            let dispatcher = world.dispatcher.clone();
            let second = tokio::spawn(async move { dispatcher.dispatch(book(2)).await });
            if is_taken {
                world.store.was_asked(2).await;
                world.store.open.send_replace(2);
                assert_eq!(second.await.unwrap().unwrap().done(), ["book"], "{kind} {when_full}");
            } else {
                let error = second.await.unwrap().unwrap_err();
                assert!(matches!(error.cause(), Cause::Full { capacity: 1, .. }), "{kind} {when_full}: {error}");
                assert_eq!(error.into_events()[0].document().unwrap()["key"], json!({"id": 2}));
                world.store.open.send_replace(usize::MAX);
            }
            assert_eq!(world.dispatcher.shutdown(LONG).await.undone, [], "{kind} {when_full}");
        }
    }
}

#[tokio::test]
async fn a_caller_who_waits_for_room_gets_it() {
    for kind in ["threadpool", "task"] {
        let world = world_of(&format!("{{ {kind}: {{ capacity: 1, timeout: 30s }} }}"), BOOK, 0);
        world.dispatcher.dispatch(book(1)).await.unwrap();
        let dispatcher = world.dispatcher.clone();
        let second = tokio::spawn(async move { dispatcher.dispatch(book(2)).await });
        world.store.was_asked(1).await;
        world.store.open.send_replace(usize::MAX);
        assert_eq!(second.await.unwrap().unwrap().in_background(), ["book"]);
        assert_eq!(world.dispatcher.shutdown(LONG).await.undone, []);
    }
}

#[tokio::test]
async fn shutting_down_counts_and_gives_back_what_is_not_done() {
    for kind in ["{ threadpool: { workers: 1 } }", "task"] {
        let world = world_of(kind, BOOK, 1);
        for id in 0..3 {
            world.dispatcher.dispatch(book(id)).await.unwrap();
        }
        let drained = world.dispatcher.shutdown(Duration::from_millis(200)).await;
        assert_eq!(drained.undone.len(), 2, "{kind}");
        // The first may have been done before.
        assert!(drained.done <= 1, "{kind}");
        let error = world.dispatcher.dispatch(book(4)).await.unwrap_err();
        assert_eq!(*error.cause(), Cause::Closed);
        world.store.open.send_replace(usize::MAX);
    }
}

#[tokio::test]
async fn a_broker_that_hangs_costs_no_more_than_the_time_out() {
    for dispatch in ["{ queue: { timeout: 50ms } }", "{ inline: { timeout: 50ms } }"] {
        let world = world(dispatch);
        world.store.memory.refuse("book:1");
        world.broker.becomes(Mood::Hangs);
        let began = Instant::now();
        let error = world.dispatcher.dispatch(book(1)).await.unwrap_err();
        assert!(matches!(error.cause(), Cause::Late { .. }), "{error}");
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        assert_eq!(error.into_events().len(), 1);
        world.broker.becomes(Mood::IsAway);
        let error = world.dispatcher.dispatch(book(1)).await.unwrap_err();
        assert!(matches!(error.cause(), Cause::Broker { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_batch_is_published_whatever_becomes_of_the_caller_and_of_the_broker() {
    let world = world("{ queue: { batch: { max: 4 } } }");
    world.broker.becomes(Mood::IsAway);
    let first = world.dispatcher.dispatch(book(0)).await.unwrap();
    assert_eq!(
        first.confirmed().await.unwrap_err().to_string(),
        "the broker has not confirmed the events: cannot reach the broker: away"
    );
    for id in 1..10 {
        drop(world.dispatcher.dispatch(book(id)).await.unwrap());
    }
    assert_eq!(world.dispatcher.pending(), 10);
    world.broker.becomes(Mood::Takes);
    world.broker.took(10).await;
    world.dispatcher.dispatch(book(10)).await.unwrap().confirmed().await.unwrap();
    let ids: Vec<i64> = world
        .broker
        .messages()
        .iter()
        .map(|message| {
            serde_json::from_slice::<serde_json::Value>(&message.payload).unwrap()["key"]["id"].as_i64().unwrap()
        })
        .collect();
    assert_eq!(ids, (0..11).collect::<Vec<_>>());
    assert!(world.broker.calls.lock().unwrap().iter().all(|messages| *messages <= 4));
    assert_eq!(world.dispatcher.shutdown(LONG).await.undone, []);
}

#[tokio::test]
async fn a_message_that_the_broker_refuses_holds_up_no_other() {
    let world = world("{ queue: { batch: {} } }");
    world.broker.becomes(Mood::Refuses("\"id\":3"));
    let mut receipts = Vec::new();
    for id in 0..6 {
        receipts.push(world.dispatcher.dispatch(book(id)).await.unwrap());
    }
    for (id, receipt) in receipts.into_iter().enumerate() {
        assert_eq!(receipt.confirmed().await.is_err(), id == 3, "{id}");
    }
    let drained = world.dispatcher.shutdown(Duration::from_millis(50)).await;
    assert_eq!(drained.undone.len(), 1);
    assert_eq!(drained.undone[0].document().unwrap()["key"], json!({"id": 3}));
}

#[tokio::test]
async fn a_full_buffer_is_said() {
    for when_full in ["refuse", "block"] {
        let batch = format!("{{ max: 1, capacity: 1, when_full: {when_full} }}");
        let world = world(&format!("{{ queue: {{ timeout: 20ms, batch: {batch} }} }}"));
        world.broker.becomes(Mood::Hangs);
        // One is being published, one waits.
        let mut taken = 0;
        let error = loop {
            match world.dispatcher.dispatch(book(taken)).await {
                Ok(_) => taken += 1,
                Err(error) => break error,
            }
        };
        assert!((1..=2).contains(&taken), "{taken}");
        assert!(matches!(error.cause(), Cause::Full { dispatcher: "queue", .. }), "{error}");
        world.broker.becomes(Mood::Takes);
        assert_eq!(world.dispatcher.shutdown(LONG).await.undone, []);
        assert_eq!(world.broker.messages().len(), taken as usize);
    }
}

#[test]
fn a_task_outlives_its_runtime() {
    let world = world_of("task", BOOK, 0);
    world.cache(&["book:1"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        world.dispatcher.dispatch(book(1)).await.unwrap();
        world.store.was_asked(1).await;
    });
    drop(runtime);
    assert!(world.is_cached("book:1"));
    world.store.open.send_replace(usize::MAX);
    assert_eq!(world.dispatcher.shutdown_blocking(LONG).undone, []);
    assert!(!world.is_cached("book:1"));
}

#[tokio::test]
async fn an_attempt_that_panics_is_handed_over() {
    for kind in ["threadpool", "task"] {
        let world = world(kind);
        world.store.panics.store(usize::MAX, Ordering::SeqCst);
        for id in 0..6 {
            world.dispatcher.dispatch(book(id)).await.unwrap();
        }
        assert_eq!(world.dispatcher.shutdown(LONG).await.undone, [], "{kind}");
        let waiting = world.headers(&[headers::CACHES, headers::TARGETS]);
        assert_eq!(waiting, vec![["book", "main"].map(|text| Some(text.to_owned())); 6], "{kind}");
    }
}

#[tokio::test]
async fn a_failure_in_the_background_waits_for_the_broker() {
    for kind in ["threadpool", "task"] {
        let world = world(kind);
        world.store.memory.refuse("book:1");
        world.broker.becomes(Mood::IsAway);
        world.dispatcher.dispatch(book(1)).await.unwrap();
        world.store.was_asked(3).await;
        assert_eq!(world.dispatcher.pending(), 1);
        world.broker.becomes(Mood::Takes);
        world.broker.took(1).await;
        assert_eq!(world.headers(&[headers::ATTEMPT]), [[Some("4".to_owned())]], "{kind}");
    }
}

#[test]
fn every_kind_works_without_a_runtime() {
    for (kind, caller) in [("inline", true), ("task", true), ("threadpool", false)] {
        let world = world(kind);
        world.cache(&["book:1"]);
        let receipt = world.dispatcher.dispatch_blocking(book(1)).unwrap();
        assert_eq!(receipt.done().len() == 1, caller, "{kind}");
        assert_eq!(world.dispatcher.shutdown_blocking(LONG).undone, []);
        assert!(!world.is_cached("book:1"), "{kind}");
    }
    let world = world("queue");
    assert!(world.dispatcher.dispatch_blocking(book(1)).unwrap().is_queued());
    // On an executor that is not tokio's.
    let dispatched = futures_util::FutureExt::now_or_never(world.dispatcher.dispatch(book(2)));
    assert!(dispatched.is_none_or(|receipt| receipt.is_ok()));
}

#[tokio::test]
async fn a_transaction_is_sent_when_it_is_committed_and_not_otherwise() {
    let world = world("queue");
    let mut dropped = world.dispatcher.transaction();
    dropped.add(book(1));
    drop(dropped);
    let mut rolled_back = world.dispatcher.transaction();
    rolled_back.add(book(1));
    rolled_back.rollback();
    assert!(!world.dispatcher.transaction().commit().await.unwrap().is_queued());
    assert_eq!(world.broker.messages(), []);

    let mut committed = world.dispatcher.transaction();
    committed.add(Invalidate::tag("a"));
    committed.add(Invalidate::tag("a"));
    let savepoint = committed.savepoint();
    committed.add(book(7));
    committed.rollback_to(savepoint);
    committed.add(book(8));
    assert_eq!(committed.events().len(), 3);
    committed.commit().await.unwrap();
    let [message] = &world.broker.messages()[..] else { panic!("one message") };
    let body: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
    assert_eq!(body["events"].as_array().unwrap().len(), 2);
    assert_eq!(body["events"][1]["key"], json!({"id": 8}));
}

#[tokio::test]
async fn an_event_says_who_published_it() {
    let world = world("queue");
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    world.dispatcher.dispatch(book(1).traceparent(trace)).await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&world.broker.messages()[0].payload).unwrap();
    assert_eq!((body["source"].as_str(), body["traceparent"].as_str()), (Some("test"), Some(trace)));
    assert!(body["origin"].as_str().unwrap().ends_with(&format!(":{}", std::process::id())));
}

#[tokio::test]
async fn an_event_that_is_none_is_given_back() {
    let world = world("queue");
    let error = world.dispatcher.dispatch_all([book(1), Event::create("Book")]).await.unwrap_err();
    assert_eq!(error.to_string(), "Book: no after, which op create needs");
    assert_eq!(error.into_events().len(), 2);
    assert_eq!(world.broker.messages(), []);
}

#[test]
fn an_application_needs_nothing_of_the_workers() {
    let yaml = "version: 1\ntargets: { main: { memory: {} } }\nsources: { events: { memory: {} } }\n\
                admin: { listen: '0.0.0.0:1', token: '${NO_SUCH_VARIABLE:?needed}' }\nworker: { name: '' }\n";
    assert!(Dispatcher::from_config(&Config::parse(yaml).unwrap()).is_ok());
    let wrong = "version: 1\ntargets: { main: { memory: {} } }\n";
    let error = Dispatcher::from_config(&Config::parse(wrong).unwrap()).unwrap_err();
    assert!(error.to_string().contains("dispatch: there is no source to publish to"), "{error}");
    let typo = Config::parse("version: 1\nsuorces: {}\n").unwrap_err();
    assert!(typo.to_string().contains("did you mean"), "{typo}");
}
