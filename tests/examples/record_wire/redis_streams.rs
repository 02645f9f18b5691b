//! Takes everything out of a Redis that holds streams.

use std::collections::HashMap;

use quash_e2e::Broker;
use quash_e2e::recorded::{Header, Lain, encode};
use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, cmd};
use serde_json::{Map, Value, json};

type Fields = Vec<Vec<u8>>;

/// The streams with their groups. Keys of another type are there only while they hold something.
pub(crate) async fn declared(broker: &Broker) -> Vec<Value> {
    let mut redis = connect(broker).await;
    let mut declared = Vec::new();
    for key in keys(&mut redis).await {
        let groups: Vec<HashMap<String, redis::Value>> = ask(&mut redis, cmd("XINFO").arg("GROUPS").arg(&key)).await;
        let names: Vec<String> = groups.iter().map(|group| text(&group["name"])).collect();
        declared.push(json!({ "declared": "stream", "name": key, "groups": names }));
    }
    declared
}

pub(crate) async fn take(broker: &Broker) -> Vec<Lain> {
    let mut redis = connect(broker).await;
    let mut taken = Vec::new();
    for key in keys(&mut redis).await {
        let kind: String = ask(&mut redis, cmd("TYPE").arg(&key)).await;
        match kind.as_str() {
            "stream" => taken.extend(entries(&mut redis, &key).await),
            "hash" => taken.extend(parked(&mut redis, &key).await),
            _ => {}
        }
    }
    let () = ask(&mut redis, &mut cmd("FLUSHALL")).await;
    taken
}

/// Claims the only entry for somebody who has been dead for an hour.
pub(crate) async fn hand_out(broker: &Broker, stream: &str, times: u32) {
    let mut redis = connect(broker).await;
    // What was taken out took the group along.
    let create: redis::RedisResult<()> =
        cmd("XGROUP").arg(&["CREATE", stream, "quash", "0", "MKSTREAM"]).query_async(&mut redis).await;
    drop(create);
    let read = ["GROUP", "quash", "dead", "STREAMS", stream, ">"];
    let _: redis::Value = ask(&mut redis, cmd("XREADGROUP").arg(&read)).await;
    let entries: Vec<(String, Fields)> = ask(&mut redis, cmd("XRANGE").arg(&[stream, "-", "+"])).await;
    let mut claim = cmd("XCLAIM");
    claim.arg(&[stream, "quash", "dead", "0", &entries[0].0, "IDLE", "3600000", "RETRYCOUNT", &times.to_string()]);
    let _: redis::Value = ask(&mut redis, &mut claim).await;
}

/// The entries that nobody has settled: those that nobody has read, and those in the hands of somebody. What is settled
/// stays in the stream until it is trimmed, and is nothing that lies there.
async fn entries(redis: &mut MultiplexedConnection, key: &str) -> Vec<Lain> {
    let entries: Vec<(String, Fields)> = ask(redis, cmd("XRANGE").arg(&[key, "-", "+"])).await;
    let groups: Vec<HashMap<String, redis::Value>> = ask(redis, cmd("XINFO").arg("GROUPS").arg(key)).await;
    let Some(group) = groups.first() else {
        return entries.into_iter().map(|(id, fields)| lain(key, fields, [("id", id.into())])).collect();
    };
    let read = format!("({}", text(&group["last-delivered-id"]));
    let unread: Vec<(String, Fields)> = ask(redis, cmd("XRANGE").arg(&[key, &read, "+"])).await;
    let held: Vec<(String, String, u64, u64)> =
        ask(redis, cmd("XPENDING").arg(&[key, "quash", "-", "+", "1000"])).await;
    let mut taken = Vec::new();
    for (id, fields) in entries {
        let holder = held.iter().find(|(pending, ..)| *pending == id);
        if let Some((_, consumer, _, deliveries)) = holder {
            let besides =
                [("id", id.into()), ("consumer", consumer.as_str().into()), ("deliveries", (*deliveries).into())];
            taken.push(lain(key, fields, besides));
        } else if unread.iter().any(|(unread, _)| *unread == id) {
            taken.push(lain(key, fields, [("id", id.into())]));
        }
    }
    taken
}

/// The copies that wait: who is due when is in a sorted set beside the hash of what they hold.
async fn parked(redis: &mut MultiplexedConnection, key: &str) -> Vec<Lain> {
    let due = key.replace(".parked", ".due");
    let members: Vec<(String, u64)> = ask(redis, cmd("ZRANGE").arg(&[&due, "0", "-1", "WITHSCORES"])).await;
    let mut taken = Vec::new();
    for (member, score) in members {
        let packed: Vec<u8> = ask(redis, cmd("HGET").arg(key).arg(&member)).await;
        let unpack = "return cmsgpack.unpack(string.sub(redis.call('HGET', KEYS[1], ARGV[1]), 2))";
        let fields: Fields = ask(redis, cmd("EVAL").arg(unpack).arg(1).arg(key).arg(&member)).await;
        let packed = encode(&packed).into();
        let besides = [
            ("due", due.clone().into()),
            ("member", member.into()),
            ("score", score.into()),
            ("packed_base64", packed),
        ];
        taken.push(lain(key, fields, besides));
    }
    taken
}

/// The field `body` is the body, and the others are headers.
fn lain<const N: usize>(key: &str, fields: Fields, besides: [(&str, Value); N]) -> Lain {
    let mut body = None;
    let mut headers = Vec::new();
    for pair in fields.chunks(2) {
        match &pair[0][..] {
            b"body" if body.is_none() => body = Some(pair[1].clone()),
            name => headers.push(Header::plain(String::from_utf8(name.to_vec()).expect("a name"), pair[1].clone())),
        }
    }
    let besides = Map::from_iter(besides.map(|(name, value)| (name.to_owned(), value)));
    Lain { within: key.to_owned(), headers, body: body.expect("a body"), besides }
}

async fn keys(redis: &mut MultiplexedConnection) -> Vec<String> {
    let mut keys: Vec<String> = ask(redis, cmd("KEYS").arg("recorded.*")).await;
    keys.sort();
    keys
}

fn text(value: &redis::Value) -> String {
    String::from_redis_value_ref(value).expect("text")
}

async fn connect(broker: &Broker) -> MultiplexedConnection {
    let client = redis::Client::open(broker.url()).expect("a URL");
    client.get_multiplexed_async_connection().await.expect("the broker answers")
}

async fn ask<T: FromRedisValue>(redis: &mut MultiplexedConnection, command: &mut redis::Cmd) -> T {
    command.query_async(redis).await.unwrap_or_else(|error| panic!("{error}"))
}
