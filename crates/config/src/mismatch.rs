//! Holds why a value does not fit the type that it is read into, and where in the tree.

use std::fmt::{self, Display};

use serde::de::{self, Expected, Unexpected};

use super::node::Entry;
use super::{ConfigPath, Segment};

/// A value that does not fit, with the way down to it.
#[derive(Debug)]
pub(super) struct Mismatch(Box<Found>);

/// The same, taken apart.
#[derive(Debug)]
pub(super) struct Found {
    /// Where it is; while it is being found, the innermost step comes first.
    pub(super) path: ConfigPath,
    /// Why it does not fit.
    pub(super) why: Why,
    /// Whether it is the key at the end of the path that does not fit.
    pub(super) at_key: bool,
    /// Whether the value is of a type that must not be shown.
    pub(super) secret: bool,
}

/// Why a value does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Why {
    /// It is of another type, or out of range.
    Expected(String),
    /// The key at the end of the path is none of these.
    UnknownKey(Vec<String>),
    /// The value, or the key at the end of the path, is none of these names.
    UnknownName {
        /// The name that was given.
        given: String,
        /// Those that there are.
        known: &'static [&'static str],
    },
    /// A key is missing in the mapping.
    Missing(String),
    /// The mapping must name one of these kinds, and names none.
    NoKind(&'static [&'static str]),
    /// The key at the end of the path is a second kind beside this one.
    Second(String),
    /// No form of the value fits; serde does not say more.
    NoVariant,
    /// The type's own words.
    Own(String),
}

impl Mismatch {
    pub(super) fn new(why: Why) -> Self {
        Self(Box::new(Found { path: ConfigPath::root(), why, at_key: false, secret: false }))
    }

    /// Seen from one level further up.
    pub(super) fn within(mut self, step: Segment) -> Self {
        self.0.path.0.push(step);
        self
    }

    /// The same, about the key at the end of the path.
    pub(super) fn at_key(mut self) -> Self {
        self.0.at_key = true;
        self
    }

    /// The same, about a value that must not be shown.
    pub(super) fn secret(mut self) -> Self {
        self.0.secret = true;
        self
    }

    /// The same, about the key of this entry.
    pub(super) fn at(self, entry: &Entry) -> Self {
        self.at_key().within(Segment::Key(entry.key.clone()))
    }

    /// Takes it apart.
    pub(super) fn found(mut self) -> Found {
        self.0.path.0.reverse();
        *self.0
    }
}

impl Display for Mismatch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the value does not fit its type")
    }
}

impl std::error::Error for Mismatch {}

impl de::Error for Mismatch {
    fn custom<T: Display>(words: T) -> Self {
        let words = words.to_string();
        // serde's words for an untagged enum; the name of a Rust type helps nobody.
        let no_variant = words.starts_with("data did not match any variant of untagged enum");
        Self::new(if no_variant { Why::NoVariant } else { Why::Own(words) })
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Why::Expected(plain(&expected.to_string())))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Self::invalid_type(Unexpected::Seq, expected)
    }

    fn unknown_variant(given: &str, known: &'static [&'static str]) -> Self {
        Self::new(match given {
            "" => Why::NoKind(known),
            _ => Why::UnknownName { given: given.to_owned(), known },
        })
    }

    fn unknown_field(_: &str, known: &'static [&'static str]) -> Self {
        Self::new(Why::UnknownKey(owned(known)))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Why::Missing(field.to_owned()))
    }
}

/// Names, to keep.
pub(super) fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// What a type expects, in the words of somebody who writes YAML.
fn plain(expected: &str) -> String {
    let plain = match expected {
        "a string" | "a borrowed string" => "text",
        "a character" => "one character",
        "a boolean" => "true or false",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" | "u128" => "a whole number that is not negative",
        "i8" | "i16" | "i32" | "i64" | "isize" | "i128" => "a whole number",
        "f32" | "f64" => "a number",
        "a map" => "a mapping",
        "a sequence" | "an array" => "a list",
        "unit" => "nothing",
        _ if expected.starts_with("struct ") => "a mapping",
        _ if expected.starts_with("enum ") => "a name, or a mapping with one key",
        other => other,
    };
    plain.to_owned()
}
