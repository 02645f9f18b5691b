//! Turns the arguments of an entry into the values that its key template spells.

use std::borrow::Cow;

use quash_core::event::{Type, Value};

/// A value that can stand in a key: integers, text, truth values, and `None` as null. Floating-point numbers are none, since
/// languages print them differently: pass the text that stands in the key.
///
/// Types of an application's own say which of these they are:
///
/// ```
/// use quash_reader::{KeyPart, Part};
///
/// struct ProductId(i64);
///
/// impl KeyPart for ProductId {
///     fn part(&self) -> Part<'_> {
///         self.0.part()
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot stand in a key",
    note = "integers, text, truth values and options of them can; a number with a fraction is passed as its text"
)]
pub trait KeyPart {
    /// The value.
    fn part(&self) -> Part<'_>;
}

/// A value in a key.
#[derive(Debug, Clone, PartialEq)]
pub struct Part<'a>(pub(crate) Value<'a>);

impl<'a> Part<'a> {
    /// Text as it stands in the key.
    #[must_use]
    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self(Value::Text(text.into()))
    }

    /// Whether it can be the value of an argument for which the cache declares this type.
    pub(crate) fn fits(&self, declared: Type) -> bool {
        match (&self.0, declared) {
            (Value::Null, _) => true,
            (Value::Int(_), kind) => kind == Type::Int,
            (Value::Bool(_), kind) => kind == Type::Bool,
            // What is published as text. A float's text says nothing that Python's formats could use.
            (Value::Text(_), kind) => !matches!(kind, Type::Int | Type::Bool | Type::Float) && !kind.is_whole(),
            _ => false,
        }
    }

    /// What it is, for people.
    pub(crate) const fn kind(&self) -> &'static str {
        match self.0 {
            Value::Null => "null",
            Value::Int(_) => "an integer",
            Value::Bool(_) => "a truth value",
            _ => "text",
        }
    }
}

macro_rules! integers {
    ($($kind:ty)+) => { $(
        impl KeyPart for $kind {
            fn part(&self) -> Part<'_> {
                Part(Value::Int((*self).into()))
            }
        }
    )+ };
}

integers! { i8 i16 i32 i64 i128 u8 u16 u32 u64 }

impl KeyPart for bool {
    fn part(&self) -> Part<'_> {
        Part(Value::Bool(*self))
    }
}

impl KeyPart for str {
    fn part(&self) -> Part<'_> {
        Part::text(self)
    }
}

impl KeyPart for String {
    fn part(&self) -> Part<'_> {
        Part::text(self.as_str())
    }
}

impl KeyPart for Cow<'_, str> {
    fn part(&self) -> Part<'_> {
        Part::text(&**self)
    }
}

impl<T: KeyPart> KeyPart for Option<T> {
    fn part(&self) -> Part<'_> {
        self.as_ref().map_or(Part(Value::Null), KeyPart::part)
    }
}

impl<T: KeyPart + ?Sized> KeyPart for &T {
    fn part(&self) -> Part<'_> {
        (**self).part()
    }
}

/// The arguments of an entry, in the order of its cache: a tuple of [`KeyPart`]s, `()` for none. One alone needs no tuple.
pub trait KeyArgs {
    /// Their values.
    fn parts(&self) -> Vec<Part<'_>>;
}

impl<T: KeyPart> KeyArgs for T {
    fn parts(&self) -> Vec<Part<'_>> {
        vec![self.part()]
    }
}

impl KeyArgs for () {
    fn parts(&self) -> Vec<Part<'_>> {
        Vec::new()
    }
}

macro_rules! tuples {
    ($(($($name:ident)+))+) => { $(
        impl<$($name: KeyPart),+> KeyArgs for ($($name,)+) {
            #[expect(non_snake_case, reason = "the names of types stand for those of values")]
            fn parts(&self) -> Vec<Part<'_>> {
                let ($($name,)+) = self;
                vec![$($name.part()),+]
            }
        }
    )+ };
}

tuples! { (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H) }
