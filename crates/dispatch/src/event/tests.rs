//! Holds what is published to the shared vectors.

use std::time::{Duration, UNIX_EPOCH};

use quash_core::event::{EventLimits, Format, Payload, decode};
use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};
use serde_json::{Map, json};

use super::coalesce::coalesced;
use super::pack::pack;
use super::*;

#[test]
fn a_vector_is_spelt_as_everybody_spells_it() {
    for vector in vectors("vectors") {
        let events: Vec<_> = vector["publish"].as_array().unwrap().iter().map(made).collect();
        // Also by way of the document, which a transaction merges.
        let given: Vec<_> = events.iter().map(|event| Event::given(event.document().unwrap())).collect();
        for events in [events, given] {
            let [parcel] = &pack(&events.into(), &EventLimits::default()).unwrap()[..] else { panic!("{vector}") };
            assert_eq!(std::str::from_utf8(&parcel.message().payload).unwrap(), vector["body"], "{}", vector["name"]);
        }
    }
}

#[test]
fn a_vector_means_what_a_worker_decodes() {
    for vector in vectors("vectors") {
        let [publish] = &vector["publish"].as_array().unwrap()[..] else { continue };
        let event = made(publish);
        let Some(change) = event.decoded() else { continue };
        let (body, mut changes) = (event.to_json().unwrap(), Vec::new());
        let payload = Payload { body: body.as_bytes(), headers: &[] };
        decode(payload, Format::Json, &EventLimits::default(), &mut changes).unwrap();
        assert_eq!(changes, [change], "{}", vector["name"]);
    }
}

#[test]
fn what_no_worker_takes_is_refused() {
    let mut refused = 0;
    for vector in vectors("refused") {
        // Some of it cannot even be said.
        if let Some(event) = try_made(&vector["publish"]) {
            assert!(event.document().is_err(), "{vector}");
            refused += 1;
        }
    }
    assert!(refused >= 8, "{refused}");
}

#[test]
fn repeats_are_merged_as_everybody_merges_them() {
    for vector in vectors("coalesced") {
        let documents = |name: &str| -> Vec<Document> { serde_json::from_value(vector[name].clone()).unwrap() };
        let merged = coalesced(documents("gathered"));
        assert_eq!(json!(merged).to_string(), json!(documents("sent")).to_string(), "{}", vector["name"]);
    }
}

#[test]
fn a_mistake_is_named() {
    let unnamed: Map<String, Json> = Map::new();
    let cases = [
        (Event::create("shop.Book").after(&[1]), "shop.Book: after is a row: a struct, or a map of columns"),
        (Event::create("b").after(&std::collections::BTreeMap::from([(7, "numbers are names")])), ""),
        (Event::create("b").after(&Option::<Map<String, Json>>::None), "b: no after, which op create needs"),
        (Event::update("b").before(&unnamed), "b: no after or key, which op update needs"),
        (Event::truncate(""), "an event has no entity, as `shop.Book`"),
        (Invalidate::tag("t").arg("a", 1).into(), "a command has args only with a cache"),
        (Event::from(Invalidate::tag("t")).before(&unnamed), "a command has no rows, source or trace"),
        (Event::given(unnamed.clone()).source("s"), "native JSON travels as it is"),
        (Event::create("b").after(&std::collections::BTreeMap::from([((1, 2), 1)])), "b: after: a name is text"),
    ];
    for (event, words) in cases {
        let said = event.document().map_or_else(|error| error.to_string(), |_| String::new());
        assert_eq!(said, words);
    }
}

#[test]
fn nested_rows_keep_their_types() {
    #[derive(serde::Serialize)]
    struct Author {
        #[serde(serialize_with = "spell::decimal")]
        share: &'static str,
        ratio: f32,
    }
    #[derive(serde::Serialize)]
    struct Book {
        author: Author,
        raw: Box<serde_json::value::RawValue>,
    }
    let author = Author { share: "0.10", ratio: 1.1 };
    let book = Book { author, raw: serde_json::value::to_raw_value(&json!({"a": [1]})).unwrap() };
    let document = Event::create("b").after(&book).types([("author.share", "str"), ("x", "date")]).document().unwrap();
    assert_eq!(document["after"], json!({"author": {"share": "0.10", "ratio": 1.1}, "raw": {"a": [1]}}));
    assert_eq!(document["types"], json!({"author.share": "str", "x": "date"}));
}

fn vectors(list: &str) -> Vec<Json> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/events.json");
    let mut all: Json = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    match all[list].take() {
        Json::Array(vectors) if !vectors.is_empty() => vectors,
        other => panic!("`{list}` is a list of vectors, not {other}"),
    }
}

fn made(publish: &Json) -> Event {
    try_made(publish).unwrap_or_else(|| panic!("cannot be said: {publish}"))
}

/// The event or command, as an application makes it; `None` when the types do not let it.
fn try_made(publish: &Json) -> Option<Event> {
    let (kind, fields) = publish.as_object().unwrap().iter().next().unwrap();
    if kind == "event" { event(fields) } else { command(fields) }
}

fn event(fields: &Json) -> Option<Event> {
    let text = |name: &str| fields.get(name).and_then(Json::as_str);
    let (entity, relation) = (text("entity").unwrap_or_default(), text("relation").unwrap_or_default());
    let mut event = match text("op")? {
        "create" => Event::create(entity),
        "update" => Event::update(entity),
        "delete" => Event::delete(entity),
        "truncate" => Event::truncate(entity),
        "add" => Event::add(entity, relation),
        "remove" => Event::remove(entity, relation),
        "clear" => Event::clear(entity, relation),
        _ => return None,
    };
    for (name, value) in fields.as_object().unwrap() {
        event = match name.as_str() {
            "entity" | "op" | "relation" => event,
            "id" => event.id(value.as_str().unwrap()),
            "source" => event.source(value.as_str().unwrap()),
            "origin" => event.origin(value.as_str().unwrap()),
            "traceparent" => event.traceparent(value.as_str().unwrap()),
            "time" => event.time(time(value)),
            "key" => value
                .as_object()
                .unwrap()
                .iter()
                .fold(event, |event, (column, value)| event.key(column, Special(value))),
            "before" => event.before(&Special(value)),
            "after" => event.after(&Special(value)),
            "from" => event.from_row(&Special(value)),
            "to" if value.is_array() => {
                value.as_array().unwrap().iter().fold(event, |event, row| event.to(&Special(row)))
            }
            "to" => event.to(&Special(value)),
            "changed" => event.changed(value.as_array().unwrap().iter().map(|column| column.as_str().unwrap())),
            other => panic!("unknown field {other}"),
        };
    }
    Some(event)
}

fn command(fields: &Json) -> Option<Event> {
    let text = |name: &str| fields.get(name).and_then(Json::as_str);
    let named = ["cache", "key", "prefix", "tag"].into_iter().filter_map(|what| Some((what, text(what)?)));
    let [(what, name)] = named.collect::<Vec<_>>()[..] else { return None };
    let mut invalidate = match what {
        "cache" => Invalidate::cache(name),
        "key" => Invalidate::key(name),
        "prefix" => Invalidate::prefix(name),
        _ => Invalidate::tag(name),
    };
    for (argument, value) in fields.get("args").and_then(Json::as_object).into_iter().flatten() {
        invalidate = invalidate.arg(argument, Special(value));
    }
    for (name, value) in fields.as_object().unwrap() {
        invalidate = match name.as_str() {
            "target" => invalidate.target(value.as_str().unwrap()),
            "id" => invalidate.id(value.as_str().unwrap()),
            "time" => invalidate.time(time(value)),
            _ => invalidate,
        };
    }
    Some(invalidate.into())
}

/// All times in the vectors are of one of two spellings.
fn time(value: &Json) -> SystemTime {
    let known = ["2026-11-20T11:46:04.123456+00:00", "2026-11-20T12:46:04.123456+01:00"];
    assert!(known.contains(&value["$datetime"].as_str().unwrap()), "{value}");
    UNIX_EPOCH + Duration::from_micros(1_795_175_164_123_456)
}

/// A value of the vectors: one that JSON cannot tell stands as an object with one name.
struct Special<'v>(&'v Json);

impl Serialize for Special<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Json::Array(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(&Self(item))?;
                }
                list.end()
            }
            Json::Object(columns) if columns.len() == 1 && columns.keys().all(|name| name.starts_with('$')) => {
                let (name, value) = columns.iter().next().unwrap();
                special(name, value, serializer)
            }
            Json::Object(columns) => {
                let mut map = serializer.serialize_map(Some(columns.len()))?;
                for (name, value) in columns {
                    map.serialize_entry(name, &Self(value))?;
                }
                map.end()
            }
            plain => plain.serialize(serializer),
        }
    }
}

fn special<S: Serializer>(name: &str, value: &Json, serializer: S) -> Result<S::Ok, S::Error> {
    let text = || value.as_str().unwrap();
    match name {
        "$int" => serializer.serialize_i128(text().parse().unwrap()),
        "$float" => serializer.serialize_f64(text().parse().unwrap()),
        "$decimal" => spell::decimal(text(), serializer),
        "$uuid" => spell::uuid(text(), serializer),
        "$datetime" => spell::datetime(text(), serializer),
        "$date" => spell::date(text(), serializer),
        "$time" => spell::time(&format!("{:0<15}", text()), serializer),
        "$timedelta" => {
            let seconds = value.as_u64().unwrap();
            let (days, rest) = (seconds / 86_400, seconds % 86_400);
            let clock = format!("{}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
            spell::timedelta(&format!("{days} day, {clock}"), serializer)
        }
        "$bytes" => {
            let bytes = text().as_bytes().chunks(2);
            let bytes: Vec<u8> =
                bytes.map(|digits| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap()).collect();
            serializer.serialize_bytes(&bytes)
        }
        "$enum" | "$tuple" => Special(value).serialize(serializer),
        "$set" => {
            let mut items = value.as_array().unwrap().clone();
            items.sort_by_key(ToString::to_string);
            Json::Array(items).serialize(serializer)
        }
        other => panic!("unknown special value {other}"),
    }
}
