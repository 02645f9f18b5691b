//! Proves that a worker settles what the workers of earlier versions left in its broker, and accepts what they declared.

use std::collections::{BTreeMap, BTreeSet};

use quash_e2e::recorded::{Lain, Recording};
use quash_e2e::{Broker, Kind, Quash, Queue, RedisServer, becomes, eventually};
use quash_transport::{Backlog, Message};
use serde_json::Value;

use crate::put_back::{self, Due};
use crate::scene::{LIMIT, on_every_broker};

on_every_broker!(what_workers_of_0_1_left_is_settled, what_workers_of_0_1_left_is_not_done_early);

/// Those of the recording, mended and rolled out: keys may be longer, unknown columns widen, and there are the target and
/// the cache that some workers did not know.
const CACHES: &str = "caches:
  product: { targets: [main, eu, gone], key: \"product:{id}\", depends_on: [ { row: shop.Product } ] }
  page: { targets: [main, eu], key: \"page:{id}\", again_after: [20s], depends_on: [ { row: shop.Page } ] }
  archive: { targets: [main, eu], key: \"archive:{id}\", again_after: [1h], depends_on: [ { row: shop.Archive } ] }
  strict: { targets: [main, eu], key: \"strict:{code}\", depends_on: [ { row: shop.Strict } ] }
  summary: { targets: [main, eu], key: \"summary:{id}\", depends_on: [ { row: shop.Report } ] }
  lost: { targets: [main], key: \"lost:{id}\", depends_on: [ { row: shop.Product } ] }
  report:
    targets: [main, eu]
    key: \"report:{id}\"
    dispatch: { queue: { source: bulk } }
    depends_on: [ { row: shop.Report } ]
";

/// A row's name, its keys' cache, and the targets on which the key goes.
type Gone = (&'static str, &'static str, &'static [&'static str]);

/// What goes for what waits. A share does what it names and nothing else.
const WAITING: [Gone; 26] = [
    ("fresh", "product", &["main", "eu", "gone"]),
    ("fresh", "lost", &["main"]),
    ("fresh-partly-done", "product", &["main", "eu", "gone"]),
    ("fresh-partly-done", "lost", &["main"]),
    ("fresh-command", "product", &["main", "eu", "gone"]),
    ("fresh-cloud", "product", &["main", "eu", "gone"]),
    ("fresh-cloud", "lost", &["main"]),
    ("replayed", "product", &["main"]),
    ("replayed", "lost", &["main"]),
    ("killed", "summary", &["main", "eu"]),
    ("killed", "report", &["main", "eu"]),
    ("parked-failed", "product", &["main"]),
    ("parked-failed", "lost", &["main"]),
    ("parked-failed-again", "product", &["main"]),
    ("parked-failed-again", "lost", &["main"]),
    ("parked-later-pass-failed", "page", &["main"]),
    ("parked-partly-done", "product", &["main"]),
    ("parked-partly-done", "lost", &["main"]),
    ("parked-handed-over", "summary", &["main"]),
    ("parked-handed-over", "report", &["main"]),
    ("parked-pass", "page", &["main", "eu"]),
    ("parked-long", "archive", &["main", "eu"]),
    ("parked-unreachable", "product", &["eu"]),
    ("parked-unconfigured-target", "product", &["gone"]),
    ("parked-unconfigured-cache", "lost", &["main"]),
    ("parked-not-handed-over", "report", &["main", "eu"]),
];

/// What goes for letters that are replayed, those of the other queue last.
const REPLAYED: [Gone; 12] = [
    ("letter-panic", "product", &["main", "eu", "gone"]),
    ("letter-panic", "lost", &["main"]),
    (LONG, "product", &["main", "eu", "gone"]),
    (LONG, "lost", &["main"]),
    ("letter-rule", "strict", &["main", "eu"]),
    ("letter-unconfigured", "product", &["gone"]),
    ("letter-unconfigured-cache", "lost", &["main"]),
    ("letter-gave-up", "product", &["eu"]),
    ("letter-target-error", "product", &["main"]),
    ("letter-target-error", "lost", &["main"]),
    ("letter-later-pass", "page", &["main"]),
    ("letter-report", "summary", &["main"]),
];
const REPLAYED_OF_BULK: Gone = ("letter-report", "report", &["main"]);

/// Once too long for a key.
const LONG: &str = "long-key-long-key-long-key-long-key-long-key-long-key-long-key-long-key-";

/// The event, the reason, the target, the attempts and the replays of each letter, as `dlq ls` tells them.
const LETTERS: [(&str, &str, &str, u64, u64); 12] = [
    ("", "panic", "", 1, 0),
    ("", "decode", "", 1, 0),
    ("letter-decode", "decode", "", 1, 0),
    ("letter-limit", "limit", "", 1, 0),
    ("letter-rule", "rule", "", 1, 0),
    ("letter-unconfigured", "gave_up", "gone", 1, 0),
    ("letter-unconfigured-cache", "gave_up", "", 1, 0),
    ("letter-gave-up", "gave_up", "eu", 1, 0),
    ("letter-target-error", "target_error", "main", 2, 0),
    ("letter-report", "target_error", "main", 2, 0),
    ("letter-later-pass", "target_error", "main", 2, 1),
    ("letter-report", "target_error", "main", 2, 0),
];

async fn what_workers_of_0_1_left_is_settled(kind: Kind) {
    let recording = Recording::read("0.1", kind);
    let site = Site::on(Broker::shared(kind).await).await;
    put_back::declare(&site.broker, &recording).await;
    put_back::messages(&site.broker, &recording, Due::Passed).await;
    site.hands_out_the_letters_as_they_were(&recording).await;
    site.lists_the_letters().await;

    site.fill().await;
    let mut worker = site.quash.worker("today").await;
    site.quash.run(&["check", "--connect"]).await.done();
    let mut gone = site.goes(&WAITING).await;
    assert_eq!(site.letters("events").await.len() + site.letters("bulk").await.len(), LETTERS.len(), "no further one");

    for source in ["events", "bulk"] {
        site.quash.run(&["dlq", "replay", "--all", "--source", source]).await.done();
    }
    gone.extend(site.goes(&[&REPLAYED[..], &[REPLAYED_OF_BULK]].concat()).await);
    site.only_what_is_no_event_is_left().await;
    assert_eq!(site.went().await, gone, "nothing else goes");

    site.fill().await;
    let export = std::fs::read_to_string(Recording::folder("0.1").join("export.ndjson")).unwrap();
    site.quash.run_with(&["dlq", "import", "--source", "events"], export.clone()).await.done();
    let imported = site.letters("events").await;
    assert_eq!(imported.len(), export.lines().count());
    site.quash.run(&["dlq", "replay", "--all", "--source", "events"]).await.done();
    gone = site.goes(&REPLAYED).await;
    site.only_what_is_no_event_is_left().await;
    assert_eq!(site.went().await, gone, "nothing else goes");

    assert_eq!(worker.terminate().await, 0);
    // A broker refuses to declare anew what has become something else.
    put_back::declare(&site.broker, &recording).await;
}

async fn what_workers_of_0_1_left_is_not_done_early(kind: Kind) {
    let site = Site::on(Broker::start(kind).await).await;
    put_back::declare(&site.broker, &Recording::read("0.1", kind)).await;
    put_back::messages(&site.broker, &only(kind, &["parked-long"]), Due::InAnHour).await;
    put_back::messages(&site.broker, &only(kind, &["parked-pass", "fresh"]), Due::Passed).await;
    site.fill().await;
    let mut worker = site.quash.worker("today").await;
    // They lie behind it: when they are done, it has been looked at.
    let gone = [("parked-pass", "page", &["main", "eu"][..]), WAITING[0], WAITING[1]];
    let gone: BTreeSet<Entry> = gone.iter().flat_map(entries).collect();
    becomes(LIMIT, "what is due goes", gone.clone(), async || site.went().await).await;
    let waits = Backlog { delayed: 1, ..Backlog::default() };
    becomes(LIMIT, "what is not waits on", waits, async || site.events.backlog().await).await;
    assert_eq!(worker.terminate().await, 0);
    assert_eq!(site.went().await, gone, "nothing goes before it is due");
}

/// What was recorded of these events.
fn only(kind: Kind, names: &[&str]) -> Recording {
    let mut recording = Recording::read("0.1", kind);
    let body = |message: &Lain| serde_json::from_slice::<Value>(&message.body).unwrap_or_default();
    recording.messages.retain(|message| names.iter().any(|name| body(message)["id"] == *name));
    recording
}

/// A key on a target.
type Entry = (String, String);

/// The broker, both queues in it, the targets, and Quash between them.
struct Site {
    broker: Broker,
    events: Queue,
    bulk: Queue,
    targets: [(&'static str, RedisServer); 3],
    quash: Quash,
}

impl Site {
    async fn on(broker: Broker) -> Self {
        let [events, bulk] = ["recorded.events", "recorded.bulk"].map(|name| Queue::on(&broker, name));
        let targets = [
            ("main", RedisServer::durable().await),
            ("eu", RedisServer::durable().await),
            ("gone", RedisServer::durable().await),
        ];
        let target =
            |(name, server): &(&str, RedisServer)| format!("  {name}: {{ redis: {{ url: \"{}\" }} }}\n", server.url(0));
        let lines: String = targets.iter().map(target).collect();
        let sources = format!("  events: {}\n  bulk: {}\n", events.source(""), bulk.source(""));
        let quash = Quash::with(&format!("version: 1\ntargets:\n{lines}sources:\n{sources}{CACHES}"));
        Self { broker, events, bulk, targets, quash }
    }

    async fn hands_out_the_letters_as_they_were(&self, recording: &Recording) {
        let letters = [self.events.letters().await, self.bulk.letters().await].concat();
        let mut read: Vec<Letter> = letters.iter().map(letter).collect();
        let is_dead = |lain: &&Lain| lain.within.to_lowercase().ends_with("dead");
        let mut lay: Vec<Letter> = recording.messages.iter().filter(is_dead).map(lain).collect();
        read.sort();
        lay.sort();
        assert_eq!(read, lay);
    }

    async fn lists_the_letters(&self) {
        let mut said = Vec::new();
        let text = |letter: &Value, name: &str| letter[name].as_str().unwrap_or_default().to_owned();
        let number = |letter: &Value, name: &str| letter[name].as_u64().unwrap_or_default();
        for letter in [self.letters("events").await, self.letters("bulk").await].concat() {
            let (event, reason, target) = (text(&letter, "event_id"), text(&letter, "reason"), text(&letter, "target"));
            said.push((event, reason, target, number(&letter, "attempts"), number(&letter, "replays")));
        }
        let owned = |text: &str| text.to_owned();
        let mut expected = LETTERS.map(|(event, reason, target, attempts, replays)| {
            (owned(event), owned(reason), owned(target), attempts, replays)
        });
        said.sort();
        expected.sort();
        assert_eq!(said, expected);
    }

    async fn letters(&self, source: &str) -> Vec<Value> {
        let ls = self.quash.run(&["dlq", "ls", "--source", source, "--limit", "0", "-o", "json"]).await.done().json();
        ls["letters"].as_array().unwrap_or_else(|| panic!("no letters in {ls}")).clone()
    }

    /// What is no event came back as letters; they are thrown away.
    async fn only_what_is_no_event_is_left(&self) {
        eventually(LIMIT, "what is no event is a dead letter again", async || {
            let letters = self.letters("events").await;
            letters.len() == 2 && letters.iter().all(|letter| letter["reason"] == "decode" && letter["replays"] == 1)
        })
        .await;
        assert_eq!(self.letters("bulk").await, Vec::<Value>::new());
        self.quash.run(&["dlq", "purge", "--source", "events", "--yes"]).await.done();
    }

    /// Waits until these keys are gone and nothing waits any more.
    async fn goes(&self, expected: &[Gone]) -> BTreeSet<Entry> {
        let expected: BTreeSet<Entry> = expected.iter().flat_map(entries).collect();
        let missing = async || expected.difference(&self.went().await).cloned().collect();
        becomes(LIMIT, "what is stale goes", BTreeSet::new(), missing).await;
        self.events.drained(LIMIT).await;
        self.bulk.drained(LIMIT).await;
        expected
    }

    async fn fill(&self) {
        let keys: BTreeSet<String> = self.all().into_iter().map(|(_, key)| key).collect();
        for (_, server) in &self.targets {
            server.fill(&keys.iter().cloned().collect::<Vec<_>>()).await;
        }
    }

    /// Every key of every row on every target.
    fn all(&self) -> BTreeSet<Entry> {
        let rows = WAITING.iter().chain(&REPLAYED).map(|(row, ..)| *row);
        let keys = rows.flat_map(|row| {
            ["product", "page", "archive", "strict", "summary", "lost", "report"].map(|cache| key(row, cache))
        });
        let everywhere = |key: String| self.targets.each_ref().map(|(target, _)| ((*target).to_owned(), key.clone()));
        keys.flat_map(everywhere).collect()
    }

    /// Those that are not there any more.
    async fn went(&self) -> BTreeSet<Entry> {
        let mut went = self.all();
        for (target, server) in &self.targets {
            let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut server.connect().await).await.unwrap();
            for key in keys {
                went.remove(&((*target).to_owned(), key));
            }
        }
        went
    }
}

/// A letter's bytes, and its headers by name.
type Letter = (Vec<u8>, BTreeMap<String, String>);

fn letter(message: &Message) -> Letter {
    let headers = message.headers.as_slice().iter().map(|(name, value)| (name.to_string(), value.clone()));
    (message.payload.to_vec(), headers.collect())
}

/// As it lay, without what belongs to the broker or to the transport.
fn lain(lain: &Lain) -> Letter {
    let own = |name: &str| ["Nats-", "x-"].iter().any(|start| name.starts_with(start));
    let headers = lain.headers.iter().filter(|header| !own(&header.name));
    let headers = headers.map(|header| (header.name.clone(), lain.header(&header.name).unwrap().to_owned()));
    (lain.body.clone(), headers.collect())
}

fn entries((row, cache, targets): &Gone) -> Vec<Entry> {
    targets.iter().map(|target| ((*target).to_owned(), key(row, cache))).collect()
}

/// A rule whose column is unknown widens to all keys of its cache, and has one here.
fn key(row: &str, cache: &str) -> String {
    let row = if cache == "strict" { "any" } else { row };
    format!("{cache}:{row}")
}
