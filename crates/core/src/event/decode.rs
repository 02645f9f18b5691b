//! Turns a message's bytes into changes, by format, within limits.

use std::borrow::Cow;

use super::cloud_events::{self, Headers};
use super::fields::{self, Fields, Shape};
use super::problem::{self, malformed};
use super::{
    Change, EventLimits, Format, Row, Value, canal, debezium, declared, json, limit, maxwell, owned, sequin, wal2json,
};

/// One message as a transport hands it over.
#[derive(Debug, Clone, Copy)]
pub struct Payload<'a> {
    /// The body, byte for byte.
    pub body: &'a [u8],
    /// The message's headers: CloudEvents attributes in binary mode, and a `content-type`.
    pub headers: &'a [(Cow<'static, str>, String)],
}

/// Why a message could not be decoded. Trying again cannot help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not what their format asks for.
    #[error("{0}")]
    Malformed(String),
    /// A limit was exceeded.
    #[error("{what} is {actual}, the limit is {limit} ({setting})")]
    Limit {
        /// What was measured: `message size`, `nesting depth`, `number of events`.
        what: &'static str,
        /// What was found; for depth the first level past the limit.
        actual: usize,
        /// What is allowed.
        limit: usize,
        /// The configuration key that raises the limit, as `limits.max_depth`.
        setting: &'static str,
    },
}

/// Decodes one message into its changes, in their order, appending to `changes`.
///
/// Messages that carry nothing to invalidate (a Debezium tombstone or heartbeat, a transaction boundary) append nothing.
///
/// # Errors
/// When the message is malformed or over a limit; `changes` is then as it was.
pub fn decode<'a>(
    payload: Payload<'a>,
    format: Format,
    limits: &EventLimits,
    changes: &mut Vec<Change<'a>>,
) -> Result<(), DecodeError> {
    let start = changes.len();
    let decoded = limit::check(payload.body, limits)
        .and_then(|()| message(payload, format, limits, changes))
        .and_then(|()| limit::events(changes.len() - start, limits));
    if decoded.is_err() {
        changes.truncate(start);
    }
    decoded
}

fn message<'a>(
    payload: Payload<'a>,
    format: Format,
    limits: &EventLimits,
    changes: &mut Vec<Change<'a>>,
) -> Result<(), DecodeError> {
    let Payload { body, headers } = payload;
    if may_be_tombstone(format, headers) && debezium::is_tombstone(body) {
        return Ok(());
    }
    let attributes = match format {
        Format::Auto | Format::CloudEvents if !headers.is_empty() => cloud_events::of_headers(headers)?,
        _ => None,
    };
    let fields = &mut Fields::default();
    declared::checked(payload, || fields::read(text(body)?, limits, fields))?;
    if fields.shape == Shape::Scalar && body.trim_ascii_start().starts_with(b"\"") {
        return Err(malformed(
            "the body is a JSON string; where that holds JSON, publish what is in it: an outbox event router does with \
             `expand.json.payload=true`, a client that does not encode twice",
        ));
    }
    if let Some(attributes) = attributes {
        return cloud_events::binary(&attributes, fields, limits, changes);
    }
    match format {
        Format::Auto => match reread(fields) {
            None => recognised(fields, headers, limits, changes),
            Some(format) => row(whole(body)?, format, fields, headers, limits, changes),
        },
        Format::Json => json::decode(fields, changes),
        Format::CloudEvents => cloud_events::structured(fields, limits, changes),
        Format::Debezium if !debezium::is_flat(fields) => debezium::decode(fields, headers, limits, changes),
        Format::Wal2json => wal2json::decode(fields, limits, changes),
        Format::Debezium | Format::Maxwell | Format::Canal | Format::Sequin => {
            row(whole(body)?, format, fields, headers, limits, changes)
        }
    }
}

/// The format, where it is one whose rows stand where other formats have something else.
fn reread(fields: &Fields<'_>) -> Option<Format> {
    type Looks = fn(&Fields<'_>) -> bool;
    let native = fields.entity.is_some() || fields.events.is_some() || fields.invalidate.is_some();
    if native || fields.other("specversion").is_some() {
        return None;
    }
    let known: [(Looks, Format); 4] = [
        (debezium::is_flat, Format::Debezium),
        (sequin::is_change, Format::Sequin),
        (canal::is_change, Format::Canal),
        (maxwell::is_change, Format::Maxwell),
    ];
    known.into_iter().find(|(is, _)| is(fields)).map(|(_, format)| format)
}

/// Decodes an object of such a format, read once more as a row.
fn row<'a>(
    row: Row<'a>,
    format: Format,
    fields: &Fields<'a>,
    headers: Headers<'a>,
    limits: &EventLimits,
    changes: &mut Vec<Change<'a>>,
) -> Result<(), DecodeError> {
    match format {
        Format::Maxwell => maxwell::decode(row, changes),
        Format::Canal => canal::decode(row, changes),
        Format::Sequin => sequin::decode(row, changes),
        _ => debezium::flat(row, fields, headers, limits, changes),
    }
}

/// A tombstone has nothing in it to recognise it by but the key beside it; an empty body alone is somebody's mistake.
fn may_be_tombstone(format: Format, headers: Headers<'_>) -> bool {
    format == Format::Debezium || format == Format::Auto && headers.iter().any(|(name, _)| name == "key")
}

/// Decodes by shape. What names an entity is native, whatever else is beside it.
fn recognised<'a>(
    fields: &mut Fields<'a>,
    headers: Headers<'a>,
    limits: &EventLimits,
    changes: &mut Vec<Change<'a>>,
) -> Result<(), DecodeError> {
    let native = fields.entity.is_some() || fields.events.is_some() || fields.invalidate.is_some();
    if fields.shape == Shape::Null {
        return Ok(());
    }
    if fields.other("specversion").is_some() || fields.elements.is_some() || cloud_events::says_structured(headers) {
        cloud_events::structured(fields, limits, changes)
    } else if native {
        json::decode(fields, changes)
    } else if debezium::is_envelope(fields) {
        debezium::decode(fields, headers, limits, changes)
    } else if wal2json::is_change(fields) {
        wal2json::decode(fields, limits, changes)
    } else if fields.op.is_some() {
        json::decode(fields, changes)
    } else if fields.other("messageType").is_some() && fields.others.get("message").is_some() {
        Err(malformed(
            "this is an envelope of MassTransit: what is read is the message alone, as its raw JSON serializer writes it \
             (UseRawJsonSerializer)",
        ))
    } else {
        // Without backticks: where letters are grouped, what stands in them counts as what differs between letters.
        Err(malformed(
            "no format recognised: expected an object with entity and op, events or invalidate (native), specversion \
             (CloudEvents), source and op or __op (Debezium), action (wal2json, Sequin), database and type (Maxwell, Canal)",
        ))
    }
}

/// The whole object, read once more for formats whose rows have names that mean something else elsewhere.
fn whole(body: &[u8]) -> Result<Row<'_>, DecodeError> {
    let text = text(body)?;
    match serde_json::from_str(text) {
        Ok(Value::Object(row)) => Ok(row),
        Ok(_) => Err(malformed("expected an object")),
        Err(error) => Err(problem::json(&error, text)),
    }
}

fn text(body: &[u8]) -> Result<&str, DecodeError> {
    if body.starts_with(b"\xef\xbb\xbf") {
        return Err(malformed("begins with a byte order mark; events are JSON in UTF-8 without one"));
    }
    if body.trim_ascii_start().is_empty() {
        return Err(malformed(
            "the body is empty (a Debezium tombstone is accepted with `format: debezium`, or with its key)",
        ));
    }
    std::str::from_utf8(body).map_err(|error| problem::utf8(error, body))
}

/// Reads a native message that another message carries in an encoding; its changes borrow from nothing.
pub(super) fn native_inside(body: &[u8], limits: &EventLimits) -> Result<Vec<Change<'static>>, DecodeError> {
    let mut changes = Vec::new();
    json::decode(&mut fields_inside(body, limits)?, &mut changes)?;
    Ok(owned::all(changes))
}

/// Reads the JSON that another message carries in an encoding.
pub(super) fn fields_inside<'a>(body: &'a [u8], limits: &EventLimits) -> Result<Fields<'a>, DecodeError> {
    limit::check(body, limits)?;
    let mut fields = Fields::default();
    fields::read(text(body)?, limits, &mut fields)?;
    Ok(fields)
}

#[cfg(test)]
mod tests;
