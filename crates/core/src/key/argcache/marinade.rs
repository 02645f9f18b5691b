//! Gives arguments the text that ArgCache gives them: `str()`, but for lists.

use crate::event::Value;
use crate::key::key_set::Arg;
use crate::key::python::{Object, Unknown};
use crate::key::{Filled, KeyError};

/// The text of an argument; of one that is any, that of `None`.
///
/// # Errors
/// [`KeyError::Unspellable`].
pub(super) fn of(filled: &Filled<'_, '_>, arg: usize) -> Result<String, KeyError> {
    let known = filled.get(arg).unwrap_or(Arg { value: &Value::Null, declared: None });
    let mut text = String::new();
    marinade(known, &mut text).map_err(|why| KeyError::Unspellable { arg: filled.name(arg).to_owned(), why })?;
    Ok(text)
}

/// Only lists are taken apart, and lists in them; a tuple or an object has its `repr()`.
fn marinade(arg: Arg<'_>, out: &mut String) -> Result<(), Unknown> {
    let items = match Object::of(arg)? {
        Object::List(items) => items,
        object => return object.str(out),
    };
    out.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        marinade(Arg::from(item), out)?;
    }
    out.push(']');
    Ok(())
}
