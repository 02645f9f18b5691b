//! Reads wal2json's lists of columns into rows.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::batch::scalars;
use super::read::{Text, push, twice, unique};
use super::{Row, Value};

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
        while let Some(column) = columns.next_element::<Column<'_>>()? {
            tuple.valued &= column.value.is_some();
            match column.name {
                Some(name) => push(&mut tuple.row, name, column.value.unwrap_or(Value::Null))?,
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
        let (mut name, mut value) = (None, None);
        while let Some(Text(field)) = map.next_key()? {
            let again = match &*field {
                "name" => name.replace(map.next_value::<Value<'_>>()?).is_some(),
                "value" => value.replace(map.next_value()?).is_some(),
                _ => map.next_value::<IgnoredAny>().map(|_| false)?,
            };
            if again {
                return Err(twice(&field));
            }
        }
        let name = name.and_then(|name| if let Value::Text(name) = name { Some(name) } else { None });
        Ok(Column { name, value })
    }
}
