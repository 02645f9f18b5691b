//! Proves what stands at a key behind a real worker, byte for byte, for each thing that readers may do.

use std::time::Duration;

use quash_e2e::{Kind, RedisServer, eventually};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};

use crate::scene::{LIMIT, Scene, bodies, update};

/// How long entries live that are there before, in milliseconds.
const LIFE_MS: u64 = 600_000;

/// A cache for each thing that readers may do. Each is stale because of a product, which gives its whole key, and most of
/// them because of a shelf, which gives a part of it.
const CACHES: &str = "caches:
  plain:    { key: \"n:{shelf}:{id}\", depends_on: [ { row: shop.Product }, { row: shop.Shelf } ] }
  checked:  { key: \"c:{shelf}:{id}\", tags: [\"tag:{id}\", \"tag:shelf:{shelf}\"], freshness: generation,
              depends_on: [ { row: shop.Product, map: { id: id } }, { row: shop.Shelf } ] }
  leased:   { key: \"l:{shelf}:{id}\", freshness: lease, depends_on: [ { row: shop.Product }, { row: shop.Shelf } ] }
  served:   { key: \"s:{shelf}:{id}\", freshness: lease, stale: 60s, depends_on: [ { row: shop.Product }, { row: shop.Shelf } ] }
  held:     { key: \"h:{shelf}:{id}\", freshness: lease, hold: 60s, depends_on: [ { row: shop.Product } ] }
  guarded:  { key: \"g:{shelf}:{id}\", freshness: lease, layout: plain, depends_on: [ { row: shop.Product }, { row: shop.Shelf } ] }
  watched:  { key: \"w:{shelf}:{id}\", freshness: lease, layout: plain, hold: 60s, depends_on: [ { row: shop.Product } ] }
";

/// A lease that a reader took.
const LEASE: &[u8] = b"\xC1Q1L---000000000000000aa999999999999900000000000000000000";
/// What a hold is, for every key.
const HOLD: &[u8] = b"\xC1Q1T---00000000000000000999999999999900000000000000000000";

/// A value as a reader stored it, in this state.
fn frame(state: u8) -> Vec<u8> {
    let header = b"0v-00000000000000000000000000000000000000000000000000";
    [b"\xC1Q1", &[state][..], header, b"0000000000000", b"payload"].concat()
}

/// An update of product 42, which stands on shelf 7.
fn product() -> Value {
    let mut event = update(42);
    for image in ["before", "after"] {
        event[image] = json!({"id": 42, "shelf": 7});
    }
    event
}

fn shelf() -> Value {
    json!({"id": "shelf-7", "entity": "shop.Shelf", "op": "update", "key": {"shelf": 7}, "before": {"shelf": 7}, "after": {"shelf": 7}})
}

async fn seeded(cache: &RedisServer) -> MultiplexedConnection {
    let mut connection = cache.connect().await;
    for (key, bytes) in [
        ("n:7:42", b"plain".to_vec()),
        ("c:7:42", frame(b'V')),
        ("tag:42", b"111".to_vec()),
        ("tag:shelf:7", b"222".to_vec()),
        ("l:7:42", LEASE.to_vec()),
        ("l:7:43", frame(b'V')),
        ("s:7:42", frame(b'V')),
        ("s:7:43", LEASE.to_vec()),
        ("h:7:42", frame(b'V')),
        ("g:7:42", b"plain".to_vec()),
        ("g:7:42!q", LEASE.to_vec()),
        ("g:7:43!q", LEASE.to_vec()),
        ("w:7:42", b"plain".to_vec()),
        ("w:7:42!q", LEASE.to_vec()),
        ("s:8:42", frame(b'V')),
    ] {
        let () = connection.pset_ex(key, bytes, LIFE_MS).await.unwrap();
    }
    connection
}

/// What is under these keys.
async fn at(connection: &mut MultiplexedConnection, keys: &[&str]) -> Vec<Option<Vec<u8>>> {
    connection.mget(keys).await.unwrap()
}

async fn lives(connection: &mut MultiplexedConnection, key: &str, most: Duration) -> bool {
    let ttl: i64 = connection.pttl(key).await.unwrap();
    u64::try_from(ttl).is_ok_and(|ttl| Duration::from_millis(ttl) <= most && ttl > 1)
}

/// Publishes an event and waits until all of it is done.
async fn applied(scene: &Scene, connection: &MultiplexedConnection, event: Value) {
    scene.queue.publish(bodies(&[event])).await;
    eventually(LIMIT, "the entry of the plain cache is gone", async || {
        !connection.clone().exists::<_, bool>("n:7:42").await.unwrap()
    })
    .await;
    assert_eq!(scene.settled().await, 0, "dead letters");
}

#[tokio::test]
async fn an_exact_key_is_made_stale_as_its_readers_need_it() {
    let scene = Scene::with(Kind::RedisStreams, CACHES).await;
    let mut connection = seeded(&scene.cache).await;
    let _worker = scene.quash.worker("alone").await;
    applied(&scene, &connection, product()).await;

    let tags = at(&mut connection, &["c:7:42", "tag:42", "tag:shelf:7"]).await;
    assert_eq!(tags[0], Some(frame(b'V')), "the entry of the tag stays: its token says that it is stale");
    let token = tags[1].as_deref().and_then(|token| std::str::from_utf8(token).ok()?.parse::<u64>().ok());
    assert!(token.is_some_and(|token| token != 111 && token < 1 << 62), "{token:?}");
    assert_eq!(tags[2].as_deref(), Some(&b"222"[..]), "nobody asked for this tag");
    assert!(lives(&mut connection, "tag:42", Duration::from_millis(LIFE_MS)).await, "a tag keeps its time to live");

    assert_eq!(at(&mut connection, &["l:7:42", "l:7:43"]).await, [None, Some(frame(b'V'))]);
    let served = at(&mut connection, &["s:7:42", "s:7:43", "s:8:42"]).await;
    assert_eq!(served, [Some(frame(b'S')), Some(LEASE.to_vec()), Some(frame(b'V'))]);
    assert_eq!(at(&mut connection, &["h:7:42"]).await, [Some(HOLD.to_vec())]);
    for key in ["s:7:42", "h:7:42"] {
        assert!(lives(&mut connection, key, Duration::from_secs(60)).await, "{key}");
    }
    assert_eq!(at(&mut connection, &["g:7:42", "g:7:42!q", "g:7:43!q"]).await, [None, None, Some(LEASE.to_vec())]);
    assert_eq!(at(&mut connection, &["w:7:42", "w:7:42!q"]).await, [None, Some(HOLD.to_vec())]);
    assert!(lives(&mut connection, "w:7:42!q", Duration::from_secs(60)).await);
}

#[tokio::test]
async fn a_pass_makes_stale_what_it_finds_as_its_readers_need_it() {
    let scene = Scene::with(Kind::RedisStreams, CACHES).await;
    let mut connection = seeded(&scene.cache).await;
    let worker = scene.quash.worker("alone").await;
    applied(&scene, &connection, shelf()).await;

    let tags = at(&mut connection, &["c:7:42", "tag:42", "tag:shelf:7"]).await;
    assert_eq!(tags[..2], [Some(frame(b'V')), Some(b"111".to_vec())]);
    assert!(tags[2].as_deref().is_some_and(|token| token != b"222"), "{tags:?}");

    assert_eq!(at(&mut connection, &["l:7:42", "l:7:43"]).await, [None, None]);
    let served = at(&mut connection, &["s:7:42", "s:7:43", "s:8:42"]).await;
    assert_eq!(served, [Some(frame(b'S')), None, Some(frame(b'V'))]);
    assert!(lives(&mut connection, "s:7:42", Duration::from_secs(60)).await);
    assert_eq!(at(&mut connection, &["g:7:42", "g:7:42!q", "g:7:43!q"]).await, [None, None, None]);
    assert_eq!(at(&mut connection, &["h:7:42", "w:7:42"]).await, [Some(frame(b'V')), Some(b"plain".to_vec())]);

    let count = worker.metric("quash_actions_total", &["action=\"void_prefix\"", "outcome=\"done\""]).await;
    assert_eq!(count, 1.0);
    // A server that forgot the script gets it whole.
    let () = redis::cmd("SCRIPT").arg("FLUSH").query_async(&mut connection).await.unwrap();
    let () = connection.pset_ex("n:7:42", "plain", LIFE_MS).await.unwrap();
    let () = connection.pset_ex("s:7:42", frame(b'V'), LIFE_MS).await.unwrap();
    let mut again = product();
    again["id"] = "again".into();
    applied(&scene, &connection, again).await;
    assert_eq!(at(&mut connection, &["s:7:42"]).await, [Some(frame(b'S'))]);
}

#[tokio::test]
async fn people_are_told_what_is_promised_and_what_stands_at_a_key() {
    let scene = Scene::with(Kind::RedisStreams, CACHES).await;
    let _connection = seeded(&scene.cache).await;
    let checked = scene.quash.run(&["check"]).await.ended_with(0).stdout;
    for line in [
        "plain    none: TTL alone",
        "checked  exact",
        "leased   exact",
        "served   exact, old values for 1m while one loads",
        "held     bounded by hold 1m",
    ] {
        assert!(checked.contains(line), "{line} in {checked}");
    }
    let explained = scene.quash.run(&["explain", "--all", "-e", &product().to_string()]).await.ended_with(0).stdout;
    for line in
        ["set            tag:42", "void           s:7:42", "hold           h:7:42", "guarantee: bounded by hold 1m"]
    {
        assert!(explained.contains(line), "{line} in {explained}");
    }
    for (key, said) in [
        ("l:7:42", "exists, a lease: somebody loads, expires in"),
        ("s:7:42", "exists, a value in a frame, expires in"),
        ("g:7:43", "not there\n  its guard: exists, a lease: somebody loads"),
    ] {
        let text = scene.quash.run(&["explain", "--live", key]).await.ended_with(0).stdout;
        assert!(text.contains(said), "{said} in {text}");
    }
}

#[tokio::test]
async fn a_right_that_only_voids_take_is_missed_where_a_cache_needs_it() {
    let scene = Scene::with(Kind::RedisStreams, "").await;
    let mut connection = scene.cache.connect().await;
    let rights = "+unlink +scan +set +publish +rpush +pexpire +exists +dbsize +info +select";
    let mut user = redis::cmd("ACL");
    user.arg(&["SETUSER", "quash", "on", ">hunter2", "~*", "&*", "-@all"]).arg(rights.split(' ').collect::<Vec<_>>());
    let () = user.query_async(&mut connection).await.unwrap();
    let of = |stale: &str| {
        let target = format!("redis://quash:hunter2@{}/0", scene.cache.address());
        quash_e2e::Quash::with(&format!(
            "version: 1\ntargets:\n  main: {{ redis: {{ url: \"{target}\" }} }}\ncaches:\n  product: {{ key: \"product:{{id}}\", \
             freshness: lease{stale}, depends_on: [ {{ row: shop.Product }} ] }}\n"
        ))
    };
    let said = of("").run(&["check", "--connect"]).await.ended_with(0).stdout;
    assert!(said.contains("the user may run every command that rules can need"), "{said}");
    let said = of(", stale: 30s").run(&["check", "--connect"]).await.ended_with(1).stdout;
    for right in ["eval", "evalsha", "getrange", "setrange", "pttl", "time"] {
        assert!(said.contains(&format!("grant +{right}")), "{right} in {said}");
    }
    let () = redis::cmd("ACL")
        .arg(&["SETUSER", "quash", "+eval", "+evalsha", "+getrange", "+setrange", "+pttl", "+pexpire", "+time"])
        .query_async(&mut connection)
        .await
        .unwrap();
    let said = of(", stale: 30s").run(&["check", "--connect"]).await.ended_with(0).stdout;
    assert!(said.contains("the user may run every command that rules can need"), "{said}");
}
