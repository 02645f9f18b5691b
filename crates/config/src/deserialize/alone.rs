//! Reads an enum whose variants may stand alone (`inline`), which means their default values.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::{MapAccessDeserializer, MapDeserializer};
use serde::de::{Deserializer, EnumAccess, Error, IgnoredAny, MapAccess, Visitor};

use super::names;

/// By this name the loader learns that a variant may stand alone.
pub(crate) const OR_ALONE: &str = "quash::OrAlone";

/// Lets the variants of an enum stand alone as well, in any format: `inline` is `inline: {}`.
///
/// For an enum that derives `Deserialize` with `#[serde(remote = "Self")]`: its own `Deserialize` gives this to what was derived.
pub struct OrAlone<D>(pub D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for OrAlone<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_newtype_struct(OR_ALONE, Variants { known, visitor })
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// Takes one of these variants, for the visitor of the enum.
pub(crate) struct Variants<V> {
    pub(crate) known: &'static [&'static str],
    pub(crate) visitor: V,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Variants<V> {
    type Value = V::Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&names(self.known))
    }

    /// What the loader gives.
    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_enum(variant)
    }

    /// What every other format gives.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<V::Value, E> {
        let alone = MapDeserializer::new(std::iter::once((name, BTreeMap::<&str, &str>::new())));
        self.visitor.visit_enum(MapAccessDeserializer::new(alone))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<V::Value, A::Error> {
        let value = self.visitor.visit_enum(MapAccessDeserializer::new(&mut map))?;
        match map.next_key::<IgnoredAny>()? {
            Some(_) => Err(A::Error::custom(format_args!("only {} may stand here", names(self.known)))),
            None => Ok(value),
        }
    }

    /// None of them is named.
    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        Err(E::unknown_variant("", self.known))
    }
}
