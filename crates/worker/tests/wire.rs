//! Holds this version to what earlier ones left in brokers: every message reads as it was meant when it was written.

#![expect(clippy::unwrap_used, reason = "a test fails where its steps do, helpers included")]

use std::ops::Range;
use std::time::Duration;

use quash_core::plan::{TargetId, TargetSet};
use quash_core::scope::{CacheId, CacheSet, Scope};
use quash_delivery::headers;
use quash_delivery::record::{Reason, Record};
use quash_delivery::state::{State, read_attempts, read_replays, read_scope, unconfigured, unconfigured_caches};
use quash_transport::{LetterId, Message};
use quash_worker::dead_letter::archive::read_line;
use quash_worker::dead_letter::replay::replacement;
use quash_worker::dead_letter::{Legibility, Letter};
use serde_json::{Map, Value, json};

const BROKERS: [&str; 3] = ["amqp", "nats", "redis_streams"];
const TARGETS: [&str; 2] = ["eu", "main"];
const CACHES: [&str; 6] = ["archive", "page", "product", "report", "strict", "summary"];

/// When the recordings were made, in milliseconds since the Unix epoch.
const RECORDED: Range<i64> = 1_796_096_190_000..1_796_096_230_000;
/// What one event brought along as its first failure.
const LONG_AGO: i64 = 1_760_000_000_000;

/// Begin the names of headers that belong to a transport or to its broker, and that never leave it.
const TRANSPORTS: [&str; 4] = ["_quash-", "nats-", "quash-transport-", "x-"];

/// What a message that waits was written with; an event that nobody has handled has the [`Default`].
#[derive(Debug, Default, PartialEq)]
struct Meant {
    state: State,
    /// The targets of the failed attempts, oldest first.
    failed_on: Vec<String>,
    replays: u32,
    scope: Option<Scope>,
    targets_elsewhere: Option<String>,
    caches_elsewhere: Option<String>,
}

/// Whether it lies in the queue that a cache names as its own, the event's name, and what it was written with.
fn waiting() -> Vec<(bool, &'static str, Meant)> {
    let failed = || Meant { state: again(2, &["main"], 0), failed_on: vec!["main".to_owned()], ..Meant::default() };
    let scoped = |scope: Scope, meant: Meant| Meant { scope: Some(scope), ..meant };
    let partly_done = || Scope { done: caches(&["page", "summary"]), ..Scope::default() };
    let own = || Scope { only: Some(caches(&["report"])), handed_over: caches(&["report"]), ..Scope::default() };
    let handed_over = || Scope { handed_over: caches(&["report"]), ..Scope::default() };
    let only = |names: &[&str]| Scope { only: Some(caches(names)), ..Scope::default() };
    let unreached = |targets| Meant { state: State { attempt: 1, ..again(2, targets, 0) }, ..Meant::default() };
    let pass = |pass_ms| Meant {
        state: State { targets: targets(&["eu", "main"]), pass: Duration::from_millis(pass_ms), ..State::default() },
        ..Meant::default()
    };
    let replayed = State { targets: targets(&["main"]), ..State::default() };
    let (gone, lost) = (Some("gone".to_owned()), Some("lost".to_owned()));
    let waits = State { first_failure_ms: Some(0), ..State::default() };
    vec![
        (false, "fresh", Meant::default()),
        (false, "fresh-command", Meant::default()),
        (false, "fresh-cloud", Meant::default()),
        (false, "fresh-partly-done", scoped(partly_done(), Meant::default())),
        (false, "replayed", Meant { state: replayed, replays: 1, failed_on: vec!["main".to_owned(); 2], ..failed() }),
        (false, "killed", Meant::default()),
        (true, "killed", scoped(own(), Meant::default())),
        (false, "parked-failed", failed()),
        (
            false,
            "parked-failed-again",
            Meant { state: again(3, &["main"], 0), failed_on: vec!["main".to_owned(); 2], replays: 1, ..failed() },
        ),
        (false, "parked-later-pass-failed", Meant { state: again(2, &["main"], 20_000), ..failed() }),
        (false, "parked-partly-done", scoped(partly_done(), failed())),
        (false, "parked-handed-over", scoped(handed_over(), failed())),
        (true, "parked-handed-over", scoped(own(), failed())),
        (false, "parked-pass", pass(20_000)),
        (false, "parked-long", pass(3_600_000)),
        (false, "parked-unreachable", unreached(&["eu"])),
        (
            false,
            "parked-unconfigured-target",
            Meant {
                state: State { targets: TargetSet::EMPTY, elsewhere: true, ..waits },
                targets_elsewhere: gone,
                ..Meant::default()
            },
        ),
        (
            false,
            "parked-unconfigured-cache",
            scoped(only(&[]), Meant { state: waits, caches_elsewhere: lost, ..Meant::default() }),
        ),
        (false, "parked-not-handed-over", scoped(only(&["report"]), Meant { state: waits, ..Meant::default() })),
    ]
}

/// A share that failed; when is another matter.
fn again(attempt: u32, named: &[&str], pass_ms: u64) -> State {
    let pass = Duration::from_millis(pass_ms);
    State { attempt, targets: targets(named), pass, first_failure_ms: Some(0), ..State::default() }
}

#[test]
fn a_message_that_waits_reads_as_what_it_was_written_with() {
    for broker in BROKERS {
        let mut found = Vec::new();
        for line in recorded(broker).iter().filter(|line| !is_letter(line)) {
            let message = message(line);
            let key = (is_bulk(line), name(line, &message));
            let (.., meant) = waiting().into_iter().find(|(bulk, name, _)| (*bulk, *name) == (key.0, &*key.1)).unwrap();
            assert_eq!(read(&message, &key.1), meant, "{broker}: {line}");
            found.push(key);
        }
        found.sort();
        let mut all: Vec<_> = waiting().into_iter().map(|(bulk, name, _)| (bulk, name.to_owned())).collect();
        all.sort();
        assert_eq!(found, all, "{broker}: each of them lies there once");
    }
}

/// Reads all that a message says, the time of its first failure apart: that is checked against the rest here.
fn read(message: &Message, name: &str) -> Meant {
    let headers = &message.headers;
    let mut state = State::read(headers, target);
    let attempts = read_attempts(headers);
    if let Some(first_failure) = state.first_failure_ms {
        let first_attempt = attempts.first().map_or(first_failure, |attempt| attempt.at_ms);
        assert_eq!(first_failure, first_attempt, "{name} failed first in its first failed attempt");
        assert!(
            first_failure == LONG_AGO || RECORDED.contains(&first_failure),
            "{name} failed first at {first_failure}"
        );
        state.first_failure_ms = Some(0);
    }
    Meant {
        state,
        failed_on: attempts.into_iter().map(|attempt| attempt.target.unwrap_or_default()).collect(),
        replays: read_replays(headers),
        scope: read_scope(headers, cache),
        targets_elsewhere: unconfigured(headers, &TARGETS.map(str::to_owned)),
        caches_elsewhere: unconfigured_caches(headers, cache),
    }
}

/// What a letter was written with.
struct Dead {
    is_bulk: bool,
    /// The name of the event, empty where the body has none.
    name: &'static str,
    reason: Reason,
    entity: Option<&'static str>,
    target: Option<&'static str>,
    cache: Option<&'static str>,
    error: &'static str,
    attempts: u32,
    replays: u32,
}

const DEAD: Dead = Dead {
    is_bulk: false,
    name: "",
    reason: Reason::Decode,
    entity: None,
    target: None,
    cache: None,
    error: "",
    attempts: 1,
    replays: 0,
};
const PRODUCT: Option<&str> = Some("shop.Product");
const REPORT: Dead = Dead {
    name: "letter-report",
    reason: Reason::TargetError,
    entity: Some("shop.Report"),
    target: Some("main"),
    attempts: 2,
    ..DEAD
};

const LETTERS: [Dead; 12] = [
    Dead { error: "not valid UTF-8: byte 0xff", ..DEAD },
    Dead { name: "letter-decode", error: "not valid JSON: EOF", ..DEAD },
    Dead { name: "letter-panic", reason: Reason::Panic, error: "handed out 12 times to workers", ..DEAD },
    Dead {
        name: "letter-limit",
        reason: Reason::Limit,
        entity: PRODUCT,
        cache: Some("product"),
        error: "a key has 80 bytes",
        ..DEAD
    },
    Dead {
        name: "letter-rule",
        reason: Reason::Rule,
        entity: Some("shop.Strict"),
        cache: Some("strict"),
        error: "column code is unknown",
        ..DEAD
    },
    Dead {
        name: "letter-unconfigured",
        reason: Reason::GaveUp,
        entity: PRODUCT,
        target: Some("gone"),
        error: "the target is not configured",
        ..DEAD
    },
    Dead {
        name: "letter-unconfigured-cache",
        reason: Reason::GaveUp,
        entity: PRODUCT,
        error: "the cache is not configured",
        ..DEAD
    },
    Dead {
        name: "letter-gave-up",
        reason: Reason::GaveUp,
        entity: PRODUCT,
        target: Some("eu"),
        error: "cannot reach the cache",
        ..DEAD
    },
    Dead {
        name: "letter-target-error",
        entity: PRODUCT,
        error: "delete product:letter-target-error: NOPERM",
        ..REPORT
    },
    Dead {
        name: "letter-later-pass",
        entity: Some("shop.Page"),
        error: "delete page:letter-later-pass: NOPERM",
        replays: 1,
        ..REPORT
    },
    Dead { error: "delete summary:letter-report: NOPERM", ..REPORT },
    Dead { is_bulk: true, error: "delete report:letter-report: NOPERM", ..REPORT },
];

#[test]
fn a_letter_says_why_it_is_there() {
    for (broker, line) in letters() {
        let message = message(&line);
        let dead = dead(&line, &message);
        let source = if dead.is_bulk { "bulk" } else { "events" };
        let letter = Letter::read(LetterId(String::new()), message.clone());
        let about = &letter.about;
        assert_eq!(about.legibility, Legibility::Full, "{broker}: {line}");
        assert_eq!(about.reason.as_deref(), Some(dead.reason.name()), "{broker}: {line}");
        assert!(about.error.as_deref().unwrap().contains(dead.error), "{broker}: {line}");
        assert_eq!((about.source.as_deref(), about.entity.as_deref()), (Some(source), dead.entity), "{broker}: {line}");
        assert_eq!((about.target.as_deref(), about.cache.as_deref()), (dead.target, dead.cache), "{broker}: {line}");
        assert_eq!((about.attempts_made, about.replays), (Some(dead.attempts), dead.replays), "{broker}: {line}");
        // What may be what ends the process is not decoded again to say more of it.
        let named = !dead.name.is_empty() && dead.reason != Reason::Panic;
        assert_eq!(about.id.as_deref(), named.then_some(dead.name), "{broker}: {line}");
        assert_eq!(about.trace.is_empty(), dead.entity.is_none(), "{broker}: {line}");
        assert_eq!(
            (about.worker.as_deref(), about.quash.as_deref()),
            (Some("second"), Some("0.1.0")),
            "{broker}: {line}"
        );
        assert!(about.broker_id.is_some(), "{broker}: {line}");

        assert_eq!(about.attempts.len(), dead.attempts as usize, "{broker}: {line}");
        let (first, last) = (about.first_failure_ms.unwrap(), about.last_failure_ms.unwrap());
        assert!(first <= last && RECORDED.contains(&first) && RECORDED.contains(&last), "{broker}: {line}");
        assert_eq!(about.attempts.last().unwrap().at_ms, last, "{broker}: {line}");
        assert_eq!(about.attempts.last().unwrap().error, about.error.clone().unwrap(), "{broker}: {line}");

        // Who reads it as a whole finds the same.
        let record: Record = serde_json::from_str(message.headers.get(headers::RECORD).unwrap()).unwrap();
        assert_eq!((record.version, record.reason), (1, dead.reason), "{broker}: {line}");
        assert_eq!(
            (Some(record.error), record.attempts),
            (about.error.clone(), about.attempts.clone()),
            "{broker}: {line}"
        );
    }
}

#[test]
fn a_letter_is_replayed_for_what_it_stands_for() {
    for (broker, line) in letters() {
        let message = message(&line);
        let dead = dead(&line, &message);
        let sent = replacement(&Letter::read(LetterId(String::new()), message.clone()));
        assert_eq!(sent.payload, message.payload, "{broker}: {line}");

        let state = State::read(&sent.headers, target);
        let todo = dead.target.map_or(TargetSet::ALL, |name| target(name).into_iter().collect());
        let pass = Duration::from_millis(if dead.name == "letter-later-pass" { 20_000 } else { 0 });
        let elsewhere = dead.target == Some("gone");
        let expected = State { attempt: 1, targets: todo, elsewhere, pass, first_failure_ms: None };
        assert_eq!(state, expected, "{broker}: {line}");
        assert_eq!(read_replays(&sent.headers), dead.replays + 1, "{broker}: {line}");
        assert_eq!(read_attempts(&sent.headers).len(), dead.attempts as usize, "{broker}: {line}");
        assert_eq!(sent.headers.get(headers::RECORD), None, "{broker}: {line}");

        let scope = match dead.name {
            "letter-report" if dead.is_bulk => {
                Some(Scope { only: Some(caches(&["report"])), handed_over: caches(&["report"]), ..Scope::default() })
            }
            "letter-report" => Some(Scope { handed_over: caches(&["report"]), ..Scope::default() }),
            "letter-later-pass" => Some(Scope { done: caches(&["product", "summary"]), ..Scope::default() }),
            "letter-unconfigured-cache" => Some(Scope { only: Some(caches(&[])), ..Scope::default() }),
            _ => None,
        };
        assert_eq!(read_scope(&sent.headers, cache), scope, "{broker}: {line}");
    }
}

#[test]
fn an_export_reads_as_the_letters_that_it_was_made_of() {
    let letters = recorded("redis_streams").into_iter().filter(|line| is_letter(line) && !is_bulk(line));
    let mut letters: Vec<(Value, Message)> = letters.map(|line| (line["id"].clone(), message(&line))).collect();
    for line in file("export.ndjson").lines() {
        let exported = read_line(line).unwrap_or_else(|error| panic!("{error} in {line}"));
        let id = &serde_json::from_str::<Value>(line).unwrap()["id"];
        match letters.iter().position(|(letter, _)| letter == id) {
            Some(at) => assert_eq!(exported, letters.remove(at).1, "{line}"),
            None => panic!("no letter has been exported as {line}"),
        }
    }
    assert_eq!(letters, [], "all of them have been exported");
}

#[test]
fn every_header_and_every_reason_has_been_recorded_on_each_broker() {
    let names = [
        headers::ID,
        headers::ATTEMPT,
        headers::TARGETS,
        headers::CACHES,
        headers::CACHES_DONE,
        headers::CACHES_HANDED_OVER,
        headers::PASS,
        headers::FIRST_FAILURE,
        headers::ATTEMPTS,
        headers::REPLAYS,
        headers::RECORD,
    ];
    for broker in BROKERS {
        let lines = recorded(broker);
        let messages: Vec<Message> = lines.iter().map(message).collect();
        for name in names {
            assert!(messages.iter().any(|message| message.headers.get(name).is_some()), "{name} on {broker}");
        }
        for reason in Reason::ALL {
            let says = |line: &&Value| is_letter(line) && dead(line, &message(line)).reason == reason;
            assert!(lines.iter().any(|line| says(&line)), "a letter of {} on {broker}", reason.name());
        }
    }
}

/// All recorded letters with their brokers.
fn letters() -> Vec<(&'static str, Value)> {
    let letters = |broker| recorded(broker).into_iter().filter(is_letter).map(move |line| (broker, line));
    let all: Vec<_> = BROKERS.into_iter().flat_map(letters).collect();
    assert_eq!(all.len(), BROKERS.len() * LETTERS.len(), "each of them lies in each broker once");
    all
}

fn dead(line: &Value, message: &Message) -> &'static Dead {
    let (is_bulk, name) = (is_bulk(line), name(line, message));
    let dead = LETTERS.iter().find(|dead| (dead.is_bulk, dead.name) == (is_bulk, &*name));
    dead.unwrap_or_else(|| panic!("nobody wrote {line}"))
}

/// The messages that lay in a kind of broker.
fn recorded(broker: &str) -> Vec<Value> {
    let text = file(&format!("{broker}.jsonl"));
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line.get("declared").is_none()).collect()
}

fn file(name: &str) -> String {
    let path = format!("{}/../../tests/vectors/wire/0.1/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {path}: {error}"))
}

fn is_letter(line: &Value) -> bool {
    line["in"].as_str().unwrap().to_lowercase().ends_with("dead")
}

fn is_bulk(line: &Value) -> bool {
    line["in"].as_str().unwrap().to_lowercase().contains("bulk")
}

/// A recorded message as a transport hands it out.
fn message(line: &Value) -> Message {
    let headers = line["headers"].as_array().unwrap().iter();
    let headers = headers.map(|header| (header["name"].as_str().unwrap().to_lowercase(), header["value"].clone()));
    let headers = headers.filter(|(name, _)| !TRANSPORTS.iter().any(|start| name.starts_with(start)));
    let archived = json!({
        "headers": headers.collect::<Map<_, _>>(), "payload": line["body"], "payload_base64": line["body_base64"],
    });
    read_line(&archived.to_string()).unwrap_or_else(|error| panic!("{error} in {line}"))
}

/// What the event is called.
fn name(line: &Value, message: &Message) -> String {
    match serde_json::from_slice::<Value>(&message.payload) {
        Ok(event) => event["id"].as_str().or(event["key"]["id"].as_str()).unwrap().to_owned(),
        Err(_) if line.get("body").is_some() => message.headers.get(headers::ID).unwrap().to_owned(),
        Err(_) => String::new(),
    }
}

fn target(name: &str) -> Option<TargetId> {
    index(&TARGETS, name).map(|index| TargetId(u8::try_from(index).unwrap()))
}

fn targets(names: &[&str]) -> TargetSet {
    names.iter().map(|name| target(name).unwrap()).collect()
}

fn cache(name: &str) -> Option<CacheId> {
    index(&CACHES, name).map(|index| CacheId(u32::try_from(index).unwrap()))
}

fn caches(names: &[&str]) -> CacheSet {
    names.iter().map(|name| cache(name).unwrap()).collect()
}

fn index(known: &[&str], name: &str) -> Option<usize> {
    known.iter().position(|known| *known == name)
}
