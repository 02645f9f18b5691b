//! Decodes wal2json, format version 2: one object per row.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::debezium::MESSAGE_PREFIX;
use super::decode::native_inside;
use super::fields::{Fields, Shape};
use super::problem::{malformed, quoted, within};
use super::read::Lookup;
use super::tuple::Tuple;
use super::{Change, DecodeError, Event, EventLimits, Op, Row, Types, Value, time};

/// Whether an object looks like wal2json's, of either version.
pub(super) fn is_change(fields: &Fields<'_>) -> bool {
    fields.other("action").is_some() || is_version_1(fields)
}

/// Decodes a message.
pub(super) fn decode<'a>(
    fields: &mut Fields<'a>,
    limits: &EventLimits,
    changes: &mut Vec<Change<'a>>,
) -> Result<(), DecodeError> {
    action(fields, limits, changes).map_err(within("wal2json event"))
}

fn action<'a>(fields: &mut Fields<'a>, limits: &EventLimits, changes: &mut Vec<Change<'a>>) -> Result<(), DecodeError> {
    if fields.shape != Shape::Object {
        return Err(malformed(
            "expected an object, as {\"action\": \"I\", \"schema\": …, \"table\": …, \"columns\": […]}",
        ));
    }
    if is_version_1(fields) {
        return Err(malformed("this is format version 1; set the option `format-version` to 2"));
    }
    let action =
        fields.other_text("action").ok_or_else(|| malformed("no `action`, expected one of I, U, D, T, B, C, M"))?;
    let op = match &*action {
        "I" => Op::Create,
        "U" => Op::Update,
        "D" => Op::Delete,
        "T" => Op::Truncate,
        "B" | "C" => return Ok(()),
        "M" => return message(fields, limits, changes),
        other => {
            return Err(malformed(format!("unknown `action` {}, expected one of I, U, D, T, B, C, M", quoted(other))));
        }
    };
    changes.push(Change::Event(event(op, fields)?));
    Ok(())
}

fn is_version_1(fields: &Fields<'_>) -> bool {
    matches!(fields.others.get("change"), Some(Value::List(_)))
}

fn event<'a>(op: Op, fields: &mut Fields<'a>) -> Result<Event<'a>, DecodeError> {
    let mut types = Types::default();
    let columns = image("columns", fields.columns.take(), &mut types)?;
    let identity = image("identity", fields.identity.take(), &mut types)?;
    if columns.is_none() && matches!(op, Op::Create | Op::Update) {
        return Err(malformed(format!("no `columns`, which a row that was {}d has", op.name())));
    }
    let (before, after) = match op {
        Op::Create => (None, columns),
        Op::Update => (identity, columns),
        Op::Delete => (identity, None),
        _ => (None, None),
    };
    Ok(Event {
        id: id(op, fields),
        source: None,
        entity: entity(fields)?,
        op,
        key: key(fields.pk.take(), before.as_ref(), after.as_ref())?,
        before,
        after,
        filled: false,
        changed: None,
        types,
        relation: None,
        // Its spelling depends on the server's settings, and no invalidation depends on it.
        time_us: fields.other_text("timestamp").and_then(|text| time::text_us(&text)),
        origin: None,
        traceparent: None,
        transaction: None,
        answer: None,
    })
}

fn entity<'a>(fields: &Fields<'a>) -> Result<Cow<'a, str>, DecodeError> {
    let table = fields.other_text("table").filter(|name| !name.is_empty()).ok_or_else(|| malformed("no `table`"))?;
    Ok(match schema_name(fields.schema)? {
        Some(schema) => Cow::Owned(format!("{schema}.{table}")),
        None => table,
    })
}

fn schema_name(raw: Option<&RawValue>) -> Result<Option<Cow<'_, str>>, DecodeError> {
    let value: Option<Value<'_>> = raw.and_then(|raw| serde_json::from_str(raw.get()).ok());
    Ok(super::fields::text("schema", value)?.filter(|name| !name.is_empty()))
}

/// Columns that are absent (unchanged and stored out of line) are unknown.
fn image<'a>(name: &str, tuple: Option<Tuple<'a>>, types: &mut Types<'a>) -> Result<Option<Row<'a>>, DecodeError> {
    match tuple {
        None => Ok(None),
        Some(tuple) if tuple.valid && tuple.valued => {
            types.join(tuple.types);
            Ok(Some(tuple.row))
        }
        Some(_) => Err(malformed(format!("`{name}` is no list of columns with `name` and `value`"))),
    }
}

/// The primary key: the columns that `include-pk` names, else the replica identity of the row that was.
fn key<'a>(pk: Option<Tuple<'a>>, before: Option<&Row<'a>>, after: Option<&Row<'a>>) -> Result<Row<'a>, DecodeError> {
    let Some(pk) = pk else {
        return Ok(before.cloned().unwrap_or_default());
    };
    if !pk.valid {
        return Err(malformed("`pk` is no list of columns with `name`"));
    }
    let [after, before] = [after, before].map(|image| image.map(Lookup::of));
    let value =
        |name: &str| after.as_ref().and_then(|row| row.get(name)).or_else(|| before.as_ref()?.get(name)).cloned();
    let columns = pk.row.0.into_iter().filter_map(|(name, _)| value(&name).map(|value| (name, value)));
    Ok(Row(columns.collect()))
}

/// An identifier that no other change has: rows inserted or truncated together share their log position.
fn id<'a>(op: Op, fields: &Fields<'a>) -> Option<Cow<'a, str>> {
    if !matches!(op, Op::Update | Op::Delete) {
        return None;
    }
    match (fields.other("xid"), fields.other_text("lsn")) {
        (Some(Value::Int(xid)), Some(lsn)) => Some(Cow::Owned(format!("{xid}:{lsn}"))),
        _ => None,
    }
}

/// A message written into the log with `pg_logical_emit_message`; other people's are none of ours.
fn message<'a>(fields: &Fields<'a>, limits: &EventLimits, changes: &mut Vec<Change<'a>>) -> Result<(), DecodeError> {
    if fields.other_text("prefix").as_deref() != Some(MESSAGE_PREFIX) {
        return Ok(());
    }
    let content = fields.other_text("content").ok_or_else(|| malformed("the message has no `content`"))?;
    changes.append(&mut native_inside(content.as_bytes(), limits)?);
    Ok(())
}

#[cfg(test)]
mod tests;
