//! Holds all dispatchers to one final state: whatever runs where, the same entries are gone once a worker has done the rest.

#![expect(clippy::unwrap_used, reason = "a test fails where its steps do, helpers included")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use quash_dispatch::config::Config;
use quash_dispatch::dispatcher::{self, Dispatcher};
use quash_dispatch::{Event, Invalidate};
use quash_store::Store;
use quash_store::memory::Memory;
use quash_transport::conformance::eventually;
use quash_transport::{Backlog, Transport, memory};
use quash_worker::app::{App, Plugins};
use serde_json::{Value as Json, json};

/// What is dispatched, and what goes wrong meanwhile.
#[derive(Debug, Clone)]
struct Scene {
    /// For all caches, and for each of them.
    choices: Vec<Option<Choice>>,
    rules: Rules,
    events: Vec<Vec<Change>>,
    fault: Fault,
}

/// A dispatcher, as configuration spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    Inline,
    Patient,
    Threadpool,
    Narrow,
    Task,
    Queue,
    Batch,
}

/// What differs between configurations.
#[derive(Debug, Clone, Copy)]
struct Rules {
    only_when_changed: bool,
    when: bool,
    later: bool,
    library: bool,
}

/// What goes wrong while events are dispatched, and is over before the worker ends.
#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    RefusesAKey(u8),
    IsAway,
}

#[derive(Debug, Clone)]
enum Change {
    Row { op: u8, id: u8, before: Option<(u8, u8)>, after: (u8, u8), changed: bool },
    Tagged { id: u8, author: u8 },
    Cache(u8),
    Key(u8),
    Tag(u8),
}

const CACHES: [&str; 5] = ["book", "shelf", "author", "card", "later"];

fn choices() -> impl Strategy<Value = Choice> {
    let all = [
        Choice::Inline,
        Choice::Patient,
        Choice::Threadpool,
        Choice::Narrow,
        Choice::Task,
        Choice::Queue,
        Choice::Batch,
    ];
    prop::sample::select(all.to_vec())
}

fn changes() -> impl Strategy<Value = Change> {
    let row = (0..4_u8, 0..4_u8, prop::option::of((0..3_u8, 0..3_u8)), (0..3_u8, 0..3_u8), any::<bool>());
    prop_oneof![
        6 => row.prop_map(|(op, id, before, after, changed)| Change::Row { op, id, before, after, changed }),
        1 => (0..4_u8, 0..3_u8).prop_map(|(id, author)| Change::Tagged { id, author }),
        1 => (0..3_u8).prop_map(Change::Cache),
        1 => (0..4_u8).prop_map(Change::Key),
        1 => (0..3_u8).prop_map(Change::Tag),
    ]
}

fn scenes() -> impl Strategy<Value = Scene> {
    let rules = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let rules =
        rules.prop_map(|(only_when_changed, when, later, library)| Rules { only_when_changed, when, later, library });
    let fault = prop_oneof![
        2 => Just(Fault::None),
        1 => (0..4_u8).prop_map(Fault::RefusesAKey),
        1 => Just(Fault::IsAway),
    ];
    let events = prop::collection::vec(prop::collection::vec(changes(), 1..4), 1..6);
    let choices = prop::collection::vec(prop::option::of(choices()), CACHES.len() + 1);
    (choices, rules, events, fault).prop_map(|(choices, rules, events, fault)| Scene { choices, rules, events, fault })
}

impl Choice {
    fn json(self) -> Json {
        match self {
            Self::Inline => json!("inline"),
            Self::Patient => json!({ "inline": { "attempts": 2 } }),
            Self::Threadpool => json!("threadpool"),
            Self::Narrow => json!({ "threadpool": { "workers": 1, "capacity": 1, "when_full": "inline" } }),
            Self::Task => json!({ "task": { "capacity": 2, "when_full": "inline" } }),
            Self::Queue => json!("queue"),
            Self::Batch => json!({ "queue": { "batch": {} } }),
        }
    }
}

impl Change {
    fn event(&self) -> Event {
        let row = |id: u8, (author, shelf): (u8, u8)| json!({ "id": id, "author": author, "shelf": shelf });
        match *self {
            Self::Row { op, id, before, after, changed } => {
                let mut event = match op {
                    0 => Event::create("Book"),
                    1 => Event::update("Book"),
                    2 => Event::delete("Book"),
                    _ => Event::truncate("Book"),
                };
                if op < 3 {
                    event = event.key("id", id).before(&before.map(|before| row(id, before)));
                    event = if op == 2 { event } else { event.after(&row(id, after)) };
                    event = if changed && op == 1 { event.changed(["author"]) } else { event };
                }
                event
            }
            Self::Tagged { id, author } => {
                Event::add("Book", "tags").from_row(&json!({ "id": id, "author": author })).to(&json!({ "id": 1 }))
            }
            Self::Cache(author) => Invalidate::cache("author").arg("author", author).into(),
            Self::Key(id) => Invalidate::key(format!("book:{id}")).into(),
            Self::Tag(author) => Invalidate::tag(format!("a:{author}")).into(),
        }
    }
}

impl Scene {
    /// The configuration, for everybody or with a cache that only workers know.
    fn config(&self, choices: &[Option<Choice>], is_worker: bool) -> Config {
        let Rules { only_when_changed, when, later, library } = self.rules;
        let changed = if only_when_changed { json!(["author"]) } else { json!([]) };
        let when = if when { json!("op != 'update' || after.author != 1") } else { Json::Null };
        let again = if later { json!(["2ms", "5ms"]) } else { json!([]) };
        let mut caches = json!({
            "book": { "key": "book:{id}", "depends_on": [{ "row": "Book" }] },
            "shelf": { "key": "shelf:{shelf}:{page}", "depends_on": [{ "row": "Book", "changed": changed }] },
            "author": {
                "args": ["author"], "tags": ["a:{author}", "all"],
                "depends_on": [{ "row": "Book", "when": when }, { "m2m": "Book.tags", "map": { "author": "from.author" } }],
            },
            "card": { "key": "card:{id}", "depends_on": [{ "cache": "book" }] },
            "later": { "key": "later:{author}", "again_after": again, "depends_on": [{ "row": "Book" }] },
        });
        if library {
            caches["shelf"]["publish"] = json!("shelves");
        }
        if is_worker {
            caches["workers"] = json!({ "key": "workers:{id}", "depends_on": [{ "row": "Book" }] });
        }
        let mut config = json!({
            "version": 1,
            "targets": { "main": { "memory": {} }, "eu": { "memory": {} } },
            "sources": { "events": { "memory": {} } },
            "retry": { "initial": "1ms", "max": "2ms", "max_attempts": 50 },
            "admin": { "listen": "off" },
        });
        for (name, choice) in CACHES.iter().zip(&choices[1..]) {
            if let Some(choice) = choice {
                caches[name]["dispatch"] = choice.json();
            }
        }
        if let Some(choice) = &choices[0] {
            config["dispatch"] = choice.json();
        }
        config["caches"] = caches;
        Config::parse(&config.to_string()).unwrap_or_else(|error| panic!("{error}\n{config}"))
    }

    /// Which entries are stale after everything is done, on each target.
    async fn outcome(&self, choices: &[Option<Choice>]) -> BTreeMap<String, Vec<String>> {
        let stores: BTreeMap<&str, Memory> = ["main", "eu"].into_iter().map(|name| (name, filled())).collect();
        let transport = queue();
        let given: BTreeMap<String, Arc<dyn Store>> =
            stores.iter().map(|(name, store)| ((*name).to_owned(), Arc::new(store.clone()) as _)).collect();
        let transports: BTreeMap<String, Arc<dyn Transport>> = [("events".to_owned(), Arc::clone(&transport))].into();
        let plugins = dispatcher::Plugins { stores: given.clone(), transports: transports.clone() };
        let config = self.config(choices, false);
        let dispatcher = Dispatcher::builder(&config).plugins(plugins).start().unwrap();
        self.begin(&stores["main"]);
        for events in &self.events {
            dispatcher.dispatch_all(events.iter().map(Change::event)).await.unwrap();
        }
        let app = App::new(self.config(choices, true)).unwrap().plugins(Plugins { stores: given, transports });
        let worker = app.start().await.unwrap();
        stores["main"].set_reachable(true);
        stores["main"].permit_all();
        let drained = dispatcher.shutdown(Duration::from_secs(30)).await;
        assert_eq!(drained.undone, []);
        let drained = async || transport.backlog().await.unwrap() == Backlog::default();
        eventually(Duration::from_secs(30), "the queue is drained", drained).await;
        worker.stop().await;
        let letters = transport.dead_letters().scan(None, 1).await.unwrap();
        assert!(letters.is_empty(), "{:?}", letters[0].1);
        stores.iter().map(|(name, store)| ((*name).to_owned(), stale(store))).collect()
    }

    fn begin(&self, store: &Memory) {
        match self.fault {
            Fault::None => {}
            Fault::RefusesAKey(id) => store.refuse(format!("book:{id}")),
            Fault::IsAway => store.set_reachable(false),
        }
    }
}

fn queue() -> Arc<dyn Transport> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    memory::Config { name: format!("dispatchers-{}", NEXT.fetch_add(1, Ordering::Relaxed)) }.build().unwrap()
}

/// Entries of every cache.
fn entries() -> impl Iterator<Item = String> {
    let ids = (0..4).flat_map(|id| ["book", "card", "workers"].map(|cache| format!("{cache}:{id}")));
    let pages = (0..3).flat_map(|shelf| (0..2).map(move |page| format!("shelf:{shelf}:{page}")));
    ids.chain(pages)
        .chain((0..3).flat_map(|author| ["a", "later"].map(|cache| format!("{cache}:{author}"))))
        .chain(["all".to_owned()])
}

fn filled() -> Memory {
    let store = Memory::new();
    entries().for_each(|key| store.set(key, "old"));
    store
}

fn stale(store: &Memory) -> Vec<String> {
    entries().filter(|key| store.get(key).as_deref() != Some(b"old")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_runs_where_the_same_entries_are_gone(scene in scenes()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let queued = vec![Some(Choice::Queue); CACHES.len() + 1];
        let expected = runtime.block_on(scene.outcome(&queued));
        let has_row = scene.events.iter().flatten().any(|change| matches!(change, Change::Row { op: 0..3, .. }));
        prop_assert!(!has_row || expected.values().all(|stale| !stale.is_empty()));
        let mut ways = vec![scene.choices.clone()];
        for one in [Choice::Inline, Choice::Threadpool, Choice::Task] {
            ways.push(vec![Some(one); CACHES.len() + 1]);
        }
        for choices in ways {
            let mut outcome = runtime.block_on(scene.outcome(&choices));
            let mut expected = expected.clone();
            // Where everything is dispatched in the application, it says so: nobody knows other caches.
            if choices.iter().all(|choice| choice.or(choices[0]).is_some_and(|choice| !matches!(choice, Choice::Queue | Choice::Batch))) {
                [&mut outcome, &mut expected].into_iter().flat_map(BTreeMap::values_mut)
                    .for_each(|stale| stale.retain(|key| !key.starts_with("workers")));
            }
            prop_assert_eq!(&outcome, &expected, "{:?}", choices);
        }
    }
}
