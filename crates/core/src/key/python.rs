//! Gives values the text that Python gives them, as libraries that key by `str()` and `repr()` do.
//!
//! What a value is comes from its declared type, else from what is evident: JSON's null, truth values, integers, numbers with
//! a fraction and text. Where that does not settle the text, it is refused; a guess would leave the entry stale in silence.

mod moment;
mod number;
pub(super) mod strftime;
mod text;

use std::borrow::Cow;

pub use moment::{Date, Datetime, Offset, Time};
pub(super) use number::zero_padded;
pub use number::{Decimal, float};
pub use text::{ascii, json, quote, text_repr};

use super::key_set::Arg;
use crate::event::{Row, Type, Value};

/// Why the text of a value cannot be known: what it is, and what to do; fits behind "argument x is".
pub type Unknown = &'static str;

/// A value as Python has it.
#[derive(Debug, Clone, PartialEq)]
pub enum Object<'v> {
    /// `None`.
    None,
    /// `bool`.
    Bool(bool),
    /// `int`.
    Int(i128),
    /// `float`.
    Float(f64),
    /// `str`.
    Str(Cow<'v, str>),
    /// `decimal.Decimal`.
    Decimal(Decimal),
    /// `datetime.date`.
    Date(Date),
    /// `datetime.datetime`.
    Datetime(Datetime),
    /// `datetime.time`.
    Time(Time),
    /// `uuid.UUID`, as 32 hexadecimal digits with hyphens.
    Uuid(String),
    /// `bytes`.
    Bytes(&'v [u8]),
    /// `list`.
    List(&'v [Value<'v>]),
    /// `tuple`.
    Tuple(&'v [Value<'v>]),
    /// `dict`, in its own order.
    Dict(&'v Row<'v>),
}

/// Appends `str(value)`.
///
/// # Errors
/// When the text cannot be known.
pub fn str(arg: Arg<'_>, out: &mut String) -> Result<(), Unknown> {
    Object::of(arg)?.str(out)
}

/// Appends `repr(value)`.
///
/// # Errors
/// When the text cannot be known.
pub fn repr(arg: Arg<'_>, out: &mut String) -> Result<(), Unknown> {
    Object::of(arg)?.repr(out)
}

impl<'v> Object<'v> {
    /// What the value is in Python.
    ///
    /// # Errors
    /// When neither its type nor its form settles that.
    pub fn of(Arg { value, declared }: Arg<'v>) -> Result<Self, Unknown> {
        if matches!(value, Value::Null) {
            return Ok(Self::None);
        }
        match declared {
            None => Self::evident(value),
            Some(Type::Str) => match value {
                Value::Text(text) => Ok(Self::Str(Cow::Borrowed(text))),
                Value::Int(number) => Ok(Self::Str(number.to_string().into())),
                _ => Err("not text, but its type is str"),
            },
            Some(Type::Int) => number::int(value).map(Self::Int),
            Some(Type::Float) => number::float_of(value).map(Self::Float),
            Some(Type::Bool) => number::truth(value).map(Self::Bool),
            Some(Type::Decimal) => Decimal::of(value).map(Self::Decimal),
            Some(Type::Date) => Date::parse(text_of(value)?).map(Self::Date),
            Some(Type::Datetime) => Datetime::parse(text_of(value)?).map(Self::Datetime),
            Some(Type::Time) => Time::parse(text_of(value)?).map(Self::Time),
            Some(Type::Uuid) => text::uuid(text_of(value)?).map(Self::Uuid),
            Some(Type::Bytes) => Ok(Self::Bytes(text_of(value)?.as_bytes())),
            Some(Type::List) => list(value).map(Self::List),
            Some(Type::Tuple) => list(value).map(Self::Tuple),
            Some(Type::Dict) => match value {
                Value::Object(row) => Ok(Self::Dict(row)),
                _ => Err("no object, but its type is dict"),
            },
            Some(Type::Other) => Err("of a type that is not known here; publish one that is"),
        }
    }

    fn evident(value: &'v Value<'v>) -> Result<Self, Unknown> {
        match value {
            Value::Null => Ok(Self::None),
            Value::Bool(truth) => Ok(Self::Bool(*truth)),
            Value::Int(number) => Ok(Self::Int(*number)),
            Value::Float(number) if number::may_be_a_wide_integer(*number) => Err(
                "a number that may be an integer of more than 64 bits; publish it as text, or declare its type, float",
            ),
            Value::Float(number) => Ok(Self::Float(*number)),
            Value::Text(text) if moment::looks_like_a_datetime(text) => {
                Err("text that looks like a date with a time; declare its type, datetime or str")
            }
            Value::Text(text) => Ok(Self::Str(Cow::Borrowed(text))),
            Value::List(items) => Ok(Self::List(items)),
            Value::Object(row) => Ok(Self::Dict(row)),
        }
    }

    /// Appends `str()` of it.
    ///
    /// # Errors
    /// When something in it has a text that cannot be known.
    pub fn str(&self, out: &mut String) -> Result<(), Unknown> {
        match self {
            Self::Str(text) => out.push_str(text),
            Self::Decimal(decimal) => out.push_str(&decimal.text()),
            Self::Date(date) => out.push_str(&date.text()),
            Self::Datetime(datetime) => out.push_str(&datetime.text(' ')),
            Self::Time(time) => out.push_str(&time.text()),
            Self::Uuid(uuid) => out.push_str(uuid),
            _ => return self.repr(out),
        }
        Ok(())
    }

    /// Appends `repr()` of it.
    ///
    /// # Errors
    /// As [`Object::str`], and for a date with a time that has an offset: its zone's name is not in the event.
    pub fn repr(&self, out: &mut String) -> Result<(), Unknown> {
        match self {
            Self::None => out.push_str("None"),
            Self::Bool(true) => out.push_str("True"),
            Self::Bool(false) => out.push_str("False"),
            Self::Int(number) => out.push_str(itoa::Buffer::new().format(*number)),
            Self::Float(number) => out.push_str(&float(*number)),
            Self::Str(text) => text_repr(text, out),
            Self::Decimal(decimal) => out.extend(["Decimal('", &decimal.text(), "')"]),
            Self::Date(date) => out.push_str(&date.repr()),
            Self::Datetime(datetime) => out.push_str(&datetime.repr()?),
            Self::Time(time) => out.push_str(&time.repr()),
            Self::Uuid(uuid) => out.extend(["UUID('", uuid, "')"]),
            Self::Bytes(bytes) => text::bytes_repr(bytes, out),
            Self::List(items) => {
                out.push('[');
                items_repr(items, out)?;
                out.push(']');
            }
            Self::Tuple(items) => {
                out.push('(');
                items_repr(items, out)?;
                out.push_str(if items.len() == 1 { ",)" } else { ")" });
            }
            Self::Dict(row) => dict_repr(row, out)?,
        }
        Ok(())
    }
}

fn items_repr(items: &[Value<'_>], out: &mut String) -> Result<(), Unknown> {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        repr(Arg::from(item), out)?;
    }
    Ok(())
}

fn dict_repr(row: &Row<'_>, out: &mut String) -> Result<(), Unknown> {
    out.push('{');
    for (index, (name, value)) in row.0.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        text_repr(name, out);
        out.push_str(": ");
        repr(Arg::from(value), out)?;
    }
    out.push('}');
    Ok(())
}

fn text_of<'v>(value: &'v Value<'v>) -> Result<&'v str, Unknown> {
    match value {
        Value::Text(text) => Ok(text),
        _ => Err("not published as text, which its type needs"),
    }
}

fn list<'v>(value: &'v Value<'v>) -> Result<&'v [Value<'v>], Unknown> {
    match value {
        Value::List(items) => Ok(items),
        _ => Err("no list, but its type is list or tuple"),
    }
}

#[cfg(test)]
pub(super) mod tests;
