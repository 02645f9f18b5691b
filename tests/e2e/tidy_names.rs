//! Keeps one word per thing in the code, and one public type per name.

use std::collections::{BTreeMap, BTreeSet};

use crate::tidy::{is_test, product, sources};

/// Identifiers that a reader met as riddles, each with the word that stands for the thing.
const WORDS: [(&str, &str); 26] = [
    ("place", "what it is: index, position, location, destination"),
    ("places", "indices, or whatever they are"),
    ("Place", "what it is: Position, Location, Destination"),
    ("Whereabouts", "Location"),
    ("whereabouts", "locations"),
    ("asker", "request"),
    ("askers", "requests"),
    ("Askers", "RequestIds"),
    ("Stray", "Deferred"),
    ("strays", "deferred"),
    ("spared", "unhandled"),
    ("Happened", "Outcome"),
    ("happened", "outcome"),
    ("Trouble", "Failure, or ShareError"),
    ("trouble", "failure"),
    ("doubts", "warnings"),
    ("Doubts", "Warnings"),
    ("told", "notified, or what is said"),
    ("Told", "what it holds"),
    ("Sought", "KeyPattern"),
    ("sought", "patterns"),
    ("Sighted", "KeyCount"),
    ("sighted", "counts"),
    ("heads", "prefixes"),
    ("QueueId", "SourceId"),
    ("QueueSet", "SourceSet"),
];

/// Public types that crates define under one name, and why readers are not misled.
const SHARED: [(&str, &str); 19] = [
    ("Args", "the arguments of each command, always `command::Args`; and those of a cache's key"),
    ("Builder", "of dispatchers, of readers: an application has one of the two"),
    ("Cause", "of what a dispatcher could not confirm, and of a group of letters"),
    ("Codec", "of a frame's bytes, and of an application's values in them"),
    ("Command", "of the binary, and of an event"),
    ("Config", "of each kind, always `kind::Config`"),
    ("Event", "as it is published, and as it is decoded"),
    ("Foreign", "as configured, and as given by a reader"),
    ("Format", "of events, and of a drawn graph"),
    ("Invalidate", "as it is published, and as it is decoded"),
    ("Key", "that a library spells, and that a reader asks for"),
    ("Letter", "as it is decided, and as it is read back"),
    ("Loaded", "a configuration, and a value"),
    ("Outcome", "of a delivery, of a share, of a read"),
    ("Plugins", "of a dispatcher, of a worker"),
    ("Refused", "a request by the rules, and a store by a reader"),
    ("Role", "of a person, and of a key"),
    ("Source", "of messages, and of a value"),
    ("StartError", "of a dispatcher, of a worker"),
];

/// The same for what a trait or a wire form is called in two layers.
const LAYERS: [(&str, &str); 7] = [
    ("RetryPolicy", "of deliveries, and of one operation at a broker"),
    ("State", "of a frame, and of a delivery"),
    ("Store", "what writes stale entries away, and what readers read"),
    ("StoreError", "of the two"),
    ("Tag", "that entries carry, and of a delivery"),
    ("Tls", "to a broker, and to a database"),
    ("Transaction", "as it is published, and as it is decoded"),
];

#[test]
fn each_thing_has_one_word_in_the_code() {
    let mut found = BTreeSet::new();
    for (path, text) in sources().into_iter().filter(|(path, _)| path.starts_with("crates/")) {
        for name in identifiers(&code(&text)) {
            let better = WORDS.iter().find(|(word, _)| *word == name);
            found.extend(better.map(|(word, better)| format!("{path}: for `{word}` say {better}")));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_public_type_has_its_name_for_itself() {
    let mut crates: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, text) in sources().into_iter().filter(|(path, _)| path.starts_with("crates/") && path.contains("/src/"))
    {
        let is_double = ["/conformance", "/doubles", "/testing"].iter().any(|part| path.contains(part));
        if is_test(&path) || is_double {
            continue;
        }
        for name in product(&text).lines().filter_map(public_type) {
            crates.entry(name.to_owned()).or_default().insert(path.split('/').nth(1).unwrap().to_owned());
        }
    }
    let several: BTreeSet<&str> =
        crates.iter().filter(|(_, crates)| crates.len() > 1).map(|(name, _)| name.as_str()).collect();
    let allowed: BTreeSet<&str> = SHARED.iter().chain(&LAYERS).map(|(name, _)| *name).collect();
    let new: Vec<_> = several.difference(&allowed).map(|name| (name, &crates[*name])).collect();
    assert!(new.is_empty(), "qualify one of each, or say here why both may be called so: {new:?}");
    let over: Vec<_> = allowed.difference(&several).collect();
    assert!(over.is_empty(), "these stand once by now: {over:?}");
}

/// The name of the public type that a line declares.
fn public_type(line: &str) -> Option<&str> {
    let declared = line.trim_start().strip_prefix("pub ")?;
    let kinds = ["struct ", "enum ", "trait ", "type ", "union "];
    let name = kinds.iter().find_map(|kind| declared.strip_prefix(kind))?;
    name.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next().filter(|name| !name.is_empty())
}

fn identifiers(code: &str) -> impl Iterator<Item = &str> {
    code.split(|letter: char| !letter.is_alphanumeric() && letter != '_').filter(|word| !word.is_empty())
}

/// What of a file is neither a comment nor text.
fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['"', '/', '\'']) {
        let (before, from) = rest.split_at(at);
        code.push_str(before);
        code.push(' ');
        rest = match from.as_bytes() {
            [b'/', b'/', ..] => behind(from, "\n"),
            [b'\'', b'\\', _, ..] => behind(&from[3..], "'"),
            [b'\'', _, b'\'', ..] => &from[3..],
            [b'"', ..] if before.ends_with("r#") => behind(from, "\"#"),
            [b'"', ..] => behind_text(&from[1..]),
            _ => &from[1..],
        };
    }
    code + rest
}

fn behind<'t>(text: &'t str, end: &str) -> &'t str {
    text.split_once(end).map_or("", |(_, rest)| rest)
}

fn behind_text(text: &str) -> &str {
    let mut is_escaped = false;
    for (at, letter) in text.char_indices() {
        match letter {
            '"' if !is_escaped => return &text[at + 1..],
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    ""
}

#[test]
fn names_are_found_in_code_alone() {
    let text = "let told = \"told \\\" doubts\"; // asker\nlet quote = '\"'; let heads = r#\"{\"spared\": 1}\"#; 'told: loop {}";
    let found: Vec<_> = code(text).split_whitespace().map(str::to_owned).collect();
    assert_eq!(found.join(" "), "let told = ; let quote = ; let heads = r# ; told: loop {}");
}
