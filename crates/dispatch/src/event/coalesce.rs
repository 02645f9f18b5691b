//! Merges repeats among events without losing a row image: what was cached from it must go, however short it lived.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::Value as Json;

use super::Document;

/// The events with repeats merged, each at the place of its first.
///
/// Two updates of a row become one when one of them changes no published column: its images are then in the other's.
/// Everything else is merged only with its equal. A move from 3 to 4 and on to 5 stays two events, since pages of 4 may
/// have been cached in between. The client for Python merges the same; `tests/vectors/events.json` holds both to it.
pub(crate) fn coalesced(documents: Vec<Document>) -> Vec<Document> {
    let mut merged: Vec<Document> = Vec::with_capacity(documents.len());
    let mut indices: HashMap<String, usize> = HashMap::new();
    for document in documents {
        let same = identity(&document);
        match indices.get(&same).and_then(|index| Some((*index, joined(&merged[*index], &document)?))) {
            Some((index, joined)) => merged[index] = joined,
            None => {
                indices.insert(same, merged.len());
                merged.push(document);
            }
        }
    }
    merged
}

/// What two events have in common that may become one.
fn identity(document: &Document) -> String {
    let mut text = String::new();
    match document.get("key") {
        Some(key) if is_update(document) && *key != Json::Object(Document::new()) && !key.is_null() => {
            text.push_str("update ");
            for name in ["entity", "key", "source"] {
                write(document.get(name).unwrap_or(&Json::Null), &mut text);
            }
        }
        _ => object(
            document.iter().filter(|(name, _)| !["id", "time", "traceparent"].contains(&name.as_str())),
            &mut text,
        ),
    }
    text
}

fn is_update(document: &Document) -> bool {
    document.get("op").is_some_and(|op| op == "update")
}

fn joined(first: &Document, second: &Document) -> Option<Document> {
    if !is_update(first) {
        return Some(first.clone());
    }
    let images = |document: &Document| Some((document.get("before")?.clone(), document.get("after")?.clone()));
    let ((before, middle), (again, after)) = (images(first)?, images(second)?);
    if middle != again || (before != middle && again != after) {
        return None;
    }
    let mut joined = first.clone();
    joined.insert("after".to_owned(), after);
    match (first.get("changed"), second.get("changed")) {
        (Some(Json::Array(first)), Some(Json::Array(second))) => {
            let mut changed = first.clone();
            changed.extend(second.iter().filter(|column| !first.contains(column)).cloned());
            joined.insert("changed".to_owned(), Json::Array(changed));
        }
        _ => drop(joined.shift_remove("changed")),
    }
    Some(joined)
}

/// Writes a value so that equal values are equal texts, whatever the order of their names.
fn write(value: &Json, text: &mut String) {
    match value {
        Json::Array(items) => {
            text.push('[');
            items.iter().for_each(|item| {
                write(item, text);
                text.push(',');
            });
            text.push(']');
        }
        Json::Object(columns) => object(columns.iter(), text),
        // Writing into a text never fails.
        scalar => {
            let _ = write!(text, "{scalar}");
        }
    }
}

fn object<'a>(columns: impl Iterator<Item = (&'a String, &'a Json)>, text: &mut String) {
    let mut columns: Vec<_> = columns.collect();
    columns.sort_unstable_by_key(|(name, _)| *name);
    text.push('{');
    for (name, value) in columns {
        let _ = write!(text, "{name:?}:");
        write(value, text);
        text.push(',');
    }
    text.push('}');
}
