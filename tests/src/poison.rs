//! Reads the messages that no good publisher sends, and what becomes of them, from `tests/poison/`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use serde_json::value::RawValue;

pub use bytes::bytes;

use crate::Kind;

mod bytes;

/// A message, and exactly what becomes of it.
#[derive(Debug, Clone)]
pub struct Poison {
    /// What it is; unique.
    pub case: String,
    /// Its body.
    pub body: Vec<u8>,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// The format of the source that it is for.
    pub format: String,
    /// How it is written to one broker alone, byte for byte; nothing for what every transport publishes.
    pub raw: Vec<Vec<u8>>,
    /// The keys that are removed.
    pub gone: Vec<String>,
    /// What it becomes, unless it is acked.
    pub letter: Option<Letter>,
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Why; nothing when the letter is its payload alone.
    pub reason: Option<String>,
    /// What its error contains.
    pub says: String,
}

/// The folder.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("poison")
}

/// All that can be published to a kind of broker.
///
/// # Panics
/// When the files are not as their README says.
#[must_use]
pub fn read(kind: Kind) -> Vec<Poison> {
    let own = |name: &str| Kind::ALL.into_iter().find(|kind| kind.name() == name);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder()).expect("there is a corpus").map(|entry| entry.expect("a file").path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "jsonl") && !path.ends_with("costs.jsonl"));
    files.retain(|path| own(&path.file_stem().unwrap_or_default().to_string_lossy()).is_none_or(|own| own == kind));
    files.sort();
    files.iter().flat_map(|path| lines(path)).map(|(place, line)| poison(&place, &line)).collect()
}

/// The lines of a file that are no headings, each with its place.
///
/// # Panics
/// When it cannot be read.
pub fn lines(path: &Path) -> impl Iterator<Item = (String, String)> + use<> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let lines: Vec<_> = text.lines().map(str::to_owned).enumerate().collect();
    let is_case = |(_, line): &(usize, String)| !line.is_empty() && !line.starts_with('#');
    lines.into_iter().filter(is_case).map(move |(at, line)| (format!("{name}:{}", at + 1), line))
}

fn poison(place: &str, line: &str) -> Poison {
    let fields: BTreeMap<String, Box<RawValue>> =
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{place}: {error}"));
    const KNOWN: [&str; 13] = [
        "case",
        "json",
        "body",
        "headers",
        "more",
        "format",
        "gone",
        "dead",
        "says",
        "as_it_is",
        "block",
        "properties",
        "fields",
    ];
    let unknown = fields.keys().find(|name| !KNOWN.contains(&name.as_str()));
    assert_eq!(unknown, None, "{place}");
    let of = |name: &str| -> Option<Value> {
        fields.get(name).map(|raw| serde_json::from_str(raw.get()).unwrap_or_else(|error| panic!("{place}: {error}")))
    };
    let text =
        |name: &str| of(name).map(|value| value.as_str().unwrap_or_else(|| panic!("{place}: {name}")).to_owned());
    let body = match (fields.get("json"), of("body")) {
        (Some(json), None) => json.get().as_bytes().to_vec(),
        (None, Some(parts)) => bytes(&parts, 0),
        (None, None) => Vec::new(),
        (Some(_), Some(_)) => panic!("{place}: two bodies"),
    };
    let headers =
        of("headers").map(|headers| headers.as_object().expect("headers have names").clone()).unwrap_or_default();
    let utf8 = |bytes: Vec<u8>| String::from_utf8(bytes).expect("headers of every transport are text");
    let more = of("more").and_then(|more| more.as_u64()).unwrap_or_default();
    let mut raw = match (of("block").or_else(|| of("properties")), of("fields")) {
        (Some(parts), _) => vec![bytes(&parts, 0)],
        (None, Some(fields)) => {
            fields.as_array().expect("names and values").iter().map(|field| bytes(field, 0)).collect()
        }
        (None, None) => Vec::new(),
    };
    let mut headers: Vec<(String, String)> =
        headers.iter().map(|(name, value)| (name.clone(), utf8(bytes(value, 0)))).collect();
    for place in 0..more {
        if raw.is_empty() {
            headers.push((format!("x{place}"), "v".to_owned()));
        } else {
            raw.extend([format!("x{place}").into_bytes(), b"v".to_vec()]);
        }
    }
    let keys = |keys: Value| keys.as_array().expect("a list of keys").iter().map(|key| utf8(bytes(key, 0))).collect();
    let gone: Option<Vec<String>> = of("gone").map(keys);
    let letter = text("dead").map(|reason| Letter { reason: Some(reason), says: text("says").unwrap_or_default() });
    let letter = letter.or_else(|| of("as_it_is").map(|_| Letter { reason: None, says: String::new() }));
    assert!(gone.is_some() || letter.is_some(), "{place} says nothing of what becomes of it");
    Poison {
        case: text("case").unwrap_or_else(|| panic!("{place} has no name")),
        body,
        headers,
        format: text("format").unwrap_or_else(|| "auto".to_owned()),
        raw,
        gone: gone.unwrap_or_default(),
        letter,
    }
}
