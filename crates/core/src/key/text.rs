//! Spells values as they stand in native keys; what cannot be known is refused, never guessed.

use crate::event::Value;
use crate::event::problem::float;

/// Appends the text of a value as it stands in a native key.
///
/// # Errors
/// When the spelling cannot be known from the event: numbers with a fraction or an exponent (languages print them
/// differently, and JSON has lost their zeros), lists and objects.
pub(crate) fn spell(value: &Value<'_>, out: &mut String) -> Result<(), &'static str> {
    match value {
        Value::Text(text) => out.push_str(text),
        Value::Int(number) => out.push_str(itoa::Buffer::new().format(*number)),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Null => out.push_str("null"),
        Value::Float(_) => {
            return Err(
                "a number with a fraction, whose spelling in a key is not known; publish it as text, or write it as Python's \
                 `repr()` does, with `!r` behind its name in the template: `{price!r}`",
            );
        }
        Value::List(_) => {
            return Err("a list as one value (inside a list, or of the type list), which no key can hold");
        }
        Value::Object(_) => return Err("an object; map a path into it"),
    }
    Ok(())
}

/// The text of a value for people.
#[must_use]
pub(crate) fn show(value: &Value<'_>) -> String {
    let mut text = String::new();
    match (value, spell(value, &mut text)) {
        (Value::Float(number), _) => float(*number),
        (_, Ok(())) => text,
        (Value::List(_), _) => "[…]".to_owned(),
        _ => "{…}".to_owned(),
    }
}
