//! Defines the event, the one form that every format is decoded into, and lists the formats.
//!
//! An event borrows from the payload it was decoded from, so that decoding allocates only for text that JSON escaped.

pub mod shared;
pub mod transaction;
pub mod types;
pub mod value;

// From bytes to changes.
pub mod accept;
mod declared;
pub mod decode;
mod fields;
pub mod format;
mod limit;

// The formats: a file each.
mod canal;
mod cloud_events;
mod debezium;
mod json;
mod maxwell;
mod sequin;
mod wal2json;

// What they share.
mod base64;
mod batch;
mod command;
mod context;
mod owned;
pub(crate) mod pattern;
pub mod postgres;
pub(crate) mod problem;
mod read;
mod time;
mod tuple;

#[cfg(test)]
mod testing;

use std::borrow::Cow;
use std::sync::Arc;

pub use accept::Accept;
pub use decode::{DecodeError, Payload, decode};
pub use format::{EventLimits, Format};
pub use shared::SharedText;
pub use transaction::Transaction;
pub use types::{Type, Types};
pub use value::{Row, Value};

use crate::answer::AnswerId;

/// What a decoded message asks for: a change to match against the rules, or a direct command.
#[expect(clippy::large_enum_variant, reason = "nearly every message is an event, which a box would make dearer")]
#[derive(Debug, Clone, PartialEq)]
pub enum Change<'a> {
    /// A row or a relation changed.
    Event(Event<'a>),
    /// Somebody asked for an invalidation by name.
    Command(Command<'a>),
}

impl Change<'_> {
    /// Under which identifier the publisher waits for an answer.
    #[must_use]
    pub const fn answer(&self) -> Option<AnswerId> {
        match self {
            Self::Event(event) => event.answer,
            Self::Command(command) => command.answer,
        }
    }
}

/// One change of one row or one relation.
#[derive(Debug, Clone, PartialEq)]
pub struct Event<'a> {
    /// The publisher's identifier of this change; repeats mean the same change.
    pub id: Option<Cow<'a, str>>,
    /// Who published it, as the publisher spells it.
    pub source: Option<SharedText<'a>>,
    /// What changed, as `app.Model` or `schema.table`.
    pub entity: Cow<'a, str>,
    /// What happened to it.
    pub op: Op,
    /// The primary key; empty when the event does not carry it.
    pub key: Row<'a>,
    /// The row before the change. `None`: the event carries no before image.
    /// A column that is absent from an image is unknown.
    pub before: Option<Row<'a>>,
    /// The row after the change. `None`: the event carries no after image.
    pub after: Option<Row<'a>>,
    /// What of a row before the change is not the key may have been filled in by Debezium, which knows of rows of PostgreSQL
    /// only what was logged. The key itself is as before then: where it changes, two events come.
    pub filled: bool,
    /// The columns that changed, if the publisher says which; `None` is "not said".
    pub changed: Option<Vec<Cow<'a, str>>>,
    /// The types of columns, as far as the publisher says; for a relation with its end, as `from.born`.
    pub types: Types<'a>,
    /// The relation and its two sides, for the operations add, remove and clear.
    pub relation: Option<Relation<'a>>,
    /// When the change was committed, in microseconds since the Unix epoch.
    pub time_us: Option<i64>,
    /// The process that caused the change.
    pub origin: Option<SharedText<'a>>,
    /// W3C trace context of the producer.
    pub traceparent: Option<SharedText<'a>>,
    /// Which commit it belongs to.
    pub transaction: Option<Arc<Transaction>>,
    /// Under which identifier the publisher waits for an answer.
    pub answer: Option<AnswerId>,
}

/// A change of a many-to-many relation.
#[derive(Debug, Clone, PartialEq)]
pub struct Relation<'a> {
    /// The relation's name on the entity: `tags` for `shop.Book.tags`.
    pub name: Cow<'a, str>,
    /// The row that owns the relation; columns that the event does not carry are unknown.
    pub from: Row<'a>,
    /// The rows at the other end, one per row added or removed; empty when unknown (clear).
    pub to: Vec<Row<'a>>,
}

/// What happened to a row or a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// A row was inserted (or read by a snapshot).
    Create,
    /// A row was updated.
    Update,
    /// A row was deleted.
    Delete,
    /// All rows of the entity went at once; there are no images.
    Truncate,
    /// Rows were added to a relation.
    Add,
    /// Rows were removed from a relation.
    Remove,
    /// A relation was emptied.
    Clear,
}

impl Op {
    /// Every operation, in the order of the documentation.
    pub const ALL: [Self; 7] =
        [Self::Create, Self::Update, Self::Delete, Self::Truncate, Self::Add, Self::Remove, Self::Clear];

    /// The name used in events and configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Truncate => "truncate",
            Self::Add => "add",
            Self::Remove => "remove",
            Self::Clear => "clear",
        }
    }

    /// Whether it happens to a relation, and not to a row.
    #[must_use]
    pub const fn is_of_relation(self) -> bool {
        matches!(self, Self::Add | Self::Remove | Self::Clear)
    }
}

/// A direct command: `{"invalidate": {…}}`.
#[derive(Debug, Clone, PartialEq)]
pub struct Command<'a> {
    /// What to invalidate.
    pub what: Invalidate<'a>,
    /// The target to act on; `None` is every target that the cache (or the configuration) names.
    pub target: Option<Cow<'a, str>>,
    /// As in [`Event::id`].
    pub id: Option<Cow<'a, str>>,
    /// As in [`Event::time_us`].
    pub time_us: Option<i64>,
    /// As in [`Event::answer`].
    pub answer: Option<AnswerId>,
}

/// What a direct command invalidates.
#[derive(Debug, Clone, PartialEq)]
pub enum Invalidate<'a> {
    /// Entries of a declared cache; arguments that are left out are *any*.
    Cache {
        /// The cache's declared name.
        cache: Cow<'a, str>,
        /// The known arguments.
        args: Row<'a>,
    },
    /// One key, as the application spells it (the target's key format is applied).
    Key(Cow<'a, str>),
    /// Every key that begins with this (the target's key format is applied). Never empty.
    Prefix(Cow<'a, str>),
    /// One generation token, as the application spells it (the target's key format is applied).
    Tag(Cow<'a, str>),
}
