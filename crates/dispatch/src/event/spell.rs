//! Spells values in JSON so that nothing of their exact text is lost.
//!
//! Integers of more than 64 bits and floating-point numbers that are none become text, bytes the UTF-8 text that they hold
//! or else base64; `types` of the event then says what they are. Decimals, UUIDs, dates and times are published as text:
//! most crates do that by themselves, and a field's `serialize_with` says so in `types`, which keys of caching libraries
//! need.
//!
//! ```
//! # struct Decimal(&'static str); // as `rust_decimal::Decimal`
//! # impl std::fmt::Display for Decimal {
//! #     fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { out.write_str(self.0) }
//! # }
//! use quash_dispatch::event::{Event, spell};
//!
//! #[derive(serde::Serialize)]
//! struct Book {
//!     #[serde(serialize_with = "spell::decimal")]
//!     price: Decimal,
//!     views: u128,
//! }
//!
//! let event = Event::create("shop.Book").after(&Book { price: Decimal("12.50"), views: u128::MAX }).document()?;
//! assert_eq!(event["after"]["price"], "12.50");
//! assert_eq!(event["types"], serde_json::json!({"price": "decimal", "views": "int"}));
//! # Ok::<(), quash_dispatch::event::EventError>(())
//! ```

use std::fmt::Display;

use serde::ser::{self, Serialize, Serializer};
use serde_json::{Number, Value as Json};

use super::Document;

/// The types that JSON does not show, by path.
pub(super) type Types = Vec<(String, &'static str)>;

/// A value in terms of JSON. The value's own type has the empty path.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Spelt {
    pub(super) json: Json,
    pub(super) types: Types,
}

/// Why a value has no spelling.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unspelt(String);

/// The value in terms of JSON.
pub(super) fn value(value: &(impl Serialize + ?Sized)) -> Result<Spelt, Unspelt> {
    value.serialize(Speller)
}

/// The path of what is at a path below a column.
pub(super) fn below(column: &str, path: &str) -> String {
    if path.is_empty() { column.to_owned() } else { format!("{column}.{path}") }
}

/// A function for `serialize_with` for each of the types that are published as text.
macro_rules! texts {
    ($( $(#[$doc:meta])* $name:ident as $marker:literal ),+ $(,)?) => {
        $(
            $(#[$doc])*
            ///
            /// # Errors
            /// Those of the serializer.
            pub fn $name<T: Display + ?Sized, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
                // To other serializers a newtype is what it holds.
                serializer.serialize_newtype_struct($marker, &value.to_string())
            }
        )+

        /// The word in `types` for a newtype of this name.
        fn marked(name: &str) -> Option<&'static str> {
            match name { $( $marker => Some(stringify!($name)), )+ _ => None }
        }
    };
}

texts! {
    /// A decimal number with its zeros, whose text is `12.50`.
    ///
    /// ```
    /// # use quash_dispatch::event::{Event, spell};
    /// #[derive(serde::Serialize)]
    /// struct Book {
    ///     #[serde(serialize_with = "spell::decimal")]
    ///     price: &'static str,
    /// }
    ///
    /// let event = Event::create("shop.Book").after(&Book { price: "12.50" }).document()?;
    /// assert_eq!(event["after"]["price"], "12.50");
    /// assert_eq!(event["types"]["price"], "decimal");
    /// # Ok::<(), quash_dispatch::event::EventError>(())
    /// ```
    decimal as "quash::decimal",
    /// A UUID.
    ///
    /// ```
    /// # use quash_dispatch::event::{Event, spell};
    /// #[derive(serde::Serialize)]
    /// struct Order {
    ///     #[serde(serialize_with = "spell::uuid")]
    ///     number: &'static str,
    /// }
    ///
    /// let order = Order { number: "0192f0c1-2b7e-7c3a-9d54-6f1e0a8b3c21" };
    /// let event = Event::create("shop.Order").after(&order).document()?;
    /// assert_eq!(event["after"]["number"], "0192f0c1-2b7e-7c3a-9d54-6f1e0a8b3c21");
    /// assert_eq!(event["types"]["number"], "uuid");
    /// # Ok::<(), quash_dispatch::event::EventError>(())
    /// ```
    uuid as "quash::uuid",
    /// A day and a time, whose text is `2024-01-02T03:04:05.678901+00:00`, without an offset where it has none.
    ///
    /// ```
    /// # use quash_dispatch::event::{Event, spell};
    /// #[derive(serde::Serialize)]
    /// struct Order {
    ///     #[serde(serialize_with = "spell::datetime")]
    ///     placed: &'static str,
    /// }
    ///
    /// let order = Order { placed: "2024-01-02T03:04:05.678901+00:00" };
    /// let event = Event::create("shop.Order").after(&order).document()?;
    /// assert_eq!(event["after"]["placed"], "2024-01-02T03:04:05.678901+00:00");
    /// assert_eq!(event["types"]["placed"], "datetime");
    /// # Ok::<(), quash_dispatch::event::EventError>(())
    /// ```
    datetime as "quash::datetime",
    /// A day, whose text is `2024-01-02`.
    ///
    /// ```
    /// # use quash_dispatch::event::{Event, spell};
    /// #[derive(serde::Serialize)]
    /// struct Book {
    ///     #[serde(serialize_with = "spell::date")]
    ///     published: &'static str,
    /// }
    ///
    /// let event = Event::create("shop.Book").after(&Book { published: "2024-01-02" }).document()?;
    /// assert_eq!(event["after"]["published"], "2024-01-02");
    /// assert_eq!(event["types"]["published"], "date");
    /// # Ok::<(), quash_dispatch::event::EventError>(())
    /// ```
    date as "quash::date",
    /// A time of day, whose text is `03:04:05.678901`.
    ///
    /// ```
    /// # use quash_dispatch::event::{Event, spell};
    /// #[derive(serde::Serialize)]
    /// struct Shop {
    ///     #[serde(serialize_with = "spell::time")]
    ///     opens: &'static str,
    /// }
    ///
    /// let event = Event::create("shop.Shop").after(&Shop { opens: "09:30:00" }).document()?;
    /// assert_eq!(event["after"]["opens"], "09:30:00");
    /// assert_eq!(event["types"]["opens"], "time");
    /// # Ok::<(), quash_dispatch::event::EventError>(())
    /// ```
    time as "quash::time",
    /// A length of time, whose text is `1 day, 2:03:04`.
    ///
    /// ```
    /// # use quash_dispatch::event::{Event, spell};
    /// #[derive(serde::Serialize)]
    /// struct Film {
    ///     #[serde(serialize_with = "spell::timedelta")]
    ///     length: &'static str,
    /// }
    ///
    /// let event = Event::create("shop.Film").after(&Film { length: "2:03:04" }).document()?;
    /// assert_eq!(event["after"]["length"], "2:03:04");
    /// assert_eq!(event["types"]["length"], "timedelta");
    /// # Ok::<(), quash_dispatch::event::EventError>(())
    /// ```
    timedelta as "quash::timedelta",
}

/// Raw JSON, and numbers of arbitrary precision, come from `serde_json` as structs of such names, with one field of text.
const VERBATIM: &str = "$serde_json::private::";

struct Speller;

const fn plain(json: Json) -> Spelt {
    Spelt { json, types: Vec::new() }
}

fn typed(text: String, word: &'static str) -> Spelt {
    Spelt { json: Json::String(text), types: vec![(String::new(), word)] }
}

fn float(number: f64, text: impl Display) -> Spelt {
    match Number::from_f64(number) {
        Some(number) => plain(Json::Number(number)),
        // JSON has no word for these.
        None => typed(text.to_string().to_lowercase(), "float"),
    }
}

/// `variant: value`
fn tagged(variant: &str, inner: Spelt) -> Spelt {
    let mut object = Object::default();
    object.put(variant.to_owned(), inner);
    object.spelt()
}

macro_rules! numbers {
    ($($method:ident: $type:ty),+) => {$(
        fn $method(self, number: $type) -> Result<Spelt, Unspelt> {
            Ok(plain(Json::from(number)))
        }
    )+};
}

impl Serializer for Speller {
    type Ok = Spelt;
    type Error = Unspelt;
    type SerializeSeq = List;
    type SerializeTuple = List;
    type SerializeTupleStruct = List;
    type SerializeTupleVariant = List;
    type SerializeMap = Object;
    type SerializeStruct = Object;
    type SerializeStructVariant = Object;

    numbers! {
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64
    }

    fn serialize_i128(self, number: i128) -> Result<Spelt, Unspelt> {
        match (i64::try_from(number), u64::try_from(number)) {
            (Ok(number), _) => Ok(plain(Json::from(number))),
            (_, Ok(number)) => Ok(plain(Json::from(number))),
            _ => Ok(typed(number.to_string(), "int")),
        }
    }

    fn serialize_u128(self, number: u128) -> Result<Spelt, Unspelt> {
        match u64::try_from(number) {
            Ok(number) => Ok(plain(Json::from(number))),
            Err(_) => Ok(typed(number.to_string(), "int")),
        }
    }

    fn serialize_f32(self, number: f32) -> Result<Spelt, Unspelt> {
        // The shortest text that means this number, and not the longer one of its double.
        Ok(float(number.to_string().parse().unwrap_or_else(|_| f64::from(number)), number))
    }

    fn serialize_f64(self, number: f64) -> Result<Spelt, Unspelt> {
        Ok(float(number, number))
    }

    fn serialize_char(self, letter: char) -> Result<Spelt, Unspelt> {
        Ok(plain(Json::String(letter.to_string())))
    }

    fn serialize_str(self, text: &str) -> Result<Spelt, Unspelt> {
        Ok(plain(Json::from(text)))
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<Spelt, Unspelt> {
        Ok(match std::str::from_utf8(bytes) {
            Ok(text) => typed(text.to_owned(), "bytes"),
            Err(_) => typed(base64(bytes), "base64"),
        })
    }

    fn serialize_none(self) -> Result<Spelt, Unspelt> {
        Ok(plain(Json::Null))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, inner: &T) -> Result<Spelt, Unspelt> {
        value(inner)
    }

    fn serialize_unit(self) -> Result<Spelt, Unspelt> {
        Ok(plain(Json::Null))
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Spelt, Unspelt> {
        Ok(plain(Json::Null))
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<Spelt, Unspelt> {
        Ok(plain(Json::from(variant)))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, inner: &T) -> Result<Spelt, Unspelt> {
        let spelt = value(inner)?;
        Ok(match (marked(name), spelt.json) {
            (Some(word), Json::String(text)) => typed(text, word),
            (_, json) => Spelt { json, types: spelt.types },
        })
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        inner: &T,
    ) -> Result<Spelt, Unspelt> {
        Ok(tagged(variant, value(inner)?))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<List, Unspelt> {
        Ok(List::default())
    }

    fn serialize_tuple(self, _: usize) -> Result<List, Unspelt> {
        Ok(List::default())
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<List, Unspelt> {
        Ok(List::default())
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<List, Unspelt> {
        Ok(List { variant: Some(variant), ..List::default() })
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Object, Unspelt> {
        Ok(Object::default())
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Object, Unspelt> {
        Ok(Object { is_verbatim: name.starts_with(VERBATIM), ..Object::default() })
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Object, Unspelt> {
        Ok(Object { variant: Some(variant), ..Object::default() })
    }
}

/// A list on its way. Its elements' types are not told.
#[derive(Default)]
struct List {
    items: Vec<Json>,
    variant: Option<&'static str>,
}

impl List {
    fn push(&mut self, item: &(impl Serialize + ?Sized)) -> Result<(), Unspelt> {
        self.items.push(value(item)?.json);
        Ok(())
    }

    fn spelt(self) -> Spelt {
        let list = plain(Json::Array(self.items));
        match self.variant {
            Some(variant) => tagged(variant, list),
            None => list,
        }
    }
}

/// An object on its way.
#[derive(Default)]
struct Object {
    columns: Document,
    types: Types,
    variant: Option<&'static str>,
    /// The name of the next value.
    name: Option<String>,
    /// Whether its one field is JSON already.
    is_verbatim: bool,
}

impl Object {
    fn put(&mut self, name: String, inner: Spelt) {
        self.types.extend(inner.types.into_iter().map(|(path, word)| (below(&name, &path), word)));
        self.columns.insert(name, inner.json);
    }

    fn field(&mut self, name: &str, inner: &(impl Serialize + ?Sized)) -> Result<(), Unspelt> {
        let spelt = value(inner).map_err(|error| within(name, &error))?;
        self.put(name.to_owned(), spelt);
        Ok(())
    }

    fn spelt(self) -> Spelt {
        let object = Spelt { json: Json::Object(self.columns), types: self.types };
        match self.variant {
            Some(variant) => tagged(variant, object),
            None => object,
        }
    }

    fn finish(self) -> Result<Spelt, Unspelt> {
        match self.columns.values().next() {
            Some(Json::String(text)) if self.is_verbatim => {
                serde_json::from_str(text).map(plain).map_err(|error| Unspelt(error.to_string()))
            }
            _ => Ok(self.spelt()),
        }
    }
}

fn within(name: &str, error: &Unspelt) -> Unspelt {
    Unspelt(format!("column {name}: {error}"))
}

macro_rules! elements {
    ($($trait:ident $method:ident),+) => {$(
        impl ser::$trait for List {
            type Ok = Spelt;
            type Error = Unspelt;

            fn $method<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), Unspelt> {
                self.push(item)
            }

            fn end(self) -> Result<Spelt, Unspelt> {
                Ok(self.spelt())
            }
        }
    )+};
}

elements! {
    SerializeSeq serialize_element, SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field, SerializeTupleVariant serialize_field
}

macro_rules! fields {
    ($($trait:ident),+) => {$(
        impl ser::$trait for Object {
            type Ok = Spelt;
            type Error = Unspelt;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, inner: &T) -> Result<(), Unspelt> {
                self.field(name, inner)
            }

            fn end(self) -> Result<Spelt, Unspelt> {
                self.finish()
            }
        }
    )+};
}

fields! { SerializeStruct, SerializeStructVariant }

impl ser::SerializeMap for Object {
    type Ok = Spelt;
    type Error = Unspelt;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, name: &T) -> Result<(), Unspelt> {
        self.name = Some(match value(name)?.json {
            Json::String(name) => name,
            Json::Number(number) if !number.is_f64() => number.to_string(),
            _ => return Err(Unspelt("a name is text".to_owned())),
        });
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, inner: &T) -> Result<(), Unspelt> {
        let name = self.name.take().unwrap_or_default();
        self.field(&name, inner)
    }

    fn end(self) -> Result<Spelt, Unspelt> {
        self.finish()
    }
}

impl ser::Error for Unspelt {
    fn custom<T: Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// The bytes as base64, padded (RFC 4648 §4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |group: &[u8]| {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        let digit = |index: usize| char::from(DIGITS[(bits >> (18 - 6 * index) & 63) as usize]);
        let length = group.len();
        std::array::from_fn::<char, 4, _>(|index| if index > length { '=' } else { digit(index) })
    };
    bytes.chunks(3).flat_map(group).collect()
}

impl From<Unspelt> for String {
    fn from(error: Unspelt) -> Self {
        error.0
    }
}
