//! Decodes flattened rows: Debezium's, after its event-flattening transformation has taken the envelope off.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::envelope::{Envelope, Table};
use super::logical::Schemas;
use crate::event::fields::Fields;
use crate::event::problem::{malformed, within};
use crate::event::{Change, DecodeError, Row, Value, time};

/// What the names of added fields begin with, unless told otherwise.
const PREFIX: &str = "__";

/// Whether an object looks like a flattened row: it has fields that the transformation adds.
pub(in crate::event) fn is_flat(fields: &Fields<'_>) -> bool {
    ["__op", "__table", "__deleted"].iter().any(|name| fields.other(name).is_some())
}

/// Decodes a message; with its schema it is the payload.
pub(in crate::event) fn decode<'a>(
    mut row: Row<'a>,
    schema: Option<&'a RawValue>,
    key: Row<'a>,
    changes: &mut Vec<Change<'a>>,
) -> Result<(), DecodeError> {
    let schema = schema.filter(|_| row.get("payload").is_some());
    if schema.is_some()
        && let Some(Value::Object(payload)) = row.take("payload")
    {
        row = payload;
    }
    let event = event(row, schema, key).map_err(within("Debezium event"))?;
    changes.push(event);
    Ok(())
}

fn event<'a>(row: Row<'a>, schema: Option<&'a RawValue>, key: Row<'a>) -> Result<Change<'a>, DecodeError> {
    let (added, columns): (Vec<_>, Vec<_>) = row.0.into_iter().partition(|(name, _)| name.starts_with(PREFIX));
    let (added, row) = (Row(added), Row(columns));
    let text = |names: [&str; 2]| {
        names.into_iter().find_map(|name| match added.get(name) {
            Some(Value::Text(text)) => Some(text.clone()),
            _ => None,
        })
    };
    let missing =
        || malformed("a flattened row without `__op` and `__table`: set `add.fields=op,table,schema,db,source.ts_ms`");
    let op: Cow<'a, str> = text(["__op", "__op"]).ok_or_else(missing)?;
    let table = text(["__table", "__source_table"]).ok_or_else(missing)?;
    let is_deleted = op == "d";
    let ms = [added.get("__source_ts_ms"), added.get("__ts_ms")].into_iter().flatten().find_map(|value| match value {
        Value::Int(ms) => time::ms_us(*ms),
        _ => None,
    });
    let (before, after) = if is_deleted { (Some(row), None) } else { (None, Some(row)) };
    let envelope = Envelope {
        op,
        table: Table {
            db: text(["__db", "__source_db"]),
            schema: text(["__schema", "__source_schema"]),
            keyspace: text(["__keyspace", "__source_keyspace"]),
            table: Some(table),
        },
        connector: text(["__connector", "__source_connector"]),
        id: None,
        source: None,
        time_us: ms,
        before,
        after,
        key,
    };
    let mut event = envelope.event(None)?;
    if let Some(schemas) = schema.and_then(Schemas::flat) {
        schemas.apply("", &mut event.before);
        schemas.apply("", &mut event.after);
    }
    Ok(Change::Event(event))
}
