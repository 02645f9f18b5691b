//! Proves that whatever stands in a queue has exactly its outcome, and that the good events around it are done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quash_e2e::poison::{self, Poison};
use quash_e2e::raw::{RawAmqp, publish_raw_nats, publish_raw_redis};
use quash_e2e::{Broker, Kind, Quash, Queue, RedisServer, Worker, becomes, eventually, get};
use quash_transport::{Headers, Message};
use serde_json::{Value, json};
use tokio::time::{interval, timeout};

use crate::scene::{LIMIT, bodies, gone, on_every_broker, products, updates};

/// The header by which a letter is known whose body others have as well.
const NAME: &str = "poison";

/// How often something is asked for.
const PACE: Duration = Duration::from_millis(50);

/// Keys that nothing in the corpus is about.
const BYSTANDERS: [&str; 9] =
    ["product:other", "productx", "page:other:1", "page:", "strict:1", "tag:other", "tagged:other", "price:1.00", "w9"];

on_every_broker!(everything_in_the_corpus_has_its_outcome, a_hostile_neighbour_holds_up_no_good_event);

async fn everything_in_the_corpus_has_its_outcome(kind: Kind) {
    let corpus = Corpus::read(kind);
    let site = Site::on(Broker::spacious(kind).await, &corpus).await;
    site.cache.fill(&corpus.keys()).await;
    site.cache.fill(&BYSTANDERS.map(str::to_owned)).await;
    let good = site.publish(&corpus).await;
    site.cache.fill(&good).await;
    let mut worker = site.quash.worker("alone").await;
    let letters = corpus.all.iter().filter(|poison| poison.letter.is_some()).count() as u64;
    let done = async {
        gone(&site.cache, &good).await;
        // More, or none of some, is said by name below.
        let mut pace = interval(PACE);
        _ = timeout(LIMIT, async {
            while site.dead_letters().await < letters {
                pace.tick().await;
            }
        })
        .await;
        for queue in site.queues.values() {
            queue.drained(LIMIT).await;
        }
    };
    tokio::select! {
        () = done => {}
        answer = unready(&worker, kind) => panic!("not ready beside bad messages: {answer}; {}", worker.log()),
    }
    worker.ready().await;
    assert!(worker.lives() && !worker.log().contains("panicked"), "{}", worker.log());
    let letters = site.letters().await;
    let wrong = [site.differences(&corpus).await, corpus.differences(&letters)].concat();
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    let unreadable = letters.iter().filter(|letter| letter.error.contains("cannot be read as they were published"));
    let counted = async || worker.metric("quash_unreadable_messages_total", &[]).await as usize;
    becomes(LIMIT, "what no driver reads is counted", unreadable.count(), counted).await;
    assert_eq!(worker.terminate().await, 0);
}

/// How often good events come, and how many at once.
const ROUNDS: u32 = 6;
const AT_ONCE: u32 = 50;
/// So many that the neighbour left may still wait when it sends more.
const WAITING: u64 = 500;
/// Larger bodies would be what is waited for.
const SMALL: usize = 16 * 1024;

async fn a_hostile_neighbour_holds_up_no_good_event(kind: Kind) {
    let mut corpus = Corpus::read(kind);
    corpus.all.retain(|poison| poison.body.len() < SMALL && poison.raw.iter().all(|raw| raw.len() < SMALL));
    let site = Site::on(Broker::spacious(kind).await, &corpus).await;
    let mut worker = site.quash.worker("alone").await;
    let over = AtomicBool::new(false);
    let neighbour = async {
        while !over.load(Ordering::Relaxed) {
            site.publish(&corpus).await;
            let few = async || site.queues["auto"].backlog().await.ready < WAITING;
            eventually(LIMIT, "the worker keeps up", few).await;
        }
    };
    let good = async {
        for round in 0..ROUNDS {
            let keys = products(round * AT_ONCE..(round + 1) * AT_ONCE);
            site.cache.fill(&keys).await;
            site.queues["auto"].publish(bodies(&updates(round * AT_ONCE..(round + 1) * AT_ONCE))).await;
            if round == ROUNDS / 2 {
                worker.restart();
            }
            gone(&site.cache, &keys).await;
        }
        over.store(true, Ordering::Relaxed);
    };
    tokio::join!(neighbour, good);
    worker.ready().await;
    for queue in site.queues.values() {
        queue.drained(LIMIT).await;
    }
    let letters = site.letters().await;
    let found: BTreeSet<&str> = letters.iter().filter_map(|letter| Some(&*corpus.of_letter(letter)?.case)).collect();
    let lost = corpus.all.iter().filter(|poison| poison.letter.is_some() && !found.contains(&*poison.case));
    assert_eq!(lost.map(|poison| &poison.case).collect::<Vec<_>>(), Vec::<&String>::new(), "each bad one is a letter");
    assert!(worker.lives() && !worker.log().contains("panicked"), "{}", worker.log());
}

/// Returns only when the worker says that it is not ready, with what it says. The driver for NATS loses its connection at what it
/// cannot read, so that a worker there is not ready for a moment; it only must not stop answering.
async fn unready(worker: &Worker, kind: Kind) -> String {
    let page = if kind == Kind::Nats { "/livez" } else { "/readyz" };
    let mut pace = interval(PACE);
    loop {
        pace.tick().await;
        match get(worker.admin(), page).await {
            Ok(answer) if answer.status == 200 => {}
            Ok(answer) => return answer.body,
            Err(error) => return error.to_string(),
        }
    }
}

/// What is published, each with its name.
struct Corpus {
    kind: Kind,
    all: Vec<Poison>,
    bodies: BTreeMap<Vec<u8>, usize>,
}

impl Corpus {
    fn read(kind: Kind) -> Self {
        let all = poison::read(kind);
        let mut bodies = BTreeMap::new();
        all.iter().for_each(|poison| *bodies.entry(poison.body.clone()).or_default() += 1);
        let corpus = Self { kind, all, bodies };
        let mut names: Vec<_> = corpus.all.iter().map(|poison| &poison.case).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), corpus.all.len(), "names are unique");
        let mut keys = corpus.keys();
        let count = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), count, "what one case removes no other removes");
        corpus
    }

    fn keys(&self) -> Vec<String> {
        self.all.iter().flat_map(|poison| poison.gone.clone()).collect()
    }

    /// As a transport publishes it.
    fn message(&self, poison: &Poison) -> Message {
        let mut headers = Headers::default();
        poison.headers.iter().for_each(|(name, value)| headers.set(name.clone(), value.clone()));
        if self.bodies[&poison.body] > 1 || !poison.headers.is_empty() {
            headers.set(NAME, poison.case.clone());
        }
        Message { payload: poison.body.clone().into(), headers }
    }

    fn of_letter(&self, letter: &Letter) -> Option<&Poison> {
        let named = |poison: &&Poison| letter.name.as_deref() == Some(&poison.case);
        let same = |poison: &&Poison| self.bodies[&poison.body] == 1 && poison.body == letter.payload;
        let of_value = |poison: &&Poison| poison.raw.len() == 2 && poison.raw[1] == letter.payload;
        let all = || self.all.iter();
        all().find(named).or_else(|| all().find(same)).or_else(|| all().find(of_value))
    }

    /// What is not as it should be.
    fn differences(&self, letters: &[Letter]) -> Vec<String> {
        let mut found: BTreeMap<&str, Vec<&Letter>> = BTreeMap::new();
        let mut wrong = Vec::new();
        for letter in letters {
            match self.of_letter(letter) {
                Some(poison) => found.entry(&poison.case).or_default().push(letter),
                None => wrong.push(format!("a letter of nobody: {letter:?} {}", letter.line)),
            }
        }
        for poison in &self.all {
            let letters = found.remove(&*poison.case).unwrap_or_default();
            let is_right = match &poison.letter {
                None => letters.is_empty(),
                Some(expected) => letters.len() == 1 && letters[0].is(expected),
            };
            if !is_right {
                wrong.push(format!(
                    "{} on {}: expected {:?}, became {letters:?}",
                    poison.case,
                    self.kind.name(),
                    poison.letter
                ));
            }
        }
        wrong
    }
}

/// A dead letter as it is exported.
struct Letter {
    name: Option<String>,
    payload: Vec<u8>,
    reason: Option<String>,
    error: String,
    line: String,
}

impl Letter {
    fn read(text: &str) -> Self {
        let whole = text.chars().take(2000).collect();
        let line: Value = serde_json::from_str(text).unwrap();
        let record = &line["record"];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let payload = text(&line["payload"]).map(String::into_bytes);
        let encoded = || base64(line["payload_base64"].as_str().unwrap());
        Self {
            name: text(&line["headers"][NAME]),
            payload: payload.unwrap_or_else(encoded),
            reason: text(&record["reason"]),
            error: text(&record["error"]).unwrap_or_default(),
            line: whole,
        }
    }

    fn is(&self, expected: &poison::Letter) -> bool {
        self.reason == expected.reason && self.error.contains(&expected.says)
    }
}

impl std::fmt::Debug for Letter {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start = &self.payload[..self.payload.len().min(120)];
        write!(out, "{:?} {:?} {:?} of {}", self.name, self.reason, self.error, start.escape_ascii())
    }
}

/// A broker with a queue for each format, a cache, and Quash between them.
struct Site {
    broker: Broker,
    queues: BTreeMap<String, Queue>,
    cache: RedisServer,
    quash: Quash,
}

impl Site {
    async fn on(broker: Broker, corpus: &Corpus) -> Self {
        let formats = corpus.all.iter().map(|poison| poison.format.clone());
        let mut queues: BTreeMap<String, Queue> = BTreeMap::new();
        for format in formats {
            queues.entry(format).or_insert_with(|| broker.queue());
        }
        let cache = RedisServer::start().await;
        let source = |(format, queue): (&String, &Queue)| {
            format!("  {format}: {}\n", queue.source(&format!(", format: {format}")))
        };
        let sources: String = queues.iter().map(source).collect();
        let rules = std::fs::read_to_string(poison::folder().join("rules.yaml")).unwrap();
        let target = format!("targets:\n  main: {{ redis: {{ url: \"{}\" }} }}\n", cache.url(0));
        let quash = Quash::with(&format!("{rules}{target}sources:\n{sources}"));
        Self { broker, queues, cache, quash }
    }

    /// Publishes all of it, a good event before each, and says which keys those remove.
    async fn publish(&self, corpus: &Corpus) -> Vec<String> {
        let (mut good, mut queued) = (Vec::new(), BTreeMap::<&str, Vec<Message>>::new());
        let mut raw = Vec::new();
        for (place, poison) in corpus.all.iter().enumerate() {
            good.push(format!("good:{place}"));
            let event =
                json!({ "entity": "good.Event", "op": "update", "key": { "id": place }, "after": { "id": place } });
            let before = Message { payload: event.to_string().into(), ..Message::default() };
            // Sources of a format of their own take native events as little as other queues take bad ones.
            queued.entry(if poison.raw.is_empty() { "auto" } else { "raw" }).or_default().push(before);
            if poison.raw.is_empty() {
                queued.entry(&poison.format).or_default().push(corpus.message(poison));
            } else {
                raw.push(poison);
            }
        }
        let auto = &self.queues["auto"];
        let beside = queued.remove("raw").unwrap_or_default();
        for (format, messages) in queued {
            self.queues[format].publish_messages(&messages).await;
        }
        let half = beside.len() / 2;
        auto.publish_messages(&beside[..half]).await;
        self.publish_raw(auto.name(), &raw).await;
        auto.publish_messages(&beside[half..]).await;
        good
    }

    async fn publish_raw(&self, queue: &str, raw: &[&Poison]) {
        match self.broker.kind() {
            Kind::RedisStreams => {
                publish_raw_redis(&self.broker.address(), queue, raw.iter().map(|poison| poison.raw.clone())).await;
            }
            Kind::Amqp => {
                let mut socket = RawAmqp::connect(&self.broker.address()).await;
                for poison in raw {
                    let taken = socket.try_publish(queue, &poison.raw[0], &poison.body).await;
                    taken.unwrap_or_else(|said| panic!("{}: {said}", poison.case));
                }
            }
            Kind::Nats => {
                let messages = raw.iter().map(|poison| (poison.raw[0].clone(), poison.body.clone()));
                publish_raw_nats(&self.broker.address(), queue, messages).await;
            }
        }
    }

    /// What was removed that nobody asked for, and what was not.
    async fn differences(&self, corpus: &Corpus) -> Vec<String> {
        let left: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut self.cache.connect().await).await.unwrap();
        let left: BTreeSet<&str> = left.iter().map(String::as_str).collect();
        let swept = BYSTANDERS.iter().filter(|key| !left.contains(*key)).map(|key| format!("{key} was removed"));
        let stale = corpus.all.iter().flat_map(|poison| {
            let stale = poison.gone.iter().filter(|key| left.contains(key.as_str()));
            stale.map(|key| format!("{}: {:?} is stale", poison.case, &key[..key.len().min(80)]))
        });
        swept.chain(stale).collect()
    }

    async fn dead_letters(&self) -> u64 {
        let mut count = 0;
        for queue in self.queues.values() {
            count += queue.dead_letters().await;
        }
        count
    }

    async fn letters(&self) -> Vec<Letter> {
        let mut letters = Vec::new();
        for source in self.queues.keys() {
            let exported = self.quash.run(&["dlq", "export", "--source", source]).await.done().stdout;
            letters.extend(exported.lines().map(Letter::read));
        }
        letters
    }
}

fn base64(text: &str) -> Vec<u8> {
    let value = |digit: u8| match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.trim_end_matches('=').bytes().map(value).collect();
    let group = |four: &[u8]| {
        let bits = four.iter().fold(0_u32, |bits, digit| bits << 6 | u32::from(*digit)) << (6 * (4 - four.len()));
        bits.to_be_bytes()[1..four.len()].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}
