//! Reads a value that is of one kind of plug-in and has options of its own beside it.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{self, MapAccessDeserializer};
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess};

use super::names;
use crate::nearest;
use crate::plugins::Kind;

/// By this name the loader learns that one entry of a mapping is its kind: it comes first, and there is exactly one.
pub(crate) const TAGGED: &str = "quash::Tagged";

/// One kind (`redis: {…}`) with the options that all kinds share beside it, in one mapping.
///
/// The options read the mapping and never see the kind, which is read in passing: nothing is buffered (as
/// `#[serde(flatten)]` does), so that an error keeps its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Tagged<K, O> {
    /// Which plug-in, with its own values.
    pub kind: K,
    /// What all kinds share.
    pub options: O,
}

impl<'de, K: Kind, O: DeserializeOwned> serde::Deserialize<'de> for Tagged<K, O> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_struct(TAGGED, K::KINDS, Visitor(PhantomData))
    }
}

struct Visitor<K, O>(PhantomData<(K, O)>);

impl<'de, K: Kind, O: DeserializeOwned> de::Visitor<'de> for Visitor<K, O> {
    type Value = Tagged<K, O>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "a mapping with {}", names(K::KINDS))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Tagged<K, O>, A::Error> {
        let mut kind = None;
        let options = O::deserialize(MapAccessDeserializer::new(Beside { map, kind: &mut kind }))?;
        match kind {
            Some((_, kind)) => Ok(Tagged { kind, options }),
            None => Err(A::Error::custom(format_args!("the kind is missing: write {}", names(K::KINDS)))),
        }
    }
}

/// The entries beside the kind; the kind is read on the way.
struct Beside<'k, A, K> {
    map: A,
    kind: &'k mut Option<(&'static str, K)>,
}

impl<'de, A: MapAccess<'de>, K: Kind> MapAccess<'de> for Beside<'_, A, K> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, mut seed: S) -> Result<Option<S::Value>, A::Error> {
        loop {
            let key = Key { kinds: K::KINDS, named: self.kind.is_some(), seed };
            match self.map.next_key_seed(key)? {
                None => return Ok(None),
                Some(Ok(option)) => return Ok(Some(option)),
                Some(Err((kind, unused))) => {
                    self.read_kind(kind)?;
                    seed = unused;
                }
            }
        }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

impl<'de, A: MapAccess<'de>, K: Kind> Beside<'_, A, K> {
    fn read_kind(&mut self, name: &'static str) -> Result<(), A::Error> {
        match self.kind {
            Some((first, _)) if *first == name => Err(A::Error::duplicate_field(name)),
            Some((first, _)) => Err(A::Error::custom(format_args!("`{name}` and `{first}` exclude each other"))),
            None => {
                let one = OneEntry { key: Some(name), map: &mut self.map };
                *self.kind = Some((name, K::deserialize(MapAccessDeserializer::new(one))?));
                Ok(())
            }
        }
    }
}

/// Reads a key: of an option, or the name of a kind and the seed that did not read it.
struct Key<S> {
    kinds: &'static [&'static str],
    /// Whether a kind was named before.
    named: bool,
    seed: S,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Key<S> {
    type Value = Result<S::Value, (&'static str, S)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let key: String = de::Deserialize::deserialize(deserializer)?;
        if let Some(kind) = self.kinds.iter().find(|kind| **kind == key) {
            return Ok(Err((kind, self.seed)));
        }
        let near = nearest(&key, self.kinds.iter().copied()).is_some();
        if self.named || near {
            let option = self.seed.deserialize(key.as_str().into_deserializer());
            return option
                .map(Ok)
                .map_err(|error| if near { D::Error::unknown_field(&key, self.kinds) } else { error });
        }
        let words =
            |error: value::Error| D::Error::custom(format_args!("{error}, and as the kind {}", names(self.kinds)));
        self.seed.deserialize(key.as_str().into_deserializer()).map(Ok).map_err(words)
    }
}

/// A mapping of one entry, whose key was read before.
struct OneEntry<'m, A> {
    key: Option<&'static str>,
    map: &'m mut A,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for OneEntry<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.key.take().map(|key| seed.deserialize(key.into_deserializer())).transpose()
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.map.next_value_seed(seed)
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
