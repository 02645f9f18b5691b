//! Reads a list of events and makes each into changes at once, so that no list of half-read events is kept.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::fields::{Fields, FieldsSeed};
use super::problem::{malformed, within};
use super::{Change, DecodeError, EventLimits, limit};

/// The changes of a list, or why there are none: whether the list matters is known only when the message is read.
pub(super) type Batch<'a> = Result<Vec<Change<'a>>, DecodeError>;

/// Makes one element into changes.
pub(super) type Entry = for<'a> fn(&mut Fields<'a>, &EventLimits, &mut Vec<Change<'a>>) -> Result<(), DecodeError>;

/// Reads a list whose elements `entry` understands.
pub(super) struct BatchSeed<'s> {
    pub(super) entry: Entry,
    pub(super) limits: &'s EventLimits,
}

/// Visitor methods for everything that is neither null nor a list nor an object.
macro_rules! scalars {
    ($self:ident => $does:block) => {
        fn visit_bool<E>($self, _: bool) -> Result<Self::Value, E> { Ok($does) }
        fn visit_i64<E>($self, _: i64) -> Result<Self::Value, E> { Ok($does) }
        fn visit_u64<E>($self, _: u64) -> Result<Self::Value, E> { Ok($does) }
        fn visit_f64<E>($self, _: f64) -> Result<Self::Value, E> { Ok($does) }
        fn visit_str<E>($self, _: &str) -> Result<Self::Value, E> { Ok($does) }
    };
}
pub(super) use scalars;

impl<'de> DeserializeSeed<'de> for BatchSeed<'_> {
    type Value = Batch<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for BatchSeed<'_> {
    type Value = Batch<'de>;

    scalars!(self => { no_list() });

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a list of events")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(no_list())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(no_list())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut batch = Ok(Vec::new());
        let mut count = 0;
        while let Some(read) =
            elements.next_element_seed(ElementSeed { batch: &mut batch, seed: &self, index: count })?
        {
            count += read;
        }
        if let Err(over) = limit::events(count, self.limits) {
            batch = Err(over);
        }
        Ok(batch)
    }
}

fn no_list<'a>() -> Batch<'a> {
    Err(malformed("expected a list of events"))
}

/// Reads one element and says how many it is: one.
struct ElementSeed<'s, 'a> {
    batch: &'s mut Batch<'a>,
    seed: &'s BatchSeed<'s>,
    index: usize,
}

impl<'de> DeserializeSeed<'de> for ElementSeed<'_, 'de> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        match self.batch {
            // What is past the limit, or after a wrong element, is counted and not kept.
            Ok(changes) if self.index < self.seed.limits.max_events => {
                let mut fields = Fields::default();
                FieldsSeed { fields: &mut fields, limits: self.seed.limits }.deserialize(deserializer)?;
                if let Err(error) = (self.seed.entry)(&mut fields, self.seed.limits, changes) {
                    *self.batch = Err(within(format_args!("event {}", self.index + 1))(error));
                }
            }
            _ => {
                serde::de::Deserialize::deserialize(deserializer).map(|_: IgnoredAny| ())?;
            }
        }
        Ok(1)
    }
}
