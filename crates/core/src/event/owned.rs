//! Frees changes from the payload they borrow from, for messages that carry another message inside.

use std::borrow::Cow;

use super::shared::Freed;
use super::{Change, Command, Event, Invalidate, Relation, Row, Types, Value};

/// The same changes, borrowing from nothing; what an envelope says of all of them is kept once.
pub(super) fn all(changes: Vec<Change<'_>>) -> Vec<Change<'static>> {
    let mut envelope = Envelope::default();
    changes.into_iter().map(|change| change.freed(&mut envelope)).collect()
}

/// What an envelope said.
#[derive(Default)]
struct Envelope<'a> {
    source: Freed<'a>,
    origin: Freed<'a>,
    traceparent: Freed<'a>,
}

impl<'a> Change<'a> {
    /// The same change, borrowing from nothing.
    #[must_use]
    pub fn into_owned(self) -> Change<'static> {
        self.freed(&mut Envelope::default())
    }

    fn freed(self, envelope: &mut Envelope<'a>) -> Change<'static> {
        match self {
            Self::Event(event) => Change::Event(event.freed(envelope)),
            Self::Command(command) => Change::Command(command.into_owned()),
        }
    }
}

impl<'a> Event<'a> {
    fn freed(self, envelope: &mut Envelope<'a>) -> Event<'static> {
        Event {
            id: self.id.map(text),
            source: self.source.map(|text| envelope.source.free(text)),
            entity: text(self.entity),
            op: self.op,
            key: self.key.into_owned(),
            before: self.before.map(Row::into_owned),
            after: self.after.map(Row::into_owned),
            filled: self.filled,
            changed: self.changed.map(|columns| columns.into_iter().map(text).collect()),
            types: Types(self.types.0.into_iter().map(|(column, declared)| (text(column), declared)).collect()),
            relation: self.relation.map(Relation::into_owned),
            time_us: self.time_us,
            origin: self.origin.map(|text| envelope.origin.free(text)),
            traceparent: self.traceparent.map(|text| envelope.traceparent.free(text)),
            transaction: self.transaction,
            answer: self.answer,
        }
    }
}

impl Relation<'_> {
    fn into_owned(self) -> Relation<'static> {
        Relation {
            name: text(self.name),
            from: self.from.into_owned(),
            to: self.to.into_iter().map(Row::into_owned).collect(),
        }
    }
}

impl Command<'_> {
    /// The same command, borrowing from nothing.
    #[must_use]
    pub fn into_owned(self) -> Command<'static> {
        Command {
            what: match self.what {
                Invalidate::Cache { cache, args } => Invalidate::Cache { cache: text(cache), args: args.into_owned() },
                Invalidate::Key(key) => Invalidate::Key(text(key)),
                Invalidate::Prefix(prefix) => Invalidate::Prefix(text(prefix)),
                Invalidate::Tag(tag) => Invalidate::Tag(text(tag)),
            },
            target: self.target.map(text),
            id: self.id.map(text),
            time_us: self.time_us,
            answer: self.answer,
        }
    }
}

impl Row<'_> {
    /// The same row, borrowing from nothing.
    #[must_use]
    pub fn into_owned(self) -> Row<'static> {
        Row(self.0.into_iter().map(|(name, value)| (text(name), value.into_owned())).collect())
    }
}

impl Value<'_> {
    /// The same value, borrowing from nothing.
    #[must_use]
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(truth) => Value::Bool(truth),
            Self::Int(number) => Value::Int(number),
            Self::Float(number) => Value::Float(number),
            Self::Text(content) => Value::Text(text(content)),
            Self::List(items) => Value::List(items.into_iter().map(Value::into_owned).collect()),
            Self::Object(row) => Value::Object(row.into_owned()),
        }
    }
}

fn text(borrowed: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(borrowed.into_owned())
}
