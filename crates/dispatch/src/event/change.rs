//! Gathers what is said of a change, and spells it in the order of the format.

use std::sync::Arc;
use std::time::SystemTime;

use quash_core::event::Op;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value as Json;

use super::spell::{self, Spelt, Types};
use super::{Document, EventError, id};

/// A row as it is written, with the types that its JSON does not show.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Row {
    pub(super) columns: Document,
    types: Types,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    pub(super) op: Op,
    pub(super) entity: String,
    pub(super) key: Option<Row>,
    pub(super) before: Option<Row>,
    pub(super) after: Option<Row>,
    pub(super) from: Option<Row>,
    pub(super) to: Option<Vec<Row>>,
    pub(super) changed: Option<Vec<String>>,
    pub(super) types: Vec<(String, String)>,
    pub(super) relation: Option<String>,
    pub(super) id: String,
    pub(super) source: Option<Arc<str>>,
    pub(super) origin: Option<Arc<str>>,
    pub(super) time: Option<SystemTime>,
    pub(super) traceparent: Option<String>,
}

impl Change {
    pub(super) fn new(op: Op, entity: String) -> Self {
        let now = SystemTime::now();
        Self {
            op,
            entity,
            key: None,
            before: None,
            after: None,
            from: None,
            to: None,
            changed: None,
            types: Vec::new(),
            relation: None,
            id: id::fresh(now),
            source: None,
            origin: None,
            time: Some(now),
            traceparent: None,
        }
    }

    pub(super) fn key(&mut self, column: String, value: &impl Serialize) -> Result<(), String> {
        let spelt = spell::value(value).map_err(|error| format!("key: column {column}: {error}"))?;
        self.key.get_or_insert_default().put(column, spelt);
        Ok(())
    }

    pub(super) fn before(&mut self, row: &(impl Serialize + ?Sized)) -> Result<(), String> {
        self.before = spell("before", row)?;
        Ok(())
    }

    pub(super) fn after(&mut self, row: &(impl Serialize + ?Sized)) -> Result<(), String> {
        self.after = spell("after", row)?;
        Ok(())
    }

    pub(super) fn from(&mut self, row: &(impl Serialize + ?Sized)) -> Result<(), String> {
        self.from = spell("from", row)?;
        Ok(())
    }

    pub(super) fn to(&mut self, row: &(impl Serialize + ?Sized)) -> Result<(), String> {
        self.to.get_or_insert_default().extend(spell("to", row)?);
        Ok(())
    }

    /// Its rows.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        [&self.key, &self.before, &self.after, &self.from].into_iter().flatten().chain(self.to.iter().flatten())
    }

    /// Those of the values, and those that were said: a null shows none.
    pub(super) fn types(&self) -> Document {
        let mut types = Document::new();
        if self.types.is_empty() && self.rows().all(|row| row.types.is_empty()) {
            return types;
        }
        let mut add = |prefix: &str, row: &Row| {
            for (path, word) in &row.types {
                types.insert(format!("{prefix}{path}"), Json::from(*word));
            }
        };
        if self.op.is_of_relation() {
            self.from.iter().for_each(|row| add("from.", row));
            self.to.iter().flatten().for_each(|row| add("to.", row));
        } else {
            [&self.key, &self.before, &self.after].into_iter().flatten().for_each(|row| add("", row));
        }
        types.extend(self.types.iter().map(|(path, word)| (path.clone(), Json::from(word.as_str()))));
        types
    }

    pub(super) fn check(&self) -> Result<(), EventError> {
        if self.entity.is_empty() {
            return Err(EventError::new("an event has no entity, as `shop.Book`"));
        }
        match self.missing() {
            Some(what) => {
                Err(EventError::new(format!("{}: no {what}, which op {} needs", self.entity, self.op.name())))
            }
            None => Ok(()),
        }
    }

    fn missing(&self) -> Option<&'static str> {
        let (is_missing, what) = match self.op {
            Op::Create => (self.after.is_none(), "after"),
            Op::Update => (self.after.is_none() && self.key.is_none(), "after or key"),
            Op::Delete => (self.before.is_none() && self.key.is_none(), "before or key"),
            Op::Truncate => (false, ""),
            Op::Add | Op::Remove | Op::Clear => {
                let unnamed = self.relation.as_deref().is_none_or(str::is_empty);
                (unnamed || self.from.is_none(), "relation and from")
            }
        };
        is_missing.then_some(what)
    }
}

/// The fields in the order of the format.
impl Serialize for Change {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_map(None)?;
        fields.serialize_entry("id", &self.id)?;
        put(&mut fields, "source", self.source.as_deref())?;
        fields.serialize_entry("entity", &self.entity)?;
        fields.serialize_entry("op", self.op.name())?;
        put(&mut fields, "key", self.key.as_ref())?;
        if self.op.is_of_relation() {
            put(&mut fields, "relation", self.relation.as_ref())?;
            put(&mut fields, "from", self.from.as_ref())?;
            put(&mut fields, "to", self.to.as_ref())?;
        } else {
            put(&mut fields, "before", self.before.as_ref())?;
            put(&mut fields, "after", self.after.as_ref())?;
            put(&mut fields, "changed", self.changed.as_ref())?;
        }
        let types = self.types();
        put(&mut fields, "types", (!types.is_empty()).then_some(types))?;
        put(&mut fields, "time", self.time.map(id::time))?;
        put(&mut fields, "origin", self.origin.as_deref())?;
        put(&mut fields, "traceparent", self.traceparent.as_ref())?;
        fields.end()
    }
}

/// A field that is left out where it has no value.
pub(super) fn put<M: SerializeMap>(fields: &mut M, name: &str, value: Option<impl Serialize>) -> Result<(), M::Error> {
    value.map_or(Ok(()), |value| fields.serialize_entry(name, &value))
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.columns.serialize(serializer)
    }
}

/// A row; `None` is one that is not there.
fn spell(what: &str, row: &(impl Serialize + ?Sized)) -> Result<Option<Row>, String> {
    match spell::value(row) {
        Ok(Spelt { json: Json::Object(columns), types }) => Ok(Some(Row { columns, types })),
        Ok(Spelt { json: Json::Null, .. }) => Ok(None),
        Ok(_) => Err(format!("{what} is a row: a struct, or a map of columns")),
        Err(error) => Err(format!("{what}: {error}")),
    }
}

impl Row {
    fn put(&mut self, column: String, spelt: Spelt) {
        self.types.extend(spelt.types.into_iter().map(|(path, word)| (spell::below(&column, &path), word)));
        self.columns.insert(column, spelt.json);
    }
}
