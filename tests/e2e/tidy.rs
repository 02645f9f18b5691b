//! Keeps the rules of the source tree that a machine can check.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::root;

/// Lines that a file may have; a longer one is several.
const LINES_MAX: usize = 600;
/// Files that are longer, with the reason.
const LONGER: [(&str, &str); 0] = [];

#[test]
fn every_file_begins_with_what_it_is_responsible_for() {
    for (path, text) in sources() {
        let first = text.lines().next().unwrap_or_default();
        let sentence = first.strip_prefix("//! ").unwrap_or_default();
        assert!(sentence.len() > 10 && sentence.contains(' '), "{path} begins with no sentence: `{first}`");
        let begins_well = sentence.starts_with(|letter: char| letter.is_uppercase() || letter == '`');
        assert!(begins_well, "{path}: `{sentence}` begins with a capital");
    }
}

#[test]
fn no_file_is_longer_than_one_thought() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        let excused = LONGER.iter().any(|(longer, _)| *longer == path);
        assert!(lines <= LINES_MAX || excused, "{path} has {lines} lines, the limit is {LINES_MAX}: split it");
    }
}

#[test]
fn metric_names_stand_in_one_place() {
    let named = |text: &str| METRICS.iter().any(|name| text.contains(&format!("\"quash_{name}")));
    let elsewhere = |path: &str| !path.starts_with("crates/worker/src/metrics") && !is_test(path);
    assert_eq!(holders("crates/", |path, text| elsewhere(path) && named(product(text))), Vec::<String>::new());
}

/// Words of metric names, without what every one begins with.
const METRICS: [&str; 6] = ["events_", "actions_", "dead_letters", "lane_open", "retries_", "keys_removed"];

#[test]
fn backoff_is_used_in_one_file() {
    let used = |text: &str| text.lines().any(|line| line.starts_with("use backoff") || line.contains(" backoff::Exp"));
    assert_eq!(holders("crates/", |_, text| used(text)), ["crates/transport/src/backoff.rs"]);
}

#[test]
fn nothing_prints_but_the_commands() {
    let prints = |text: &str| text.lines().any(|line| line.trim_start().starts_with("println!("));
    assert_eq!(holders("crates/", |_, text| prints(text)), Vec::<String>::new());
}

#[test]
fn pure_modules_take_no_time_and_no_chance_by_themselves() {
    let pure = ["core/src", "delivery/src"];
    let impure = ["Instant::now", "SystemTime::now", "fastrand::", "async fn", "tokio::"];
    let found = holders("crates/", |path, text| {
        !is_test(path)
            && pure.iter().any(|pure| path.contains(pure))
            && impure.iter().any(|word| product(text).contains(word))
    });
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn there_is_one_tls_provider() {
    let tree = cargo_tree(&["--workspace", "-e", "normal"]);
    for other in ["openssl-sys", "native-tls", "aws-lc"] {
        assert!(!tree.contains(other), "{other}:\n{tree}");
    }
}

#[test]
fn lints_are_expected_with_a_reason_and_never_silenced() {
    // Spelt in two pieces, or this file would be the one that is found.
    let silenced = [concat!("#[", "allow("), concat!("#![", "allow("), concat!("#[", "ignore")];
    let found = holders("", |_, text| silenced.iter().any(|word| text.contains(word)));
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn one_word_per_thing() {
    // Words for things that have another name here, in what users and programmers read.
    let words = [("dead-letter queue", "dead letters"), ("retry count", "attempt"), ("back end", "target or source")];
    for (path, text) in sources().into_iter().chain(documents()).filter(|(path, _)| !path.ends_with("tidy.rs")) {
        for (word, better) in words {
            assert!(!text.to_lowercase().contains(word), "{path} says `{word}` where the word is `{better}`");
        }
    }
}

#[test]
fn the_rights_on_the_security_page_are_those_that_are_tested() {
    let page = |name: &str| fs::read_to_string(root().join("docs").join(name)).unwrap();
    let security = page("security.md");
    for (name, begins) in [
        ("brokers.md", "user quash on "),
        ("targets.md", "ACL SETUSER quash on "),
        ("targets.md", "ACL SETUSER quash +"),
    ] {
        let page = page(name);
        let line = page.lines().find(|line| line.starts_with(begins)).expect("the page grants rights");
        assert!(security.lines().any(|repeated| repeated == line), "docs/security.md differs from docs/{name}: {line}");
    }
}

#[test]
fn the_outbox_in_the_manual_is_the_one_that_is_printed() {
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let printed = read("crates/cli/src/publish/outbox/layout.sql");
    let (_, sql) = printed.split_once('\n').expect("a comment before the table");
    assert!(read("docs/publishing.md").contains(&format!("```sql\n{sql}```")), "docs/publishing.md differs from it");
}

#[test]
fn the_manual_lists_every_page() {
    let list = fs::read_to_string(root().join("docs/README.md")).unwrap();
    for (path, _) in documents().into_iter().filter(|(path, _)| path.starts_with("docs/") && path != "docs/README.md") {
        let name = path.trim_start_matches("docs/");
        assert!(list.contains(&format!("({name})")), "docs/README.md does not list {name}");
    }
}

pub(crate) fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// A file without its tests, which stand last.
pub(crate) fn product(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()
}

pub(crate) fn cargo_tree(args: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    let output =
        command.current_dir(root()).args(["tree", "--offline", "--prefix", "none"]).args(args).output().unwrap();
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The files under a folder for which this holds.
fn holders(folder: &str, holds: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let files = sources().into_iter().filter(|(path, text)| path.starts_with(folder) && holds(path, text));
    files.map(|(path, _)| path).collect()
}

/// Every Rust file with its path from the root of the tree, sorted.
pub(crate) fn sources() -> Vec<(String, String)> {
    files(&["crates", "tests", "benches", "examples"], "rs")
}

fn documents() -> Vec<(String, String)> {
    files(&["docs", "deploy"], "md")
}

fn files(folders: &[&str], end: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in folders {
        walk(&root().join(folder), end, &mut found);
    }
    found.sort();
    let relative = |path: &Path| path.strip_prefix(root()).unwrap().display().to_string();
    found.iter().map(|path| (relative(path), fs::read_to_string(path).unwrap())).collect()
}

fn walk(folder: &Path, end: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            walk(&path, end, found);
        } else if path.extension().is_some_and(|given| given == end) {
            found.push(path);
        }
    }
}
