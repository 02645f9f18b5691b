//! Reads `str.format` templates of Python and formats values by their specifications: `{n:04d}`, `{d:%Y-%m-%d}`, `{b!r}`.

mod numeric;

use self::numeric::Numeric;
use super::key_set::Arg;
use super::python::{self, Object, Unknown, strftime};

/// The widest that a value is padded to: a template may not make keys that no limit allows.
const WIDTH_MAX: usize = 4096;

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text as it is.
    Literal(String),
    /// A place for a value.
    Field(Field),
}

/// A place for a value: `{self.owner.name!r:>10}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The name and the way from it: `self`, `owner`, `name`; of `kwargs[p]` they are `kwargs` and `p`.
    pub path: Vec<String>,
    /// How the value is formatted.
    pub format: FormatSpec,
}

/// How a value is formatted: what stands behind its name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FormatSpec {
    conversion: Option<Conversion>,
    /// As it is written, for dates.
    text: String,
    /// As numbers and texts read it; `None` where only dates do.
    standard: Option<Standard>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Conversion {
    Str,
    Repr,
    Ascii,
}

/// `[[fill]align][sign][#][0][width][grouping][.precision][type]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Standard {
    fill: Option<char>,
    align: Option<char>,
    sign: Option<char>,
    alternate: bool,
    zero: bool,
    width: usize,
    grouping: Option<char>,
    precision: Option<usize>,
    kind: Option<char>,
}

/// Reads a template.
///
/// # Errors
/// What is wrong, for people: braces that do not match, a field without a name, a format that is none.
pub fn parse(source: &str) -> Result<Vec<Piece>, String> {
    let (mut pieces, mut literal, mut rest) = (Vec::new(), String::new(), source);
    while let Some(at) = rest.find(['{', '}']) {
        literal.push_str(&rest[..at]);
        let brace = &rest[at..];
        if brace.starts_with("{{") || brace.starts_with("}}") {
            literal.push_str(&brace[..1]);
            rest = &brace[2..];
        } else if let (true, Some(end)) = (brace.starts_with('{'), brace.find('}')) {
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Field(Field::parse(&brace[1..end])?));
            rest = &brace[end + 1..];
        } else {
            return Err("a brace is not closed or not opened; write `{{` for a brace itself".to_owned());
        }
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

impl Field {
    /// Reads what stands between the braces.
    ///
    /// # Errors
    /// As [`parse`].
    pub fn parse(inside: &str) -> Result<Self, String> {
        if inside.contains('{') {
            return Err(format!("`{{{inside}}}`: a format that is itself a template is not known here"));
        }
        let end = inside.find(['!', ':']).unwrap_or(inside.len());
        let (name, format) = inside.split_at(end);
        Ok(Self { path: path(name)?, format: FormatSpec::parse(format)? })
    }
}

/// The steps of `a.b[c]`.
fn path(name: &str) -> Result<Vec<String>, String> {
    let wrong = || format!("`{{{name}}}` names no argument; write its name, as {{page}}");
    let mut steps = Vec::new();
    for step in name.split('.') {
        let (first, indices) = step.split_once('[').map_or((step, None), |(first, rest)| (first, Some(rest)));
        steps.push(first.to_owned());
        if let Some(indices) = indices {
            let inner = indices.strip_suffix(']').ok_or_else(wrong)?;
            steps.extend(inner.split("][").map(str::to_owned));
        }
    }
    if steps.iter().any(|step| step.is_empty() || step.contains(['[', ']'])) { Err(wrong()) } else { Ok(steps) }
}

impl FormatSpec {
    /// Reads what stands behind a name: nothing, `!r`, `:04d`, `!r:>10`.
    ///
    /// # Errors
    /// As [`parse`].
    pub fn parse(text: &str) -> Result<Self, String> {
        let (conversion, text) = match text.strip_prefix('!') {
            Some(rest) => {
                let (name, text) = rest.split_once(':').unwrap_or((rest, ""));
                let known = [("s", Conversion::Str), ("r", Conversion::Repr), ("a", Conversion::Ascii)];
                let known = known.into_iter().find(|(known, _)| *known == name);
                let conversion = known.ok_or_else(|| format!("unknown conversion `!{name}`; known are !s, !r, !a"))?;
                (Some(conversion.1), text)
            }
            None => (None, text.strip_prefix(':').unwrap_or(text)),
        };
        let standard = Standard::parse(text);
        if standard.is_none() {
            let not_a_format = || format!("`{text}` is no format of Python");
            strftime::is_known(text).map_err(|unknown| format!("the directive %{unknown} is not known here"))?;
            text.contains('%').then_some(()).ok_or_else(not_a_format)?;
        }
        if standard.is_some_and(|standard| standard.width.max(standard.precision.unwrap_or_default()) > WIDTH_MAX) {
            return Err(format!("`{text}` pads to more than {WIDTH_MAX} characters"));
        }
        Ok(Self { conversion, text: text.to_owned(), standard })
    }

    /// Whether it says nothing: the value's own text.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.conversion.is_none() && self.text.is_empty()
    }

    /// Appends a value as `format()` gives it.
    ///
    /// # Errors
    /// When the value's text cannot be known, or Python could not format it either.
    pub fn format(&self, arg: Arg<'_>, out: &mut String) -> Result<(), Unknown> {
        let object = Object::of(arg)?;
        let mut text = String::new();
        match self.conversion {
            None => return self.format_object(&object, out),
            Some(Conversion::Str) => object.str(&mut text)?,
            Some(Conversion::Repr) => object.repr(&mut text)?,
            Some(Conversion::Ascii) => {
                object.repr(&mut text)?;
                text = python::ascii(&text);
            }
        }
        self.format_object(&Object::Str(text.into()), out)
    }

    fn format_object(&self, object: &Object<'_>, out: &mut String) -> Result<(), Unknown> {
        const MISFIT: Unknown = "a value that the format in its template does not fit";
        if self.text.is_empty() {
            return object.str(out);
        }
        if matches!(object, Object::Date(_) | Object::Datetime(_) | Object::Time(_)) {
            strftime::is_known(&self.text).map_err(|_| MISFIT)?;
            return strftime::strftime(object, &self.text, out);
        }
        let standard =
            self.standard.ok_or("no date and no time, which the format in its template is for; declare its type")?;
        let numeric = match object {
            Object::Str(text) => return standard.text(text, out).ok_or(MISFIT),
            Object::Bool(truth) => Numeric::Int(i128::from(*truth)),
            Object::Int(number) => Numeric::Int(*number),
            Object::Float(number) => Numeric::Float(*number),
            Object::Decimal(decimal) => Numeric::Decimal(decimal),
            _ => return Err(MISFIT),
        };
        standard.number(&numeric, out).ok_or(MISFIT)
    }
}

impl Standard {
    fn parse(text: &str) -> Option<Self> {
        const ALIGN: [char; 4] = ['<', '>', '^', '='];
        let mut spec = Self::default();
        let mut rest = text;
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (Some(fill), Some(align)) if ALIGN.contains(&align) => {
                (spec.fill, spec.align, rest) = (Some(fill), Some(align), chars.as_str());
            }
            (Some(align), _) if ALIGN.contains(&align) => (spec.align, rest) = (Some(align), &text[1..]),
            _ => {}
        }
        let take = |known: &[char], rest: &mut &str| {
            let found = rest.chars().next().filter(|character| known.contains(character));
            if found.is_some() {
                *rest = &rest[1..];
            }
            found
        };
        spec.sign = take(&['+', '-', ' '], &mut rest);
        spec.alternate = take(&['#'], &mut rest).is_some();
        spec.zero = take(&['0'], &mut rest).is_some();
        spec.width = digits(&mut rest)?.unwrap_or_default();
        spec.grouping = take(&[',', '_'], &mut rest);
        if let Some(precision) = rest.strip_prefix('.') {
            rest = precision;
            spec.precision = Some(digits(&mut rest)??);
        }
        spec.kind = take(&['b', 'c', 'd', 'e', 'E', 'f', 'F', 'g', 'G', 'n', 'o', 's', 'x', 'X', '%'], &mut rest);
        rest.is_empty().then_some(spec)
    }

    /// Appends a text; `None` when the specification is for numbers.
    fn text(&self, text: &str, out: &mut String) -> Option<()> {
        let numeric = self.sign.is_some() || self.alternate || self.grouping.is_some() || self.align == Some('=');
        if numeric || !matches!(self.kind, None | Some('s')) {
            return None;
        }
        let cut: String = text.chars().take(self.precision.unwrap_or(usize::MAX)).collect();
        self.pad("", &cut, '<', out);
        Some(())
    }

    /// Appends a sign or a base's prefix and what follows it, as wide as asked for.
    fn pad(&self, sign: &str, body: &str, default: char, out: &mut String) {
        let fill = self.fill.unwrap_or(if self.zero { '0' } else { ' ' });
        let missing = self.width.saturating_sub(sign.chars().count() + body.chars().count());
        let (left, inner, right) = match self.align.unwrap_or(default) {
            '<' => (0, 0, missing),
            '^' => (missing / 2, 0, missing - missing / 2),
            '=' => (0, missing, 0),
            _ => (missing, 0, 0),
        };
        let fills = |count: usize| std::iter::repeat_n(fill, count);
        out.extend(fills(left));
        out.push_str(sign);
        out.extend(fills(inner));
        out.push_str(body);
        out.extend(fills(right));
    }
}

/// The number that a text begins with: `Some(None)` for no digit, `None` for too many.
fn digits(rest: &mut &str) -> Option<Option<usize>> {
    let end = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
    let (number, after) = rest.split_at(end);
    *rest = after;
    if number.is_empty() { Some(None) } else { number.parse().ok().map(Some) }
}

#[cfg(test)]
mod tests;
