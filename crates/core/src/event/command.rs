//! Decodes direct commands: `{"invalidate": {…}}`.

use std::borrow::Cow;

use super::fields::{object, text};
use super::problem::{described, malformed, quoted};
use super::{Command, DecodeError, Invalidate, Value};
use crate::answer::AnswerId;

/// The names that say what to invalidate; a command has exactly one of them.
const WHAT: [&str; 4] = ["cache", "key", "prefix", "tag"];

/// Decodes the value of `invalidate`.
///
/// Unlike in events an unknown name is refused: a misspelt `args` or `target` would widen the command to everything.
pub(super) fn command<'a>(
    value: Value<'a>,
    id: Option<Cow<'a, str>>,
    time_us: Option<i64>,
    answer: Option<AnswerId>,
) -> Result<Command<'a>, DecodeError> {
    let Value::Object(row) = value else {
        return Err(malformed(format!("`invalidate` is {}: expected {}", described(&value), expected())));
    };
    let (mut named, mut args, mut target) = (None, None, None);
    for (name, value) in row.0 {
        match &*name {
            "args" => args = object("args", Some(value))?,
            "target" if value == Value::Null => {}
            "target" => target = Some(content("target", value)?),
            _ => match WHAT.into_iter().find(|what| *what == name) {
                Some(what) if named.is_none() => named = Some((what, content(what, value)?)),
                Some(_) => return Err(malformed(format!("`invalidate` names more than one: expected {}", expected()))),
                None => {
                    return Err(malformed(format!(
                        "`invalidate` has the unknown field {}: expected {}",
                        quoted(&name),
                        expected()
                    )));
                }
            },
        }
    }
    let what = match named {
        Some(("cache", cache)) => Invalidate::Cache { cache, args: args.take().unwrap_or_default() },
        Some(("key", key)) => Invalidate::Key(key),
        Some(("prefix", prefix)) => Invalidate::Prefix(prefix),
        Some((_, tag)) => Invalidate::Tag(tag),
        None => return Err(malformed(format!("`invalidate` names nothing: expected {}", expected()))),
    };
    if args.is_some() {
        return Err(malformed("`invalidate` has `args`, which only `cache` takes"));
    }
    Ok(Command { what, target, id, time_us, answer })
}

fn content<'a>(name: &str, value: Value<'a>) -> Result<Cow<'a, str>, DecodeError> {
    text(name, Some(value))?
        .filter(|text| !text.is_empty())
        .ok_or_else(|| malformed(format!("`{name}` of `invalidate` is empty")))
}

const fn expected() -> &'static str {
    "exactly one of `cache` (with `args`), `key`, `prefix` and `tag`, and perhaps a `target`"
}
