//! Holds the values of a row's columns, borrowed from the payload, with their exact text where JSON keeps it.

use std::borrow::Cow;

use serde_json::{Map, Number, Value as Json};

/// A column's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// SQL NULL, JSON `null`, Python `None`.
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer that fits; wider integers must be published as text, and decode as [`Value::Float`] if they are not.
    Int(i128),
    /// A number with a fraction or an exponent. Its spelling in the payload is gone; publish decimals as text.
    Float(f64),
    /// Text, and everything that is published as text: dates, decimals, identifiers.
    Text(Cow<'a, str>),
    /// A list.
    List(Vec<Value<'a>>),
    /// An object; paths such as `author.country.id` walk into it.
    Object(Row<'a>),
}

impl Value<'_> {
    /// How many bytes it holds, as a measure of what keeping and spelling it costs.
    #[must_use]
    pub fn bytes(&self) -> usize {
        /// What any value takes beside its text.
        const EACH: usize = 8;
        EACH + match self {
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Float(_) => 0,
            Self::Text(text) => text.len(),
            Self::List(items) => items.iter().map(Self::bytes).sum(),
            Self::Object(row) => row.0.iter().map(|(name, value)| name.len() + value.bytes()).sum(),
        }
    }
}

/// A row's columns in the order of the payload. Names are unique; lookups are linear, rows are short.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Row<'a>(pub Vec<(Cow<'a, str>, Value<'a>)>);

impl<'a> Row<'a> {
    /// The value of a column, `None` when the row does not carry it.
    #[must_use]
    pub fn get(&self, column: &str) -> Option<&Value<'a>> {
        self.0.iter().find(|(name, _)| name == column).map(|(_, value)| value)
    }

    /// The value at a path of column names, walking into objects; `None` when any step is missing.
    /// A `Null` on the way is the result: what hangs off nothing is nothing.
    #[must_use]
    pub fn at(&self, path: &[impl AsRef<str>]) -> Option<&Value<'a>> {
        let (first, rest) = path.split_first()?;
        let mut value = self.get(first.as_ref())?;
        for step in rest {
            value = match value {
                Value::Object(row) => row.get(step.as_ref())?,
                Value::Null => return Some(value),
                _ => return None,
            };
        }
        Some(value)
    }

    /// Takes the value of a column out.
    pub fn take(&mut self, column: &str) -> Option<Value<'a>> {
        let index = self.0.iter().position(|(name, _)| name == column)?;
        Some(self.0.remove(index).1)
    }

    /// Whether there is no column at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// As it would be read from its JSON text.
impl<'a> From<&'a Json> for Value<'a> {
    fn from(json: &'a Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(truth) => Self::Bool(*truth),
            Json::Number(number) => number_of(number),
            Json::String(text) => Self::Text(Cow::Borrowed(text)),
            Json::Array(items) => Self::List(items.iter().map(Self::from).collect()),
            Json::Object(columns) => Self::Object(columns.into()),
        }
    }
}

/// As it would be read from its JSON text.
impl<'a> From<&'a Map<String, Json>> for Row<'a> {
    fn from(columns: &'a Map<String, Json>) -> Self {
        Self(columns.iter().map(|(name, value)| (Cow::Borrowed(name.as_str()), value.into())).collect())
    }
}

fn number_of(number: &Number) -> Value<'static> {
    let whole = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    // A number has one of the three.
    whole.map(Value::Int).or_else(|| number.as_f64().map(Value::Float)).unwrap_or(Value::Null)
}
