//! Reads a value that is of one kind of plug-in and has options of its own beside it.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};

use super::deserialize::{Read, Variant};
use super::mismatch::{Mismatch, Why, owned};
use super::node::{Entry, Node, Value};
use super::plugins::Kind;
use super::{Segment, nearest};

/// By this name the loader learns that a mapping holds a kind and options.
pub(super) const TAGGED: &str = "quash::Tagged";

/// One kind (`redis: {…}`) with the options that all kinds share beside it, in one mapping.
///
/// `Deserialize` works with this module's loader only: the mapping is split by a deserializer that knows how, so that an
/// error keeps its place, which buffering (`#[serde(flatten)]`) would lose.
#[derive(Debug, Clone, PartialEq)]
pub struct Tagged<K, O> {
    /// Which plug-in, with its own values.
    pub kind: K,
    /// What all kinds share.
    pub options: O,
}

impl<'de, K: Kind, O: serde::de::DeserializeOwned> serde::Deserialize<'de> for Tagged<K, O> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_struct(TAGGED, K::KINDS, Both(PhantomData))
    }
}

/// Takes the kind first and the options second, as [`read`] hands them out.
struct Both<K, O>(PhantomData<(K, O)>);

impl<'de, K: Kind, O: serde::de::DeserializeOwned> Visitor<'de> for Both<K, O> {
    type Value = Tagged<K, O>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a mapping with one kind")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut both: A) -> Result<Tagged<K, O>, A::Error> {
        let kind = both.next_value()?;
        let options = both.next_value()?;
        Ok(Tagged { kind, options })
    }
}

/// Splits a mapping into its one kind and its options, and has both read.
pub(super) fn read<'de, V: Visitor<'de>>(
    read: Read<'_>,
    kinds: &'static [&'static str],
    visitor: V,
) -> Result<V::Value, Mismatch> {
    let Value::Mapping(_) = read.node.value else {
        return Err(Mismatch::new(Why::Expected(format!("a mapping with {}", super::deserialize::names(kinds)))));
    };
    let entry = the_kind(read.node, kinds)?;
    visitor.visit_map(Split { read, kinds, kind: Some(entry) })
}

/// The one entry that is a kind.
fn the_kind<'a>(node: &'a Node, kinds: &'static [&'static str]) -> Result<&'a Entry, Mismatch> {
    let live = || node.entries().iter().filter(|entry| !entry.value.dropped);
    let mut named = live().filter(|entry| kinds.contains(&entry.key.as_str()));
    match (named.next(), named.next()) {
        (Some(entry), None) => Ok(entry),
        (Some(first), Some(second)) => {
            Err(Mismatch::new(Why::Second(first.key.clone())).at_key().within(Segment::Key(second.key.clone())))
        }
        (None, _) => {
            let meant = live().find(|entry| nearest(&entry.key, kinds.iter().copied()).is_some());
            Err(meant.map_or_else(
                || Mismatch::new(Why::NoKind(kinds)),
                |entry| Mismatch::new(Why::UnknownKey(owned(kinds))).at_key().within(Segment::Key(entry.key.clone())),
            ))
        }
    }
}

/// Hands out the kind, then the options.
struct Split<'a> {
    read: Read<'a>,
    kinds: &'static [&'static str],
    kind: Option<&'a Entry>,
}

impl<'de> MapAccess<'de> for Split<'_> {
    type Error = Mismatch;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, _: K) -> Result<Option<K::Value>, Mismatch> {
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Mismatch> {
        match self.kind.take() {
            Some(entry) => seed.deserialize(OneKind(Variant::of(self.read, entry))),
            None => seed.deserialize(Read { without: self.kinds, ..self.read }),
        }
    }
}

/// Reads an enum from one entry of a mapping that has others beside it.
struct OneKind<'a>(Variant<'a>);

impl<'de> Deserializer<'de> for OneKind<'_> {
    type Error = Mismatch;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_enum(self.0)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

#[cfg(feature = "schema")]
impl<K: Kind, O: schemars::JsonSchema> schemars::JsonSchema for Tagged<K, O> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("{}With{}", K::schema_name(), O::schema_name()).into()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        format!("quash::Tagged<{}, {}>", K::schema_id(), O::schema_id()).into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let (kind, options) = (K::json_schema(generator), O::json_schema(generator));
        let mut properties = kinds_of(&kind);
        if let Some(more) = options.get("properties").and_then(serde_json::Value::as_object) {
            properties.extend(more.clone());
        }
        let one: Vec<_> = K::KINDS.iter().map(|kind| serde_json::json!({ "required": [kind] })).collect();
        schemars::json_schema!({
            "type": "object",
            "properties": properties,
            "additionalProperties": false,
            "oneOf": one,
        })
    }
}

/// The kinds of an externally tagged enum's schema, each with its documentation.
#[cfg(feature = "schema")]
fn kinds_of(schema: &schemars::Schema) -> serde_json::Map<String, serde_json::Value> {
    let mut kinds = serde_json::Map::new();
    for variant in schema.get("oneOf").and_then(serde_json::Value::as_array).into_iter().flatten() {
        let properties = variant.get("properties").and_then(serde_json::Value::as_object);
        for (kind, value) in properties.into_iter().flatten() {
            let mut value = value.clone();
            if let (Some(described), Some(words)) = (value.as_object_mut(), variant.get("description")) {
                described.insert("description".to_owned(), words.clone());
            }
            kinds.insert(kind.clone(), value);
        }
    }
    kinds
}
