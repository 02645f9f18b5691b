//! Replays the vectors that every implementation of the protocol passes.

use quash_core::freshness::{Filled, Taken, Token, Voided, Want};
use serde_json::Value as Json;

use super::{Real, Reply, Step, memory, on_memory};

const NAMES: (&str, &str) = ("k", "k!q");
/// What a busy machine may take between a command and asking for its time to live.
const SLACK_MS: i64 = 1_500;

#[tokio::test]
async fn the_store_in_memory_passes_the_vectors() {
    for case in cases() {
        let store = memory(case["now_ms"].as_u64().unwrap());
        for step in case["steps"].as_array().unwrap() {
            let call = call(&step["call"]);
            let reply = on_memory(&store, NAMES, &call).await;
            assert_eq!(reply, expected(&call, &step["reply"]), "{}: {call:?}", case["name"]);
            assert_eq!(store.bytes(NAMES.0), bytes(&step["key"]), "{}: {call:?}", case["name"]);
            assert_eq!(store.bytes(NAMES.1), bytes(&step["guard"]), "{}: {call:?}", case["name"]);
            assert_eq!(store.left_ms(NAMES.0), step["px"].as_i64().unwrap_or(-2), "{}: {call:?}", case["name"]);
        }
    }
}

#[tokio::test]
async fn redis_passes_the_vectors() {
    let mut real = Real::start().await;
    for case in cases() {
        real.empty(case["now_ms"].as_u64().unwrap()).await;
        for step in case["steps"].as_array().unwrap() {
            let call = call(&step["call"]);
            let reply = real.apply(NAMES, &call).await;
            assert_eq!(reply, expected(&call, &step["reply"]), "{}: {call:?}", case["name"]);
            let (there, left_ms) = real.at(NAMES.0).await;
            assert_eq!(there, bytes(&step["key"]), "{}: {call:?}", case["name"]);
            assert_eq!(real.at(NAMES.1).await.0, bytes(&step["guard"]), "{}: {call:?}", case["name"]);
            let off = left_ms - step["px"].as_i64().unwrap_or(-2);
            assert!((-SLACK_MS..=0).contains(&off), "{}: {call:?}: {left_ms} ms", case["name"]);
        }
    }
}

fn cases() -> Vec<Json> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/freshness/vectors.jsonl");
    let cases: Vec<Json> =
        std::fs::read_to_string(file).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(cases.len() >= 19, "{} cases", cases.len());
    cases
}

fn call(call: &Json) -> Step {
    let token = || Token::read(call[1].as_str().unwrap().as_bytes()).unwrap();
    let number = |at: usize| call[at].as_u64().unwrap();
    let version = |at: usize| call[at].as_str().unwrap().parse().unwrap();
    let hex = |at: usize| bytes(&call[at]).unwrap();
    match call[0].as_str().unwrap() {
        "ask" => Step::Ask { token: token(), lease_ms: number(2) },
        "take" => {
            let want = if call[3] == "r" { Want::Refresh } else { Want::Miss };
            Step::Take { token: token(), lease_ms: number(2), want }
        }
        "fill" => Step::Fill { token: token(), version: version(2), ttl_ms: number(3), entry: hex(4) },
        "drop" => Step::Drop { token: token() },
        "void" => Step::Void { version: version(1), hold_ms: number(2), stale_ms: number(3) },
        "gtake" => Step::GuardTake { token: token(), lease_ms: number(2) },
        "gfill" => Step::GuardFill { token: token(), ttl_ms: number(2), value: hex(3) },
        "set" => Step::Set { bytes: hex(1), px: call[2].as_u64() },
        "unlink" => Step::Unlink,
        "time" => Step::Time { ms: number(1) },
        other => panic!("no call is named {other}"),
    }
}

fn expected(call: &Step, reply: &Json) -> Reply {
    let text = reply.as_str().unwrap();
    match call {
        Step::Ask { .. } => Reply::There(bytes(reply).filter(|bytes| !bytes.is_empty())),
        Step::Take { .. } | Step::GuardTake { .. } => Reply::Taken(Taken::read(text.as_bytes()).unwrap()),
        Step::Fill { .. } | Step::GuardFill { .. } => Reply::Filled(Filled::read(text.as_bytes()).unwrap()),
        Step::Drop { .. } => Reply::Dropped(text == "K"),
        Step::Void { .. } => Reply::Voided(Voided::read(text.as_bytes()[0]).unwrap()),
        Step::Set { .. } | Step::Unlink | Step::Time { .. } => Reply::Done,
    }
}

fn bytes(hex: &Json) -> Option<Vec<u8>> {
    let hex = hex.as_str()?;
    Some((0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect())
}
