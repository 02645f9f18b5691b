//! Reads JSON straight into rows and values that borrow from the payload.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::problem::quoted;
use super::{Row, Value};
use crate::steps;

/// Up to this many columns are compared with one another; more are hashed.
const COMPARED_MAX: usize = 32;

/// Most rows are read without growing their list; more would make many tiny objects dear.
const COLUMNS_EXPECTED: usize = 8;

/// Text that borrows unless JSON escaped it.
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor(|_: &str| true))
    }
}

/// Reads a value; of an object only the wanted columns, of the objects inside it all.
pub(super) struct Wanted<W>(pub(super) W);

impl<'de, W: Fn(&str) -> bool> DeserializeSeed<'de> for Wanted<W> {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'de>, D::Error> {
        deserializer.deserialize_any(ValueVisitor(self.0))
    }
}

struct ValueVisitor<W>(W);

impl<'de, W: Fn(&str) -> bool> Visitor<'de> for ValueVisitor<W> {
    type Value = Value<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Self::Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Value::Int(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Value::Int(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, columns: A) -> Result<Self::Value, A::Error> {
        row(columns, self.0).map(Value::Object)
    }
}

/// The wanted columns of an object. The same name twice is refused: two readers could see two different rows.
fn row<'de, A: MapAccess<'de>>(mut columns: A, wanted: impl Fn(&str) -> bool) -> Result<Row<'de>, A::Error> {
    let mut row = Row(Vec::new());
    while let Some(Text(name)) = columns.next_key()? {
        if row.0.is_empty() {
            row.0.reserve(COLUMNS_EXPECTED);
        }
        if wanted(&name) {
            let value = columns.next_value()?;
            push(&mut row, name, value)?;
        } else {
            columns.next_value::<IgnoredAny>()?;
        }
    }
    unique(&row)?;
    Ok(row)
}

/// Adds a column, refusing a name that is there; past [`COMPARED_MAX`] columns only [`unique`] tells.
pub(super) fn push<'a, E: Error>(row: &mut Row<'a>, name: Cow<'a, str>, value: Value<'a>) -> Result<(), E> {
    if row.0.len() < COMPARED_MAX && row.0.iter().any(|(known, _)| *known == name) {
        return Err(twice(&name));
    }
    steps::taken(1);
    row.0.push((name, value));
    Ok(())
}

/// Refuses a long row with the same name twice.
pub(super) fn unique<E: Error>(row: &Row<'_>) -> Result<(), E> {
    if row.0.len() <= COMPARED_MAX {
        return Ok(());
    }
    let mut names = HashSet::with_capacity(row.0.len());
    match row.0.iter().find(|(name, _)| !names.insert(&**name)) {
        Some((name, _)) => Err(twice(name)),
        None => Ok(()),
    }
}

/// Finds columns of one row by their names, again and again: comparing would take quadratic time where a row is long.
pub(super) enum Lookup<'r, 'a> {
    Short(&'r Row<'a>),
    Long(HashMap<&'r str, &'r Value<'a>>),
}

impl<'r, 'a> Lookup<'r, 'a> {
    pub(super) fn of(row: &'r Row<'a>) -> Self {
        if row.0.len() <= COMPARED_MAX {
            return Self::Short(row);
        }
        Self::Long(row.0.iter().map(|(name, value)| (&**name, value)).collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&'r Value<'a>> {
        match self {
            Self::Short(row) => row.get(name),
            Self::Long(columns) => columns.get(name).copied(),
        }
    }
}

/// The columns of a row that a message names as its key. Names that the row does not carry, or that stand there again and
/// again, cost nothing for the next row.
pub(super) struct KeyNames<'a>(HashSet<Cow<'a, str>>);

impl<'a> KeyNames<'a> {
    pub(super) fn of(names: Option<Value<'a>>) -> Self {
        let Some(Value::List(names)) = names else { return Self(HashSet::new()) };
        let text = |name| if let Value::Text(name) = name { Some(name) } else { None };
        Self(names.into_iter().filter_map(text).collect())
    }

    pub(super) fn key(&self, row: &Row<'a>) -> Row<'a> {
        steps::taken(row.0.len());
        let is_named = |(name, _): &&(Cow<'a, str>, Value<'a>)| self.0.contains(name);
        Row(row.0.iter().filter(is_named).cloned().collect())
    }
}

/// The row before a change, given the row after it and the old values of the columns that changed.
pub(super) fn old_row<'a>(after: &Row<'a>, old: Row<'a>) -> Row<'a> {
    let changed = Lookup::of(&old);
    let same = after.0.iter().filter(|(name, _)| changed.get(name).is_none()).cloned().collect::<Vec<_>>();
    Row(old.0.into_iter().chain(same).collect())
}

/// The refusal of a name that stands in one object twice.
pub(super) fn twice<E: Error>(name: &str) -> E {
    E::custom(format_args!("the field {} is there twice", quoted(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Value<'_>, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn text_without_escapes_borrows() {
        let Ok(Value::Object(row)) = read(r#"{"plain":"é","escaped":"\n"}"#) else { panic!("no object") };
        assert!(matches!(&row.0[0], (Cow::Borrowed("plain"), Value::Text(Cow::Borrowed("é")))));
        assert!(matches!(&row.0[1], (_, Value::Text(Cow::Owned(text))) if text == "\n"));
    }

    #[test]
    fn integers_are_exact_and_the_rest_is_float() {
        let cases = [
            ("18446744073709551615", Value::Int(u64::MAX.into())),
            ("-9223372036854775808", Value::Int(i64::MIN.into())),
            ("1.0", Value::Float(1.0)),
            ("1e3", Value::Float(1000.0)),
            ("123456789012345678901234567890", Value::Float(1.234_567_890_123_456_8e29)),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text), Ok(expected), "{text}");
        }
        assert!(read("1e400").is_err());
    }

    #[test]
    fn a_name_twice_is_refused_in_short_and_long_rows() {
        let long: String = (0..1000).map(|n| format!("\"c{n}\":1,")).collect();
        for text in [
            r#"{"a":1,"a":1}"#.to_owned(),
            r#"{"a":{"b":1,"b":2}}"#.to_owned(),
            r#"{"a":1,"\u0061":2}"#.to_owned(),
            format!("{{{long}\"c1\":2}}"),
            format!("{{{long}\"c998\":2}}"),
        ] {
            let error = read(&text).expect_err(&text);
            assert!(error.contains("is there twice"), "{error}");
        }
        assert!(read(&format!("{{{long}\"last\":2}}")).is_ok());
    }
}
