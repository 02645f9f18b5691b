//! Proves that what a message costs is bounded by its size: four times as much of anything takes at most five times the steps
//! and the memory.
//!
//! Each message of `tests/poison/costs.jsonl` is resolved in a process of its own, whose greatest memory the system knows.

#![expect(clippy::expect_used, reason = "a test without a harness")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Command;

use quash_core::event::{Format, Payload};
use quash_core::key::KeyFormat;
use quash_core::resolve::{Declared, Request, Resolved, Resolver};
use quash_core::rule::config::Limits;
use quash_core::steps;
use serde_json::{Value, json};

#[expect(unreachable_pub, reason = "it is public where it is at home")]
#[path = "../../../tests/src/poison/bytes.rs"]
mod bytes;

/// Four times the size may cost so many times as much.
const MOST: u64 = 5;
/// So much memory, in KiB, the allocator may have at hand from making the message: it hides that much of a cost.
const NOISE_KIB: u64 = 512;
/// Fewer steps than these are what any message takes.
const NOISE_STEPS: u64 = 1000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match &arguments[..] {
        [_, child, index, n] if child == "--resolve" => {
            resolve(index.parse().expect("a index"), n.parse().expect("a number"));
        }
        _ => compare(),
    }
}

/// The lines that are no headings.
fn cases() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/poison/costs.jsonl");
    let text = std::fs::read_to_string(path).expect("there are cases");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

fn compare() {
    let cases = cases();
    assert!(cases.len() >= 20, "there are cases");
    let mut dear = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        let n = case["n"].as_u64().expect("a number");
        let [one, four] = [n, 4 * n].map(|n| measured(index, n));
        assert_eq!(one.outcome, four.outcome, "{}: another outcome", case["case"]);
        if four.steps > MOST * one.steps.max(NOISE_STEPS) || four.kib > MOST * (one.kib + NOISE_KIB) {
            dear.push(format!("{}: {one:?}, then {four:?}", case["case"]));
        }
    }
    assert!(dear.is_empty(), "these cost more than their size explains:\n{}", dear.join("\n"));
}

/// What resolving took.
#[derive(Debug)]
struct Cost {
    outcome: String,
    steps: u64,
    kib: u64,
}

fn measured(index: usize, n: u64) -> Cost {
    let mut child = Command::new(std::env::current_exe().expect("this is a program"));
    let output = child.args(["--resolve", &index.to_string(), &n.to_string()]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let [outcome, steps, kib] = said.split_whitespace().collect::<Vec<_>>()[..] else { panic!("it says {said}") };
    let number = |text: &str| text.parse().expect("a number");
    Cost { outcome: outcome.to_owned(), steps: number(steps), kib: number(kib) }
}

fn resolve(index: usize, n: usize) {
    let body = bytes::bytes(&cases()[index]["body"], n);
    assert!(body.len() <= Limits::default().max_message_bytes, "{} bytes", body.len());
    let resolver = resolver();
    let (steps, kib) = (steps::count(), peak_kib());
    let resolution = resolver.resolve(&[Request::fresh(Payload { body: &body, headers: &[] }, Format::Auto)]);
    let outcome = match resolution.outcomes[0] {
        Resolved::Unmatched { .. } => "unmatched",
        Resolved::Matched(_) => "matched",
        Resolved::Refused(_) => "refused",
    };
    let figures = format!("{outcome} {} {}", steps::count() - steps, peak_kib() - kib);
    std::io::stdout().write_all(figures.as_bytes()).expect("somebody reads");
}

fn resolver() -> Resolver {
    let caches = json!({
        "product": { "key": "product:{id}", "depends_on": [{ "row": "shop.Product" }, { "row": "shop.products" }] },
        "changed": { "key": "changed:{id}", "depends_on": [{ "row": "shop.Product", "changed": ["a", "z"] }] },
        "tag": { "key": "tag:{t}", "depends_on": [{ "row": "public.post", "map": { "t": "tags" } }] },
        "pair": { "key": "pair:{a}:{b}", "depends_on": [{ "row": "shop.Pair" }] },
        "tagged": { "key": "tagged:{name}:{id}",
            "depends_on": [{ "m2m": "shop.Book.tags", "map": { "name": "from.name", "id": "to.id" } }] },
        "cond": { "key": "cond:{id}", "depends_on": [{ "row": "shop.Cond", "when": "after.text.contains('needle')" }] },
    });
    let targets = BTreeMap::from([("main".to_owned(), KeyFormat::Plain)]);
    let (resolver, problems) = Resolver::compile(Declared {
        targets: &targets,
        caches: &serde_json::from_value(caches).expect("caches"),
        entities: &BTreeMap::new(),
        on_unknown: None,
        secrets: &BTreeMap::new(),
        limits: Limits::default(),
    });
    resolver.unwrap_or_else(|| panic!("{problems:?}"))
}

/// The most memory that this process ever held, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it says its memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
