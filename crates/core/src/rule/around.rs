//! Holds what stands around an event, for rules that ask for it: who published it, what caused it, the message's headers.

use std::borrow::Cow;

use crate::event::{Change, Row, SharedText, Value};

/// The word with which a rule asks for it: `event.source`, `event.origin`, `event.headers.quash-tenant`.
pub(crate) const WORD: &str = "event";

static NO_HEADERS: Row<'static> = Row(Vec::new());

/// What stands around one event.
#[derive(Debug)]
pub(crate) struct Around<'e> {
    source: Option<Value<'e>>,
    origin: Option<Value<'e>>,
    /// With their names in lower case.
    headers: &'e Row<'e>,
}

impl<'e> Around<'e> {
    /// Nothing.
    pub(crate) const NONE: Self = Self { source: None, origin: None, headers: &NO_HEADERS };

    pub(crate) fn of(change: &'e Change<'e>, headers: &'e Row<'e>) -> Self {
        let Change::Event(event) = change else { return Self::NONE };
        let text = |text: &'e Option<SharedText<'e>>| text.as_deref().map(|text| Value::Text(Cow::Borrowed(text)));
        Self { source: text(&event.source), origin: text(&event.origin), headers }
    }

    /// What a path asks for that [`path`] gave.
    pub(crate) fn at(&self, path: &[String]) -> Option<&Value<'e>> {
        match path {
            [_, name] if name == "source" => self.source.as_ref(),
            [_, name] if name == "origin" => self.origin.as_ref(),
            [_, _, header] => self.headers.get(header),
            _ => None,
        }
    }

    /// All of it, for conditions.
    #[cfg(feature = "rules")]
    pub(crate) fn row(&self) -> Row<'e> {
        let named = [("source", &self.source), ("origin", &self.origin)];
        let named = named.into_iter().filter_map(|(name, value)| Some((Cow::Borrowed(name), value.clone()?)));
        Row(named.chain([(Cow::Borrowed("headers"), Value::Object(self.headers.clone()))]).collect())
    }
}

/// The headers of a message as a row; a name that is there twice is taken once.
pub(crate) fn headers<'h>(headers: &'h [(Cow<'static, str>, String)]) -> Row<'h> {
    let mut names = std::collections::HashSet::new();
    let lower = |name: &'h str| match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(name.to_ascii_lowercase()),
        false => Cow::Borrowed(name),
    };
    let named = headers.iter().map(|(name, value)| (lower(name), Value::Text(Cow::Borrowed(value.as_str()))));
    Row(named.filter(|(name, _)| names.insert(name.clone())).collect())
}

/// The path of a mapping that asks for what stands around the event; `None` where it asks for a column.
pub(crate) fn path(text: &str) -> Option<Vec<String>> {
    let rest = text.strip_prefix(WORD)?.strip_prefix('.')?;
    match rest.split_once('.') {
        None if matches!(rest, "source" | "origin") => Some(vec![WORD.to_owned(), rest.to_owned()]),
        Some(("headers", name)) if !name.is_empty() => {
            Some(vec![WORD.to_owned(), "headers".to_owned(), name.to_ascii_lowercase()])
        }
        _ => None,
    }
}
