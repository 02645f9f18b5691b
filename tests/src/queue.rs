//! Looks at a queue from outside, through the transport itself, and puts any bytes into it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quash_dispatch::transport::{Backlog, Message, Transport, TransportConfig, TransportError};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::{RedisServer, becomes, eventually};

const PATIENCE: Duration = Duration::from_secs(20);

/// A stream on a Redis, with the group that workers use.
pub struct Queue {
    transport: Arc<dyn Transport>,
    stream: String,
    url: String,
    prepared: OnceCell<()>,
}

impl Queue {
    /// A stream of this name; declares nothing yet.
    ///
    /// # Panics
    /// When the transport refuses its configuration.
    #[must_use]
    pub fn on(server: &RedisServer, stream: &str) -> Self {
        Self::at(&server.url(0), stream)
    }

    /// A stream behind a URL, as a proxy has.
    ///
    /// # Panics
    /// When the transport refuses its configuration.
    #[must_use]
    pub fn at(url: &str, stream: &str) -> Self {
        let config = json!({ "redis_streams": { "url": url, "stream": stream, "group": "quash" } });
        let config: TransportConfig = serde_json::from_value(config).expect("a configuration of redis_streams");
        let transport = config.build().unwrap_or_else(|problem| panic!("redis_streams: {problem:?}"));
        Self { transport, stream: stream.to_owned(), url: url.to_owned(), prepared: OnceCell::new() }
    }

    /// Its entry in `sources`, with more options of a source as YAML (`, format: wal2json`).
    #[must_use]
    pub fn source(&self, options: &str) -> String {
        let (url, stream) = (&self.url, &self.stream);
        format!("{{ redis_streams: {{ url: \"{url}\", stream: {stream}, group: quash }}{options} }}")
    }

    /// Publishes bodies as they are; again, if the broker is just coming back, which may double some.
    ///
    /// # Panics
    /// When the broker does not take them.
    pub async fn publish(&self, bodies: impl IntoIterator<Item = impl Into<Bytes>>) {
        let messages: Vec<_> =
            bodies.into_iter().map(|body| Message { payload: body.into(), ..Message::default() }).collect();
        self.prepared.get_or_init(async || patiently("prepare", async || self.transport.prepare().await).await).await;
        patiently("publish", async || self.transport.publish(&messages).await).await;
    }

    /// How much is waiting.
    ///
    /// # Panics
    /// When the broker cannot be reached.
    pub async fn backlog(&self) -> Backlog {
        patiently("count the backlog", async || self.transport.backlog().await).await
    }

    /// How many dead letters there are.
    ///
    /// # Panics
    /// When the broker cannot be reached.
    pub async fn dead_letters(&self) -> u64 {
        patiently("count the dead letters", async || self.transport.dead_letters().len().await).await
    }

    /// Waits until nothing waits, nothing is being worked on, nothing is delayed and nothing was lost.
    pub async fn drained(&self, limit: Duration) {
        becomes(limit, "the queue is drained", Backlog::default(), async || self.backlog().await).await;
    }
}

/// Asks until the broker can be reached: a test may have killed it a moment ago.
async fn patiently<T>(what: &str, mut ask: impl AsyncFnMut() -> Result<T, TransportError>) -> T {
    let mut answer = None;
    eventually(PATIENCE, what, async || match ask().await {
        Ok(given) => {
            answer = Some(given);
            true
        }
        Err(TransportError::Unreachable(_)) => false,
        Err(refused) => panic!("{what}: {refused}"),
    })
    .await;
    answer.expect("it was given just now")
}
