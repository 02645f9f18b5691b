//! Decodes Quash's own JSON: an event, a transaction of events, or a direct command.

mod relation;

use std::borrow::Cow;
use std::sync::Arc;

use super::context::Context;
use super::fields::{Fields, Shape, object, text};
use super::problem::{described, malformed, quoted, within};
use super::{Change, DecodeError, Event, EventLimits, Op, Transaction, Value, command, time, types};
use crate::answer::AnswerId;

/// Decodes a message.
pub(super) fn decode<'a>(fields: &mut Fields<'a>, changes: &mut Vec<Change<'a>>) -> Result<(), DecodeError> {
    message(fields, changes).map_err(within("native event"))
}

/// Decodes one element of `events`.
pub(super) fn entry<'a>(
    fields: &mut Fields<'a>,
    _limits: &EventLimits,
    changes: &mut Vec<Change<'a>>,
) -> Result<(), DecodeError> {
    if fields.events.is_some() {
        return Err(malformed("`events` inside of `events`"));
    }
    message(fields, changes)
}

fn message<'a>(fields: &mut Fields<'a>, changes: &mut Vec<Change<'a>>) -> Result<(), DecodeError> {
    if fields.shape != Shape::Object {
        return Err(malformed("expected an object, as {\"entity\": \"shop.Book\", \"op\": \"update\", …}"));
    }
    version(fields.quash.as_ref())?;
    let is_event = fields.entity.is_some() || fields.op.is_some();
    match (is_event, fields.events.take(), fields.invalidate.take()) {
        (true, None, None) => changes.push(Change::Event(event(fields)?)),
        (false, Some(batch), None) => transaction(fields, batch?, changes)?,
        (false, None, Some(command)) => {
            let time_us = time_us(fields)?;
            changes.push(Change::Command(command::command(command, id(fields)?, time_us, answer(fields)?)?));
        }
        (false, None, None) => return Err(malformed("no `entity` and `op`, no `events` and no `invalidate`")),
        _ => return Err(malformed("more than one of `entity` with `op`, `events` and `invalidate`")),
    }
    Ok(())
}

fn version(quash: Option<&Value<'_>>) -> Result<(), DecodeError> {
    match quash {
        None | Some(Value::Int(1)) => Ok(()),
        Some(other) => Err(malformed(format!("unknown schema version: `quash` is {}, expected 1", described(other)))),
    }
}

fn transaction<'a>(
    fields: &mut Fields<'a>,
    mut batch: Vec<Change<'a>>,
    changes: &mut Vec<Change<'a>>,
) -> Result<(), DecodeError> {
    let context = Context {
        id: None,
        source: text("source", fields.source.take())?.map(Into::into),
        time_us: time_us(fields)?,
        origin: text("origin", fields.origin.take())?.map(Into::into),
        traceparent: text("traceparent", fields.traceparent.take())?.map(Into::into),
        transaction: transaction_of(fields),
        answer: answer(fields)?,
    };
    context.fill(&mut batch);
    changes.append(&mut batch);
    Ok(())
}

fn event<'a>(fields: &mut Fields<'a>) -> Result<Event<'a>, DecodeError> {
    let op = op(fields.op.take())?;
    let event = Event {
        id: id(fields)?,
        source: text("source", fields.source.take())?.map(Into::into),
        entity: entity(fields.entity.take())?,
        op,
        key: object("key", fields.key.take())?.unwrap_or_default(),
        before: object("before", fields.before.take())?,
        after: object("after", fields.after.take())?,
        filled: false,
        changed: changed(fields.changed.take())?,
        types: types::field(object("types", fields.types.take())?)?,
        relation: relation::read(op, fields)?,
        time_us: time_us(fields)?,
        origin: text("origin", fields.origin.take())?.map(Into::into),
        traceparent: text("traceparent", fields.traceparent.take())?.map(Into::into),
        transaction: transaction_of(fields),
        answer: answer(fields)?,
    };
    carries_what_it_needs(&event)?;
    Ok(event)
}

fn op(value: Option<Value<'_>>) -> Result<Op, DecodeError> {
    let name = text("op", value)?.ok_or_else(|| malformed(format!("no `op`, expected one of {}", known_ops())))?;
    let known = Op::ALL.into_iter().find(|op| op.name() == name);
    known.ok_or_else(|| malformed(format!("unknown `op` {}, expected one of {}", quoted(&name), known_ops())))
}

fn known_ops() -> String {
    Op::ALL.map(Op::name).join(", ")
}

fn entity(value: Option<Value<'_>>) -> Result<Cow<'_, str>, DecodeError> {
    text("entity", value)?
        .filter(|name| !name.is_empty())
        .ok_or_else(|| malformed("no `entity`, expected what changed, as `shop.Book`"))
}

fn id<'a>(fields: &mut Fields<'a>) -> Result<Option<Cow<'a, str>>, DecodeError> {
    match fields.id.take() {
        Some(Value::Int(number)) => Ok(Some(number.to_string().into())),
        other => text("id", other),
    }
}

fn transaction_of(fields: &Fields<'_>) -> Option<Arc<Transaction>> {
    fields.other("transaction").and_then(Transaction::read).map(Arc::new)
}

fn answer(fields: &Fields<'_>) -> Result<Option<AnswerId>, DecodeError> {
    let Some(value) = fields.other("answer") else { return Ok(None) };
    let id = if let Value::Text(text) = value { AnswerId::parse(text) } else { None };
    let wrong = || malformed(format!("`answer` is {}: expected 32 hexadecimal digits in lower case", described(value)));
    id.map(Some).ok_or_else(wrong)
}

fn time_us(fields: &mut Fields<'_>) -> Result<Option<i64>, DecodeError> {
    fields.time.take().map_or(Ok(None), |value| time::field(&value))
}

fn changed(value: Option<Value<'_>>) -> Result<Option<Vec<Cow<'_, str>>>, DecodeError> {
    let wrong =
        |value: &Value<'_>| malformed(format!("`changed` has {}: expected a list of column names", described(value)));
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::List(columns)) => columns
            .into_iter()
            .map(|column| if let Value::Text(name) = column { Ok(name) } else { Err(wrong(&column)) })
            .collect::<Result<_, _>>()
            .map(Some),
        Some(other) => Err(wrong(&other)),
    }
}

/// Without these an event could match nothing, and would be acked as if nothing depended on it.
fn carries_what_it_needs(event: &Event<'_>) -> Result<(), DecodeError> {
    let has_key = !event.key.is_empty();
    let missing = match event.op {
        Op::Create if event.after.is_none() => "`after`",
        Op::Update if event.after.is_none() && !has_key => "`after` or `key`",
        Op::Delete if event.before.is_none() && !has_key => "`before` or `key`",
        _ => return Ok(()),
    };
    Err(malformed(format!("no {missing}, which `op` {} needs", event.op.name())))
}

#[cfg(test)]
mod tests;
