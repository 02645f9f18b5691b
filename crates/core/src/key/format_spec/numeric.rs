//! Formats numbers by Python's format specifications.

use super::Standard;
use crate::key::python::{Decimal, float, zero_padded};

/// A number to format.
pub(super) enum Numeric<'n> {
    Int(i128),
    Float(f64),
    Decimal(&'n Decimal),
}

/// A formatted number: whether it is below zero, what stands between its sign and its digits, its digits to be grouped, and
/// what follows them.
struct Formatted {
    negative: bool,
    base: &'static str,
    whole: String,
    rest: String,
    /// How many digits a group has.
    group: usize,
}

impl Standard {
    /// Appends a number; `None` when the specification does not fit it.
    pub(super) fn number(&self, number: &Numeric<'_>, out: &mut String) -> Option<()> {
        let kind = self.kind;
        let formatted = match (number, kind) {
            (Numeric::Int(number), Some('c')) => {
                let plain = self.sign.is_none() && self.precision.is_none() && self.grouping.is_none();
                let character = u32::try_from(*number).ok().and_then(char::from_u32).filter(|_| plain)?;
                Formatted::digits(false, character.to_string())
            }
            (Numeric::Int(number), None | Some('d' | 'n' | 'b' | 'o' | 'x' | 'X')) => self.int(*number)?,
            // The nearest float, as `float()` of the integer is.
            (Numeric::Int(number), Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%')) => self.float(*number as f64)?,
            (Numeric::Float(number), None | Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | 'n' | '%')) => {
                self.float(*number)?
            }
            (Numeric::Decimal(decimal), None | Some('f' | 'F')) => self.decimal(decimal)?,
            _ => return None,
        };
        self.write(&formatted, out);
        Some(())
    }

    fn write(&self, Formatted { negative, base, whole, rest, group }: &Formatted, out: &mut String) {
        let sign = match (negative, self.sign) {
            (true, _) => "-",
            (false, Some('+')) => "+",
            (false, Some(' ')) => " ",
            _ => "",
        };
        let sign = format!("{sign}{base}");
        let default = if self.zero { '=' } else { '>' };
        let zeros = self.zero && self.fill.is_none() && self.align.is_none_or(|align| align == '=');
        let body = match self.grouping {
            None => format!("{whole}{rest}"),
            Some(separator) => {
                let room = if zeros { self.width.saturating_sub(sign.len() + rest.chars().count()) } else { 0 };
                format!("{}{rest}", grouped(whole, separator, *group, room))
            }
        };
        self.pad(&sign, &body, default, out);
    }

    fn int(&self, number: i128) -> Option<Formatted> {
        if self.precision.is_some() || (self.grouping == Some(',') && !matches!(self.kind, None | Some('d'))) {
            return None;
        }
        let size = number.unsigned_abs();
        let (base, whole, group) = match self.kind {
            Some('b') => ("0b", format!("{size:b}"), 4),
            Some('o') => ("0o", format!("{size:o}"), 4),
            Some('x') => ("0x", format!("{size:x}"), 4),
            Some('X') => ("0X", format!("{size:X}"), 4),
            _ => ("", size.to_string(), 3),
        };
        let base = if self.alternate { base } else { "" };
        Some(Formatted { negative: number < 0, base, whole, rest: String::new(), group })
    }

    fn float(&self, number: f64) -> Option<Formatted> {
        const PRECISION: usize = 6;
        if !number.is_finite() || (self.kind == Some('n') && self.grouping.is_some()) {
            return None;
        }
        let (size, precision) = (number.abs(), self.precision.unwrap_or(PRECISION));
        let text = match self.kind {
            None if self.precision.is_none() => float(size),
            None => self.general(size, precision.max(1), true),
            Some('f' | 'F') => self.pointed(format!("{size:.precision$}")),
            Some('%') => self.pointed(format!("{:.precision$}", size * 100.0)) + "%",
            Some('e') => self.scientific(size, precision),
            Some('E') => self.scientific(size, precision).to_uppercase(),
            Some('G') => self.general(size, precision.max(1), false).to_uppercase(),
            _ => self.general(size, precision.max(1), false),
        };
        Some(Formatted::digits(number.is_sign_negative(), text))
    }

    /// With a point also where nothing follows it, if that was asked for.
    fn pointed(&self, text: String) -> String {
        if self.alternate && !text.contains('.') { text + "." } else { text }
    }

    fn scientific(&self, size: f64, precision: usize) -> String {
        let text = format!("{size:.precision$e}");
        let Some((digits, exponent)) = text.split_once('e') else { return text };
        let exponent: i32 = exponent.parse().unwrap_or_default();
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", self.pointed(digits.to_owned()), exponent.abs())
    }

    /// `g`: so many digits, fixed or scientific by the size, without zeros at the end; `None` as the type keeps one digit
    /// behind the point and turns scientific one digit earlier.
    fn general(&self, size: f64, precision: usize, keeps_point: bool) -> String {
        let rounded = format!("{size:.*e}", precision - 1);
        let exponent: i64 = rounded.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or_default();
        let digits = i64::try_from(precision).unwrap_or(i64::MAX);
        let fixed = (-4..digits - i64::from(keeps_point)).contains(&exponent);
        let text = if fixed {
            format!("{size:.*}", usize::try_from(digits - 1 - exponent).unwrap_or_default())
        } else {
            self.scientific(size, precision - 1)
        };
        let (mantissa, power) = text.split_once('e').map_or((text.as_str(), None), |(one, two)| (one, Some(two)));
        let mantissa = match (self.alternate, mantissa.contains('.')) {
            (true, _) => self.pointed(mantissa.to_owned()),
            (false, true) => mantissa.trim_end_matches('0').trim_end_matches('.').to_owned(),
            (false, false) => mantissa.to_owned(),
        };
        match power {
            Some(power) => format!("{mantissa}e{power}"),
            None if keeps_point && !mantissa.contains('.') => mantissa + ".0",
            None => mantissa,
        }
    }

    fn decimal(&self, decimal: &Decimal) -> Option<Formatted> {
        if self.grouping == Some('_') || self.alternate || (self.kind.is_none() && self.precision.is_some()) {
            return None;
        }
        let text = match self.kind {
            None => decimal.text(),
            _ => decimal.rounded(self.precision)?,
        };
        let negative = text.starts_with('-');
        let size = text.trim_start_matches('-').to_owned();
        size.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.').then(|| Formatted::digits(negative, size))
    }
}

impl Formatted {
    /// A number in base ten: its whole digits are grouped, what is behind them is not.
    fn digits(negative: bool, text: String) -> Self {
        let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
        let (whole, rest) = text.split_at(end);
        Self { negative, base: "", whole: whole.to_owned(), rest: rest.to_owned(), group: 3 }
    }
}

/// Digits with a separator between groups, and as many zeros in front as there is room for.
fn grouped(digits: &str, separator: char, group: usize, room: usize) -> String {
    let with_separators = |count: usize| count + count.saturating_sub(1) / group;
    let mut count = digits.len();
    while with_separators(count) < room {
        count += 1;
    }
    let padded = zero_padded(digits, count);
    let mut out = String::with_capacity(with_separators(count));
    for (index, digit) in padded.chars().enumerate() {
        if index > 0 && (count - index).is_multiple_of(group) {
            out.push(separator);
        }
        out.push(digit);
    }
    out
}
