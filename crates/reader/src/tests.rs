//! Proves that the store in memory and Redis do the same, step by step.

mod differential;
mod vectors;

use std::time::Duration;

use quash_core::freshness::scripts::{GUARD_FILL, GUARD_TAKE, Script, VOID, version_arg};
use quash_core::freshness::{Filled, Taken, Token, Voided, Want};
use quash_e2e::RedisServer;
use redis::Value;

use crate::{MemoryStore, RedisStore, Store};

/// One step of a case.
#[derive(Debug, Clone)]
enum Step {
    Ask { token: Token, lease_ms: u64 },
    Take { token: Token, lease_ms: u64, want: Want },
    Fill { token: Token, version: u64, ttl_ms: u64, entry: Vec<u8> },
    Drop { token: Token },
    Void { version: u64, hold_ms: u64, stale_ms: u64 },
    GuardTake { token: Token, lease_ms: u64 },
    GuardFill { token: Token, ttl_ms: u64, value: Vec<u8> },
    Set { bytes: Vec<u8>, px: Option<u64> },
    Unlink,
    Time { ms: u64 },
}

/// What a step answers.
#[derive(Debug, PartialEq)]
enum Reply {
    There(Option<Vec<u8>>),
    Taken(Taken),
    Filled(Filled),
    Dropped(bool),
    Voided(Voided),
    Done,
}

/// A store in memory whose times to live stand still.
fn memory(now_ms: u64) -> MemoryStore {
    MemoryStore::at(move || now_ms)
}

async fn on_memory(store: &MemoryStore, (key, guard): (&str, &str), step: &Step) -> Reply {
    let time = Duration::from_millis;
    match step.clone() {
        Step::Ask { token, lease_ms } => Reply::There(store.ask(key, token, time(lease_ms)).await.unwrap()),
        Step::Take { token, lease_ms, want } => {
            Reply::Taken(store.take(key, token, time(lease_ms), want).await.unwrap())
        }
        Step::Fill { token, version, ttl_ms, entry } => {
            Reply::Filled(store.fill(key, token, version, time(ttl_ms), &entry).await.unwrap())
        }
        Step::Drop { token } => Reply::Dropped(store.drop_lease(key, token).await.unwrap()),
        Step::Void { version, hold_ms, stale_ms } => Reply::Voided(store.void(key, version, hold_ms, stale_ms)),
        Step::GuardTake { token, lease_ms } => Reply::Taken(store.guard_take(key, guard, token, lease_ms)),
        Step::GuardFill { token, ttl_ms, value } => Reply::Filled(store.guard_fill(key, guard, token, ttl_ms, &value)),
        Step::Set { bytes, px } => {
            match px {
                Some(px) => store.set(key, &bytes, time(px)).await.unwrap(),
                None => store.put(key, &bytes),
            }
            Reply::Done
        }
        Step::Unlink => {
            store.evict(key);
            Reply::Done
        }
        Step::Time { ms } => {
            store.jump(ms);
            Reply::Done
        }
    }
}

/// A real Redis, whose scripts read the time from keys, so that a test can let it pass.
struct Real {
    store: RedisStore,
    now_ms: u64,
    _server: RedisServer,
}

impl Real {
    async fn start() -> Self {
        let server = RedisServer::start().await;
        let mut store = RedisStore::new(redis::Client::open(server.url(0)).unwrap()).timeout(Duration::from_secs(20));
        for script in [&mut store.take, &mut store.fill, &mut store.drop] {
            *script = with_time_of_keys(*script);
        }
        Self { store, now_ms: 0, _server: server }
    }

    async fn ask(&self, words: &[&[u8]]) -> Value {
        let mut command = redis::cmd(std::str::from_utf8(words[0]).unwrap());
        command.arg(&words[1..]);
        self.store.ask_for("test", &command).await.unwrap()
    }

    async fn empty(&mut self, now_ms: u64) {
        self.ask(&[b"FLUSHALL"]).await;
        self.set_time(now_ms).await;
    }

    async fn set_time(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        let (seconds, micros) = ((now_ms / 1000).to_string(), (now_ms % 1000 * 1000).to_string());
        self.ask(&[b"MSET", b"!s", seconds.as_bytes(), b"!u", micros.as_bytes()]).await;
    }

    async fn apply(&mut self, (key, guard): (&str, &str), step: &Step) -> Reply {
        let (time, text) = (Duration::from_millis, |number: u64| number.to_string().into_bytes());
        let guarded = |script: Script| with_time_of_keys(script);
        match step.clone() {
            Step::Ask { token, lease_ms } => Reply::There(self.store.ask(key, token, time(lease_ms)).await.unwrap()),
            Step::Take { token, lease_ms, want } => {
                Reply::Taken(self.store.take(key, token, time(lease_ms), want).await.unwrap())
            }
            Step::Fill { token, version, ttl_ms, entry } => {
                Reply::Filled(self.store.fill(key, token, version, time(ttl_ms), &entry).await.unwrap())
            }
            Step::Drop { token } => Reply::Dropped(self.store.drop_lease(key, token).await.unwrap()),
            Step::Void { version, hold_ms, stale_ms } => {
                let (version, hold, stale) = (version_arg(version), text(hold_ms), text(stale_ms));
                let reply = self.store.run(guarded(VOID), &[key], &[&version, &hold, &stale]).await.unwrap();
                Reply::Voided(Voided::read(reply[0]).unwrap())
            }
            Step::GuardTake { token, lease_ms } => {
                let args = [&token.as_bytes()[..], &text(lease_ms)];
                let reply = self.store.run(guarded(GUARD_TAKE), &[key, guard], &args).await.unwrap();
                Reply::Taken(Taken::read(&reply).unwrap())
            }
            Step::GuardFill { token, ttl_ms, value } => {
                let args = [&token.as_bytes()[..], &text(ttl_ms), &value];
                let reply = self.store.run(guarded(GUARD_FILL), &[key, guard], &args).await.unwrap();
                Reply::Filled(Filled::read(&reply).unwrap())
            }
            Step::Set { bytes, px: Some(px) } => {
                self.store.set(key, &bytes, time(px)).await.unwrap();
                Reply::Done
            }
            Step::Set { bytes, px: None } => {
                self.ask(&[b"SET", key.as_bytes(), &bytes]).await;
                Reply::Done
            }
            Step::Unlink => {
                self.store.remove(key).await.unwrap();
                Reply::Done
            }
            Step::Time { ms } => {
                self.set_time(self.now_ms + ms).await;
                Reply::Done
            }
        }
    }

    /// What stands at a key, and how long it has to live.
    async fn at(&self, key: &str) -> (Option<Vec<u8>>, i64) {
        let bytes = self.store.get(&[key]).await.unwrap().remove(0);
        let Value::Int(left_ms) = self.ask(&[b"PTTL", key.as_bytes()]).await else { panic!("PTTL is a number") };
        (bytes, left_ms)
    }
}

/// The same script by another clock. No server knows it by a digest.
fn with_time_of_keys(script: Script) -> Script {
    let text = script.text.replace("redis.call('TIME')", "redis.call('MGET', '!s', '!u')");
    Script { text: Box::leak(text.into_boxed_str()), sha1: "0000000000000000000000000000000000000000", ..script }
}
