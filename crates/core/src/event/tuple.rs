//! Reads wal2json's lists of columns into rows.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::batch::scalars;
use super::read::{Text, push, twice, unique};
use super::{Row, Type, Types, Value, postgres};

/// A list of columns, each `{"name": …, "type": …, "value": …}`.
pub(super) struct Tuple<'a> {
    /// The columns with a name; those without a value are null.
    pub(super) row: Row<'a>,
    /// What they are in the application, where their types say so.
    pub(super) types: Types<'a>,
    /// Whether every column has a value; those of `pk` have none.
    pub(super) valued: bool,
    /// Whether it is such a list at all. A field of this name in another format may be anything.
    pub(super) valid: bool,
}

impl Tuple<'_> {
    const WRONG: Self = Self { row: Row(Vec::new()), types: Types(Vec::new()), valued: false, valid: false };
}

impl<'de> Deserialize<'de> for Tuple<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TupleVisitor)
    }
}

struct TupleVisitor;

impl<'de> Visitor<'de> for TupleVisitor {
    type Value = Tuple<'de>;

    scalars!(self => { Tuple::WRONG });

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a list of columns")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Tuple::WRONG)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Tuple::WRONG)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut columns: A) -> Result<Self::Value, A::Error> {
        let mut tuple = Tuple { valued: true, valid: true, ..Tuple::WRONG };
        let (mut quoted, mut nulls) = (false, Vec::new());
        while let Some(Column { name, value, kind }) = columns.next_element::<Column<'_>>()? {
            tuple.valued &= value.is_some();
            let Some(name) = name else {
                tuple.valid = false;
                continue;
            };
            let value = value.unwrap_or(Value::Null);
            let Some(kind) = kind else {
                push(&mut tuple.row, name, value)?;
                continue;
            };
            let kind = &*postgres::plain(&kind);
            quoted |= postgres::is_integer(kind) && matches!(value, Value::Text(_));
            if value == Value::Null && postgres::has_no_number(kind) {
                nulls.push(name.clone());
            }
            let Some(value) = typed(kind, value) else { continue };
            if let Some(word) = word(kind, &value) {
                tuple.types.0.push((name.clone(), word));
            }
            push(&mut tuple.row, name, value)?;
        }
        unique(&tuple.row)?;
        // NaN and the infinities are null as well, but where numbers come in quotes.
        if !quoted && !nulls.is_empty() {
            tuple.row.0.retain(|(name, _)| !nulls.contains(name));
        }
        Ok(tuple)
    }
}

/// What a value is, given its type; `None` where it cannot be read, which makes the column unknown.
fn typed<'a>(kind: &str, value: Value<'a>) -> Option<Value<'a>> {
    match value {
        // Alone among the types it comes without its beginning.
        Value::Text(text) if kind == "bytea" => {
            let is_hex = text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_hex.then(|| Value::Text(Cow::Owned(format!("\\x{text}"))))
        }
        Value::Text(text) => postgres::typed(kind, text),
        other => Some(other),
    }
}

/// What the values of a type are in the application.
fn word(kind: &str, value: &Value<'_>) -> Option<Type> {
    match (kind, value) {
        ("numeric", Value::Text(_)) => Some(Type::Decimal),
        ("real" | "double precision", _) => Some(Type::Float),
        ("date", _) => Some(Type::Date),
        ("time without time zone", _) => Some(Type::Time),
        ("timestamp without time zone" | "timestamp with time zone", _) => Some(Type::Datetime),
        ("uuid", _) => Some(Type::Uuid),
        _ => None,
    }
}

#[derive(Default)]
struct Column<'a> {
    name: Option<Cow<'a, str>>,
    value: Option<Value<'a>>,
    /// Of its type, as `numeric(10,2)`.
    kind: Option<Cow<'a, str>>,
}

impl<'de> Deserialize<'de> for Column<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ColumnVisitor)
    }
}

struct ColumnVisitor;

impl<'de> Visitor<'de> for ColumnVisitor {
    type Value = Column<'de>;

    scalars!(self => { Column::default() });

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a column")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Column::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Column::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut name, mut kind, mut value) = (None, None, None);
        while let Some(Text(field)) = map.next_key()? {
            let again = match &*field {
                "name" => name.replace(map.next_value::<Value<'_>>()?).is_some(),
                "type" => kind.replace(map.next_value::<Value<'_>>()?).is_some(),
                "value" => value.replace(map.next_value()?).is_some(),
                _ => map.next_value::<IgnoredAny>().map(|_| false)?,
            };
            if again {
                return Err(twice(&field));
            }
        }
        let text = |value| if let Value::Text(text) = value { Some(text) } else { None };
        Ok(Column { name: name.and_then(text), value, kind: kind.and_then(text) })
    }
}
