//! Spells Python's numbers: integers, truth values, floats by their shortest digits, decimals with their zeros.

use super::Unknown;
use crate::event::Value;

/// The integer that a value is.
pub(super) fn int(value: &Value<'_>) -> Result<i128, Unknown> {
    match value {
        Value::Int(number) => Ok(*number),
        Value::Text(text) => text.parse().map_err(|_| "no integer, but its type is int"),
        _ => Err("no integer, but its type is int"),
    }
}

/// The truth value that a value is: databases publish it as a number or a letter too.
pub(super) fn truth(value: &Value<'_>) -> Result<bool, Unknown> {
    match value {
        Value::Bool(truth) => Ok(*truth),
        Value::Int(1) => Ok(true),
        Value::Int(0) => Ok(false),
        Value::Text(text) => match text.as_ref() {
            "true" | "True" | "t" | "1" => Ok(true),
            "false" | "False" | "f" | "0" => Ok(false),
            _ => Err("no truth value, but its type is bool"),
        },
        _ => Err("no truth value, but its type is bool"),
    }
}

/// The float that a value is.
pub(super) fn float_of(value: &Value<'_>) -> Result<f64, Unknown> {
    const WRONG: Unknown = "no number, but its type is float";
    match value {
        Value::Float(number) => Ok(*number),
        // The nearest float, as `float()` of the integer is.
        Value::Int(number) => Ok(*number as f64),
        Value::Text(text) => text.trim().parse().map_err(|_| WRONG),
        _ => Err(WRONG),
    }
}

/// Whether a JSON number that was read as a float may have been an integer that no decoder keeps: digits without a fraction,
/// beyond 64 bits.
pub(super) const fn may_be_a_wide_integer(number: f64) -> bool {
    // The smallest magnitude that is none of the integers of 64 bits, signed or not.
    const WIDE: f64 = 9_223_372_036_854_775_808.0;
    number.abs() >= WIDE
}

/// `repr()` of a float: the fewest digits that give the same float again, with an exponent from 1e16 up and below 1e-4.
#[must_use]
pub fn float(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let fixed = format!("{number}");
    if fixed.contains('.') { fixed } else { fixed + ".0" }
}

/// A decimal number as it is published: its sign, its digits and where the point stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    negative: bool,
    /// Without leading zeros, but at least one digit; empty for what is no number.
    digits: String,
    exponent: i64,
    /// `Infinity` or `NaN`.
    special: Option<&'static str>,
}

impl Decimal {
    /// The decimal that a value is.
    pub(super) fn of(value: &Value<'_>) -> Result<Self, Unknown> {
        match value {
            Value::Text(text) => Self::parse(text.trim()).ok_or("no decimal number, but its type is decimal"),
            _ => Err("a decimal that was not published as text, so that its zeros are lost; publish it as text"),
        }
    }

    /// Reads `1.50`, `-1E+3`, `NaN`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        /// More would be no column of any database.
        const EXPONENT_MAX: u64 = 100_000;
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let special = match rest.to_ascii_lowercase().as_str() {
            "inf" | "infinity" => Some("Infinity"),
            "nan" => Some("NaN"),
            _ => None,
        };
        if special.is_some() {
            return Some(Self { negative, digits: String::new(), exponent: 0, special });
        }
        let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let exponent = exponent.parse::<i64>().ok().filter(|exponent| exponent.unsigned_abs() <= EXPONENT_MAX)?;
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let significant = digits.trim_start_matches('0');
        let digits = if significant.is_empty() { "0" } else { significant }.to_owned();
        let exponent = exponent - i64::try_from(fraction.len()).ok()?;
        Some(Self { negative, digits, exponent, special })
    }

    /// `str()` of it, by the rules of the General Decimal Arithmetic specification.
    #[must_use]
    pub fn text(&self) -> String {
        let sign = if self.negative { "-" } else { "" };
        if let Some(special) = self.special {
            return format!("{sign}{special}");
        }
        let length = i64::try_from(self.digits.len()).unwrap_or(i64::MAX);
        let adjusted = self.exponent + length - 1;
        if self.exponent > 0 || adjusted < -6 {
            let (first, rest) = self.digits.split_at(1);
            let point = if rest.is_empty() { "" } else { "." };
            return format!("{sign}{first}{point}{rest}E{adjusted:+}");
        }
        format!("{sign}{}", self.fixed())
    }

    /// It in fixed form with so many digits behind the point, or its own where none are given; halves go to the even digit.
    /// `None` for what is no number, and for one that only thousands of zeros would write: no key is that long.
    #[must_use]
    pub fn rounded(&self, precision: Option<usize>) -> Option<String> {
        const ZEROS_MAX: usize = 4096;
        let sign = if self.negative { "-" } else { "" };
        if self.special.is_some() {
            return None;
        }
        let zeros = usize::try_from(self.exponent).unwrap_or_default();
        let have = usize::try_from(-self.exponent).unwrap_or_default();
        let want = precision.unwrap_or(have);
        if zeros > ZEROS_MAX || want.saturating_sub(self.digits.len()) > ZEROS_MAX {
            return None;
        }
        let mut digits = format!("{}{}", self.digits, "0".repeat(zeros));
        if want >= have {
            digits.push_str(&"0".repeat(want - have));
        } else {
            digits = half_even(&digits, have - want);
        }
        let significant = digits.trim_start_matches('0');
        let digits = if significant.is_empty() { "0" } else { significant }.to_owned();
        let plain = Self { digits, exponent: -i64::try_from(want).ok()?, ..self.clone() };
        Some(format!("{sign}{}", plain.fixed()))
    }

    /// Its digits with the point where it belongs, without a sign; its exponent is not above zero.
    fn fixed(&self) -> String {
        let fraction = usize::try_from(-self.exponent).unwrap_or_default();
        if fraction == 0 {
            return self.digits.clone();
        }
        let padded = zero_padded(&self.digits, fraction + 1);
        let (whole, fraction) = padded.split_at(padded.len() - fraction);
        format!("{whole}.{fraction}")
    }
}

/// Digits with as many zeros in front as make them so long. A width in a format may not exceed 65,535, and panics.
pub(in crate::key) fn zero_padded(digits: &str, width: usize) -> String {
    format!("{}{digits}", "0".repeat(width.saturating_sub(digits.len())))
}

/// The digits without the last so many, rounded.
fn half_even(digits: &str, cut: usize) -> String {
    if cut > digits.len() {
        // Less than a tenth of the last place that is kept.
        return "0".to_owned();
    }
    let (kept, gone) = digits.split_at(digits.len() - cut);
    let (first, rest) = gone.split_at(1.min(gone.len()));
    let is_odd = kept.bytes().last().is_some_and(|digit| digit % 2 == 1);
    let up = first > "5" || (first == "5" && (is_odd || rest.bytes().any(|digit| digit != b'0')));
    let mut out = kept.as_bytes().to_vec();
    let mut carry = up;
    for digit in out.iter_mut().rev() {
        if !carry {
            break;
        }
        carry = *digit == b'9';
        *digit = if carry { b'0' } else { *digit + 1 };
    }
    let kept: String = out.into_iter().map(char::from).collect();
    match (carry, kept.is_empty()) {
        (true, _) => format!("1{kept}"),
        (false, true) => "0".to_owned(),
        (false, false) => kept,
    }
}
