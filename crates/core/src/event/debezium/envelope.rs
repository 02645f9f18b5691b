//! Makes the parts of a Debezium envelope into an event: entity, images without what was not logged, identifier, time.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::logical::{Database, Schemas, is_decimal_of_java, unzoned_date};
use super::{UNAVAILABLE, UNAVAILABLE_BYTES};
use crate::event::fields::{Fields, object, text};
use crate::event::problem::{malformed, quoted};
use crate::event::read::Lookup;
use crate::event::{DecodeError, Event, Op, Row, SharedText, Types, Value, time};

/// The parts of an envelope.
pub(super) struct Envelope<'a> {
    pub(super) op: Cow<'a, str>,
    pub(super) table: Table<'a>,
    pub(super) connector: Option<Cow<'a, str>>,
    pub(super) id: Option<String>,
    pub(super) source: Option<SharedText<'a>>,
    pub(super) time_us: Option<i64>,
    pub(super) before: Option<Row<'a>>,
    pub(super) after: Option<Row<'a>>,
    pub(super) key: Row<'a>,
}

/// Where the row is.
pub(super) struct Table<'a> {
    pub(super) db: Option<Cow<'a, str>>,
    pub(super) schema: Option<Cow<'a, str>>,
    /// Of Vitess and Cassandra.
    pub(super) keyspace: Option<Cow<'a, str>>,
    pub(super) table: Option<Cow<'a, str>>,
}

/// Heartbeats, transaction boundaries and schema changes: they say nothing about rows.
pub(super) fn is_housekeeping(fields: &Fields<'_>) -> bool {
    if fields.op.is_some() || fields.before.is_some() || fields.after.is_some() {
        return false;
    }
    let has = |name| fields.others.get(name).is_some();
    let heartbeat = fields.source.is_none() && fields.unknown == 0 && fields.others.0.len() == 1 && has("ts_ms");
    let boundary = matches!(fields.other_text("status").as_deref(), Some("BEGIN" | "END"))
        && fields.id.is_some()
        && (has("ts_ms") || has("event_count") || has("data_collections"));
    let schema_change = matches!(fields.source, Some(Value::Object(_))) && (has("ddl") || has("tableChanges"));
    heartbeat || boundary || schema_change
}

impl<'a> Envelope<'a> {
    /// Takes the parts out of an envelope's fields.
    pub(super) fn of(fields: &mut Fields<'a>, key: Row<'a>) -> Result<Self, DecodeError> {
        let op = text("op", fields.op.take())?.ok_or_else(|| {
            malformed(
                "no `op`: expected an envelope with `op`, `source`, `before` and `after`, not a flattened row (which is \
                 read with `add.fields=op,table,schema,db,source.ts_ms`)",
            )
        })?;
        let source = object("source", fields.source.take())?.ok_or_else(|| malformed("no `source`"))?;
        let column = |name: &str| match source.get(name) {
            Some(Value::Text(text)) => Some(text.clone()),
            _ => None,
        };
        Ok(Self {
            op,
            table: Table {
                db: column("db"),
                schema: column("schema"),
                keyspace: column("keyspace"),
                table: column("table"),
            },
            connector: column("connector"),
            id: id(&source, fields.other("transaction")),
            source: column("name").map(Into::into),
            time_us: time_us(&source).or_else(|| time_us(&fields.others)),
            before: object("before", fields.before.take())?,
            after: object("after", fields.after.take())?,
            key,
        })
    }

    /// The event.
    pub(super) fn event(mut self, schema: Option<&RawValue>) -> Result<Event<'a>, DecodeError> {
        self.unwrap_cells();
        let op = self.op()?;
        if op == Op::Truncate {
            (self.before, self.after) = (None, None);
        }
        for image in [&mut self.before, &mut self.after].into_iter().flatten() {
            image.0.retain(|(_, value)| !is_unavailable(value));
        }
        let fillings = self.may_hold_fillings(op).then(|| schema.and_then(Schemas::read)).flatten();
        let filled = self.forget_what_was_not_logged(op, fillings.as_ref());
        let mut types = Types::default();
        if let Some(schemas) = fillings.or_else(|| schema.and_then(Schemas::of)) {
            let database = self.database();
            schemas.apply("before", &mut self.before, database);
            schemas.apply("after", &mut self.after, database);
            types = schemas.types("before", self.before.as_ref());
            types.join(schemas.types("after", self.after.as_ref()));
        } else {
            let is_postgres = self.database() == Database::Postgres;
            for image in [&mut self.before, &mut self.after].into_iter().flatten() {
                image.0.retain_mut(|(_, value)| plain(value, schema.is_none(), is_postgres));
            }
        }
        Ok(Event {
            types,
            id: self.id.map(Cow::Owned),
            source: self.source,
            entity: self.table.entity()?,
            op,
            key: self.key,
            before: self.before,
            after: self.after,
            filled,
            changed: None,
            relation: None,
            time_us: self.time_us,
            origin: None,
            traceparent: None,
            transaction: None,
            answer: None,
        })
    }

    fn op(&self) -> Result<Op, DecodeError> {
        let op = match &*self.op {
            "c" | "r" => Op::Create,
            "u" => Op::Update,
            "d" => Op::Delete,
            "t" => Op::Truncate,
            other => {
                return Err(malformed(format!("unknown `op` {}, expected one of c, r, u, d, t, m", quoted(other))));
            }
        };
        if matches!(op, Op::Create | Op::Update) && self.after.is_none() {
            return Err(malformed(format!("no `after`, which `op` {} needs", self.op)));
        }
        Ok(op)
    }

    /// PostgreSQL logs only the key of an old row unless told otherwise, and Debezium then fills the other columns with their
    /// defaults, with null, zero or empty text. Taken as old values they would name the wrong entries and hide the stale
    /// ones; left out they are unknown. A row that really was like that is widened for nothing, which is harmless.
    ///
    /// Says whether fillings may have been taken for values: without the defaults, of a schema, nothing shows that a deleted
    /// row was logged as a whole.
    fn forget_what_was_not_logged(&mut self, op: Op, schemas: Option<&Schemas<'_>>) -> bool {
        let is_of_postgres = self.is_of_postgres();
        let Some(before) = self.before.as_mut().filter(|_| is_of_postgres && matches!(op, Op::Update | Op::Delete))
        else {
            return op == Op::Update && (is_of_postgres || self.connector.as_deref() == Some("cassandra"));
        };
        let key = Lookup::of(&self.key);
        let of_key = |name: &str| key.get(name).is_some();
        let columns = schemas.map(|schemas| schemas.columns("before")).unwrap_or_default();
        let is_default =
            |name: &str, value: &Value<'_>| columns.get(name).is_some_and(|column| column.is_default(value));
        let is_filling = |name: &str, value: &Value<'_>| is_blank(value) || is_default(name, value);
        let has_key = !self.key.is_empty();
        let mut values = before.0.iter().filter(|(name, value)| !of_key(name) && !is_filling(name, value));
        let key_only = if has_key { values.clone().next().is_none() } else { values.clone().count() <= 1 };
        let is_no_key = |name: &str| has_key || columns.get(name).is_some_and(|column| column.optional);
        let is_whole = schemas.is_some() && values.any(|(name, _)| is_no_key(name));
        if key_only && !is_whole {
            before.0.retain(|(name, value)| of_key(name) || !is_filling(name, value));
        }
        op == Op::Update || (!key_only && !is_whole)
    }

    fn is_of_postgres(&self) -> bool {
        self.connector.as_deref().is_none_or(|connector| connector == "postgresql")
    }

    /// Whose rows they are.
    pub(super) fn database(&self) -> Database {
        if self.is_of_postgres() { Database::Postgres } else { Database::Other }
    }

    fn may_hold_fillings(&self, op: Op) -> bool {
        self.is_of_postgres() && self.before.is_some() && matches!(op, Op::Update | Op::Delete)
    }
}

impl<'a> Table<'a> {
    fn entity(self) -> Result<Cow<'a, str>, DecodeError> {
        let some = |name: Option<Cow<'a, str>>| name.filter(|name| !name.is_empty());
        let table = some(self.table).ok_or_else(|| malformed("no `source.table`"))?;
        Ok(match some(self.schema).or(some(self.db)).or(some(self.keyspace)) {
            Some(schema) => Cow::Owned(format!("{schema}.{table}")),
            None => table,
        })
    }
}

/// An identifier that no other change has. A log position alone is none: rows loaded together share it.
fn id(source: &Row<'_>, transaction: Option<&Value<'_>>) -> Option<String> {
    if let (Some(Value::Text(file)), Some(Value::Int(pos)), Some(Value::Int(row))) =
        (source.get("file"), source.get("pos"), source.get("row"))
    {
        return Some(format!("{file}:{pos}:{row}"));
    }
    let Some(Value::Object(transaction)) = transaction else { return None };
    match (transaction.get("id"), transaction.get("total_order")) {
        (Some(Value::Text(id)), Some(Value::Text(order))) => Some(format!("{id}:{order}")),
        (Some(Value::Text(id)), Some(Value::Int(order))) => Some(format!("{id}:{order}")),
        _ => None,
    }
}

fn time_us(row: &Row<'_>) -> Option<i64> {
    match (row.get("ts_us"), row.get("ts_ms")) {
        (Some(Value::Int(us)), _) => i64::try_from(*us).ok(),
        (_, Some(Value::Int(ms))) => time::ms_us(*ms),
        _ => None,
    }
}

/// A column that was not logged: the placeholder itself, or a list or map of just that.
fn is_unavailable(value: &Value<'_>) -> bool {
    match value {
        Value::Text(text) => text == UNAVAILABLE || text == UNAVAILABLE_BYTES,
        Value::List(items) => matches!(items.as_slice(), [only] if is_unavailable(only)),
        Value::Object(row) => matches!(row.0.as_slice(), [(name, _)] if name == UNAVAILABLE),
        _ => false,
    }
}

/// Reads a value of which no schema says more than that it is text; `false` where it may be a decimal whose spelling is not known.
fn plain(value: &mut Value<'_>, may_be_a_day: bool, is_postgres: bool) -> bool {
    if may_be_a_day {
        unzoned_date(value);
    }
    match value {
        Value::Text(text) => !is_postgres || !is_decimal_of_java(text),
        Value::List(items) => items.iter_mut().all(|item| plain(item, may_be_a_day, is_postgres)),
        _ => true,
    }
}

/// Whether a value may be what Debezium writes for a column of which nothing is known but its type.
fn is_blank(value: &Value<'_>) -> bool {
    match value {
        Value::Null | Value::Bool(false) | Value::Int(0) => true,
        Value::Float(number) => *number == 0.0,
        Value::Text(text) => is_blank_text(text),
        Value::List(items) => items.is_empty(),
        Value::Object(row) => row.0.iter().all(|(_, value)| is_blank(value)),
        _ => false,
    }
}

/// Nothing, zeros (`0`, `0.00`, `00:00:00Z`, a UUID of zeros, `AA==` in base64), the epoch, and JSON without content.
fn is_blank_text(text: &str) -> bool {
    let time = text.strip_prefix("1970-01-01").map(|rest| rest.trim_start_matches(['T', ' ']));
    let rest = time.unwrap_or(text);
    let rest = rest.strip_suffix('Z').or_else(|| rest.strip_suffix("+00:00")).unwrap_or(rest);
    rest.bytes().all(|byte| matches!(byte, b'0' | b'.' | b':' | b'-')) || matches!(text, "AA==" | "[]" | "{}")
}
