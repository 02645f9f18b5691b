//! Sets the scene of most tests: a queue, one or two caches, and Quash configured between them.

use std::time::Duration;

use quash_e2e::{Broker, Kind, Quash, Queue, RedisServer, becomes};
use serde_json::{Value, json};

/// Long enough for anything that must happen at all on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Two attempts, with as much time between them as there is by default.
pub(crate) const TWICE: &str = "retry: { max_attempts: 2 }\n";

/// Two attempts, soon after each other: what spends attempts on something that passes becomes a dead letter.
pub(crate) const HASTY: &str = "retry: { max_attempts: 2, initial: 50ms, factor: 1, max: 100ms, jitter: 0 }\n";

/// The simplest cache.
pub(crate) const PRODUCT: &str =
    "caches:\n  product: { key: \"product:{id}\", depends_on: [ { row: shop.Product } ] }\n";

/// A queue that survives kills, a cache, and Quash between them.
pub(crate) struct Scene {
    /// The broker of the queue.
    pub(crate) broker: Broker,
    /// The queue.
    pub(crate) queue: Queue,
    /// The cache; it comes back with what it held.
    pub(crate) cache: RedisServer,
    /// The binary, configured.
    pub(crate) quash: Quash,
}

impl Scene {
    /// Sets it with these sections of the configuration beside targets and sources.
    pub(crate) async fn with(kind: Kind, sections: &str) -> Self {
        Self::on(Broker::shared(kind).await, sections).await
    }

    /// The same with a broker of its own, which the test may kill from now on.
    pub(crate) async fn fragile(kind: Kind, sections: &str) -> Self {
        let scene = Self::on(Broker::start(kind).await, sections).await;
        scene.broker.settled_in(&scene.queue).await;
        scene
    }

    /// The same on a given broker.
    pub(crate) async fn on(broker: Broker, sections: &str) -> Self {
        let queue = broker.queue();
        Self::of(broker, queue, sections).await
    }

    /// The same with a given queue in it.
    pub(crate) async fn of(broker: Broker, queue: Queue, sections: &str) -> Self {
        let cache = RedisServer::durable().await;
        let quash = Quash::with(&config(&queue, &[("main", &cache)], sections));
        Self { broker, queue, cache, quash }
    }

    /// Waits until no key is left in the cache.
    pub(crate) async fn gone(&self, keys: &[String]) {
        gone(&self.cache, keys).await;
    }

    /// Waits until everything published has been settled, and says how many dead letters there are.
    pub(crate) async fn settled(&self) -> u64 {
        self.queue.drained(LIMIT).await;
        self.queue.dead_letters().await
    }
}

/// Makes a test of each promise on each kind of broker, as `redis_streams::promise`.
macro_rules! on_every_broker {
    ($($promise:ident),+ $(,)?) => {
        crate::scene::on_every_broker! { @ redis_streams RedisStreams: $($promise)+ }
        crate::scene::on_every_broker! { @ amqp Amqp: $($promise)+ }
        crate::scene::on_every_broker! { @ nats Nats: $($promise)+ }
    };
    (@ $name:ident $kind:ident: $($promise:ident)+) => {
        mod $name {
            $(#[tokio::test]
            async fn $promise() {
                super::$promise(quash_e2e::Kind::$kind).await;
            })+
        }
    };
}
pub(crate) use on_every_broker;

/// The configuration of one source and these targets, followed by more sections.
pub(crate) fn config(queue: &Queue, targets: &[(&str, &RedisServer)], sections: &str) -> String {
    config_of(&queue.source(""), targets, sections)
}

/// The same with a source that is written already.
pub(crate) fn config_of(source: &str, targets: &[(&str, &RedisServer)], sections: &str) -> String {
    let target = |(name, server): &(&str, &RedisServer)| {
        format!("  {name}: {{ redis: {{ url: \"{}\" }}, timeout: 1s }}\n", server.url(0))
    };
    let targets: String = targets.iter().map(target).collect();
    format!("version: 1\ntargets:\n{targets}sources:\n  events: {source}\n{sections}")
}

/// The keys of these products.
pub(crate) fn products(ids: impl IntoIterator<Item = u32>) -> Vec<String> {
    ids.into_iter().map(|id| format!("product:{id}")).collect()
}

/// One update each of these products.
pub(crate) fn updates(ids: impl IntoIterator<Item = u32>) -> Vec<Value> {
    ids.into_iter().map(update).collect()
}

/// An update of a product.
pub(crate) fn update(id: u32) -> Value {
    let row = json!({ "id": id });
    json!({ "id": format!("product-{id}"), "entity": "shop.Product", "op": "update", "key": row, "before": row, "after": row })
}

/// The bytes of events, for a queue that takes anything.
pub(crate) fn bodies(events: &[Value]) -> Vec<Vec<u8>> {
    events.iter().map(|event| event.to_string().into_bytes()).collect()
}

/// Waits until no key is left in a cache.
pub(crate) async fn gone(cache: &RedisServer, keys: &[String]) {
    becomes(LIMIT, "every stale entry is removed", 0, async || cache.count(keys).await).await;
}
