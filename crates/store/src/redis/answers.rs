//! Says answers on a cache, and waits for them there.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use quash_core::answer::{AnswerId, LIFE};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Value};
use tokio::time::timeout;

use super::Redis;
use super::reply::{Class, answer, classify, down};
use crate::{Answers, StoreError};

/// How often answers are said anew that met a slot on its way to another node.
const ROUNDS_MAX: usize = 3;

/// How many connections are kept for those who wait next.
const KEPT_MAX: usize = 16;

/// Connections that wait for answers: each blocks, so that none is shared. With the address of their node.
#[derive(Default)]
pub(super) struct Ears(Mutex<Vec<(String, MultiplexedConnection)>>);

impl Ears {
    fn take(&self, address: &str) -> Option<MultiplexedConnection> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = kept.iter().position(|(known, _)| known == address)?;
        Some(kept.swap_remove(index).1)
    }

    fn keep(&self, address: String, connection: MultiplexedConnection) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT_MAX {
            kept.push((address, connection));
        }
    }
}

#[async_trait]
impl Answers for Redis {
    async fn say(&self, answers: &[(AnswerId, String)]) -> Result<(), StoreError> {
        let mut left: Vec<&(AnswerId, String)> = answers.iter().collect();
        for _ in 0..ROUNDS_MAX {
            let link = self.connector.link().await?;
            let mut by_node: Vec<Vec<&(AnswerId, String)>> = link.nodes.iter().map(|_| Vec::new()).collect();
            for said in std::mem::take(&mut left) {
                by_node[link.node(Some(said.0.key().as_bytes()))?].push(said);
            }
            for (node, said) in link.nodes.iter().zip(by_node) {
                let sent = node.send(said.iter().flat_map(|(id, answer)| commands(*id, answer))).await;
                let replies = self.connector.check(&link, sent).await?;
                for (said, replies) in said.into_iter().zip(replies.chunks(2)) {
                    if !is_said(replies)? {
                        left.push(said);
                    }
                }
            }
            if left.is_empty() {
                return Ok(());
            }
            self.connector.lose(&link).await;
        }
        Err(StoreError::Unreachable("the cluster keeps redirecting commands".to_owned()))
    }

    async fn hear(&self, id: AnswerId, limit: Duration) -> Result<Option<Vec<u8>>, StoreError> {
        let key = id.key();
        let link = self.connector.link().await?;
        let address = link.nodes[link.node(Some(key.as_bytes()))?].address.clone();
        let connection = match self.ears.take(&address) {
            Some(connection) => connection,
            None => self.connector.alone(&address).await?,
        };
        // A connection on which somebody gave up, or whose answer did not come, is not used again: it may yet take one.
        let patience = limit.saturating_add(self.connector.response_timeout);
        let command = listen(&key, limit);
        let mut ear = connection.clone();
        let reply = match timeout(patience, ear.send_packed_command(&command)).await {
            Ok(Ok(reply)) => answer(reply)?,
            Ok(Err(error)) => return Err(down(&error)),
            Err(_) => return Err(StoreError::Unreachable("the cache does not say that there is no answer".to_owned())),
        };
        self.ears.keep(address, connection);
        Ok(match reply {
            Value::BulkString(bytes) => Some(bytes),
            Value::Array(mut named) => match named.pop() {
                Some(Value::BulkString(bytes)) => Some(bytes),
                _ => None,
            },
            _ => None,
        })
    }
}

/// Takes the next answer, or waits for it. A time-out of nothing would wait for good.
fn listen(key: &str, limit: Duration) -> Cmd {
    if limit < Duration::from_millis(1) {
        let mut command = redis::cmd("LPOP");
        command.arg(key);
        return command;
    }
    let mut command = redis::cmd("BLPOP");
    command.arg(key).arg(format!("{:.3}", limit.as_secs_f64()));
    command
}

/// Whether an answer is said, by the replies to its commands; false where its slot is elsewhere now.
///
/// # Errors
/// When the cache refused, or cannot work now.
fn is_said(replies: &[Value]) -> Result<bool, StoreError> {
    for reply in replies {
        if let Value::ServerError(error) = reply
            && matches!(classify(error), Class::Moved | Class::Ask(_) | Class::TryAgain)
        {
            return Ok(false);
        }
        answer(reply.clone())?;
    }
    Ok(true)
}

/// The commands that say one answer.
fn commands(id: AnswerId, answer: &str) -> [Cmd; 2] {
    let (key, life) = (id.key(), u64::try_from(LIFE.as_millis()).unwrap_or(u64::MAX));
    let (mut push, mut expire) = (redis::cmd("RPUSH"), redis::cmd("PEXPIRE"));
    push.arg(&key).arg(answer);
    expire.arg(&key).arg(life);
    [push, expire]
}
