//! Listens to what a server tells of its keys, and says so to the copy in this process.

use std::sync::{Arc, Weak};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ProtocolVersion, PushInfo, PushKind, RedisError, Value};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::l1::Copies;

/// How often the connection is tried, and how long it may take to answer, before it counts as lost.
const PING: Duration = Duration::from_secs(1);

/// Listens until the copy is gone. A connection that is lost is made anew.
pub(crate) async fn listen(client: Client, prefixes: Vec<String>, copy: Weak<Copies>) {
    let mut was_heard = true;
    while copy.strong_count() > 0 {
        let Err(error) = session(&client, &prefixes, &copy).await else { return };
        if let Some(copy) = copy.upgrade() {
            copy.end();
        }
        if std::mem::take(&mut was_heard) {
            tracing::warn!(%error, "the cache does not tell of its changes; nothing is served from this process meanwhile");
        }
        sleep(PING).await;
    }
}

/// Listens on one connection until it fails, or the copy is gone.
async fn session(client: &Client, prefixes: &[String], copy: &Weak<Copies>) -> Result<(), RedisError> {
    let info = client.get_connection_info().clone();
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    let client = Client::open(info.set_redis_settings(settings))?;
    let (sender, mut messages) = unbounded_channel();
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PING))
        .set_response_timeout(Some(PING))
        .set_push_sender(sender);
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    let mut track = redis::cmd("CLIENT");
    track.arg("TRACKING").arg("ON").arg("BCAST");
    for prefix in prefixes {
        track.arg("PREFIX").arg(prefix);
    }
    let () = track.query_async(&mut connection).await?;
    match copy.upgrade() {
        Some(copy) => copy.begin(),
        None => return Ok(()),
    }
    follow(&mut messages, &mut connection, copy).await
}

async fn follow(
    messages: &mut UnboundedReceiver<PushInfo>,
    connection: &mut MultiplexedConnection,
    copy: &Weak<Copies>,
) -> Result<(), RedisError> {
    let mut pings = interval(PING);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            message = messages.recv() => {
                let Some(copy) = copy.upgrade() else { return Ok(()) };
                match message {
                    Some(PushInfo { kind: PushKind::Invalidate, data }) => data.into_iter().for_each(|invalidated| tell(&copy, invalidated)),
                    None | Some(PushInfo { kind: PushKind::Disconnection, .. }) => return Err(lost()),
                    Some(_) => {}
                }
            }
            _ = pings.tick() => {
                redis::cmd("PING").query_async::<Value>(connection).await?;
                if copy.strong_count() == 0 {
                    return Ok(());
                }
            }
        }
    }
}

/// The keys that changed, or nothing where all did.
fn tell(copy: &Copies, invalidated: Value) {
    match invalidated {
        Value::Array(keys) => keys.into_iter().for_each(|key| match key {
            Value::BulkString(key) => copy.touch(&key),
            Value::SimpleString(key) => copy.touch(key.as_bytes()),
            _ => copy.touch_all(),
        }),
        _ => copy.touch_all(),
    }
}

fn lost() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::ConnectionReset).into()
}

/// Those prefixes that no other one begins: the server takes none that overlap.
pub(crate) fn apart(mut prefixes: Vec<String>) -> Vec<String> {
    prefixes.sort();
    let mut apart: Vec<String> = Vec::new();
    for prefix in prefixes {
        if apart.last().is_none_or(|last| !prefix.starts_with(last.as_str())) {
            apart.push(prefix);
        }
    }
    apart
}

/// Listens in the background of this runtime.
pub(crate) fn start(client: Client, prefixes: Vec<String>, copy: &Arc<Copies>) {
    drop(tokio::spawn(listen(client, apart(prefixes), Arc::downgrade(copy))));
}

#[cfg(test)]
mod tests {
    use super::apart;

    #[test]
    fn prefixes_that_others_begin_are_left_out() {
        let prefixes = ["b:", "a:1:", "a:", "ab", "a:", "b"].map(str::to_owned).to_vec();
        assert_eq!(apart(prefixes), ["a:", "ab", "b"]);
    }
}
