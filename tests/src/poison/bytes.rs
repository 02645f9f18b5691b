//! Makes bytes of an expression of the corpus.

use serde_json::Value;

/// The bytes that an expression of the corpus stands for; `n` stands for a number.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn bytes(expression: &Value, n: usize) -> Vec<u8> {
    numbered(expression, n, None)
}

fn numbered(expression: &Value, n: usize, place: Option<usize>) -> Vec<u8> {
    let inner = |name: &str| numbered(&expression[name], n, place);
    let number = |name: &str| match &expression[name] {
        Value::String(text) if text == "n" => Some(n),
        other => other.as_u64().and_then(|number| usize::try_from(number).ok()),
    };
    match expression {
        Value::Null => Vec::new(),
        Value::String(text) => place.map_or(text.clone(), |place| text.replace('#', &place.to_string())).into_bytes(),
        Value::Array(parts) => parts.iter().flat_map(|part| numbered(part, n, place)).collect(),
        _ => {
            if let Some(hex) = expression["hex"].as_str() {
                let byte =
                    |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).expect("hex"), 16).expect("hex");
                return hex.as_bytes().chunks(2).map(byte).collect();
            }
            if expression.get("short").is_some() {
                let text = inner("short");
                return [&[u8::try_from(text.len()).expect("at most 255 octets")][..], &text].concat();
            }
            if expression.get("long").is_some() {
                return long(&inner("long"));
            }
            if let Some(depth) = number("deep") {
                return (1..depth).fold(Vec::new(), |inner, _| [b"A", &long(&inner)[..]].concat());
            }
            for (name, between) in [("list", ","), ("each", "")] {
                if let Some(count) = number(name) {
                    let each = (0..count).map(|place| numbered(&expression["of"], n, Some(place)));
                    return each.collect::<Vec<_>>().join(between.as_bytes());
                }
            }
            let times = number("times").unwrap_or_else(|| panic!("{expression} stands for nothing"));
            if expression.get("of").is_some() {
                return inner("of").repeat(times);
            }
            [inner("open").repeat(times), inner("around"), inner("close").repeat(times)].concat()
        }
    }
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).expect("it is short").to_be_bytes()[..], bytes].concat()
}
