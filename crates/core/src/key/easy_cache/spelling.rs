//! Spells one key or tag of easy-cache from its parts, or what finds all keys that leave some of them open.

use super::argument;
use crate::event::Value;
use crate::glob::{Glob, GlobBuilder};
use crate::key::format_spec::{FormatSpec, Piece};
use crate::key::key_set::Arg;
use crate::key::python::{Object, Unknown};
use crate::key::{ArgSet, Args, Filled, KeyError};

/// How a key or a tag is spelt.
#[derive(Debug, Clone, Default)]
pub(super) struct Spelling {
    /// No literal is empty, and none follows another.
    parts: Vec<Part>,
    args: ArgSet,
}

#[derive(Debug, Clone)]
enum Part {
    Literal(String),
    Arg { arg: usize, name: String, how: How },
}

/// How the library turns a value into text.
#[derive(Debug, Clone)]
enum How {
    /// By `format()`, in templates.
    Format(FormatSpec),
    /// By its own `force_text()`, which decodes bytes.
    Text,
}

/// What finds all keys that leave some arguments open.
#[derive(Debug)]
pub(super) enum Found {
    /// They begin with this.
    Prefix(String),
    /// They match this.
    Pattern(Glob),
}

impl Spelling {
    /// Goes on with this text.
    pub(super) fn literal(&mut self, text: &str) {
        match self.parts.last_mut() {
            _ if text.is_empty() => {}
            Some(Part::Literal(before)) => before.push_str(text),
            _ => self.parts.push(Part::Literal(text.to_owned())),
        }
    }

    /// Goes on with a template; its arguments are among these.
    pub(super) fn template(&mut self, pieces: Vec<Piece>, args: &Args) {
        for piece in pieces {
            match piece {
                Piece::Literal(text) => self.literal(&text),
                Piece::Field(field) => {
                    let arg = args.position(&argument(&field)).unwrap_or_default();
                    self.arg(arg, args, How::Format(field.format));
                }
            }
        }
    }

    /// Goes on with an argument as text.
    pub(super) fn text(&mut self, arg: usize, args: &Args) {
        self.arg(arg, args, How::Text);
    }

    fn arg(&mut self, arg: usize, args: &Args, how: How) {
        self.args = self.args.with(arg);
        self.parts.push(Part::Arg { arg, name: args.name(arg).to_owned(), how });
    }

    /// The arguments in it.
    pub(super) fn args(&self) -> ArgSet {
        self.args
    }

    /// The text that every key begins with; empty where that is an argument.
    pub(super) fn root(&self) -> &str {
        match self.parts.first() {
            Some(Part::Literal(text)) => text,
            _ => "",
        }
    }

    /// For people: the arguments that are exact by name, the others as `*`.
    pub(super) fn shown(&self, exact: ArgSet) -> String {
        let shown = self.parts.iter().map(|part| match part {
            Part::Literal(text) => text.clone(),
            Part::Arg { arg, name, .. } if exact.contains(*arg) => format!("{{{name}}}"),
            Part::Arg { .. } => "*".to_owned(),
        });
        shown.collect()
    }

    /// Whether the open arguments are all at the end, so that a prefix says as much as a pattern.
    pub(super) fn ends_with_gap(&self, exact: ArgSet) -> bool {
        let from = self.parts.iter().position(|part| part.is_open(exact)).unwrap_or(self.parts.len());
        from < self.parts.len() && self.parts[from..].iter().all(|part| part.is_open(exact))
    }

    /// Whether an open argument follows an exact one with nothing between, so that `4*` is found in the place of `4`.
    pub(super) fn has_open_gap(&self, exact: ArgSet) -> bool {
        self.parts
            .windows(2)
            .any(|pair| matches!(pair, [Part::Arg { arg, .. }, after] if exact.contains(*arg) && after.is_open(exact)))
    }

    /// Puts the key into `out`; all arguments of it are exact.
    pub(super) fn render(&self, filled: &Filled<'_, '_>, out: &mut String) -> Result<(), KeyError> {
        out.clear();
        self.parts.iter().try_for_each(|part| part.append(filled, out))
    }

    /// What finds all keys that have these arguments exact. The root is not empty.
    pub(super) fn search(&self, exact: ArgSet, filled: &Filled<'_, '_>) -> Result<Found, KeyError> {
        let first_open = self.parts.iter().position(|part| part.is_open(exact)).unwrap_or(self.parts.len());
        let (mut glob, mut prefix, mut text) = (GlobBuilder::new(), String::new(), String::new());
        for (index, part) in self.parts.iter().enumerate() {
            if part.is_open(exact) {
                glob.any();
                continue;
            }
            text.clear();
            part.append(filled, &mut text)?;
            match (part, self.parts.get(index + 1)) {
                // It would find what belongs to its neighbours.
                (Part::Arg { name, .. }, Some(next)) if next.is_open(exact) && text.trim().is_empty() => {
                    return Err(KeyError::EmptyInPrefix { arg: name.clone() });
                }
                _ => glob.literal(&text),
            };
            if index < first_open {
                prefix.push_str(&text);
            }
        }
        match glob.build() {
            _ if self.ends_with_gap(exact) => Ok(Found::Prefix(prefix)),
            Some(pattern) => Ok(Found::Pattern(pattern)),
            None => Err(KeyError::OutOfReach(super::NO_ROOT.to_owned())),
        }
    }
}

impl Part {
    fn is_open(&self, exact: ArgSet) -> bool {
        matches!(self, Self::Arg { arg, .. } if !exact.contains(*arg))
    }

    fn append(&self, filled: &Filled<'_, '_>, out: &mut String) -> Result<(), KeyError> {
        match self {
            Self::Literal(text) => out.push_str(text),
            Self::Arg { arg, name, how } => {
                let known = filled.get(*arg).unwrap_or(Arg { value: &Value::Null, declared: None });
                how.append(known, out).map_err(|why| KeyError::Unspellable { arg: name.clone(), why })?;
            }
        }
        Ok(())
    }
}

impl How {
    fn append(&self, known: Arg<'_>, out: &mut String) -> Result<(), Unknown> {
        match (self, Object::of(known)?) {
            (Self::Format(format), _) => return format.format(known, out),
            // They were published as the text that they hold.
            (Self::Text, Object::Bytes(bytes)) => out.push_str(&String::from_utf8_lossy(bytes)),
            (Self::Text, object) => object.str(out)?,
        }
        Ok(())
    }
}
