//! Gives the tree to serde, so that every type that derives `Deserialize` can be read from it.

mod alone;
mod tagged;

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use self::alone::{OR_ALONE, Variants};
use self::tagged::TAGGED;
use super::mismatch::{Mismatch, Why, owned};
use super::node::{Entry, Node, Origin, Position, Value};
use super::scalar::{Number, number};
use super::secret::SECRET;
use super::{Segment, nearest};

pub use self::alone::OrAlone;
pub use self::tagged::Tagged;

/// What a variant that stands alone holds.
static NO_VALUES: Node = Node::new(Value::Mapping(Vec::new()), Position { file: 0, start: 0, end: 0 });

/// What is learnt about the tree while it is read.
#[derive(Default)]
pub(super) struct Learnt {
    /// The values that are secrets by their type, by their places: the tree is read several times.
    pub(super) secrets: RefCell<BTreeMap<Position, Node>>,
}

/// A value of the tree, to be read.
#[derive(Clone, Copy)]
pub(super) struct Read<'a> {
    pub(super) node: &'a Node,
    pub(super) learnt: &'a Learnt,
}

impl<'a> Read<'a> {
    const fn below(&self, node: &'a Node) -> Self {
        Self { node, ..*self }
    }

    /// A number, also from a reference to a variable, which must often be quoted.
    fn number(&self) -> Option<Number> {
        match &self.node.value {
            Value::Number(text) => number(text),
            Value::Text(text) if self.node.origin != Origin::Written => number(text.trim()),
            _ => None,
        }
    }

    fn bool(&self) -> Option<bool> {
        match &self.node.value {
            Value::Bool(truth) => Some(*truth),
            Value::Text(text) if self.node.origin != Origin::Written => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// What was not found wrong before, of a mapping.
    fn live(&self) -> impl Iterator<Item = &'a Entry> + use<'a> {
        self.node.entries().iter().filter(|entry| !entry.value.dropped)
    }

    /// Hands out the entries of a mapping; this one of them first.
    fn visit_mapping<'de, V: Visitor<'de>>(self, first: Option<&Entry>, visitor: V) -> Result<V::Value, Mismatch> {
        let mut entries: Vec<&Entry> = self.live().collect();
        entries.sort_by_key(|entry| !first.is_some_and(|first| std::ptr::eq(*entry, first)));
        visitor.visit_map(Entries { read: self, entries: entries.into_iter(), value: None })
    }

    /// The one entry that is of these kinds.
    fn kind(&self, kinds: &'static [&'static str]) -> Result<&'a Entry, Mismatch> {
        let mut named = self.live().filter(|entry| kinds.contains(&entry.key.as_str()));
        let misspelt = |entry: &&Entry| nearest(&entry.key, kinds.iter().copied()).is_some();
        match (named.next(), named.next()) {
            (Some(entry), None) => Ok(entry),
            (Some(first), Some(second)) => Err(Mismatch::new(Why::Second(first.key.clone())).at(second)),
            (None, _) => Err(match self.live().find(misspelt) {
                Some(entry) => Mismatch::new(Why::UnknownKey(owned(kinds))).at(entry),
                None => Mismatch::new(Why::NoKind(kinds)),
            }),
        }
    }

    /// Reads an enum; `alone` is what a variant without values holds, where there may be one.
    fn visit_variant<'de, V: Visitor<'de>>(
        self,
        alone: Option<&'static Node>,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        let mut live = self.live();
        let variant = match (&self.node.value, live.next(), live.next()) {
            (Value::Text(name), ..) => Variant { read: self, name, content: alone },
            (_, Some(entry), None) => {
                let content = alone.filter(|_| entry.value.value == Value::Null).or(Some(&entry.value));
                Variant { read: self, name: &entry.key, content }
            }
            (_, Some(first), Some(second)) => {
                return Err(Mismatch::new(Why::Second(first.key.clone())).at(second));
            }
            (Value::Mapping(_), ..) => return visitor.visit_unit(),
            _ => return self.deserialize_any(visitor),
        };
        visitor.visit_enum(variant)
    }
}

fn visit_number<'de, V: Visitor<'de>>(number: Number, visitor: V) -> Result<V::Value, Mismatch> {
    let int = match number {
        Number::Int(int) => int,
        Number::Float(float) => return visitor.visit_f64(float),
    };
    match (u64::try_from(int), i64::try_from(int)) {
        (Ok(unsigned), _) => visitor.visit_u64(unsigned),
        (_, Ok(signed)) => visitor.visit_i64(signed),
        _ => visitor.visit_i128(int),
    }
}

macro_rules! numbers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
            match self.number() {
                Some(number) => visit_number(number, visitor),
                None => self.deserialize_any(visitor),
            }
        }
    )*};
}

/// What a visitor was not made for it refuses by itself, in the same words whichever method hands it over.
impl<'de> Deserializer<'de> for Read<'_> {
    type Error = Mismatch;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(truth) => visitor.visit_bool(*truth),
            Value::Number(text) => match number(text) {
                Some(number) => visit_number(number, visitor),
                None => visitor.visit_str(text),
            },
            Value::Text(text) => visitor.visit_str(text),
            Value::List(items) => visitor.visit_seq(Items { read: self, items: items.iter().enumerate() }),
            Value::Mapping(_) => self.visit_mapping(None, visitor),
        }
    }

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.bool() {
            Some(truth) => visitor.visit_bool(truth),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match &self.node.value {
            Value::Null => visitor.visit_none(),
            // `token: "${TOKEN:-}"` means that there is none.
            Value::Text(text) if text.is_empty() && self.node.origin != Origin::Written => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Mismatch> {
        match name {
            OR_ALONE => self.visit_variant(Some(&NO_VALUES), visitor),
            SECRET => {
                let mut secrets = self.learnt.secrets.borrow_mut();
                secrets.entry(self.node.position).or_insert_with(|| self.node.clone());
                drop(secrets);
                visitor.visit_newtype_struct(self).map_err(Mismatch::secret)
            }
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        match self.node.value {
            Value::Mapping(_) if name == TAGGED => self.visit_mapping(Some(self.kind(fields)?), visitor),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        self.visit_variant(None, Variants { known, visitor })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map identifier
    }
}

/// "one of `a`, `b`".
pub(super) fn names<S: AsRef<str>>(known: &[S]) -> String {
    let quoted: Vec<String> = known.iter().map(|name| format!("`{}`", name.as_ref())).collect();
    match quoted.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        _ => format!("one of {}", quoted.join(", ")),
    }
}

/// The keys and values of a mapping.
struct Entries<'a> {
    read: Read<'a>,
    entries: std::vec::IntoIter<&'a Entry>,
    value: Option<&'a Entry>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Mismatch;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Mismatch> {
        self.value = self.entries.next();
        let Some(entry) = self.value else { return Ok(None) };
        let key: StrDeserializer<'_, Mismatch> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|error| error.at(entry))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Mismatch> {
        let Some(entry) = self.value.take() else { return Err(Mismatch::custom("a value without its key")) };
        let read = self.read.below(&entry.value);
        seed.deserialize(read).map_err(|error| error.within(Segment::Key(entry.key.clone())))
    }
}

/// The values of a list, without what was dropped.
struct Items<'a> {
    read: Read<'a>,
    items: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Mismatch;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Mismatch> {
        let Some((index, node)) = self.items.find(|(_, node)| !node.dropped) else { return Ok(None) };
        let value = seed.deserialize(self.read.below(node));
        value.map(Some).map_err(|error| error.within(Segment::Index(index)))
    }
}

/// One variant of an enum: a name, or a name with its content.
struct Variant<'a> {
    read: Read<'a>,
    name: &'a str,
    content: Option<&'a Node>,
}

impl<'a> Variant<'a> {
    fn content<T>(self, read: impl FnOnce(Read<'a>) -> Result<T, Mismatch>) -> Result<T, Mismatch> {
        match self.content {
            Some(node) => read(self.read.below(node)).map_err(|error| error.within(Segment::Key(self.name.to_owned()))),
            None => Err(Mismatch::new(Why::Expected(format!("`{}:` with its values", self.name)))),
        }
    }
}

impl<'de> de::EnumAccess<'de> for Variant<'_> {
    type Error = Mismatch;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Mismatch> {
        let name: StrDeserializer<'_, Mismatch> = self.name.into_deserializer();
        let variant = seed.deserialize(name).map_err(|error| match self.read.node.value {
            // It stands alone, with values or without.
            Value::Text(_) => error,
            _ => error.at_key().within(Segment::Key(self.name.to_owned())),
        })?;
        Ok((variant, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_> {
    type Error = Mismatch;

    fn unit_variant(self) -> Result<(), Mismatch> {
        match self.content {
            None => Ok(()),
            Some(node) if matches!(node.value, Value::Null | Value::Mapping(_)) && node.entries().is_empty() => Ok(()),
            Some(_) => self.content(|_| Err(Mismatch::new(Why::Expected("nothing".to_owned())))),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Mismatch> {
        self.content(|read| seed.deserialize(read))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Mismatch> {
        self.content(|read| read.deserialize_any(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Mismatch> {
        self.content(|read| read.deserialize_any(visitor))
    }
}
