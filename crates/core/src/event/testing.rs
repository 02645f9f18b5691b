//! Spells events and decodes messages, for the tests of the formats.

use std::borrow::Cow;

use super::{Change, DecodeError, Event, EventLimits, Format, Op, Payload, Row, Types, Value, decode};

/// A row of columns.
pub(super) fn row<const N: usize>(columns: [(&'static str, Value<'static>); N]) -> Row<'static> {
    Row(columns.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect())
}

pub(super) fn int(number: i128) -> Value<'static> {
    Value::Int(number)
}

pub(super) fn text(content: &'static str) -> Value<'static> {
    Value::Text(Cow::Borrowed(content))
}

/// An event that carries nothing but what it is about.
pub(super) fn event(entity: &'static str, op: Op) -> Event<'static> {
    Event {
        id: None,
        source: None,
        entity: entity.into(),
        op,
        key: Row::default(),
        before: None,
        after: None,
        filled: false,
        changed: None,
        types: Types::default(),
        relation: None,
        time_us: None,
        origin: None,
        traceparent: None,
        transaction: None,
        answer: None,
    }
}

/// What a message decodes into.
pub(super) fn decoded(
    body: &str,
    format: Format,
    headers: &[(&'static str, &str)],
) -> Result<Vec<Change<'static>>, DecodeError> {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (Cow::Borrowed(*name), (*value).to_owned())).collect();
    let mut changes = Vec::new();
    let payload = Payload { body: body.as_bytes(), headers: &headers };
    decode(payload, format, &EventLimits::default(), &mut changes)?;
    Ok(changes.into_iter().map(Change::into_owned).collect())
}

/// The message decodes into these events, by its shape and in its own format alike.
#[track_caller]
pub(super) fn check<const N: usize>(body: &str, format: Format, expected: [Event<'static>; N]) {
    let expected: Vec<_> = expected.into_iter().map(Change::Event).collect();
    for format in [format, Format::Auto] {
        assert_eq!(decoded(body, format, &[]), Ok(expected.clone()), "as {format:?}: {body}");
    }
}

/// The message is malformed, in these words.
#[track_caller]
pub(super) fn check_malformed(body: &str, format: Format, expected: &str) {
    match decoded(body, format, &[]) {
        Err(DecodeError::Malformed(words)) => assert!(words.contains(expected), "{words}, not {expected}, of {body}"),
        other => panic!("{other:?}, not {expected}, of {body}"),
    }
}
