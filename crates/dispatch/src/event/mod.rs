//! Defines what applications publish: events and direct commands, spelt as the native JSON that a worker reads.
//!
//! ```
//! use quash_dispatch::event::{Event, Invalidate};
//!
//! #[derive(serde::Serialize)]
//! struct Book { id: i64, title: &'static str, author_id: i64 }
//!
//! let old = Book { id: 42, title: "Old", author_id: 3 };
//! let new = Book { id: 42, title: "New", author_id: 4 };
//! let changed = Event::update("shop.Book").key("id", old.id).before(&old).after(&new).changed(["title", "author_id"]);
//! let direct = Invalidate::cache("catalog_page").arg("author_id", 3);
//! assert!(changed.to_json()?.contains(r#""op":"update","key":{"id":42}"#));
//! assert!(Event::from(direct).to_json()?.contains(r#""invalidate":{"cache":"catalog_page","args":{"author_id":3}}"#));
//! # Ok::<(), quash_dispatch::event::EventError>(())
//! ```

mod change;
mod command;
mod decoded;
mod id;

pub mod spell;

pub(crate) mod coalesce;
pub(crate) mod pack;

use std::sync::Arc;
use std::time::SystemTime;

use quash_core::event::Op;
use serde::{Serialize, Serializer};
use serde_json::Value as Json;

use self::change::Change;
use self::command::Command;
pub use self::command::Invalidate;

/// An event as native JSON: its fields by name, in the order in which they are written.
///
/// ```
/// # use quash_dispatch::event::{Document, Event};
/// let document: Document = Event::delete("shop.Book").key("id", 42).document()?;
/// assert_eq!(document["op"], "delete");
/// # Ok::<(), quash_dispatch::event::EventError>(())
/// ```
pub type Document = serde_json::Map<String, Json>;

/// One change of one row or of one relation, or a direct command.
///
/// Publish whole rows, or at least the columns that rules name, in both images: a book that moves from one author to
/// another must drop both authors' pages. Rows are anything that serialises as a struct or a map. A column that is absent
/// is unknown, which is not the same as null.
///
/// Builders never fail: what is wrong (a row that is no mapping, a create without its row) is said by
/// [`Event::document`], and by whatever takes the event.
///
/// ```
/// use std::collections::BTreeMap;
///
/// use quash_dispatch::Event;
///
/// let row = BTreeMap::from([("id", 42), ("author_id", 3)]);
/// let event = Event::create("shop.Book").after(&row);
/// assert!(event.to_json()?.contains(r#""entity":"shop.Book","op":"create","after":{"author_id":3,"id":42}"#));
/// # Ok::<(), quash_dispatch::event::EventError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    body: Body,
    /// The first thing that was said of it and cannot be.
    wrong: Option<EventError>,
}

#[derive(Debug, Clone, PartialEq)]
enum Body {
    Change(Box<Change>),
    Command(Box<Command>),
    /// Native JSON already.
    Given(Document),
}

/// Why an event cannot be published; a worker would refuse it.
///
/// ```
/// # use quash_dispatch::event::Event;
/// let error = Event::create("shop.Book").after("no row").document().unwrap_err();
/// assert_eq!(error.to_string(), "shop.Book: after is a row: a struct, or a map of columns");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EventError(String);

impl EventError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl Event {
    /// A row is there that was not there before. Needs [`Event::after`].
    ///
    /// ```
    /// # use quash_dispatch::event::Event;
    /// let event = Event::create("shop.Book").after(&serde_json::json!({"id": 42, "author_id": 3}));
    /// assert_eq!(event.document()?["after"]["author_id"], 3);
    /// # Ok::<(), quash_dispatch::event::EventError>(())
    /// ```
    #[must_use]
    pub fn create(entity: impl Into<String>) -> Self {
        Self::row(Op::Create, entity)
    }

    /// A row changed. Needs [`Event::after`] or [`Event::key`]; without [`Event::before`] what depended on the old values is
    /// widened.
    ///
    /// ```
    /// # use quash_dispatch::event::Event;
    /// # use serde_json::json;
    /// let (old, new) = (json!({"id": 42, "author_id": 3}), json!({"id": 42, "author_id": 4}));
    /// let event = Event::update("shop.Book").key("id", 42).before(&old).after(&new);
    /// assert_eq!(event.document()?["op"], "update");
    /// # Ok::<(), quash_dispatch::event::EventError>(())
    /// ```
    #[must_use]
    pub fn update(entity: impl Into<String>) -> Self {
        Self::row(Op::Update, entity)
    }

    /// A row is gone. Needs [`Event::before`] or [`Event::key`].
    ///
    /// ```
    /// # use quash_dispatch::event::Event;
    /// let event = Event::delete("shop.Book").before(&serde_json::json!({"id": 42, "author_id": 3}));
    /// assert_eq!(event.document()?["before"]["author_id"], 3);
    /// # Ok::<(), quash_dispatch::event::EventError>(())
    /// ```
    #[must_use]
    pub fn delete(entity: impl Into<String>) -> Self {
        Self::row(Op::Delete, entity)
    }

    /// All rows are gone.
    ///
    /// ```
    /// # use quash_dispatch::event::Event;
    /// assert!(Event::truncate("shop.Book").document().is_ok());
    /// ```
    #[must_use]
    pub fn truncate(entity: impl Into<String>) -> Self {
        Self::row(Op::Truncate, entity)
    }

    /// Rows were added to a relation of an entity. Needs [`Event::from_row`].
    ///
    /// ```
    /// # use quash_dispatch::event::Event;
    /// # use serde_json::json;
    /// let event = Event::add("shop.Book", "tags").from_row(&json!({"id": 42, "author_id": 3})).to(&json!({"id": 5}));
    /// assert!(event.document().is_ok());
    /// ```
    #[must_use]
    pub fn add(entity: impl Into<String>, relation: impl Into<String>) -> Self {
        Self::relation(Op::Add, entity, relation)
    }

    /// Rows were taken out of a relation of an entity. Needs [`Event::from_row`].
    ///
    /// ```
    /// # use quash_dispatch::event::Event;
    /// # use serde_json::json;
    /// let event = Event::remove("shop.Book", "tags").from_row(&json!({"id": 42})).to(&json!({"id": 5}));
    /// assert!(event.to_json()?.contains(r#""op":"remove","relation":"tags","from":{"id":42},"to":[{"id":5}]"#));
    /// # Ok::<(), quash_dispatch::event::EventError>(())
    /// ```
    #[must_use]
    pub fn remove(entity: impl Into<String>, relation: impl Into<String>) -> Self {
        Self::relation(Op::Remove, entity, relation)
    }

    /// A relation of an entity was emptied. Needs [`Event::from_row`].
    ///
    /// ```
    /// # use quash_dispatch::event::Event;
    /// let event = Event::clear("shop.Book", "tags").from_row(&serde_json::json!({"id": 42}));
    /// assert!(event.to_json()?.contains(r#""op":"clear","relation":"tags","from":{"id":42}"#));
    /// # Ok::<(), quash_dispatch::event::EventError>(())
    /// ```
    #[must_use]
    pub fn clear(entity: impl Into<String>, relation: impl Into<String>) -> Self {
        Self::relation(Op::Clear, entity, relation)
    }

    /// An event that is native JSON already; it travels as it is.
    ///
    /// ```
    /// # use quash_dispatch::event::Event;
    /// let kept = Event::create("shop.Book").after(&serde_json::json!({"id": 1})).document()?;
    /// assert_eq!(Event::given(kept.clone()).document()?, kept);
    /// # Ok::<(), quash_dispatch::event::EventError>(())
    /// ```
    #[must_use]
    pub const fn given(document: Document) -> Self {
        Self { body: Body::Given(document), wrong: None }
    }

    fn row(op: Op, entity: impl Into<String>) -> Self {
        Self { body: Body::Change(Box::new(Change::new(op, entity.into()))), wrong: None }
    }

    fn relation(op: Op, entity: impl Into<String>, relation: impl Into<String>) -> Self {
        Self::row(op, entity).with(|change| {
            change.relation = Some(relation.into());
            Ok(())
        })
    }

    /// A column of the primary key; call it once for each.
    ///
    /// ```
    /// # use quash_dispatch::event::Event;
    /// let event = Event::delete("shop.Stock").key("book_id", 42).key("shop", "Berlin");
    /// assert_eq!(event.document()?["key"], serde_json::json!({"book_id": 42, "shop": "Berlin"}));
    /// # Ok::<(), quash_dispatch::event::EventError>(())
    /// ```
    #[must_use]
    pub fn key(self, column: impl Into<String>, value: impl Serialize) -> Self {
        self.with(|change| change.key(column.into(), &value))
    }

    /// The row before the change.
    ///
    /// ```
    /// # use quash_dispatch::event::Event;
    /// #[derive(serde::Serialize)]
    /// struct Book { id: i64, author_id: i64 }
    ///
    /// let event = Event::delete("shop.Book").before(&Book { id: 42, author_id: 3 });
    /// assert_eq!(event.document()?["before"]["author_id"], 3);
    /// # Ok::<(), quash_dispatch::event::EventError>(())
    /// ```
    #[must_use]
    pub fn before(self, row: &(impl Serialize + ?Sized)) -> Self {
        self.with(|change| change.before(row))
    }

    /// The row after the change.
    ///
    /// ```
    /// # use quash_dispatch::event::Event;
    /// #[derive(serde::Serialize)]
    /// struct Book { id: i64, author_id: i64 }
    ///
    /// let event = Event::create("shop.Book").after(&Book { id: 42, author_id: 3 });
    /// assert_eq!(event.document()?["after"]["author_id"], 3);
    /// # Ok::<(), quash_dispatch::event::EventError>(())
    /// ```
    #[must_use]
    pub fn after(self, row: &(impl Serialize + ?Sized)) -> Self {
        self.with(|change| change.after(row))
    }

    /// The columns that changed. A column that is not named is then known to be as before.
    ///
    /// ```
    /// # use quash_dispatch::event::Event;
    /// let event = Event::update("shop.Book").key("id", 42).changed(["title", "price"]);
    /// assert_eq!(event.document()?["changed"], serde_json::json!(["title", "price"]));
    /// # Ok::<(), quash_dispatch::event::EventError>(())
    /// ```
    #[must_use]
    pub fn changed<C: Into<String>>(self, columns: impl IntoIterator<Item = C>) -> Self {
        self.say(|change| change.changed = Some(columns.into_iter().map(Into::into).collect()))
    }

    /// What columns are in the application, as `("price", "decimal")`; keys of caching libraries need it. Those that
    /// [`spell`] knows are found by themselves.
    ///
    /// ```
    /// # use quash_dispatch::event::Event;
    /// let row = serde_json::json!({"id": 42, "price": "12.50"});
    /// let event = Event::create("shop.Book").after(&row).types([("price", "decimal")]);
    /// assert_eq!(event.document()?["types"]["price"], "decimal");
    /// # Ok::<(), quash_dispatch::event::EventError>(())
    /// ```
    #[must_use]
    pub fn types<C: Into<String>, T: Into<String>>(self, types: impl IntoIterator<Item = (C, T)>) -> Self {
        let types = types.into_iter().map(|(column, word)| (column.into(), word.into()));
        self.say(|change| change.types.extend(types))
    }

    /// Of a relation: the row that owns it.
    ///
    /// ```
    /// # use quash_dispatch::event::Event;
    /// # use serde_json::json;
    /// let event = Event::add("shop.Book", "tags").from_row(&json!({"id": 42, "author_id": 3})).to(&json!({"id": 5}));
    /// assert_eq!(event.document()?["from"]["author_id"], 3);
    /// # Ok::<(), quash_dispatch::event::EventError>(())
    /// ```
    #[must_use]
    pub fn from_row(self, row: &(impl Serialize + ?Sized)) -> Self {
        self.with(|change| change.from(row))
    }

    /// Of a relation: a row at the other end; call it once for each.
    ///
    /// ```
    /// # use quash_dispatch::event::Event;
    /// # use serde_json::json;
    /// let book = Event::add("shop.Book", "tags").from_row(&json!({"id": 42}));
    /// let event = book.to(&json!({"id": 5})).to(&json!({"id": 6}));
    /// assert_eq!(event.document()?["to"], json!([{"id": 5}, {"id": 6}]));
    /// # Ok::<(), quash_dispatch::event::EventError>(())
    /// ```
    #[must_use]
    pub fn to(self, row: &(impl Serialize + ?Sized)) -> Self {
        self.with(|change| change.to(row))
    }

    /// Names the change, in the place of a fresh UUID: repeats of a name mean the same change.
    ///
    /// ```
    /// # use quash_dispatch::event::Event;
    /// let event = Event::delete("shop.Book").key("id", 42).id("outbox-1017");
    /// assert_eq!(event.document()?["id"], "outbox-1017");
    /// # Ok::<(), quash_dispatch::event::EventError>(())
    /// ```
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        match &mut self.body {
            Body::Change(change) => change.id = id.into(),
            Body::Command(command) => command.id = id.into(),
            Body::Given(document) => drop(document.insert("id".to_owned(), id.into().into())),
        }
        self
    }

    /// When it was committed, in the place of now.
    ///
    /// ```
    /// # use quash_dispatch::event::Event;
    /// use std::time::{Duration, UNIX_EPOCH};
    ///
    /// let event = Event::delete("shop.Book").key("id", 42).time(UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    /// assert_eq!(event.document()?["time"], "2023-11-14T22:13:20Z");
    /// # Ok::<(), quash_dispatch::event::EventError>(())
    /// ```
    #[must_use]
    pub fn time(mut self, time: SystemTime) -> Self {
        match &mut self.body {
            Body::Change(change) => change.time = Some(time),
            Body::Command(command) => command.time = Some(time),
            Body::Given(document) => drop(document.insert("time".to_owned(), id::time(time).into())),
        }
        self
    }

    /// Who publishes, as `shop-api`.
    ///
    /// ```
    /// # use quash_dispatch::event::Event;
    /// let event = Event::delete("shop.Book").key("id", 42).source("shop-api");
    /// assert_eq!(event.document()?["source"], "shop-api");
    /// # Ok::<(), quash_dispatch::event::EventError>(())
    /// ```
    #[must_use]
    pub fn source(self, source: impl Into<String>) -> Self {
        self.say(|change| change.source = Some(Arc::from(source.into())))
    }

    /// The process that caused the change.
    ///
    /// ```
    /// # use quash_dispatch::event::Event;
    /// let event = Event::delete("shop.Book").key("id", 42).origin("web-3:4711");
    /// assert_eq!(event.document()?["origin"], "web-3:4711");
    /// # Ok::<(), quash_dispatch::event::EventError>(())
    /// ```
    #[must_use]
    pub fn origin(self, origin: impl Into<String>) -> Self {
        self.say(|change| change.origin = Some(Arc::from(origin.into())))
    }

    /// The W3C trace context that the change belongs to, as `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01`.
    ///
    /// ```
    /// # use quash_dispatch::event::Event;
    /// let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    /// let event = Event::delete("shop.Book").key("id", 42).traceparent(trace);
    /// assert_eq!(event.document()?["traceparent"], trace);
    /// # Ok::<(), quash_dispatch::event::EventError>(())
    /// ```
    #[must_use]
    pub fn traceparent(self, traceparent: impl Into<String>) -> Self {
        self.say(|change| change.traceparent = Some(traceparent.into()))
    }

    fn say(self, say: impl FnOnce(&mut Change)) -> Self {
        self.with(|change| {
            say(change);
            Ok(())
        })
    }

    fn with(mut self, say: impl FnOnce(&mut Change) -> Result<(), String>) -> Self {
        let said = match &mut self.body {
            Body::Change(change) => say(change).map_err(|error| format!("{}: {error}", change.entity)),
            Body::Command(_) => Err("a command has no rows, source or trace".to_owned()),
            Body::Given(_) => Err("native JSON travels as it is".to_owned()),
        };
        if let Err(error) = said {
            self.wrong.get_or_insert(EventError(error));
        }
        self
    }

    /// The event as native JSON, checked as a worker checks it.
    ///
    /// # Errors
    /// For an event that a worker would refuse, or a value that has no exact text.
    ///
    /// ```
    /// # use quash_dispatch::event::Event;
    /// let error = Event::create("shop.Book").key("id", 1).document().unwrap_err();
    /// assert_eq!(error.to_string(), "shop.Book: no after, which op create needs");
    /// ```
    pub fn document(&self) -> Result<Document, EventError> {
        self.check()?;
        if let Body::Given(document) = &self.body {
            return Ok(document.clone());
        }
        match serde_json::to_value(&self.body) {
            Ok(Json::Object(document)) => Ok(document),
            Ok(other) => Err(EventError(format!("an event is an object, not {other}"))),
            Err(error) => Err(EventError(error.to_string())),
        }
    }

    /// The same as text.
    ///
    /// # Errors
    /// As [`Event::document`].
    ///
    /// ```
    /// # use quash_dispatch::event::Event;
    /// let event = Event::truncate("shop.Book").id("1").origin("web-3:4711");
    /// assert!(event.to_json()?.starts_with(r#"{"id":"1","entity":"shop.Book","op":"truncate""#));
    /// # Ok::<(), quash_dispatch::event::EventError>(())
    /// ```
    pub fn to_json(&self) -> Result<String, EventError> {
        self.check()?;
        serde_json::to_string(&self.body).map_err(|error| EventError(error.to_string()))
    }

    /// Whether a worker would take it.
    pub(crate) fn check(&self) -> Result<(), EventError> {
        if let Some(wrong) = &self.wrong {
            return Err(wrong.clone());
        }
        match &self.body {
            Body::Change(change) => change.check(),
            Body::Command(command) => command.check(),
            Body::Given(_) => Ok(()),
        }
    }

    /// Says who publishes it and which process caused it, unless it says so itself.
    pub(crate) fn sign(&mut self, source: Option<&Arc<str>>, origin: &Arc<str>) {
        match &mut self.body {
            Body::Change(change) => {
                change.source = change.source.take().or_else(|| source.map(Arc::clone));
                change.origin.get_or_insert_with(|| Arc::clone(origin));
            }
            Body::Given(document) if document.contains_key("entity") => {
                if let Some(source) = source {
                    document.entry("source").or_insert_with(|| Json::from(&**source));
                }
                document.entry("origin").or_insert_with(|| Json::from(&**origin));
            }
            Body::Command(_) | Body::Given(_) => {}
        }
    }

    /// Its identifier, if it has one.
    pub(crate) fn identifier(&self) -> Option<&str> {
        match &self.body {
            Body::Change(change) => Some(&change.id),
            Body::Command(command) => Some(&command.id),
            Body::Given(document) => document.get("id")?.as_str(),
        }
    }

    /// What changed; a command is about no entity.
    pub(crate) fn entity(&self) -> Option<&str> {
        match &self.body {
            Body::Change(change) => Some(&change.entity),
            Body::Command(_) => None,
            Body::Given(document) => document.get("entity")?.as_str(),
        }
    }

    /// Whether it says by itself where it is to be answered.
    pub(crate) fn asks_by_itself(&self) -> bool {
        matches!(&self.body, Body::Given(document) if document.contains_key("answer"))
    }

    /// Whether it is several events.
    pub(crate) fn is_transaction(&self) -> bool {
        matches!(&self.body, Body::Given(document) if document.contains_key("events"))
    }
}

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Change(change) => change.serialize(serializer),
            Self::Command(command) => command.serialize(serializer),
            Self::Given(document) => document.serialize(serializer),
        }
    }
}

impl From<Invalidate> for Event {
    fn from(invalidate: Invalidate) -> Self {
        Self { body: Body::Command(Box::new(invalidate.command)), wrong: invalidate.wrong }
    }
}

#[cfg(test)]
mod tests;
