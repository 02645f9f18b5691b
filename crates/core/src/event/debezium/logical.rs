//! Writes values that Kafka Connect encodes (decimals, dates, times, bytes) as text, by the types in a message's schema.

use std::borrow::Cow;
use std::collections::HashMap;

use jiff::civil::{Date, DateTime, Time};
use jiff::{SignedDuration, ToSpan};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::decimal;
use crate::event::{Row, Type, Types, Value, base64, postgres};

/// The schemas of the two images.
pub(super) struct Schemas<'a> {
    images: Vec<Schema<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Schema<'a> {
    #[serde(default)]
    field: String,
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    name: Option<String>,
    /// Of the elements of an array.
    #[serde(default, borrow)]
    items: Option<Box<Schema<'a>>>,
    /// Whether it may be null.
    #[serde(default)]
    pub(super) optional: bool,
    #[serde(default, borrow)]
    default: Option<&'a RawValue>,
    #[serde(default, borrow)]
    fields: Vec<Schema<'a>>,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Deserialize, Default)]
struct Parameters {
    #[serde(default)]
    scale: Option<String>,
}

impl<'a> Schemas<'a> {
    /// Reads the schema of a flattened row, as that of an image without a name.
    pub(super) fn flat(raw: &'a RawValue) -> Option<Self> {
        let row: Schema<'a> = serde_json::from_str(raw.get()).ok()?;
        Some(Self { images: vec![Schema { field: String::new(), ..row }] })
    }

    /// Reads the schema of an envelope.
    pub(super) fn read(raw: &'a RawValue) -> Option<Self> {
        let envelope: Schema<'a> = serde_json::from_str(raw.get()).ok()?;
        Some(Self { images: envelope.fields }).filter(|schemas| !schemas.columns("before").is_empty())
    }

    /// Reads the schema of an envelope, if anything in it is encoded. Most need not be read at all.
    pub(super) fn of(raw: &'a RawValue) -> Option<Self> {
        let encoded = [
            "org.apache.kafka.connect.data.",
            "io.debezium.time.",
            "io.debezium.data.",
            "\"bytes\"",
            "\"float",
            "\"double\"",
        ];
        if !encoded.into_iter().any(|name| raw.get().contains(name)) {
            return None;
        }
        let envelope: Schema<'a> = serde_json::from_str(raw.get()).ok()?;
        Some(Self { images: envelope.fields })
    }

    /// The columns of an image by name.
    pub(super) fn columns(&self, image: &str) -> HashMap<&str, &Schema<'a>> {
        let image = self.images.iter().find(|schema| schema.field == image);
        image.into_iter().flat_map(|schema| &schema.fields).map(|column| (&*column.field, column)).collect()
    }

    /// Rewrites the encoded columns of an image. A column whose value is not of its type is left as it came; one that
    /// cannot be written exactly is left out, which makes it unknown.
    pub(super) fn apply(&self, image: &str, row: &mut Option<Row<'_>>, of: Database) {
        if let Some(row) = row {
            let columns = self.columns(image);
            row.0.retain_mut(|(name, value)| columns.get(&**name).is_none_or(|column| column.rewrite(value, of)));
        }
    }

    /// What the columns of an image are in the application, where their types say so.
    pub(super) fn types<'r>(&self, image: &str, row: Option<&Row<'r>>) -> Types<'r> {
        let columns = self.columns(image);
        let named = row.into_iter().flat_map(|row| &row.0).filter_map(|(name, _)| {
            columns.get(&**name).and_then(|column| column.word()).map(|word| (name.clone(), word))
        });
        Types(named.collect())
    }
}

impl Schema<'_> {
    /// Whether a value is the column's default.
    pub(super) fn is_default(&self, value: &Value<'_>) -> bool {
        self.default.is_some_and(|default| {
            serde_json::from_str::<Value<'_>>(default.get()).is_ok_and(|default| default == *value)
        })
    }

    /// Rewrites one value; `false` when it cannot be known.
    fn rewrite(&self, value: &mut Value<'_>, of: Database) -> bool {
        if let (Some(items), Value::List(list)) = (&self.items, &mut *value) {
            return list.iter_mut().all(|item| items.rewrite(item, of));
        }
        let text = match (self.name.as_deref(), &*value) {
            (_, Value::Null) => return true,
            (None, Value::Text(encoded)) if self.kind == "bytes" => of.bytes(encoded),
            (None, Value::Int(number)) if matches!(&*self.kind, "float" | "double" | "float32" | "float64") => {
                *value = Value::Float(*number as f64);
                return true;
            }
            (None, Value::Text(text)) => {
                return self.kind != "string" || of != Database::Postgres || !is_decimal_of_java(text);
            }
            (None, _) => return true,
            (Some("org.apache.kafka.connect.data.Decimal"), Value::Text(encoded)) => {
                let scale = self.parameters.scale.as_deref().and_then(|scale| scale.parse().ok());
                scale.and_then(|scale| decimal::text(encoded, scale))
            }
            // The zeros at its end were taken off: `1.50` comes as 1.5.
            (Some("io.debezium.data.VariableScaleDecimal"), Value::Object(_)) if of == Database::Postgres => None,
            (Some("io.debezium.data.VariableScaleDecimal"), Value::Object(parts)) => variable_decimal(parts),
            (Some("io.debezium.data.Json"), Value::Text(text)) => {
                return postgres::json(text).map(|held| *value = held).is_some();
            }
            (Some(name), _) if UNKNOWABLE.contains(&name) => None,
            (Some("io.debezium.time.ZonedTimestamp"), Value::Text(text)) => zoned(text),
            (Some(name), Value::Text(text)) if name.starts_with("io.debezium.time.Iso") => iso(name, text),
            (Some(name), Value::Int(number)) => {
                match i64::try_from(*number).ok().map(|number| temporal(name, number)) {
                    Some(Temporal::Text(text)) => Some(text),
                    Some(Temporal::Other) => return true,
                    Some(Temporal::OutOfRange) | None => None,
                }
            }
            _ => return true,
        };
        text.map(|text| *value = Value::Text(Cow::Owned(text))).is_some()
    }

    /// What its values are in the application, where the type says so.
    fn word(&self) -> Option<Type> {
        Some(match self.name.as_deref() {
            None if matches!(&*self.kind, "float" | "double" | "float32" | "float64") => Type::Float,
            Some("org.apache.kafka.connect.data.Decimal") => Type::Decimal,
            Some("org.apache.kafka.connect.data.Date" | "io.debezium.time.Date" | "io.debezium.time.IsoDate") => {
                Type::Date
            }
            Some("io.debezium.data.Uuid") => Type::Uuid,
            Some(name) => match name.strip_prefix("io.debezium.time.")? {
                "Time" | "MicroTime" | "NanoTime" | "IsoTime" => Type::Time,
                "Timestamp" | "MicroTimestamp" | "NanoTimestamp" | "IsoTimestamp" | "ZonedTimestamp" => Type::Datetime,
                _ => return None,
            },
            None => return None,
        })
    }
}

/// What values of these types were in the database cannot be said any more: bits without their number, an interval as a count of
/// microseconds, a time moved to another zone, times whose microseconds were cut off.
const UNKNOWABLE: [&str; 7] = [
    "io.debezium.data.Bits",
    "io.debezium.time.MicroDuration",
    "io.debezium.time.NanoDuration",
    "io.debezium.time.Interval",
    "io.debezium.time.ZonedTime",
    "org.apache.kafka.connect.data.Time",
    "org.apache.kafka.connect.data.Timestamp",
];

/// Whose rows they are: how bytes are spelt is known of one alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Database {
    Postgres,
    Other,
}

impl Database {
    /// Bytes as the database prints them.
    fn bytes(self, encoded: &str) -> Option<String> {
        let bytes = base64::decode(encoded).filter(|_| self == Self::Postgres)?;
        Some(bytes.iter().fold("\\x".to_owned(), |text, byte| text + &format!("{byte:02x}")))
    }
}

fn variable_decimal(parts: &Row<'_>) -> Option<String> {
    match (parts.get("value"), parts.get("scale")) {
        (Some(Value::Text(encoded)), Some(Value::Int(scale))) => decimal::text(encoded, i32::try_from(*scale).ok()?),
        _ => None,
    }
}

enum Temporal {
    Text(String),
    OutOfRange,
    Other,
}

fn temporal(name: &str, number: i64) -> Temporal {
    let text = match name {
        "io.debezium.time.Date" | "org.apache.kafka.connect.data.Date" => date(number),
        "io.debezium.time.Timestamp" => point(SignedDuration::from_millis(number)),
        "io.debezium.time.MicroTimestamp" => point(SignedDuration::from_micros(number)),
        "io.debezium.time.NanoTimestamp" => point(SignedDuration::from_nanos(number)),
        "io.debezium.time.Time" => clock(SignedDuration::from_millis(number)),
        "io.debezium.time.MicroTime" => clock(SignedDuration::from_micros(number)),
        "io.debezium.time.NanoTime" => clock(SignedDuration::from_nanos(number)),
        _ => return Temporal::Other,
    };
    text.map_or(Temporal::OutOfRange, Temporal::Text)
}

/// What ends in a `Z` though the column has no zone, as the same column gives it in the other modes.
fn iso(name: &str, text: &str) -> Option<String> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    match name {
        "io.debezium.time.IsoDate" => text.parse().ok().and_then(day),
        "io.debezium.time.IsoTime" => text.parse::<Time>().ok().map(|time| time.to_string()),
        _ => text.parse().ok().and_then(moment),
    }
}

/// A point in time with its zone, without the zeros that fill its fraction up.
fn zoned(text: &str) -> Option<String> {
    if matches!(text, "infinity" | "-infinity") {
        return Some(text.to_owned());
    }
    let time = text.find('T')?;
    let zone = time + text[time..].find(['Z', '+', '-'])?;
    Some(moment(text[..zone].parse().ok()?)? + &text[zone..])
}

/// A day after Christ; databases spell those before in ways of their own.
fn day(date: Date) -> Option<String> {
    (date.year() > 0).then(|| date.to_string())
}

fn moment(point: DateTime) -> Option<String> {
    (point.year() > 0).then(|| point.to_string())
}

/// Whether a text may be a decimal as Java prints it, with `decimal.handling.mode=string`: `0E-8` is 0.00000000 in the database, `NAN`
/// is NaN. What it was, if it was one, is not known: texts look like that as well.
pub(super) fn is_decimal_of_java(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.strip_prefix('-').unwrap_or(text).split_once("E-");
    matches!(text, "NAN" | "POSITIVE_INFINITY" | "NEGATIVE_INFINITY")
        || number.is_some_and(|(number, exponent)| digits(&number.replacen('.', "", 1)) && digits(exponent))
}

/// A day as only the mode `isostring` writes it, where no schema says so: `2019-07-09Z`.
pub(super) fn unzoned_date(value: &mut Value<'_>) {
    /// `2019-07-09Z`
    const LENGTH: usize = 11;
    if let Value::Text(text) = value
        && text.len() == LENGTH
        && let Some(date) = text.strip_suffix('Z').filter(|date| date.parse::<Date>().is_ok())
    {
        *value = Value::Text(Cow::Owned(date.to_owned()));
    }
}

fn date(days: i64) -> Option<String> {
    let epoch = jiff::civil::date(1970, 1, 1);
    epoch.checked_add(days_span(days)?).ok().and_then(day)
}

fn days_span(days: i64) -> Option<jiff::Span> {
    0.days().try_days(days).ok()
}

fn point(since_epoch: SignedDuration) -> Option<String> {
    let epoch = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
    epoch.checked_add(since_epoch).ok().and_then(moment)
}

fn clock(since_midnight: SignedDuration) -> Option<String> {
    Time::midnight().checked_add(since_midnight).ok().map(|time| time.to_string())
}

#[cfg(test)]
mod tests;
