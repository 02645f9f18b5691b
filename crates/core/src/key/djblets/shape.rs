//! Reads the key that the code gives, a text or the list of its parts, and fills it with arguments.

use super::recipe::Texts;
use crate::event::Value;
use crate::key::format_spec::{self, FormatSpec, Piece};
use crate::key::key_set::Arg;
use crate::key::{ArgSet, Filled, KeyError};

/// A key with places for arguments.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pieces: Vec<Segment>,
    /// Whether the parts of a list are escaped, so that no value can look like two parts.
    is_escaped: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Segment {
    /// Escaped already.
    Literal(String),
    Arg {
        arg: usize,
        format: FormatSpec,
    },
}

/// Where a key is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gap {
    /// Only its end; what is known may go on in other keys where nothing ends it.
    End { is_open: bool },
    /// Something known stands behind a gap.
    Within,
}

impl Gap {
    /// How many searches it takes for one site: shortened keys have an end of their own.
    pub(super) const fn actions(self) -> usize {
        match self {
            Self::End { .. } => 1,
            Self::Within => 2,
        }
    }
}

impl Shape {
    /// Reads a key: one text, or the parts of a list. `position` gives the place of an argument.
    ///
    /// # Errors
    /// The part that is wrong, and why.
    pub(super) fn parse(
        parts: &[String],
        position: &mut dyn FnMut(&str) -> Option<usize>,
    ) -> Result<Self, (usize, String)> {
        let is_escaped = parts.len() > 1;
        let mut pieces = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                pieces.push(Segment::Literal(":".to_owned()));
            }
            for piece in format_spec::parse(part).map_err(|message| (index, message))? {
                pieces.push(match piece {
                    Piece::Literal(text) if is_escaped => Segment::Literal(escaped(&text)),
                    Piece::Literal(text) => Segment::Literal(text),
                    Piece::Field(field) => {
                        let name = field.path.join(".");
                        let unknown = || (index, format!("unknown argument `{name}`"));
                        Segment::Arg { arg: position(&name).ok_or_else(unknown)?, format: field.format }
                    }
                });
            }
        }
        match pieces.first() {
            Some(Segment::Literal(text)) if !text.trim().is_empty() => Ok(Self { pieces, is_escaped }),
            _ => Err((0, "must begin with literal text, or a rule could remove every key of a site".to_owned())),
        }
    }

    /// Puts the key into `out`, without a site.
    pub(super) fn key(&self, filled: &Filled<'_, '_>, out: &mut String) -> Result<(), KeyError> {
        out.clear();
        self.pieces.iter().try_for_each(|piece| self.push(piece, filled, out))
    }

    fn push(&self, piece: &Segment, filled: &Filled<'_, '_>, out: &mut String) -> Result<(), KeyError> {
        match piece {
            Segment::Literal(text) => out.push_str(text),
            Segment::Arg { arg, format } => {
                let known = filled.get(*arg).unwrap_or(Arg { value: &Value::Null, declared: None });
                let mut text = String::new();
                let unspellable = |why| KeyError::Unspellable { arg: filled.name(*arg).to_owned(), why };
                format.format(known, &mut text).map_err(unspellable)?;
                out.push_str(&if self.is_escaped { escaped(&text) } else { text });
            }
        }
        Ok(())
    }

    /// Where the key is not known when just these arguments are; `None` when it is known.
    pub(super) fn gap(&self, exact: ArgSet) -> Option<Gap> {
        let first = self.pieces.iter().position(|piece| is_gap(piece, exact))?;
        let before = first.checked_sub(1).and_then(|before| self.pieces.get(before));
        let is_open = matches!(before, Some(Segment::Arg { .. }));
        Some(if first + 1 == self.pieces.len() { Gap::End { is_open } } else { Gap::Within })
    }

    /// What is known of the key when just these arguments are.
    ///
    /// # Errors
    /// When a value has no text, or an empty one would let its neighbours' keys be found too.
    pub(super) fn texts(&self, filled: &Filled<'_, '_>, exact: ArgSet) -> Result<Texts, KeyError> {
        let mut texts = vec![String::new()];
        let mut before = None;
        for piece in &self.pieces {
            if is_gap(piece, exact) {
                if let Some(arg) = before.filter(|_| texts.len() == 1) {
                    return Err(KeyError::EmptyInPrefix { arg: filled.name(arg).to_owned() });
                }
                texts.push(String::new());
            } else if let Some(text) = texts.last_mut() {
                let known = text.len();
                self.push(piece, filled, text)?;
                before = match piece {
                    Segment::Arg { arg, .. } if text[known..].trim().is_empty() => Some(*arg),
                    Segment::Arg { .. } | Segment::Literal(_) => None,
                };
            }
        }
        let beginning = matches!(self.gap(exact), Some(Gap::End { .. }));
        Ok(if beginning { Texts::Beginning(texts.swap_remove(0)) } else { Texts::Around(texts) })
    }

    /// The key for people, with a star for what is not known.
    pub(super) fn shown(&self, names: &[String], exact: ArgSet) -> String {
        let shown = self.pieces.iter().map(|piece| match piece {
            Segment::Literal(text) => text.clone(),
            Segment::Arg { arg, .. } if exact.contains(*arg) => format!("{{{}}}", names[*arg]),
            Segment::Arg { .. } => "*".to_owned(),
        });
        shown.collect()
    }
}

fn is_gap(piece: &Segment, exact: ArgSet) -> bool {
    matches!(piece, Segment::Arg { arg, .. } if !exact.contains(*arg))
}

/// A part of a list, as `make_cache_key` escapes it.
fn escaped(part: &str) -> String {
    part.replace('%', "%25").replace(':', "%3A")
}
