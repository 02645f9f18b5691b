//! Holds configuration as a tree in which every key and every value knows where it was written.

use super::{ConfigPath, Segment};

/// Where something was written: bytes of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    /// Which file, in the order of reading.
    pub(super) file: u32,
    /// The first byte.
    pub(super) start: u32,
    /// The byte after the last one.
    pub(super) end: u32,
}

/// Where the text of a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// It was written so.
    Written,
    /// It had `${…}` in it, and everything in the outcome stands in the file.
    Default,
    /// At least a part of it came from the environment: it must never be shown.
    Environment,
}

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// The value.
    pub(super) value: Value,
    /// Where it was written.
    pub(super) position: Position,
    /// Where its text comes from.
    pub(super) origin: Origin,
    /// It was found wrong and counts as not written from then on.
    pub(super) dropped: bool,
}

/// A value as YAML's core schema reads it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it was written.
    Number(String),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Keys and their values, each key once.
    Mapping(Vec<Entry>),
}

/// A key of a mapping with its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// The key; keys are always text.
    pub(super) key: String,
    /// Where the key was written.
    pub(super) key_position: Position,
    /// The value.
    pub(super) value: Node,
}

impl Node {
    pub(super) const fn new(value: Value, position: Position) -> Self {
        Self { value, position, origin: Origin::Written, dropped: false }
    }

    /// The entries of a mapping; none of anything else.
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// The text of a scalar that has one.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) | Value::Number(text) => Some(text),
            _ => None,
        }
    }

    /// One step down.
    pub(super) fn child(&self, segment: &Segment) -> Option<&Self> {
        match (&self.value, segment) {
            (Value::Mapping(entries), Segment::Key(key)) => {
                entries.iter().find(|entry| entry.key == *key).map(|entry| &entry.value)
            }
            (Value::List(items), Segment::Index(index)) => items.get(*index),
            _ => None,
        }
    }

    /// The value at a path.
    pub(super) fn at(&self, path: &ConfigPath) -> Option<&Self> {
        path.0.iter().try_fold(self, Self::child)
    }

    /// The value at a path, to change it.
    pub(super) fn at_mut(&mut self, path: &ConfigPath) -> Option<&mut Self> {
        path.0.iter().try_fold(self, |node, segment| match (&mut node.value, segment) {
            (Value::Mapping(entries), Segment::Key(key)) => {
                entries.iter_mut().find(|entry| entry.key == *key).map(|entry| &mut entry.value)
            }
            (Value::List(items), Segment::Index(index)) => items.get_mut(*index),
            _ => None,
        })
    }

    /// What to point at for a problem at a path: the key of a mapping or list, the text of a scalar, and for a path that
    /// was not written its nearest written parent.
    pub(super) fn pointer(&self, path: &ConfigPath, at_key: bool) -> Position {
        let (mut node, mut key) = (self, None);
        for (depth, segment) in path.0.iter().enumerate() {
            let Some(child) = node.child(segment) else { break };
            key = node.entries().iter().find(|entry| std::ptr::eq(&entry.value, child)).map(|entry| entry.key_position);
            node = child;
            if at_key && depth + 1 == path.0.len() {
                return key.unwrap_or_else(|| node.begin());
            }
        }
        match (&node.value, key) {
            (Value::Mapping(_) | Value::List(_) | Value::Null, Some(key)) => key,
            _ => node.begin(),
        }
    }

    /// Its first words: a mapping begins with its first key.
    fn begin(&self) -> Position {
        match &self.value {
            Value::Mapping(entries) => entries.first().map_or(self.position, |entry| entry.key_position),
            Value::List(items) => {
                items.first().map_or(self.position, |item| Position { end: item.position.start, ..self.position })
            }
            _ => self.position,
        }
    }
}
