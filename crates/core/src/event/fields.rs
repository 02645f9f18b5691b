//! Reads an object of any format once, into a struct that knows the top-level names of all formats.
//!
//! Recognising a format before parsing would read each message twice. Slots take any shape: whether a value is of the
//! right type is asked by the format that uses it, so that a field which another format knows is harmless.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::batch::{Batch, BatchSeed};
use super::problem::{described, malformed};
use super::read::{Text, Wanted, push, twice, unique};
use super::tuple::Tuple;
use super::{DecodeError, EventLimits, Row, Value, cloud_events, json};

/// What a JSON value is, and its fields when it is an object.
#[derive(Default)]
pub(super) struct Fields<'a> {
    pub(super) shape: Shape,
    pub(super) id: Option<Value<'a>>,
    /// Of an object (Debezium) only the columns that are used.
    pub(super) source: Option<Value<'a>>,
    pub(super) entity: Option<Value<'a>>,
    pub(super) op: Option<Value<'a>>,
    pub(super) key: Option<Value<'a>>,
    pub(super) before: Option<Value<'a>>,
    pub(super) after: Option<Value<'a>>,
    pub(super) changed: Option<Value<'a>>,
    pub(super) types: Option<Value<'a>>,
    pub(super) time: Option<Value<'a>>,
    pub(super) origin: Option<Value<'a>>,
    pub(super) traceparent: Option<Value<'a>>,
    pub(super) relation: Option<Value<'a>>,
    pub(super) from: Option<Value<'a>>,
    pub(super) to: Option<Value<'a>>,
    pub(super) quash: Option<Value<'a>>,
    pub(super) invalidate: Option<Value<'a>>,
    pub(super) events: Option<Batch<'a>>,
    /// Debezium's schema, which is long and seldom needed, or wal2json's schema name.
    pub(super) schema: Option<&'a RawValue>,
    pub(super) payload: Option<Box<Fields<'a>>>,
    pub(super) data: Option<Box<Fields<'a>>>,
    pub(super) columns: Option<Tuple<'a>>,
    pub(super) identity: Option<Tuple<'a>>,
    pub(super) pk: Option<Tuple<'a>>,
    /// The elements, when it is a list: CloudEvents in batch mode.
    pub(super) elements: Option<Batch<'a>>,
    /// What else is known to a format and seldom there.
    pub(super) others: Row<'a>,
    /// How many fields no format knows.
    pub(super) unknown: usize,
}

/// What a JSON value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Shape {
    #[default]
    Null,
    Object,
    List,
    Scalar,
}

impl<'a> Fields<'a> {
    /// One of the seldom fields; `None` when it is absent or null.
    pub(super) fn other(&self, name: &str) -> Option<&Value<'a>> {
        self.others.get(name).filter(|value| **value != Value::Null)
    }

    /// One of the seldom fields as text; `None` when it is absent, null or something else.
    pub(super) fn other_text(&self, name: &str) -> Option<Cow<'a, str>> {
        match self.others.get(name) {
            Some(Value::Text(text)) => Some(text.clone()),
            _ => None,
        }
    }
}

/// Reads one JSON text to its end into empty fields.
pub(super) fn read<'a>(text: &'a str, limits: &EventLimits, fields: &mut Fields<'a>) -> Result<(), DecodeError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    FieldsSeed { fields, limits }
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end())
        .map_err(|error| super::problem::json(&error, text))
}

/// A field that is text, null or absent.
pub(super) fn text<'a>(name: &str, value: Option<Value<'a>>) -> Result<Option<Cow<'a, str>>, DecodeError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text)),
        Some(other) => Err(malformed(format!("`{name}` is {}: expected text", described(&other)))),
    }
}

/// A field that is an object, null or absent.
pub(super) fn object<'a>(name: &str, value: Option<Value<'a>>) -> Result<Option<Row<'a>>, DecodeError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(row)) => Ok(Some(row)),
        Some(other) => Err(malformed(format!(
            "`{name}` is {}: expected an object of columns, as {{\"id\": 1}}",
            described(&other)
        ))),
    }
}

/// Fills the fields in place: the struct is too big to be handed up through the parser.
pub(super) struct FieldsSeed<'s, 'a> {
    pub(super) fields: &'s mut Fields<'a>,
    pub(super) limits: &'s EventLimits,
}

impl<'de> DeserializeSeed<'de> for FieldsSeed<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for FieldsSeed<'_, 'de> {
    type Value = ();

    super::batch::scalars!(self => { self.fields.shape = Shape::Scalar; });

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<(), A::Error> {
        self.fields.shape = Shape::List;
        self.fields.elements = Some(BatchSeed { entry: cloud_events::entry, limits: self.limits }.visit_seq(elements)?);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        self.fields.shape = Shape::Object;
        while let Some(Text(name)) = map.next_key()? {
            self.field(name, &mut map)?;
        }
        unique(&self.fields.others)
    }
}

impl<'de> FieldsSeed<'_, 'de> {
    /// The table of the top-level names of all formats.
    fn field<A: MapAccess<'de>>(&mut self, name: Cow<'de, str>, map: &mut A) -> Result<(), A::Error> {
        let fields = &mut *self.fields;
        match &*name {
            "id" => put(&mut fields.id, &name, map),
            "entity" => put(&mut fields.entity, &name, map),
            "op" => put(&mut fields.op, &name, map),
            "key" => put(&mut fields.key, &name, map),
            "before" => put(&mut fields.before, &name, map),
            "after" => put(&mut fields.after, &name, map),
            "changed" => put(&mut fields.changed, &name, map),
            "types" => put(&mut fields.types, &name, map),
            "time" => put(&mut fields.time, &name, map),
            "origin" => put(&mut fields.origin, &name, map),
            "traceparent" => put(&mut fields.traceparent, &name, map),
            "relation" => put(&mut fields.relation, &name, map),
            "from" => put(&mut fields.from, &name, map),
            "to" => put(&mut fields.to, &name, map),
            "quash" => put(&mut fields.quash, &name, map),
            "invalidate" => put(&mut fields.invalidate, &name, map),
            "schema" => put(&mut fields.schema, &name, map),
            "columns" => put(&mut fields.columns, &name, map),
            "identity" => put(&mut fields.identity, &name, map),
            "pk" => put(&mut fields.pk, &name, map),
            "source" => put_seed(&mut fields.source, &name, map, Wanted(of_source)),
            "events" => put_seed(&mut fields.events, &name, map, BatchSeed { entry: json::entry, limits: self.limits }),
            "payload" => nested(&mut fields.payload, &name, map, self.limits),
            "data" => nested(&mut fields.data, &name, map, self.limits),
            seldom if is_other(seldom) => {
                let value = map.next_value()?;
                push(&mut fields.others, name, value)
            }
            _ => {
                fields.unknown += 1;
                map.next_value::<IgnoredAny>().map(|_| ())
            }
        }
    }
}

/// The columns of Debezium's `source` that are used.
fn of_source(name: &str) -> bool {
    const USED: [&str; 12] =
        ["connector", "name", "db", "schema", "keyspace", "table", "ts_ms", "ts_us", "ts_usec", "file", "pos", "row"];
    USED.contains(&name)
}

/// Top-level names of all formats beyond those with a slot of their own.
fn is_other(name: &str) -> bool {
    const DEBEZIUM: [&str; 9] = [
        "ts_ms",
        "ts_us",
        "transaction",
        "message",
        "status",
        "event_count",
        "data_collections",
        "ddl",
        "tableChanges",
    ];
    const CLOUD_EVENTS: [&str; 4] = ["specversion", "type", "datacontenttype", "data_base64"];
    const WAL2JSON: [&str; 9] =
        ["action", "table", "timestamp", "lsn", "xid", "prefix", "content", "change", "nextlsn"];
    // Those by which the formats are recognised that are read once more, and MassTransit, which is refused.
    const REREAD: [&str; 8] =
        ["database", "isDdl", "record", "metadata", "__op", "__table", "__deleted", "messageType"];
    let known: [&[&str]; 4] = [&WAL2JSON, &DEBEZIUM, &CLOUD_EVENTS, &REREAD];
    name == "answer" || known.iter().any(|names| names.contains(&name)) || name.starts_with("iodebezium")
}

fn put<'de, A: MapAccess<'de>, T: Deserialize<'de>>(
    slot: &mut Option<T>,
    name: &str,
    map: &mut A,
) -> Result<(), A::Error> {
    put_seed(slot, name, map, PhantomData)
}

fn put_seed<'de, A: MapAccess<'de>, S: DeserializeSeed<'de>>(
    slot: &mut Option<S::Value>,
    name: &str,
    map: &mut A,
    seed: S,
) -> Result<(), A::Error> {
    if slot.is_some() {
        return Err(twice(name));
    }
    *slot = Some(map.next_value_seed(seed)?);
    Ok(())
}

fn nested<'de, A: MapAccess<'de>>(
    slot: &mut Option<Box<Fields<'de>>>,
    name: &str,
    map: &mut A,
    limits: &EventLimits,
) -> Result<(), A::Error> {
    if slot.is_some() {
        return Err(twice(name));
    }
    map.next_value_seed(FieldsSeed { fields: slot.insert(Box::default()), limits })
}
