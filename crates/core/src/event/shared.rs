//! Holds text that stands beside many events, so that it is kept once for all of them.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Text of a message that holds for all its events: copying it never copies what it says.
#[derive(Clone)]
pub enum SharedText<'a> {
    /// As it stands in the payload.
    Borrowed(&'a str),
    /// As JSON escaped it, or freed from the payload.
    Shared(Arc<str>),
}

impl SharedText<'_> {
    /// The same text, borrowing from nothing.
    #[must_use]
    pub fn into_owned(self) -> SharedText<'static> {
        SharedText::Shared(match self {
            Self::Borrowed(text) => text.into(),
            Self::Shared(text) => text,
        })
    }
}

impl Deref for SharedText<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl PartialEq for SharedText<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Debug for SharedText<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, out)
    }
}

impl<'a> From<&'a str> for SharedText<'a> {
    fn from(text: &'a str) -> Self {
        Self::Borrowed(text)
    }
}

impl<'a> From<Cow<'a, str>> for SharedText<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Self::Borrowed(text),
            Cow::Owned(text) => Self::Shared(text.into()),
        }
    }
}

/// Frees text of one field, event by event. What an envelope says is the same text in all of them, and is copied once.
#[derive(Default)]
pub(super) struct Freed<'a>(Option<(&'a str, Arc<str>)>);

impl<'a> Freed<'a> {
    pub(super) fn free(&mut self, text: SharedText<'a>) -> SharedText<'static> {
        let borrowed = match text {
            SharedText::Borrowed(text) => text,
            SharedText::Shared(text) => return SharedText::Shared(text),
        };
        match &self.0 {
            Some((known, freed)) if std::ptr::eq(*known, borrowed) => SharedText::Shared(Arc::clone(freed)),
            _ => {
                let freed: Arc<str> = borrowed.into();
                self.0 = Some((borrowed, Arc::clone(&freed)));
                SharedText::Shared(freed)
            }
        }
    }
}
