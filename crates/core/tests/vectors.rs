//! Decodes the shared test vectors, which the clients in other languages encode.

#![expect(clippy::expect_used, reason = "helpers outside of test functions may fail where they stand as well")]

use quash_core::event::{Change, Command, Event, EventLimits, Format, Invalidate, Payload, Row, Value, decode};
use serde_json::{Map, Value as Json, json};

#[test]
fn what_clients_publish_decodes_into_what_they_meant() {
    for vector in vectors("vectors") {
        let name = text(&vector, "name");
        let body = text(&vector, "body");
        for format in [Format::Auto, Format::Json] {
            let decoded = decoded(body, format).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(Json::Array(decoded), vector["changes"], "{name}, as {format:?}: {body}");
        }
    }
}

#[test]
fn what_clients_refuse_to_publish_is_refused() {
    for vector in vectors("refused") {
        let decoded = decoded(text(&vector, "body"), Format::Json);
        assert!(decoded.is_err(), "{}: {decoded:?}", text(&vector, "name"));
    }
}

#[test]
fn columns_of_every_kind_that_wal2json_wrote_are_what_they_hold() {
    let recorded = file("wal2json.json");
    let decoded = decoded(text(&recorded, "message"), Format::Wal2json).expect("a row");
    let [change] = &decoded[..] else { panic!("{decoded:?}") };
    assert_eq!(change["event"]["after"], recorded["after"]);
}

fn file(name: &str) -> Json {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/");
    let file = std::fs::read_to_string(format!("{folder}{name}")).expect("the file of test vectors");
    serde_json::from_str(&file).expect("test vectors are JSON")
}

fn vectors(list: &str) -> Vec<Json> {
    let mut all = file("events.json");
    match all[list].take() {
        Json::Array(vectors) if !vectors.is_empty() => vectors,
        other => panic!("`{list}` is a list of vectors, not {other}"),
    }
}

fn text<'v>(vector: &'v Json, name: &str) -> &'v str {
    vector[name].as_str().unwrap_or_else(|| panic!("`{name}` is text in {vector}"))
}

fn decoded(body: &str, format: Format) -> Result<Vec<Json>, String> {
    let mut changes = Vec::new();
    let payload = Payload { body: body.as_bytes(), headers: &[] };
    decode(payload, format, &EventLimits::default(), &mut changes).map_err(|error| error.to_string())?;
    Ok(changes.iter().map(change).collect())
}

fn change(change: &Change<'_>) -> Json {
    match change {
        Change::Event(decoded) => json!({ "event": event(decoded) }),
        Change::Command(decoded) => json!({ "command": command(decoded) }),
    }
}

/// The fields that the event carries.
fn event(event: &Event<'_>) -> Json {
    let relation = event.relation.as_ref();
    present([
        ("id", event.id.as_deref().map(Json::from)),
        ("source", event.source.as_deref().map(Json::from)),
        ("entity", Some(Json::from(&*event.entity))),
        ("op", Some(Json::from(event.op.name()))),
        ("key", (!event.key.is_empty()).then(|| row(&event.key))),
        ("before", event.before.as_ref().map(row)),
        ("after", event.after.as_ref().map(row)),
        ("changed", event.changed.as_ref().map(|columns| columns.iter().map(|name| Json::from(&**name)).collect())),
        ("relation", relation.map(|relation| Json::from(&*relation.name))),
        ("from", relation.map(|relation| row(&relation.from))),
        ("to", relation.map(|relation| relation.to.iter().map(row).collect())),
        ("time_us", event.time_us.map(Json::from)),
        ("origin", event.origin.as_deref().map(Json::from)),
        ("traceparent", event.traceparent.as_deref().map(Json::from)),
    ])
}

fn command(command: &Command<'_>) -> Json {
    let (what, name, args) = match &command.what {
        Invalidate::Cache { cache, args } => ("cache", cache, Some(row(args))),
        Invalidate::Key(key) => ("key", key, None),
        Invalidate::Prefix(prefix) => ("prefix", prefix, None),
        Invalidate::Tag(tag) => ("tag", tag, None),
    };
    present([
        ("id", command.id.as_deref().map(Json::from)),
        (what, Some(Json::from(&**name))),
        ("args", args),
        ("target", command.target.as_deref().map(Json::from)),
        ("time_us", command.time_us.map(Json::from)),
    ])
}

fn present<const N: usize>(fields: [(&str, Option<Json>); N]) -> Json {
    let carried = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Json::Object(carried.collect::<Map<_, _>>())
}

fn row(row: &Row<'_>) -> Json {
    Json::Object(row.0.iter().map(|(name, column)| (name.to_string(), value(column))).collect())
}

fn value(carried: &Value<'_>) -> Json {
    match carried {
        Value::Null => Json::Null,
        Value::Bool(truth) => Json::from(*truth),
        Value::Int(number) => integer(*number),
        Value::Float(number) => json!(number),
        Value::Text(content) => Json::from(&**content),
        Value::List(items) => items.iter().map(value).collect(),
        Value::Object(columns) => row(columns),
    }
}

fn integer(number: i128) -> Json {
    let signed = i64::try_from(number).map(Json::from);
    signed.or_else(|_| u64::try_from(number).map(Json::from)).expect("64 bits, as JSON decodes them")
}
