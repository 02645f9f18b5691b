//! Sees behind a store on real servers, as the administrator of all its nodes.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use quash_store::Store;
use quash_store::conformance::Fixture;
use quash_store::redis::Config;
use redis::AsyncCommands;
use redis::aio::{ConnectionLike, PubSub};
use tokio::sync::Mutex;

use crate::server::Server;

/// The rights that the documentation asks for, word by word.
const DOCUMENTATION: &str = include_str!("../../../../docs/targets.md");

/// A store on servers, and `C`, which reads and writes beside it.
pub(crate) struct Servers<C> {
    store: Arc<dyn Store>,
    connection: C,
    nodes: Vec<redis::Client>,
    listening: Mutex<Option<PubSub>>,
}

impl<C> Servers<C> {
    pub(crate) fn new(store: Arc<dyn Store>, connection: C, servers: &[&Server]) -> Self {
        let nodes = servers.iter().map(|server| redis::Client::open(server.url()).unwrap()).collect();
        Self { store, connection, nodes, listening: Mutex::new(None) }
    }

    /// Sets the key patterns of the store's user on every node.
    async fn permit_keys(&self, patterns: &[String]) {
        let mut rule = redis::cmd("ACL");
        rule.arg("SETUSER").arg("quash").arg("resetkeys").arg(patterns);
        self.on_all_nodes(&rule).await;
    }

    async fn on_all_nodes(&self, command: &redis::Cmd) {
        for node in &self.nodes {
            let mut connection = node.get_multiplexed_async_connection().await.unwrap();
            command.exec_async(&mut connection).await.unwrap();
        }
    }
}

#[async_trait]
impl<C: ConnectionLike + Clone + Send + Sync> Fixture for Servers<C> {
    fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    async fn set(&self, key: &str, value: &str) {
        let () = self.connection.clone().set(key, value).await.unwrap();
    }

    async fn get(&self, key: &str) -> Option<String> {
        self.connection.clone().get(key).await.unwrap()
    }

    async fn set_bytes(&self, key: &str, value: &[u8], ttl_ms: u64) {
        let () = self.connection.clone().pset_ex(key, value, ttl_ms).await.unwrap();
    }

    async fn get_bytes(&self, key: &str) -> Option<Vec<u8>> {
        self.connection.clone().get(key).await.unwrap()
    }

    async fn ttl_ms(&self, key: &str) -> Option<u64> {
        let ttl: i64 = self.connection.clone().pttl(key).await.unwrap();
        u64::try_from(ttl).ok()
    }

    async fn refuse(&self, key: &str) {
        self.permit_keys(&all_but(key)).await;
    }

    async fn listen(&self, channel: &str) {
        let mut listening = self.nodes[0].get_async_pubsub().await.unwrap();
        listening.subscribe(channel).await.unwrap();
        *self.listening.lock().await = Some(listening);
    }

    async fn next_message(&self) -> String {
        let mut listening = self.listening.lock().await;
        let message = listening.as_mut().unwrap().on_message().next().await.unwrap();
        message.get_payload().unwrap()
    }

    async fn clear(&self) {
        self.permit_keys(&["~*".to_owned()]).await;
        self.on_all_nodes(&redis::cmd("FLUSHALL")).await;
    }
}

/// Gives the store's user exactly the rights of the documentation: those of every worker, and what some caches take.
pub(crate) async fn make_user(server: &Server) {
    let lines: Vec<_> = DOCUMENTATION.lines().filter(|line| line.starts_with("ACL SETUSER quash ")).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    for line in lines {
        server.admin(&line.split(' ').collect::<Vec<_>>()).await;
    }
    // What publishers who wait may do at the same place.
    server.admin(&["ACL", "SETUSER", "quash", "+blpop", "+lpop"]).await;
}

/// A store with this configuration.
pub(crate) fn store(json: serde_json::Value) -> Arc<dyn Store> {
    let config: Config = serde_json::from_value(json).unwrap();
    config.build().unwrap()
}

/// Key patterns that match every key but one: those that differ from it at some place, end before it, or go on after it.
fn all_but(key: &str) -> Vec<String> {
    let mut patterns = vec![format!("~{key}?*")];
    for (index, character) in key.char_indices() {
        let before = &key[..index];
        patterns.push(format!("~{before}[^{character}]*"));
        patterns.push(format!("~{before}"));
    }
    patterns
}
