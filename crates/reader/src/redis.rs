//! Asks Redis and Valkey: plain commands for hits and misses, a script where something must be compared.

use std::time::Duration;

use async_trait::async_trait;
use quash_core::freshness::scripts::{self, Script, version_arg};
use quash_core::freshness::{Filled, Tag, Taken, Token, Want, lease};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, RedisError, ServerErrorKind, Value};
use tokio::sync::Mutex;

use crate::store::{Store, StoreError};
use crate::time::ms;

/// How long connecting may take, and how long an answer, before readers go on without the cache.
const TIMEOUT: Duration = Duration::from_secs(1);

/// One server of Redis (7.0 and later) or Valkey, with one connection that all calls share.
///
/// It connects when it is first asked, and anew after a connection failed: calls under way fail then, and nothing is repeated.
pub struct RedisStore {
    client: Client,
    timeout: Duration,
    /// The connection, and how many there were before it.
    connection: Mutex<(u64, Option<MultiplexedConnection>)>,
    pub(crate) take: Script,
    pub(crate) fill: Script,
    pub(crate) drop: Script,
}

impl RedisStore {
    /// The server of this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        let (take, fill, drop) = (scripts::TAKE, scripts::FILL, scripts::DROP);
        Self { client, timeout: TIMEOUT, connection: Mutex::new((0, None)), take, fill, drop }
    }

    /// The same, where an answer may take so long; a second when not said.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    async fn connection(&self) -> Result<(u64, MultiplexedConnection), RedisError> {
        let mut kept = self.connection.lock().await;
        if let (number, Some(connection)) = &*kept {
            return Ok((*number, connection.clone()));
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(self.timeout));
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        *kept = (kept.0 + 1, Some(connection.clone()));
        Ok((kept.0, connection))
    }

    async fn send(&self, command: &Cmd) -> Result<Value, RedisError> {
        let (number, mut connection) = self.connection().await?;
        let reply = connection.send_packed_command(command).await.and_then(Value::extract_error);
        if reply.as_ref().is_err_and(|error| !is_answer(error)) {
            // Also after a time-out: the driver would keep the socket of a peer that is gone for long.
            let mut kept = self.connection.lock().await;
            if kept.0 == number {
                kept.1 = None;
            }
        }
        reply
    }

    pub(crate) async fn ask_for(&self, operation: &'static str, command: &Cmd) -> Result<Value, StoreError> {
        self.send(command).await.map_err(|error| StoreError::new(operation, error))
    }

    /// Runs a script on its keys; its reply is text.
    pub(crate) async fn run(&self, script: Script, keys: &[&str], args: &[&[u8]]) -> Result<Vec<u8>, StoreError> {
        let command = |verb: &str, which: &str| {
            let mut command = redis::cmd(verb);
            command.arg(which).arg(keys.len()).arg(keys).arg(args);
            command
        };
        let reply = match self.send(&command("EVALSHA", script.sha1)).await {
            // Nothing was done, so this repeats nothing.
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.send(&command("EVAL", script.text)).await
            }
            reply => reply,
        };
        let reply = reply.map_err(|error| StoreError::new(script.name, error))?;
        bytes(reply).ok_or_else(|| strange(script.name))
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn get(&self, keys: &[&str]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        if let [key] = keys {
            let reply = self.send(redis::cmd("GET").arg(key)).await;
            return or_no_bytes(reply, Value::Nil, "get").map(|value| vec![bytes(value)]);
        }
        let Value::Array(values) = self.ask_for("get", redis::cmd("MGET").arg(keys)).await? else {
            return Err(strange("get"));
        };
        if values.len() == keys.len() { Ok(values.into_iter().map(bytes).collect()) } else { Err(strange("get")) }
    }

    async fn ask(&self, key: &str, token: Token, time: Duration) -> Result<Option<Vec<u8>>, StoreError> {
        let mut command = redis::cmd("SET");
        command.arg(key).arg(&lease(token)).arg("NX").arg("GET").arg("PX").arg(ms(time));
        or_no_bytes(self.send(&command).await, Value::BulkString(Vec::new()), "ask").map(bytes)
    }

    async fn take(&self, key: &str, token: Token, lease: Duration, want: Want) -> Result<Taken, StoreError> {
        let lease = ms(lease).to_string();
        let reply = self.run(self.take, &[key], &[token.as_bytes(), lease.as_bytes(), &[want.byte()]]).await?;
        Taken::read(&reply).ok_or_else(|| strange("take"))
    }

    async fn fill(
        &self,
        key: &str,
        token: Token,
        version: u64,
        ttl: Duration,
        entry: &[u8],
    ) -> Result<Filled, StoreError> {
        let (version, ttl) = (version_arg(version), ms(ttl).to_string());
        let reply = self.run(self.fill, &[key], &[token.as_bytes(), &version, ttl.as_bytes(), entry]).await?;
        Filled::read(&reply).ok_or_else(|| strange("fill"))
    }

    async fn drop_lease(&self, key: &str, token: Token) -> Result<bool, StoreError> {
        Ok(self.run(self.drop, &[key], &[token.as_bytes()]).await? == b"K")
    }

    async fn make_tag(&self, tag: &str, token: Tag) -> Result<Option<Tag>, StoreError> {
        let mut command = redis::cmd("SET");
        command.arg(tag).arg(token.to_string()).arg("NX").arg("GET");
        let there = bytes(self.ask_for("make a tag", &command).await?);
        Ok(there.map_or(Some(token), |there| Tag::read(&there)))
    }

    async fn renew_tag(&self, tag: &str, token: Tag) -> Result<(), StoreError> {
        let mut command = redis::cmd("SET");
        command.arg(tag).arg(token.to_string()).arg("XX").arg("KEEPTTL");
        self.ask_for("renew a tag", &command).await.map(drop)
    }

    async fn set(&self, key: &str, bytes: &[u8], ttl: Duration) -> Result<(), StoreError> {
        let mut command = redis::cmd("SET");
        command.arg(key).arg(bytes).arg("PX").arg(ms(ttl));
        self.ask_for("set", &command).await.map(drop)
    }

    async fn remove(&self, key: &str) -> Result<(), StoreError> {
        self.ask_for("remove", redis::cmd("UNLINK").arg(key)).await.map(drop)
    }
}

/// The reply, or this where there stands what is no bytes, as a list is.
fn or_no_bytes(reply: Result<Value, RedisError>, other: Value, operation: &'static str) -> Result<Value, StoreError> {
    match reply {
        Err(error) if error.code() == Some("WRONGTYPE") => Ok(other),
        reply => reply.map_err(|error| StoreError::new(operation, error)),
    }
}

/// Whether the server said it, so that the connection is as good as before.
fn is_answer(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension)
}

fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        _ => None,
    }
}

fn strange(operation: &'static str) -> StoreError {
    StoreError::new(operation, "the server gave an answer that means nothing here")
}
