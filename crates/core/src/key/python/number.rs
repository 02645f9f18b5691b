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
        /// More would be no column of any database, and must not be padded with zeros by the gigabyte.
        const EXPONENT_MAX: i64 = 100_000;
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
        let exponent = exponent.parse::<i64>().ok().filter(|exponent| exponent.abs() <= EXPONENT_MAX)?;
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
    /// `None` for what is no number.
    #[must_use]
    pub fn rounded(&self, precision: Option<usize>) -> Option<String> {
        let sign = if self.negative { "-" } else { "" };
        if self.special.is_some() {
            return None;
        }
        let mut plain = self.clone();
        if let Some(zeros) = usize::try_from(self.exponent).ok().filter(|zeros| *zeros > 0) {
            plain = Self { digits: format!("{}{}", self.digits, "0".repeat(zeros)), exponent: 0, ..plain };
        }
        let have = usize::try_from(-plain.exponent).unwrap_or_default();
        let want = precision.unwrap_or(have);
        if want >= have {
            plain.digits.push_str(&"0".repeat(want - have));
        } else {
            plain.digits = half_even(&format!("{:0>width$}", plain.digits, width = have + 1), have - want);
        }
        let significant = plain.digits.trim_start_matches('0');
        plain.digits = if significant.is_empty() { "0" } else { significant }.to_owned();
        plain.exponent = -i64::try_from(want).ok()?;
        Some(format!("{sign}{}", plain.fixed()))
    }

    /// Its digits with the point where it belongs, without a sign; its exponent is not above zero.
    fn fixed(&self) -> String {
        let fraction = usize::try_from(-self.exponent).unwrap_or_default();
        if fraction == 0 {
            return self.digits.clone();
        }
        let padded = format!("{:0>width$}", self.digits, width = fraction + 1);
        let (whole, fraction) = padded.split_at(padded.len() - fraction);
        format!("{whole}.{fraction}")
    }
}

/// The digits without the last so many, rounded.
fn half_even(digits: &str, cut: usize) -> String {
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
    if carry { format!("1{kept}") } else { kept }
}
