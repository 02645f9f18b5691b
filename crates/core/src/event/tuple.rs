//! Reads wal2json's lists of columns into rows.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::batch::scalars;
use super::read::{Text, push, twice, unique};
use super::{Row, Value, postgres};

/// A list of columns, each `{"name": …, "type": …, "value": …}`.
pub(super) struct Tuple<'a> {
    /// The columns with a name; those without a value are null.
    pub(super) row: Row<'a>,
    /// Whether every column has a value; those of `pk` have none.
    pub(super) valued: bool,
    /// Whether it is such a list at all. A field of this name in another format may be anything.
    pub(super) valid: bool,
}

impl Tuple<'_> {
    const WRONG: Self = Self { row: Row(Vec::new()), valued: false, valid: false };
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
        let mut tuple = Tuple { row: Row(Vec::new()), valued: true, valid: true };
        while let Some(Column { name, value, is_known }) = columns.next_element::<Column<'_>>()? {
            tuple.valued &= value.is_some();
            match name {
                Some(name) if is_known => push(&mut tuple.row, name, value.unwrap_or(Value::Null))?,
                Some(_) => {}
                None => tuple.valid = false,
            }
        }
        unique(&tuple.row)?;
        Ok(tuple)
    }
}

#[derive(Default)]
struct Column<'a> {
    name: Option<Cow<'a, str>>,
    value: Option<Value<'a>>,
    /// Whether the value could be read by its type.
    is_known: bool,
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
        let (name, kind) = (name.and_then(text), kind.and_then(text));
        let typed = match (value, kind) {
            (Some(Value::Text(text)), Some(kind)) => postgres::typed(&kind, text),
            (value, _) => return Ok(Column { name, value, is_known: true }),
        };
        Ok(Column { name, is_known: typed.is_some(), value: Some(typed.unwrap_or(Value::Null)) })
    }
}
