//! Shows that a cache goes to the queue that it names, that the other caches do not wait for it, and that nothing is lost.

use std::sync::Arc;
use std::time::Duration;

use quash_config::{Loader, ProcessEnvironment};
use quash_delivery::headers;
use quash_delivery::record::Record;
use quash_dispatch::config::Config;
use quash_store::Store;
use quash_transport::Headers;

use crate::app::doubles::{FakeBroker, FakeStore, Mode, Shared, until};
use crate::app::{App, Plugins, Running};

/// Product 1 is in `product`, which any queue may do, and in `report`, which belongs to `bulk`.
const CONFIG: &str = r#"{
    "version": 1, "admin": {"listen": "off"}, "targets": {"main": {"memory": {}}},
    "sources": {"events": {"memory": {}}, "bulk": {"memory": {}}},
    "retry": {"jitter": 0, "max_attempts": 3, "give_up_after": "1h"},
    "caches": {
        "product": {"key": "product:{id}", "depends_on": [{"row": "Product"}], "again_after": ["10s"]},
        "report": {
            "key": "report:{id}", "depends_on": [{"row": "Product"}], "again_after": ["20s"],
            "dispatch": {"queue": {"source": "bulk"}}
        }
    }
}"#;

/// On an event that first failed when the clocks began: what fails once more is given up.
const LONG_AGO: (&str, &str) = (headers::FIRST_FAILURE, "1");

struct Scene {
    store: Arc<FakeStore>,
    events: Arc<FakeBroker>,
    bulk: Arc<FakeBroker>,
    running: Running,
}

impl Scene {
    async fn start(config: &str) -> Self {
        let loaded = Loader::load_text::<Config>("quash.yaml", config, &ProcessEnvironment);
        let config = loaded.map_err(|problems| problems.to_string()).unwrap().root;
        let (store, events, bulk) = (FakeStore::new(Mode::Works), FakeBroker::new(), FakeBroker::new());
        let shared = |broker: &Arc<FakeBroker>| Arc::new(Shared(Arc::clone(broker))) as _;
        let plugins = Plugins {
            stores: [("main".to_owned(), Arc::clone(&store) as Arc<dyn Store>)].into(),
            transports: [("events".to_owned(), shared(&events)), ("bulk".to_owned(), shared(&bulk))].into(),
        };
        let running = App::new(config).unwrap().plugins(plugins).start().await.unwrap();
        Self { store, events, bulk, running }
    }

    fn changed(&self, id: &str, headers: &[(&'static str, &str)]) {
        let body =
            format!(r#"{{"entity": "Product", "op": "update", "key": {{"id": "{id}"}}, "after": {{"id": "{id}"}}}}"#);
        let mut all = Headers::default();
        headers.iter().for_each(|(name, value)| all.set(*name, *value));
        self.events.send_with(&body, all, 1);
    }

    async fn ends(&self) {
        until("both queues are empty", || self.events.is_empty() && self.bulk.is_empty()).await;
    }

    /// How often a key was removed.
    fn times(&self, key: &str) -> usize {
        self.store.applied().iter().filter(|done| **done == format!("delete {key}")).count()
    }
}

#[tokio::test(start_paused = true)]
async fn a_cache_goes_to_the_queue_that_it_names_and_keeps_its_later_passes_there() {
    let scene = Scene::start(CONFIG).await;
    scene.changed("1", &[]);
    scene.ends().await;
    assert_eq!((scene.times("product:1"), scene.times("report:1")), (2, 2), "{:?}", scene.store.applied());
    // The event and its later pass on one, the copy and its later pass on the other.
    assert_eq!((scene.events.received(), scene.bulk.received()), (2, 2));
    assert!(scene.running.metrics().encode().contains("quash_events_handed_over_total{source=\"events\"} 1"));
}

#[tokio::test(start_paused = true)]
async fn what_was_handed_over_has_attempts_and_dead_letters_of_its_own() {
    let scene = Scene::start(CONFIG).await;
    scene.store.set(Mode::Picky);
    let body = r#"{"entity": "Product", "op": "create", "key": {"id": "bad"}, "after": {"id": "bad"}}"#;
    scene.events.send_with(body, Headers::default(), 1);
    scene.ends().await;
    for (broker, cache) in [(&scene.events, None), (&scene.bulk, Some("report"))] {
        let letters = broker.letters();
        let [letter] = &letters[..] else { panic!("{letters:?}") };
        assert_eq!((letter.payload.as_ref(), letter.headers.get(headers::CACHES)), (body.as_bytes(), cache));
        let record: Record = serde_json::from_str(letter.headers.get(headers::RECORD).unwrap()).unwrap();
        assert_eq!((record.attempts_made, record.attempts.len()), (3, 3));
    }
    // A letter is about its share alone, also when it is replayed.
    scene.store.set(Mode::Works);
    let letter = scene.events.letters().remove(0);
    scene.events.send_with(body, letter.headers, 1);
    scene.ends().await;
    assert_eq!((scene.times("product:bad"), scene.times("report:bad")), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_away_holds_up_nobody_and_gets_its_share_when_it_is_back() {
    let scene = Scene::start(CONFIG).await;
    scene.bulk.set_away(true);
    scene.changed("1", &[]);
    until("the other cache is done", || scene.times("product:1") == 2).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((scene.times("report:1"), scene.bulk.received()), (0, 0));

    scene.bulk.set_away(false);
    scene.ends().await;
    assert_eq!((scene.times("product:1"), scene.times("report:1")), (2, 2), "{:?}", scene.store.applied());
    assert_eq!((scene.events.letters(), scene.bulk.letters()), (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_stays_away_costs_a_dead_letter_that_says_so_and_can_be_replayed() {
    let scene = Scene::start(CONFIG).await;
    scene.bulk.set_away(true);
    scene.changed("1", &[LONG_AGO]);
    scene.ends().await;
    let letter = scene.events.letters().remove(0);
    assert_eq!(letter.headers.get(headers::CACHES), Some("report"));
    let record: Record = serde_json::from_str(letter.headers.get(headers::RECORD).unwrap()).unwrap();
    assert_eq!(record.reason.name(), "gave_up");
    assert!(record.error.starts_with("cannot hand over to bulk: "), "{}", record.error);

    scene.bulk.set_away(false);
    scene.events.send_with(&String::from_utf8_lossy(&letter.payload), letter.headers, 1);
    scene.ends().await;
    assert_eq!((scene.times("product:1"), scene.times("report:1")), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn what_the_publisher_did_is_done_again_only_by_its_later_passes() {
    let scene = Scene::start(CONFIG).await;
    scene.changed("1", &[(headers::CACHES_DONE, "product,report")]);
    scene.ends().await;
    assert_eq!((scene.times("product:1"), scene.times("report:1")), (1, 1), "{:?}", scene.store.applied());
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_is_not_configured_here_waits_for_a_worker_that_knows_it() {
    let scene = Scene::start(CONFIG).await;
    scene.changed("1", &[(headers::CACHES, "product,newer"), (headers::CACHES_HANDED_OVER, "product,newer")]);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!((scene.times("product:1"), scene.times("report:1")), (2, 0), "what is known is done, and just once");
    assert!(!scene.events.is_empty(), "the rest waits");
    assert_eq!(scene.events.letters(), []);

    scene.changed("2", &[(headers::CACHES, "newer,product"), LONG_AGO]);
    until("it is given up", || !scene.events.letters().is_empty()).await;
    let letter = scene.events.letters().remove(0);
    assert_eq!(letter.headers.get(headers::CACHES), Some("newer"));
    assert!(letter.headers.get(headers::RECORD).unwrap().contains("the cache is not configured"));
    until("what is known is done", || scene.times("product:2") == 2).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_in_part_stands_for_the_whole_also_for_what_did_not_go_over() {
    let scene = Scene::start(CONFIG).await;
    scene.bulk.set_away(true);
    let body = r#"{"events": [
        {"entity": "Product", "op": "create", "key": {"id": "1"}, "after": {"id": "1"}},
        {"invalidate": {"cache": "nope"}}
    ]}"#;
    scene.events.send_with(body, Headers::default(), 1);
    scene.ends().await;
    let letter = scene.events.letters().remove(0);
    assert_eq!(letter.headers.get(headers::CACHES_HANDED_OVER), None);

    scene.bulk.set_away(false);
    tokio::time::sleep(Duration::from_secs(60)).await;
    scene.events.send_with(body, letter.headers, 1);
    scene.ends().await;
    assert!(scene.times("report:1") > 0, "{:?}", scene.store.applied());
}
