//! Decodes Debezium's change events, with and without schema, and as the data of a CloudEvent.

mod cassandra;
mod decimal;
mod envelope;
mod flat;
mod logical;

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::cloud_events::Headers;
use super::context::Context;
use super::decode::native_inside;
use super::fields::{Fields, Shape, object};
use super::problem::{malformed, within};
use super::{Change, DecodeError, EventLimits, Row, Value, base64, limit};
use envelope::{Envelope, Table};

/// What a row image holds in place of a value that the database did not log.
const UNAVAILABLE: &str = "__debezium_unavailable_value";
/// The same as bytes.
const UNAVAILABLE_BYTES: &str = "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==";
/// The prefix of logical messages that carry a native event or command.
pub(super) const MESSAGE_PREFIX: &str = "quash";

/// What a CloudEvent's attributes say about a Debezium change.
#[derive(Debug, Default)]
pub(super) struct Profile<'a> {
    op: Option<Cow<'a, str>>,
    connector: Option<Cow<'a, str>>,
    name: Option<Cow<'a, str>>,
    db: Option<Cow<'a, str>>,
    schema: Option<Cow<'a, str>>,
    table: Option<Cow<'a, str>>,
    ts_ms: Option<i128>,
}

impl<'a> Profile<'a> {
    /// Reads it from attributes by name.
    pub(super) fn of(attribute: impl Fn(&str) -> Option<Cow<'a, str>>) -> Self {
        Self {
            op: attribute("iodebeziumop"),
            connector: attribute("iodebeziumconnector"),
            name: attribute("iodebeziumname"),
            db: attribute("iodebeziumdb"),
            schema: attribute("iodebeziumschema"),
            table: attribute("iodebeziumtable"),
            ts_ms: attribute("iodebeziumtsms").and_then(|ms| ms.parse().ok()),
        }
    }
}

/// Whether a message without a body, or with Debezium Server's word for one, may be the tombstone after a delete.
pub(super) fn is_tombstone(body: &[u8]) -> bool {
    matches!(body.trim_ascii(), b"" | b"null" | b"default")
}

/// Whether an object looks like Debezium's: an envelope, a schema around one, or one of its housekeeping messages.
pub(super) fn is_envelope(fields: &Fields<'_>) -> bool {
    let wrapped = fields.payload.is_some() && fields.schema.is_some();
    wrapped || matches!(fields.source, Some(Value::Object(_))) || envelope::is_housekeeping(fields)
}

/// Whether an object is a flattened row, by itself or with its schema.
pub(super) fn is_flat(fields: &Fields<'_>) -> bool {
    flat::is_flat(fields) || (fields.schema.is_some() && fields.payload.as_deref().is_some_and(flat::is_flat))
}

/// Decodes a flattened row, given as it is and as it was recognised.
pub(super) fn flat<'a>(
    row: Row<'a>,
    fields: &Fields<'a>,
    headers: Headers<'a>,
    limits: &EventLimits,
    changes: &mut Vec<Change<'a>>,
) -> Result<(), DecodeError> {
    flat::decode(row, fields.schema, key(headers, limits)?, changes)
}

/// Decodes a message; a `key` header is the message's key, as Debezium Server writes it.
pub(super) fn decode<'a>(
    fields: &mut Fields<'a>,
    headers: Headers<'a>,
    limits: &EventLimits,
    changes: &mut Vec<Change<'a>>,
) -> Result<(), DecodeError> {
    let mut decode = || {
        let (mut inner, schema) = unwrapped(fields);
        let fields = inner.as_deref_mut().unwrap_or(fields);
        match fields.shape {
            Shape::Null => Ok(()),
            Shape::Object if schema.is_some() && is_native(fields) => super::json::decode(fields, changes),
            Shape::Scalar if schema.is_some() => Err(malformed(
                "the payload is no object: where it is text that holds JSON, let the outbox event router expand it, with \
                 `expand.json.payload=true`",
            )),
            Shape::Object => change(fields, schema, key(headers, limits)?, limits, changes),
            _ => Err(malformed("expected an object with `op`, `source`, `before` and `after`")),
        }
    };
    decode().map_err(within("Debezium event"))
}

/// Decodes the data of a CloudEvent of Debezium's.
pub(super) fn profile<'a>(
    profile: &Profile<'a>,
    fields: &mut Fields<'a>,
    limits: &EventLimits,
    changes: &mut Vec<Change<'a>>,
) -> Result<(), DecodeError> {
    let mut decode = || {
        let (mut inner, schema) = unwrapped(fields);
        let fields = inner.as_deref_mut().unwrap_or(fields);
        if fields.op.is_some() {
            return change(fields, schema, Row::default(), limits, changes);
        }
        let envelope = Envelope {
            op: profile.op.clone().ok_or_else(|| malformed("no `iodebeziumop`"))?,
            table: Table {
                db: profile.db.clone(),
                schema: profile.schema.clone(),
                keyspace: None,
                table: profile.table.clone(),
            },
            connector: profile.connector.clone(),
            id: None,
            source: profile.name.clone().map(Into::into),
            time_us: profile.ts_ms.and_then(super::time::ms_us),
            before: object("before", fields.before.take())?,
            after: object("after", fields.after.take())?,
            key: Row::default(),
        };
        changes.push(Change::Event(envelope.event(schema)?));
        Ok(())
    };
    decode().map_err(within("Debezium event"))
}

/// Whether it is a native message, as an outbox carries it inside of a schema.
fn is_native(fields: &Fields<'_>) -> bool {
    let is_envelope = fields.source.as_ref().is_some_and(|source| matches!(source, Value::Object(_)));
    !is_envelope && (fields.entity.is_some() || fields.events.is_some() || fields.invalidate.is_some())
}

/// The payload and its schema, when the message has them.
fn unwrapped<'a>(fields: &mut Fields<'a>) -> (Option<Box<Fields<'a>>>, Option<&'a RawValue>) {
    match fields.payload.take() {
        Some(payload) if fields.op.is_none() => (Some(payload), fields.schema),
        _ => (None, None),
    }
}

fn change<'a>(
    fields: &mut Fields<'a>,
    schema: Option<&'a RawValue>,
    key: Row<'a>,
    limits: &EventLimits,
    changes: &mut Vec<Change<'a>>,
) -> Result<(), DecodeError> {
    if envelope::is_housekeeping(fields) {
        return Ok(());
    }
    let message = fields.others.get("message").cloned();
    let envelope = Envelope::of(fields, key)?;
    if envelope.op == "m" {
        return logical_message(&envelope, message, limits, changes);
    }
    changes.push(Change::Event(envelope.event(schema)?));
    Ok(())
}

/// A message written into the log with `pg_logical_emit_message`; other people's are none of ours.
fn logical_message<'a>(
    envelope: &Envelope<'a>,
    message: Option<Value<'a>>,
    limits: &EventLimits,
    changes: &mut Vec<Change<'a>>,
) -> Result<(), DecodeError> {
    let Some(Value::Object(message)) = message else {
        return Err(malformed("no `message`, which `op` m needs"));
    };
    if message.get("prefix") != Some(&Value::Text(Cow::Borrowed(MESSAGE_PREFIX))) {
        return Ok(());
    }
    let Some(Value::Text(content)) = message.get("content") else {
        return Err(malformed("the logical message has no `content`"));
    };
    let bytes = base64::decode(content).ok_or_else(|| malformed("the logical message's `content` is no base64"))?;
    let mut inner = native_inside(&bytes, limits)?;
    let context = Context { source: envelope.source.clone(), time_us: envelope.time_us, ..Context::default() };
    let start = changes.len();
    changes.append(&mut inner);
    context.fill(&mut changes[start..]);
    Ok(())
}

/// The key that Debezium Server puts beside the value; what is no JSON object is no key.
fn key<'a>(headers: Headers<'a>, limits: &EventLimits) -> Result<Row<'a>, DecodeError> {
    let Some((_, text)) = headers.iter().find(|(name, _)| name == "key") else {
        return Ok(Row::default());
    };
    limit::check(text.as_bytes(), limits)?;
    match serde_json::from_str(text) {
        Ok(Value::Object(row)) => Ok(key_columns(row)),
        _ => Ok(Row::default()),
    }
}

/// A key with a schema has its columns under `payload`.
fn key_columns(mut row: Row<'_>) -> Row<'_> {
    let has_schema = row.0.len() == 2 && row.get("schema").is_some();
    let payload = row.0.iter().position(|(name, _)| has_schema && name == "payload");
    match payload.map(|at| row.0.swap_remove(at)) {
        Some((_, Value::Object(columns))) => columns,
        Some(other) => Row(vec![other]),
        None => row,
    }
}

#[cfg(test)]
mod tests;
