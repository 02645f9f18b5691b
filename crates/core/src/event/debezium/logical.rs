//! Writes values that Kafka Connect encodes (decimals, dates, times) as text, by the types in a message's schema.

use std::borrow::Cow;
use std::collections::HashMap;

use jiff::civil::{Date, DateTime, Time};
use jiff::{SignedDuration, ToSpan};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::decimal;
use crate::event::{Row, Value, postgres};

/// The schemas of the two images.
pub(super) struct Schemas<'a> {
    images: Vec<Schema<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Schema<'a> {
    #[serde(default)]
    field: String,
    #[serde(default)]
    name: Option<String>,
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
        let encoded = ["org.apache.kafka.connect.data.", "io.debezium.time.", "io.debezium.data."];
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
    pub(super) fn apply(&self, image: &str, row: &mut Option<Row<'_>>) {
        if let Some(row) = row {
            let columns = self.columns(image);
            row.0.retain_mut(|(name, value)| columns.get(&**name).is_none_or(|column| column.rewrite(value)));
        }
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
    fn rewrite(&self, value: &mut Value<'_>) -> bool {
        let Some(name) = self.name.as_deref() else { return true };
        let text = match (name, &*value) {
            ("org.apache.kafka.connect.data.Decimal", Value::Text(encoded)) => {
                let scale = self.parameters.scale.as_deref().and_then(|scale| scale.parse().ok());
                scale.and_then(|scale| decimal::text(encoded, scale))
            }
            ("io.debezium.data.VariableScaleDecimal", Value::Object(parts)) => variable_decimal(parts),
            ("io.debezium.data.Json", Value::Text(text)) => {
                return postgres::json(text).map(|held| *value = held).is_some();
            }
            (_, Value::Text(text)) if name.starts_with("io.debezium.time.Iso") => iso(name, text),
            (_, Value::Int(number)) => match i64::try_from(*number).ok().map(|number| temporal(name, number)) {
                Some(Temporal::Text(text)) => Some(text),
                Some(Temporal::Other) => return true,
                Some(Temporal::OutOfRange) | None => None,
            },
            _ => return true,
        };
        text.map(|text| *value = Value::Text(Cow::Owned(text))).is_some()
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
        "io.debezium.time.Timestamp" | "org.apache.kafka.connect.data.Timestamp" => {
            point(SignedDuration::from_millis(number))
        }
        "io.debezium.time.MicroTimestamp" => point(SignedDuration::from_micros(number)),
        "io.debezium.time.NanoTimestamp" => point(SignedDuration::from_nanos(number)),
        "io.debezium.time.Time" | "org.apache.kafka.connect.data.Time" => clock(SignedDuration::from_millis(number)),
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
        "io.debezium.time.IsoDate" => text.parse::<Date>().ok().map(|date| date.to_string()),
        "io.debezium.time.IsoTime" => text.parse::<Time>().ok().map(|time| time.to_string()),
        _ => text.parse::<DateTime>().ok().map(|point| point.to_string()),
    }
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
    epoch.checked_add(days_span(days)?).ok().map(|date| date.to_string())
}

fn days_span(days: i64) -> Option<jiff::Span> {
    0.days().try_days(days).ok()
}

fn point(since_epoch: SignedDuration) -> Option<String> {
    let epoch = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
    epoch.checked_add(since_epoch).ok().map(|point| point.to_string())
}

fn clock(since_midnight: SignedDuration) -> Option<String> {
    Time::midnight().checked_add(since_midnight).ok().map(|time| time.to_string())
}
