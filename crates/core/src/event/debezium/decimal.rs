//! Writes Kafka Connect's decimals (a big integer in base64, and a scale) as exact text.

use crate::event::base64;

/// Longer numbers are refused: writing them takes time that grows with the square of their length.
const BYTES_MAX: usize = 512;
/// PostgreSQL's largest scale.
const SCALE_MAX: usize = 16_383;

/// The decimal, with exactly `scale` digits after the point; `None` when it is not one.
pub(super) fn text(encoded: &str, scale: i32) -> Option<String> {
    // Four digits of base64 are three bytes.
    if encoded.len() > BYTES_MAX * 4 / 3 + 4 {
        return None;
    }
    let bytes = base64::decode(encoded).filter(|bytes| !bytes.is_empty())?;
    let negative = bytes[0] >= 0x80;
    let digits = digits(&if negative { negated(bytes) } else { bytes });
    let sign = if negative { "-" } else { "" };
    Some(format!("{sign}{}", with_point(digits, scale)?))
}

/// Two's complement, big end first: the magnitude of a negative number.
fn negated(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut carry = true;
    for byte in bytes.iter_mut().rev() {
        let (sum, over) = (!*byte).overflowing_add(u8::from(carry));
        (*byte, carry) = (sum, over);
    }
    bytes
}

/// Divides by a billion until nothing is left, four bytes at a time.
fn digits(magnitude: &[u8]) -> String {
    const BILLION: u64 = 1_000_000_000;
    let word = |bytes: &[u8]| bytes.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
    let mut words: Vec<u32> = magnitude.rchunks(4).map(word).collect();
    let mut groups = Vec::new();
    while words.iter().any(|word| *word != 0) {
        let mut rest = 0_u64;
        for word in words.iter_mut().rev() {
            let value = rest << 32 | u64::from(*word);
            (*word, rest) = ((value / BILLION) as u32, value % BILLION);
        }
        groups.push(format!("{rest:09}"));
    }
    let digits: String = groups.into_iter().rev().collect();
    digits.trim_start_matches('0').to_owned()
}

fn with_point(digits: String, scale: i32) -> Option<String> {
    let decimals = usize::try_from(scale.unsigned_abs()).ok().filter(|decimals| *decimals <= SCALE_MAX)?;
    if scale <= 0 {
        let zeros = if digits.is_empty() { 0 } else { decimals };
        let whole = if digits.is_empty() { "0" } else { &digits };
        return Some(format!("{whole}{}", "0".repeat(zeros)));
    }
    let padded = format!("{digits:0>width$}", width = decimals + 1);
    let (whole, fraction) = padded.split_at(padded.len() - decimals);
    Some(format!("{whole}.{fraction}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_written_exactly() {
        let cases = [
            ("dzWUAA==", 6, Some("2000.000000")),
            ("AA==", 2, Some("0.00")),
            ("AQ==", 2, Some("0.01")),
            ("/w==", 2, Some("-0.01")),
            ("gA==", 0, Some("-128")),
            ("BNI=", 0, Some("1234")),
            ("BNI=", -2, Some("123400")),
            ("AA==", -2, Some("0")),
            ("EjRWeJCrze8=", 3, Some("1311768467294899.695")),
            ("DeC2s6dkAAA=", 0, Some("1000000000000000000")),
            ("AQAAAAAAAAAA", 1, Some("1844674407370955161.6")),
            ("", 2, None),
            ("?", 2, None),
            ("AQ==", i32::MIN, None),
        ];
        for (encoded, scale, expected) in cases {
            assert_eq!(text(encoded, scale).as_deref(), expected, "{encoded} with scale {scale}");
        }
        assert_eq!(text(&"A".repeat(1000), 0), None);
    }
}
