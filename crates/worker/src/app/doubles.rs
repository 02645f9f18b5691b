//! Stands in for stores and brokers in the tests of this crate.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use quash_config::Finding;
use quash_config::Tagged;
use quash_core::action::{Action, ActionSet};
use quash_core::key::{ArgSet, KeyError, KeySet, Reach, Remover, Scheme};
use quash_store::{Applied, Can, Identity, Refusal, Store, StoreConfig, StoreError, TargetConfig, TargetOptions};
use quash_transport::{
    Backlog, ConsumeOptions, Consumer, DeadLetters, Delivery, Destination, Headers, LetterId, Message, Receiver,
    Settler, Tag, Transport, TransportError, Verdict,
};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use super::{App, Plugins, compile};
use quash_dispatch::config::{Config, SourceOptions};

/// A target configured as by default.
pub(crate) fn target(options: TargetOptions) -> TargetConfig {
    TargetConfig { kind: StoreConfig::Memory(Box::default()), options }
}

/// A worker of these stores, not yet started, with its broker: source `events`, no admin endpoint, no jitter. Its rules are
/// those of [`config`].
pub(crate) fn app(stores: &[(&str, &Arc<FakeStore>)]) -> (App, Arc<FakeBroker>) {
    let names: Vec<&str> = stores.iter().map(|(name, _)| *name).collect();
    app_of(config(&names, TargetOptions::default()), stores)
}

/// The same of another configuration with the caches of [`config`].
pub(crate) fn app_of(mut config: Config, stores: &[(&str, &Arc<FakeStore>)]) -> (App, Arc<FakeBroker>) {
    let broker = FakeBroker::new();
    let kind = serde_json::from_str(r#"{"memory":{}}"#).unwrap();
    let options = SourceOptions { batch: 10, ..SourceOptions::default() };
    config.sources.insert("events".to_owned(), Tagged { kind, options });
    let stores = stores.iter().map(|(name, store)| ((*name).to_owned(), Arc::clone(*store) as Arc<dyn Store>));
    let transport: Arc<dyn Transport> = Arc::new(Shared(Arc::clone(&broker)));
    let plugins = Plugins { stores: stores.collect(), transports: BTreeMap::from([("events".to_owned(), transport)]) };
    let rules = compile(&config).unwrap().with_scheme("panic", Box::new(Panicking(["id".to_owned()])));
    (App::with_rules(config, Arc::new(rules)).plugins(plugins), broker)
}

/// A configuration of these targets, with quick retries; its rules are those that [`body`] speaks of.
pub(crate) fn config(targets: &[&str], options: TargetOptions) -> Config {
    let mut config: Config = serde_json::from_str(
        r#"{
            "version": 1, "admin": {"listen": "off"}, "worker": {"name": "tester"}, "retry": {"jitter": 0, "max_attempts": 3},
            "caches": {
                "product": {"key": "product:{id}", "depends_on": [{"row": "Product"}]},
                "again": {"key": "again:{id}", "depends_on": [{"row": "Again"}], "again_after": ["1s", "30s"]},
                "panic": {"key": "panic:{id}", "depends_on": [{"row": "panic"}]}
            }
        }"#,
    )
    .unwrap();
    config.targets = targets.iter().map(|name| ((*name).to_owned(), target(options.clone()))).collect();
    config
}

/// Waits, in paused time, until something is so.
pub(crate) async fn until(what: &str, is: impl Fn() -> bool) {
    let limit = Instant::now() + Duration::from_secs(3600);
    while !is() {
        assert!(Instant::now() < limit, "never: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// How a store behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Works,
    /// Refuses every key with `bad` in it.
    Picky,
    Dead,
    Hangs,
}

/// A store that behaves as it is told and remembers what it did.
pub(crate) struct FakeStore {
    mode: Mutex<Mode>,
    identity: Mutex<Result<Identity, StoreError>>,
    applied: Mutex<Vec<String>>,
    pub(crate) asked_who: AtomicU64,
    changed: Notify,
}

impl FakeStore {
    pub(crate) fn new(mode: Mode) -> Arc<Self> {
        let identity = Mutex::new(Ok(Identity("first run".to_owned())));
        let (mode, applied) = (Mutex::new(mode), Mutex::default());
        Arc::new(Self { mode, identity, applied, asked_who: AtomicU64::new(0), changed: Notify::new() })
    }

    pub(crate) fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
        self.changed.notify_waiters();
    }

    pub(crate) fn is_now(&self, identity: Result<Identity, StoreError>) {
        *self.identity.lock().unwrap() = identity;
    }

    /// What was done, as `delete k`, in order.
    pub(crate) fn applied(&self) -> Vec<String> {
        self.applied.lock().unwrap().clone()
    }

    pub(crate) fn forget(&self) {
        self.applied.lock().unwrap().clear();
    }

    /// Answers for the mode; a store that hangs does not answer until it is something else.
    async fn answers(&self) -> Result<Mode, StoreError> {
        loop {
            let changed = self.changed.notified();
            let mode = *self.mode.lock().unwrap();
            match mode {
                Mode::Dead => return Err(StoreError::Unreachable("connection refused".to_owned())),
                Mode::Hangs => changed.await,
                Mode::Works | Mode::Picky => return Ok(mode),
            }
        }
    }
}

#[async_trait]
impl Store for FakeStore {
    async fn apply(&self, actions: &[Action]) -> Result<Applied, StoreError> {
        let mode = self.answers().await?;
        let outcomes = actions.iter().map(|action| match mode {
            Mode::Picky if action.object().contains("bad") => Err(Refusal("ERR bad key".to_owned())),
            _ => {
                assert!(!action.object().contains("explode"), "exploded");
                self.applied.lock().unwrap().push(format!("{} {}", action.kind(), action.object()));
                Ok(1)
            }
        });
        let mut applied = Applied::default();
        applied.outcomes = outcomes.collect();
        Ok(applied)
    }

    async fn identity(&self) -> Result<Identity, StoreError> {
        self.asked_who.fetch_add(1, Relaxed);
        self.answers().await?;
        self.identity.lock().unwrap().clone()
    }

    async fn inspect(&self, _: ActionSet) -> Result<Vec<Finding>, StoreError> {
        Ok(Vec::new())
    }

    fn can(&self) -> Can {
        Can::ALL
    }
}

/// A scheme that panics whatever it is asked for.
#[derive(Debug)]
struct Panicking([String; 1]);

impl Scheme for Panicking {
    fn args(&self) -> &[String] {
        &self.0
    }

    fn reach(&self, _: ArgSet, _: usize) -> Reach {
        Reach::keys("panic:{id}", 1)
    }

    fn actions(&self, _: ArgSet, _: usize) -> usize {
        1
    }

    fn remove(&self, _: &KeySet<'_>, _: usize, _: &mut String, _: &mut dyn Remover) -> Result<(), KeyError> {
        panic!("the rules panicked")
    }

    fn remove_all(&self, _: &mut dyn Remover) {}
}

/// A message for the rules of [`config`], in words: `main:k` deletes `k` on `main`, `product:k` is a change of that product,
/// and `product:` of one that it does not name, `again:k` one of what has later passes, `nothing` is a change that nothing depends on, `panic` one that panics.
/// `garbage` is no event.
pub(crate) fn body(words: &str) -> String {
    if words == "garbage" {
        return words.to_owned();
    }
    let created = |entity: &str, row: Value| json!({"entity": entity, "op": "create", "after": row, "time": 1});
    let event = |word: &str| match word.split_once(':') {
        Some(("product", "")) => created("Product", json!({})),
        Some(("product", id)) => created("Product", json!({"id": id})),
        Some(("again", id)) => created("Again", json!({"id": id})),
        Some((target, key)) => json!({"invalidate": {"key": key, "target": target}}),
        None => created(word, json!({"id": "1"})),
    };
    json!({"events": words.split_whitespace().map(event).collect::<Vec<_>>()}).to_string()
}

/// A broker in this process whose failures are told to it.
#[derive(Default)]
pub(crate) struct FakeBroker {
    state: Mutex<Held>,
    arrived: Notify,
}

#[derive(Default)]
struct Held {
    waiting: VecDeque<(Instant, Delivery)>,
    unsettled: BTreeMap<Tag, Delivery>,
    letters: Vec<Message>,
    next: u128,
    refusals: usize,
    panics: usize,
    bytes_max: Option<usize>,
    refused_prepare: bool,
    away: bool,
    settled: Vec<Vec<(Tag, Verdict)>>,
    received: usize,
}

impl FakeBroker {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Messages in the words of [`body`].
    pub(crate) fn send(&self, messages: &[&str]) {
        messages.iter().for_each(|words| self.send_with(&body(words), Headers::default(), 1));
    }

    pub(crate) fn send_with(&self, body: &str, headers: Headers, deliveries: u32) {
        let message = Message { payload: body.as_bytes().to_vec().into(), headers };
        self.state.lock().unwrap().hold(message, Duration::ZERO, deliveries);
        self.arrived.notify_waiters();
    }

    /// Settling panics this many times before it does anything.
    pub(crate) fn panic_when_settling(&self, times: usize) {
        self.state.lock().unwrap().panics = times;
    }

    /// The next so many settlements fail after they were carried out: the answer got lost.
    pub(crate) fn lose_answers(&self, times: usize) {
        self.state.lock().unwrap().refusals = times;
    }

    /// Copies of more bytes are not stored, and their originals stay.
    pub(crate) fn take_at_most(&self, bytes: usize) {
        self.state.lock().unwrap().bytes_max = Some(bytes);
    }

    pub(crate) fn refuse_to_prepare(&self) {
        self.state.lock().unwrap().refused_prepare = true;
    }

    /// Whether it cannot be published to.
    pub(crate) fn set_away(&self, away: bool) {
        self.state.lock().unwrap().away = away;
    }

    pub(crate) fn letters(&self) -> Vec<Message> {
        self.state.lock().unwrap().letters.clone()
    }

    /// Bodies of what is neither received nor settled, with the headers of each.
    pub(crate) fn waiting(&self) -> Vec<(String, Headers)> {
        let state = self.state.lock().unwrap();
        state.waiting.iter().map(|(_, delivery)| (text(&delivery.message), delivery.message.headers.clone())).collect()
    }

    pub(crate) fn received(&self) -> usize {
        self.state.lock().unwrap().received
    }

    /// Every call to settle so far.
    pub(crate) fn settled(&self) -> Vec<Vec<(Tag, Verdict)>> {
        self.state.lock().unwrap().settled.clone()
    }

    pub(crate) fn is_empty(&self) -> bool {
        let state = self.state.lock().unwrap();
        state.waiting.is_empty() && state.unsettled.is_empty()
    }
}

impl Held {
    fn hold(&mut self, message: Message, delay: Duration, deliveries: u32) {
        self.next += 1;
        let delivery = Delivery { tag: Tag(self.next), broker_id: format!("{}-0", self.next), message, deliveries };
        self.waiting.push_back((Instant::now() + delay, delivery));
    }

    fn takes(&self, verdict: &Verdict) -> bool {
        let fits = |bytes| self.bytes_max.is_none_or(|max| bytes <= max);
        match verdict {
            Verdict::Replace(copies) => copies.iter().all(|copy| fits(crate::settle::size(&copy.message))),
            Verdict::Ack | Verdict::Release => true,
        }
    }

    fn settle(&mut self, tag: Tag, verdict: &Verdict) {
        let Some(delivery) = self.unsettled.remove(&tag) else { return };
        match verdict {
            Verdict::Ack => {}
            Verdict::Release => self.waiting.push_front((Instant::now(), delivery)),
            Verdict::Replace(copies) => {
                for copy in copies {
                    match copy.to {
                        Destination::Later(delay) => self.hold(copy.message.clone(), delay, 1),
                        Destination::DeadLetters => self.letters.push(copy.message.clone()),
                    }
                }
            }
        }
    }
}

pub(crate) fn text(message: &Message) -> String {
    String::from_utf8_lossy(&message.payload).into_owned()
}

/// What a test hands to whom it tests, as the trait asks for it.
pub(crate) struct Shared(pub(crate) Arc<FakeBroker>);

#[async_trait]
impl Transport for Shared {
    async fn prepare(&self) -> Result<(), TransportError> {
        match self.0.state.lock().unwrap().refused_prepare {
            true => Err(TransportError::Refused("the stream is a list".to_owned())),
            false => Ok(()),
        }
    }

    async fn publish(&self, messages: &[Message]) -> Result<(), TransportError> {
        let mut state = self.0.state.lock().unwrap();
        if state.away {
            return Err(TransportError::Unreachable("connection refused".to_owned()));
        }
        messages.iter().for_each(|message| state.hold(message.clone(), Duration::ZERO, 1));
        self.0.arrived.notify_waiters();
        Ok(())
    }

    async fn consume(&self, options: &ConsumeOptions) -> Result<Consumer, TransportError> {
        let broker = Arc::clone(&self.0);
        let receiver = Box::new(FakeReceiver { broker: Arc::clone(&broker), batch: options.batch });
        Ok(Consumer { receiver, settler: Arc::new(Self(broker)) })
    }

    fn dead_letters(&self) -> &dyn DeadLetters {
        self
    }

    async fn backlog(&self) -> Result<Backlog, TransportError> {
        let state = self.0.state.lock().unwrap();
        let (ready, unsettled) = (state.waiting.len() as u64, state.unsettled.len() as u64);
        Ok(Backlog { ready, unsettled, ..Backlog::default() })
    }

    async fn inspect(&self) -> Result<Vec<Finding>, TransportError> {
        Ok(Vec::new())
    }
}

struct FakeReceiver {
    broker: Arc<FakeBroker>,
    batch: usize,
}

#[async_trait]
impl Receiver for FakeReceiver {
    async fn receive(&mut self) -> Result<Vec<Delivery>, TransportError> {
        loop {
            let arrived = self.broker.arrived.notified();
            let (batch, next) = self.take();
            if !batch.is_empty() {
                return Ok(batch);
            }
            let due = async {
                match next {
                    Some(next) => sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = arrived => {}
                () = due => {}
            }
        }
    }
}

impl FakeReceiver {
    fn take(&self) -> (Vec<Delivery>, Option<Instant>) {
        let mut state = self.broker.state.lock().unwrap();
        let now = Instant::now();
        let (due, later): (VecDeque<_>, VecDeque<_>) = state.waiting.drain(..).partition(|(at, _)| *at <= now);
        let mut due = due.into_iter();
        let batch: Vec<Delivery> = due.by_ref().take(self.batch).map(|(_, delivery)| delivery).collect();
        state.waiting = due.chain(later).collect();
        state.received += batch.len();
        state.unsettled.extend(batch.iter().map(|delivery| (delivery.tag, delivery.clone())));
        (batch, state.waiting.iter().map(|(at, _)| *at).min())
    }
}

#[async_trait]
impl Settler for Shared {
    async fn settle(&self, verdicts: &[(Tag, Verdict)]) -> Result<Vec<Tag>, TransportError> {
        let mut state = self.0.state.lock().unwrap();
        if state.panics > 0 {
            state.panics -= 1;
            drop(state);
            panic!("the driver is broken");
        }
        state.settled.push(verdicts.to_vec());
        let (fitting, oversized): (Vec<_>, Vec<_>) = verdicts.iter().partition(|(_, verdict)| state.takes(verdict));
        fitting.iter().for_each(|(tag, verdict)| state.settle(*tag, verdict));
        self.0.arrived.notify_waiters();
        if state.refusals > 0 {
            state.refusals -= 1;
            return Err(TransportError::Unreachable("connection reset".to_owned()));
        }
        Ok(oversized.iter().map(|(tag, _)| *tag).collect())
    }
}

#[async_trait]
impl DeadLetters for Shared {
    async fn append(&self, letters: &[Message]) -> Result<(), TransportError> {
        self.0.state.lock().unwrap().letters.extend_from_slice(letters);
        Ok(())
    }

    async fn scan(&self, _: Option<&LetterId>, max: usize) -> Result<Vec<(LetterId, Message)>, TransportError> {
        let letters = self.0.letters().into_iter().take(max);
        Ok(letters.enumerate().map(|(index, letter)| (LetterId(index.to_string()), letter)).collect())
    }

    async fn remove(&self, _: &[LetterId]) -> Result<u64, TransportError> {
        Ok(0)
    }

    async fn len(&self) -> Result<u64, TransportError> {
        Ok(self.0.letters().len() as u64)
    }
}
