//! Reads templates, and says what is wrong with them.

use super::{Filter, Part, Template};
use crate::key::format_spec::FormatSpec;

/// Why a template cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub help: Option<String>,
}

impl Template {
    /// The names of the arguments in a template, in order and without repeats; what is not a template has none.
    #[must_use]
    pub fn names(source: &str) -> Vec<String> {
        let mut names = Vec::new();
        let mut learn = |name: &str| {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
            Some(0)
        };
        // A wrong template is reported by `parse`.
        let _ = parse_parts(source, &mut learn);
        names
    }

    /// Reads a template whose arguments are these.
    ///
    /// # Errors
    /// When braces do not match, an argument or filter is unknown, or there is no literal text to begin with.
    pub fn parse(source: &str, args: &[String]) -> Result<Self, TemplateError> {
        let mut find = |name: &str| args.iter().position(|known| known == name);
        let parts = parse_parts(source, &mut find).map_err(|error| match error {
            ParseError::Argument(name) => unknown("argument", &name, args.iter().map(String::as_str)),
            ParseError::Filter(name) => unknown("filter", &name, Filter::NAMES.map(|(name, _)| name)),
            ParseError::Text(message) => TemplateError { message, help: None },
        })?;
        match parts.first() {
            Some(Part::Literal(_)) => Ok(Self { source: source.to_owned(), parts }),
            _ => Err(TemplateError {
                message: "must begin with literal text, or a rule could remove every key of the target".to_owned(),
                help: Some(format!("write `name:{source}`, with a name that no other keys begin with")),
            }),
        }
    }
}

fn unknown<'a>(what: &str, given: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> TemplateError {
    let names = || known.clone().into_iter().collect::<Vec<_>>().join(", ");
    let help = match quash_config::nearest(given, known.clone()) {
        Some(name) => Some(format!("did you mean `{name}`?")),
        None if known.clone().into_iter().next().is_none() => None,
        None => Some(format!("known are {}", names())),
    };
    TemplateError { message: format!("unknown {what} `{given}` in the template"), help }
}

enum ParseError {
    Argument(String),
    Filter(String),
    Text(String),
}

fn parse_parts(source: &str, find: &mut dyn FnMut(&str) -> Option<usize>) -> Result<Vec<Part>, ParseError> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = source;
    while let Some(at) = rest.find(['{', '}']) {
        literal.push_str(&rest[..at]);
        let brace = &rest[at..];
        if brace.starts_with("{{") || brace.starts_with("}}") {
            literal.push_str(&brace[..1]);
            rest = &brace[2..];
        } else if let (true, Some(end)) = (brace.starts_with('{'), brace.find('}')) {
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(parse_arg(&brace[1..end], find)?);
            rest = &brace[end + 1..];
        } else {
            return Err(ParseError::Text(
                "a brace is not closed or not opened; write `{{` for a brace itself".to_owned(),
            ));
        }
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(parts)
}

fn parse_arg(inside: &str, find: &mut dyn FnMut(&str) -> Option<usize>) -> Result<Part, ParseError> {
    let mut pieces = inside.split('|').map(str::trim);
    let named = pieces.next().unwrap_or_default();
    let (name, format) = named.split_at(named.find(['!', ':']).unwrap_or(named.len()));
    let arg = find(name).ok_or_else(|| ParseError::Argument(name.to_owned()))?;
    let format = FormatSpec::parse(format).map_err(ParseError::Text)?;
    let filters = pieces
        .map(|piece| {
            let known = Filter::NAMES.iter().find(|(name, _)| *name == piece);
            known.map(|(_, filter)| *filter).ok_or_else(|| ParseError::Filter(piece.to_owned()))
        })
        .collect::<Result<_, _>>()?;
    Ok(Part::Arg { arg, name: name.to_owned(), format, filters, source: inside.to_owned() })
}
