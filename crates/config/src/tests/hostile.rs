//! Shows that no configuration takes more than its share of time and memory, however it was made.

use std::time::{Duration, Instant};

use super::*;

const MIB: usize = 1024 * 1024;

/// How much is made: enough to notice what costs the square of it, and little enough for a build that is not optimised.
const BYTES: usize = MIB / 8;

/// Far more than any of these takes, and far less than the square of one would.
const LIMIT: Duration = Duration::from_secs(20);

/// As often as it fits, with what stands around it.
fn filled(begin: &str, part: impl Fn(usize) -> String, end: &str) -> String {
    let mut text = begin.to_owned();
    for number in 0.. {
        let part = part(number);
        if text.len() + part.len() + end.len() > BYTES {
            break;
        }
        text.push_str(&part);
    }
    text + end
}

#[test]
fn whatever_stands_in_a_file_it_is_read_or_refused_in_little_time() {
    let plain = |part: &'static str| move |_: usize| part.to_owned();
    let cases: [(&str, String, &str); 14] = [
        ("deep flow", filled("", plain("["), ""), "error: more than 100 mappings"),
        ("deep flow maps", filled("", plain("{a: "), ""), "error: more than 100 mappings"),
        ("deep blocks", filled("", plain("- "), ""), "error: more than 100 mappings"),
        ("long list", filled("tests: [", plain("1,"), "]"), ""),
        ("long text", filled("tests: [\"", plain("x"), "\"]"), ""),
        ("many keys", filled("", |number| format!("x{number}: 1\n"), ""), "error: unknown key `x0`"),
        ("many names", filled("rules:\n", |number| format!(" r{number}: {{key: k}}\n"), ""), ""),
        ("many wrong names", filled("rules:\n", |number| format!(" r{number}: 1\n"), ""), "error: expected a mapping"),
        ("many dropped", filled("rules: {a: {key: k, ops: [", plain("x,"), "]}}"), "error: unknown value `x`"),
        ("many aliases", filled("tests: [&a [x, x, x, x], ", plain("*a,"), "]"), "error: the anchors and aliases"),
        ("addresses", filled("tests: [\"", plain("://"), "\"]"), ""),
        ("secrets", filled("tests: [", plain("{token: a},"), "]\nversoin: 1"), "error: unknown key `versoin`"),
        (
            "secrets in a line",
            filled("{versoin: 1, tests: [", plain("{token: a},"), "]}"),
            "error: unknown key `versoin`",
        ),
        ("colons", filled("a: [", plain(":"), ""), "error: this is not valid YAML"),
    ];
    for (name, yaml, expected) in cases {
        let begin = Instant::now();
        let shown = load(&yaml, &[]).map(|_| String::new()).unwrap_or_else(|shown| shown);
        assert!(shown.starts_with(expected) && shown.is_empty() == expected.is_empty(), "{name}: {shown:.200}");
        assert!(shown.len() < 100_000, "{name}: {} bytes are shown", shown.len());
        assert!(begin.elapsed() < LIMIT, "{name}: {:?}", begin.elapsed());
    }
}

#[test]
fn nothing_longer_than_a_mebibyte_is_looked_at() {
    let expected = "error: a configuration holds at most 1 MiB for each file";
    for yaml in ["#".repeat(MIB + 1), "x: 1\n".repeat(100 * MIB / 5), "[".repeat(100 * MIB)] {
        assert!(problems(&yaml, &[]).starts_with(expected));
    }
}
