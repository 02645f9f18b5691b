//! Names the types that an event or a cache may declare for values, because JSON does not tell them apart.

use std::borrow::Cow;

use super::DecodeError;
use super::problem::{described, malformed};
use super::value::{Row, Value};
use crate::steps;

/// What a value is in the application. Most are published as text; only with its type can it be spelt as Python spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Type {
    /// Text.
    Str,
    /// An integer.
    Int,
    /// A binary floating-point number.
    Float,
    /// A truth value.
    Bool,
    /// A decimal number with its zeros, published as text.
    Decimal,
    /// A day, published as `2024-01-02`.
    Date,
    /// A day and a time, published as `2024-01-02T03:04:05.678901+00:00`, without an offset where it has none.
    Datetime,
    /// A time of day, published as `03:04:05.678901`.
    Time,
    /// A UUID, published with or without hyphens.
    Uuid,
    /// Bytes, published as the UTF-8 text that they hold.
    Bytes,
    /// A list, which is one value then and not several.
    List,
    /// A tuple, published as a list.
    Tuple,
    /// A dictionary, published as an object in its own order.
    Dict,
    /// A type that a publisher named and that is not known here.
    #[serde(skip)]
    Other,
}

impl Type {
    const NAMES: [(&'static str, Self); 13] = [
        ("str", Self::Str),
        ("int", Self::Int),
        ("float", Self::Float),
        ("bool", Self::Bool),
        ("decimal", Self::Decimal),
        ("date", Self::Date),
        ("datetime", Self::Datetime),
        ("time", Self::Time),
        ("uuid", Self::Uuid),
        ("bytes", Self::Bytes),
        ("list", Self::List),
        ("tuple", Self::Tuple),
        ("dict", Self::Dict),
    ];

    /// The type of this name. A name that is not known is no reason to refuse an event that needs no spelling.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self::NAMES.iter().find(|(known, _)| *known == name).map_or(Self::Other, |(_, known)| *known)
    }

    /// Whether a list of this type is one value, and not one per element.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        matches!(self, Self::List | Self::Tuple | Self::Dict)
    }
}

/// The types that an event declares, by column or by path: `{"price": "decimal", "author.born": "date"}`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Types<'a>(pub Vec<(Cow<'a, str>, Type)>);

impl<'a> Types<'a> {
    /// Adds those of columns that have none yet.
    pub(super) fn join(&mut self, others: Self) {
        let more = others.0.into_iter().filter(|(name, _)| !self.0.iter().any(|(known, _)| known == name));
        self.0.extend(more.collect::<Vec<(Cow<'a, str>, Type)>>());
    }

    /// The type of the value at a path.
    #[must_use]
    pub fn at<S: AsRef<str>>(&self, path: &[S]) -> Option<Type> {
        let same = |name: &str| name.split('.').eq(path.iter().map(AsRef::as_ref));
        steps::taken(self.0.len());
        self.0.iter().find(|(name, _)| same(name)).map(|(_, declared)| *declared)
    }
}

/// Reads the field `types`.
pub(super) fn field<'a>(row: Option<Row<'a>>) -> Result<Types<'a>, DecodeError> {
    let columns = row.unwrap_or_default().0.into_iter();
    let read = |(column, value): (Cow<'a, str>, Value<'a>)| match value {
        Value::Text(name) => Ok((column, Type::named(&name))),
        other => {
            Err(malformed(format!("`types` has {}: expected the name of a type, as \"decimal\"", described(&other))))
        }
    };
    columns.map(read).collect::<Result<_, _>>().map(Types)
}
