//! Spells a field of a key constructor: names with values, joined, hashed level by level where it says so.

use super::super::digest::Digest;
use super::super::key_set::Arg;
use super::super::python::Object;
use super::super::{ArgSet, Args, Filled, KeyError};
use crate::event::Value;
use crate::key::Scalar;

/// What stands between two arguments of a field.
const BETWEEN: &str = "||";

/// A field of a key constructor.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) content: Content,
    /// The arguments in it.
    pub(super) args: ArgSet,
    /// What every level of it is hashed by.
    pub(super) digest: Option<Digest>,
    pub(super) sort_lists: bool,
    /// Whether values are looked up behind the argument, where a missing one has a text of its own.
    pub(super) has_path: bool,
}

/// What a field spells.
#[derive(Debug)]
pub(super) enum Content {
    /// Arguments, by their names in the text.
    Args(Vec<(String, usize)>),
    /// A value of the request, which is made text before anything else.
    Request(Vec<(String, usize)>),
    /// Fixed texts.
    Constant(Vec<(String, Scalar)>),
    /// What no event knows.
    Any,
}

/// A piece of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    /// Any text.
    Any,
    /// So many hexadecimal digits.
    Hex(usize),
}

/// Where the texts of arguments come from.
#[derive(Clone, Copy)]
pub(super) enum Source<'s, 'f, 'v> {
    /// From a key set.
    Values(&'s Filled<'f, 'v>),
    /// Their names in braces, for people.
    Names(&'s Args),
}

impl Field {
    /// Whether no event knows its text.
    pub(super) fn is_any(&self) -> bool {
        matches!(self.content, Content::Any)
    }

    /// Whether its text is known when these arguments are.
    pub(super) fn is_full(&self, known: ArgSet) -> bool {
        !self.is_any() && self.args.is_subset_of(known)
    }

    /// Whether its text depends on one of these arguments and is known at least in parts.
    pub(super) fn shows(&self, known: ArgSet) -> bool {
        let shown = self.args.difference(self.args.difference(known));
        !shown.is_empty() && (self.digest.is_none() || self.is_full(known))
    }

    /// Whether its text may be empty.
    pub(super) fn may_be_empty(&self) -> bool {
        self.is_any() && self.digest.is_none()
    }

    /// Whether something in the text stands behind the last of these arguments.
    pub(super) fn goes_on_behind(&self, known: ArgSet) -> bool {
        let last = self.parts().last();
        last.is_some_and(|(_, arg)| !known.contains(*arg))
    }

    /// The pieces of its text, as far as the last of these arguments if it `ends` there.
    pub(super) fn pieces(&self, known: ArgSet, ends: bool, source: Source<'_, '_, '_>) -> Result<Vec<Piece>, KeyError> {
        if self.is_full(known) {
            return Ok(vec![Piece::Text(self.text(source)?)]);
        }
        if let Some(digest) = self.digest {
            return Ok(vec![Piece::Hex(digest.hex("").len())]);
        }
        let parts = self.parts();
        let behind_last = parts.iter().rposition(|(_, arg)| known.contains(*arg)).map_or(0, |index| index + 1);
        let shown = if ends { behind_last } else { parts.len() };
        let mut pieces = Vec::new();
        for (index, (name, arg)) in parts[..shown].iter().enumerate() {
            let between = if index > 0 { BETWEEN } else { "" };
            pieces.push(Piece::Text(format!("{between}{name}:")));
            pieces.push(if known.contains(*arg) { Piece::Text(self.value(*arg, source)?) } else { Piece::Any });
        }
        match parts {
            [] => pieces.push(Piece::Any),
            _ if shown < parts.len() => pieces.push(Piece::Text(BETWEEN.to_owned())),
            _ => {}
        }
        Ok(pieces)
    }

    fn parts(&self) -> &[(String, usize)] {
        match &self.content {
            Content::Args(parts) | Content::Request(parts) => parts,
            Content::Constant(_) | Content::Any => &[],
        }
    }

    fn text(&self, source: Source<'_, '_, '_>) -> Result<String, KeyError> {
        let texts: Vec<_> = match &self.content {
            Content::Constant(constants) => {
                constants.iter().map(|(name, value)| format!("{name}:{}", self.level(scalar(value), source))).collect()
            }
            Content::Args(parts) | Content::Request(parts) => parts
                .iter()
                .map(|(name, arg)| Ok(format!("{name}:{}", self.value(*arg, source)?)))
                .collect::<Result<_, KeyError>>()?,
            Content::Any => Vec::new(),
        };
        Ok(self.level(texts.join(BETWEEN), source))
    }

    fn value(&self, arg: usize, source: Source<'_, '_, '_>) -> Result<String, KeyError> {
        match source {
            Source::Names(args) => Ok(format!("{{{}}}", args.name(arg))),
            Source::Values(filled) => {
                let known = filled.get(arg).unwrap_or(Arg { value: &Value::Null, declared: None });
                self.python(known).map_err(|why| KeyError::Unspellable { arg: filled.name(arg).to_owned(), why })
            }
        }
    }

    fn python(&self, known: Arg<'_>) -> Result<String, &'static str> {
        let object = Object::of(known)?;
        match (&self.content, object) {
            (Content::Request(_), object) => {
                let mut text = String::new();
                object.str(&mut text)?;
                Ok(self.hashed(text))
            }
            (_, Object::None) if self.has_path => {
                Err("null behind a path, where the library may have `null` or its mark for what is missing")
            }
            (_, object) => self.stringify(&object),
        }
    }

    /// The library's text of a value.
    fn stringify(&self, object: &Object<'_>) -> Result<String, &'static str> {
        let mut text = String::new();
        match object {
            Object::None => text.push_str("null"),
            Object::Datetime(datetime) => text.push_str(&datetime.text('T')),
            Object::List(items) | Object::Tuple(items) => {
                let items = items.iter().map(|item| self.stringify(&Object::of(Arg::from(item))?));
                let mut items = items.collect::<Result<Vec<_>, _>>()?;
                if self.sort_lists {
                    items.sort();
                }
                text = items.join(",");
            }
            Object::Dict(row) => {
                let entries = row
                    .0
                    .iter()
                    .map(|(name, value)| Ok((name.as_ref(), self.stringify(&Object::of(Arg::from(value))?)?)));
                let mut entries = entries.collect::<Result<Vec<_>, &'static str>>()?;
                entries.sort();
                let entries: Vec<_> = entries.into_iter().map(|(name, value)| format!("{name}:{value}")).collect();
                text = entries.join(BETWEEN);
            }
            other => other.str(&mut text)?,
        }
        Ok(self.hashed(text))
    }

    fn hashed(&self, text: String) -> String {
        self.digest.map_or_else(|| text.clone(), |digest| digest.hex(&text))
    }

    /// A level of the field that is not a value; what is shown to people is not hashed.
    fn level(&self, text: String, source: Source<'_, '_, '_>) -> String {
        match (source, self.digest) {
            (Source::Names(_), Some(_)) => format!("hash({text})"),
            _ => self.hashed(text),
        }
    }
}

/// `str()` of a value that stands in the code.
fn scalar(value: &Scalar) -> String {
    match value {
        Scalar::Bool(true) => "True".to_owned(),
        Scalar::Bool(false) => "False".to_owned(),
        Scalar::Int(number) => number.to_string(),
        Scalar::Text(text) => text.clone(),
    }
}
