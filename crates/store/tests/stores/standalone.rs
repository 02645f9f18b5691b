//! Holds a store to its promises on one server, and while that server is in trouble.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use quash_config::Severity;
use quash_core::action::{Action, ActionSet, Life, Number, Object, Write};
use quash_core::glob::Matcher;
use quash_core::glob::{Glob, GlobBuilder};
use quash_store::conformance::{self, Fixture};
use quash_store::{KeyPattern, Store, StoreError};
use redis::Value;
use serde_json::json;

use crate::fixture::{Servers, make_user, store};
use crate::server::{Server, eventually};

fn delete(key: &str) -> [Action; 1] {
    [Action::Delete(key.into())]
}

fn plain(server: &Server) -> Arc<dyn Store> {
    store(json!({"url": server.url(), "response_timeout": "300ms"}))
}

/// What a call says when the server cannot work.
async fn why_unreachable(store: &dyn Store, actions: &[Action]) -> String {
    match store.apply(actions).await {
        Err(StoreError::Unreachable(why)) => why,
        other => panic!("this must hold the target: {other:?}"),
    }
}

#[tokio::test]
async fn one_server_keeps_every_promise_with_the_documented_rights() {
    let server = Server::start(&[]).await;
    make_user(&server).await;
    let store = store(
        json!({"url": format!("redis://127.0.0.1:{}/2", server.port), "username": "quash", "password": "secret"}),
    );
    let client = redis::Client::open(format!("{}/2", server.url())).unwrap();
    let connection = client.get_multiplexed_async_connection().await.unwrap();
    let fixture = Servers::new(store, connection, &[&server]);
    conformance::all(&fixture).await;

    server.admin(&["ACL", "LOG", "RESET"]).await;
    fixture.clear().await;
    let everything = [
        Action::Delete("a".into()),
        Action::DeletePrefix("a".into()),
        Action::Bump("t".into()),
        Action::Publish { channel: "c".into(), message: "m".into() },
    ];
    fixture.store().apply(&everything).await.unwrap();
    fixture.store().identity().await.unwrap();
    assert_eq!(server.admin(&["ACL", "LOG"]).await, Value::Array(vec![]), "nothing was asked for in vain");
}

#[tokio::test]
async fn a_server_that_comes_back_is_used_again_and_recognised_as_another() {
    let mut server = Server::start(&[]).await;
    let store = plain(&server);
    let before = store.identity().await.unwrap();
    server.kill();
    why_unreachable(store.as_ref(), &delete("a")).await;
    why_unreachable(store.as_ref(), &delete("a")).await;
    server.restart().await;
    assert_eq!(store.apply(&delete("a")).await.unwrap().outcomes, [Ok(0)]);
    assert_ne!(store.identity().await.unwrap(), before);
}

#[tokio::test]
async fn a_survey_ends_with_its_time_and_says_so() {
    let server = Server::start(&[]).await;
    let store = plain(&server);
    for thousand in 0..3 {
        let keys = (0..1000).flat_map(|key| [format!(":1:a:{thousand}:{key}"), "1".to_owned()]);
        let keys: Vec<String> = std::iter::once("MSET".to_owned()).chain(keys).collect();
        server.admin(&keys.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
    let patterns = [KeyPattern { logical: Glob::parse("a:*").unwrap(), prefixes: vec![":1:".into()] }];
    let over = store.ask().unwrap().survey(&patterns, Duration::ZERO).await.unwrap();
    assert_eq!((over.complete, over.keys, over.counts[0].here), (false, 3000, 0));
    let whole = store.ask().unwrap().survey(&patterns, Duration::from_secs(60)).await.unwrap();
    assert!(whole.complete && whole.counts[0].here >= 3000, "{whole:?}");
    let none = store.ask().unwrap().survey(&[], Duration::from_secs(60)).await.unwrap();
    assert!(none.complete && none.keys == 3000, "{none:?}");
}

#[tokio::test]
async fn a_late_answer_is_never_taken_for_another() {
    let server = Server::start(&[]).await;
    let store = plain(&server);
    server.admin(&["MSET", "a", "1", "b", "1", "c", "1"]).await;
    assert_eq!(store.apply(&delete("a")).await.unwrap().outcomes, [Ok(1)]);
    server.admin(&["CLIENT", "PAUSE", "60000", "WRITE"]).await;
    let why = why_unreachable(store.as_ref(), &delete("b")).await;
    assert!(why.contains("timed out"), "{why}");
    server.admin(&["CLIENT", "UNPAUSE"]).await;
    assert_eq!(store.apply(&delete("none")).await.unwrap().outcomes, [Ok(0)]);
    assert_eq!(store.apply(&delete("c")).await.unwrap().outcomes, [Ok(1)]);
}

#[tokio::test]
async fn a_server_that_cannot_work_now_costs_no_action() {
    let server = Server::start(&[]).await;
    let store = plain(&server);
    let all = [Action::Delete("a".into()), Action::Bump("t".into()), Action::DeletePrefix("p".into())];
    let itself = server.port.to_string();
    let cases: [(&[&str], &[&str], &str); 2] = [
        (&["REPLICAOF", "127.0.0.1", &itself], &["REPLICAOF", "NO", "ONE"], "READONLY"),
        (
            &["CONFIG", "SET", "min-replicas-to-write", "1"],
            &["CONFIG", "SET", "min-replicas-to-write", "0"],
            "NOREPLICAS",
        ),
    ];
    for (fault, relief, code) in cases {
        server.admin(fault).await;
        let why = why_unreachable(store.as_ref(), &all).await;
        assert!(why.contains(code), "{why}");
        server.admin(relief).await;
        let outcomes = store.apply(&all).await.unwrap().outcomes;
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    }
}

#[tokio::test]
async fn a_server_with_too_many_clients_is_asked_again() {
    let server = Server::start(&["maxclients 1"]).await;
    let (first, second) = (plain(&server), plain(&server));
    eventually("the first is in", || async { first.apply(&delete("a")).await.is_ok() }).await;
    // The server says why and hangs up; which of it the client sees first is up to the network.
    why_unreachable(second.as_ref(), &delete("a")).await;
    drop(first);
    eventually("the second is in", || async { second.apply(&delete("a")).await.is_ok() }).await;
}

#[tokio::test]
async fn a_missing_right_is_refused_to_whom_it_concerns_and_a_wrong_password_stays_secret() {
    let server = Server::start(&[]).await;
    server.admin(&["ACL", "SETUSER", "quash", "on", ">hunter2", "~*", "&*", "+scan", "+info", "+set"]).await;
    let with = |password: &str| store(json!({"url": format!("redis://quash:{password}@127.0.0.1:{}", server.port)}));
    let some = [
        Action::Bump("t".into()),
        Action::Delete("a".into()),
        Action::Publish { channel: "c".into(), message: "m".into() },
    ];
    let outcomes = with("hunter2").apply(&some).await.unwrap().outcomes;
    assert!(outcomes[0].is_ok(), "{outcomes:?}");
    for (outcome, command) in outcomes[1..].iter().zip(["unlink", "publish"]) {
        let why = outcome.as_ref().unwrap_err().to_string();
        assert!(why.contains("NOPERM") && why.contains(command), "{why}");
    }
    server.admin(&["ACL", "SETUSER", "quash", "-scan"]).await;
    let prefix = with("hunter2").apply(&[Action::DeletePrefix("a".into()), Action::Bump("t".into())]).await.unwrap();
    assert!(prefix.outcomes[0].is_err() && prefix.outcomes[1].is_ok(), "{:?}", prefix.outcomes);
    server.admin(&["ACL", "SETUSER", "quash", "+scan"]).await;
    let why = why_unreachable(with("hunter3").as_ref(), &delete("a")).await;
    assert!(why.contains("authentication failed") && !why.contains("hunter"), "{why}");

    let findings = with("hunter2").inspect(ActionSet::DELETE).await.unwrap();
    let errors: Vec<_> = findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    assert!(matches!(errors.as_slice(), [finding] if finding.mend == "grant +unlink"), "{errors:?}");
}

#[tokio::test]
async fn a_full_server_still_makes_everything_under_a_token_stale() {
    let server = Server::start(&["maxmemory-policy noeviction"]).await;
    let store = plain(&server);
    server.admin(&["MSET", "token", "1", "a", "1", "tag", "1", "generation", "1"]).await;
    server.admin(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let time = Write { number: Number::NowUs, life: Life::Forever, only_if_exists: false };
    let actions = [
        Action::Bump("token".into()),
        Action::Delete("a".into()),
        Action::Set { key: "tag".into(), write: time },
        Action::Set { key: "generation".into(), write: Write::RENEW },
    ];
    assert_eq!(store.apply(&actions).await.unwrap().outcomes, [Ok(1), Ok(1), Ok(1), Ok(1)]);
    assert_eq!(store.ask().unwrap().exist(&["token", "a", "tag", "generation"]).await, Ok(vec![false; 4]));
    let set = [Action::Set { key: "k".into(), write: Write::exactly(1) }];
    assert!(why_unreachable(store.as_ref(), &set).await.starts_with("OOM"));
}

#[tokio::test]
async fn the_server_and_the_pattern_agree_on_every_byte() {
    let server = Server::start(&[]).await;
    let store = plain(&server);
    let letters = ["a", "b", "*", "?", "[", "]", "\\", "^", "-", "\n", "\0", "é", ":"];
    let mut random = fastrand::Rng::with_seed(7);
    let word = |random: &mut fastrand::Rng| -> String {
        (0..random.usize(1..6)).map(|_| letters[random.usize(..letters.len())]).collect()
    };
    let keys: BTreeSet<String> = (0..2000).map(|_| word(&mut random)).collect();
    let mut pairs = vec!["MSET"];
    keys.iter().for_each(|key| pairs.extend([key.as_str(), "1"]));
    server.admin(&pairs).await;
    for _ in 0..60 {
        let prefixes: Vec<String> = (0..random.usize(1..5)).map(|_| word(&mut random)).collect();
        let texts: Vec<&str> = prefixes.iter().map(String::as_str).collect();
        let expected = texts.iter().map(|text| keys.iter().filter(|key| key.starts_with(text)).count() as u64);
        assert_eq!(store.ask().unwrap().count_prefixes(&texts).await, Ok(expected.collect()), "{prefixes:?}");
    }
    for _ in 0..60 {
        let (begin, middle, end) = (word(&mut random), word(&mut random), letters[random.usize(..letters.len())]);
        let mut builder = GlobBuilder::new();
        builder.literal(begin.get(..1).unwrap_or(&begin)).any().literal(end);
        let globs: Vec<Glob> = builder.build().into_iter().collect();
        for globs in [globs.clone(), [globs, vec![longer(&begin, &middle)]].concat()] {
            let matchers: Vec<_> = globs.iter().map(Glob::matcher).collect();
            let count = |matcher: &Matcher| keys.iter().filter(|key| matcher.matches(key.as_bytes())).count() as u64;
            let expected: Vec<u64> = matchers.iter().map(count).collect();
            assert_eq!(store.ask().unwrap().count_patterns(&globs).await, Ok(expected), "{globs:?}");
        }
    }
}

/// One text, any text, and another.
fn longer(begin: &str, end: &str) -> Glob {
    let mut builder = GlobBuilder::new();
    builder.literal(begin).any().literal(end).any();
    builder.build().unwrap()
}

#[tokio::test]
async fn an_inspection_tells_what_may_bring_entries_back() {
    let server = Server::start(&["save 3600 1", "maxmemory-policy allkeys-lru"]).await;
    let replica = Server::start(&[&format!("replicaof 127.0.0.1 {}", server.port)]).await;
    let (store, on_replica) = (plain(&server), plain(&replica));
    eventually("the replica is there", || async { found(store.as_ref(), "1 replicas").await.is_some() }).await;
    for (what, severity) in [
        ("Redis ", Severity::Ok),
        ("every command", Severity::Ok),
        ("a master", Severity::Ok),
        ("allkeys-lru", Severity::Warning),
        ("snapshots (3600 1)", Severity::Warning),
    ] {
        assert_eq!(found(store.as_ref(), what).await, Some(severity), "{what}");
    }
    assert_eq!(found(on_replica.as_ref(), "a slave").await, Some(Severity::Error));
}

async fn found(store: &dyn Store, what: &str) -> Option<Severity> {
    let findings = store.inspect(ActionSet::DELETE).await.unwrap();
    findings.into_iter().find(|finding| finding.what.contains(what)).map(|finding| finding.severity)
}

#[tokio::test]
async fn an_entry_and_its_guard_go_in_one_command_and_a_hold_stands_before_its_entry_goes() {
    let server = Server::start(&["slowlog-log-slower-than 0"]).await;
    let store = plain(&server);
    server
        .admin(&["MSET", "one", "1", "one!q", "1", "held", "1", "below:1", "1", "below:1!q", "1", "below:2!q", "1"])
        .await;
    let actions = [
        Action::Hold { key: "held".into(), ms: 1000, guarded: true },
        Action::DeleteGuarded(Object::Key("one".into())),
        Action::DeleteGuarded(Object::Prefix("below:".into())),
    ];
    let removed = store.apply(&actions).await.unwrap().outcomes;
    assert_eq!(removed.into_iter().flatten().sum::<u64>(), 6);
    let changes: Vec<String> = commands(&server.admin(&["SLOWLOG", "GET", "-1"]).await)
        .into_iter()
        .filter(|command| command.starts_with("UNLINK") || command.starts_with("SET "))
        .collect();
    let [one, hold, held, below] = changes.as_slice() else { panic!("{changes:?}") };
    assert_eq!((one.as_str(), held.as_str()), ("UNLINK one one!q", "UNLINK held"));
    assert!(hold.starts_with("SET held!q ") && hold.ends_with(" PX 1000"), "{hold}");
    assert_eq!(below, "UNLINK below:1 below:1!q below:2 below:2!q");
}

/// The commands of a slow log, oldest first.
fn commands(log: &Value) -> Vec<String> {
    let Value::Array(entries) = log else { panic!("{log:?}") };
    let command = |entry: &Value| {
        let Value::Array(fields) = entry else { panic!("{entry:?}") };
        let Value::Array(words) = &fields[3] else { panic!("{entry:?}") };
        let word = |word: &Value| match word {
            Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => format!("{other:?}"),
        };
        words.iter().map(word).collect::<Vec<_>>().join(" ")
    };
    entries.iter().rev().map(command).collect()
}

#[tokio::test]
async fn a_socket_file_works_as_an_address() {
    let server = Server::start(&["unixsocket redis.sock"]).await;
    server.admin(&["SET", "a", "1"]).await;
    let store = store(json!({"url": format!("redis+unix://{}", server.file("redis.sock"))}));
    assert_eq!(store.apply(&delete("a")).await.unwrap().outcomes, [Ok(1)]);
}
