//! Words what does not fit for the people who wrote it, without what must not be shown.

use super::ConfigPath;
use super::deserialize::names;
use super::fault::Fault;
use super::mask;
use super::mismatch::{Found, Why};
use super::node::{Node, Origin, Value};
use super::scalar::{line, number, shown};
use super::{Problem, Segment, nearest};

/// What a value from the environment is called in a message.
const ENVIRONMENT: &str = "a value from the environment";

/// What a secret is called in a message.
const SECRET: &str = "a secret";

/// Keys that are named when no known one is near.
const KEYS_SHOWN_MAX: usize = 16;

/// The problem that people see; `None` when it is but the consequence of an earlier one.
pub(super) fn word(root: &Node, found: &Found) -> Option<Fault> {
    let node = root.at(&found.path)?;
    let (message, help) = match &found.why {
        Why::Missing(key) if dropped_near(node, &[key]) => return None,
        Why::NoKind(kinds) if dropped_near(node, kinds) => return None,
        Why::NoVariant if any_dropped(node) => return None,
        Why::Missing(key) => (format!("missing key `{key}`"), None),
        Why::NoKind(kinds) => ("the kind is missing".to_owned(), Some(one_of(kinds))),
        Why::Expected(expected) if found.at_key => (format!("expected {expected} as a key"), None),
        Why::Expected(expected) => expected_found(expected, node, found),
        Why::UnknownKey(known) => {
            (format!("unknown key `{}`", last_key(&found.path)), suggestion(&last(&found.path), known))
        }
        Why::UnknownName { given, known } => unknown_name(given, known, node, found),
        Why::Second(first) => (format!("`{}` and `{first}` exclude each other", last_key(&found.path)), None),
        Why::NoVariant => ("the value has none of the forms that are possible here".to_owned(), None),
        Why::Own(words) => (scrub(words, &unshown(node, &found.path, found.secret)), None),
    };
    let mut problem = Problem::error(found.path.clone(), message);
    problem.help = help;
    problem.at_key = found.at_key;
    let position =
        Some(root.pointer(&found.path, found.at_key)).filter(|position| position.end > 0 || !root.entries().is_empty());
    Some(Fault { problem, position, also: first_position(root, found) })
}

/// Whether a key that was found wrong before is, or was meant to be, one of these: that it is missing now is no news.
fn dropped_near<S: AsRef<str>>(node: &Node, keys: &[S]) -> bool {
    let mut dropped = node.entries().iter().filter(|entry| entry.value.dropped);
    dropped.any(|entry| nearest(&entry.key, keys.iter().map(AsRef::as_ref)).is_some())
}

fn any_dropped(node: &Node) -> bool {
    node.dropped
        || match &node.value {
            Value::List(items) => items.iter().any(any_dropped),
            _ => node.entries().iter().any(|entry| any_dropped(&entry.value)),
        }
}

/// The place of the first of two that exclude each other.
fn first_position(root: &Node, found: &Found) -> Option<(super::node::Position, String)> {
    let Why::Second(first) = &found.why else { return None };
    let (_, parent) = found.path.0.split_last()?;
    let path = ConfigPath(parent.to_vec()).key(first);
    Some((root.pointer(&path, true), "first here".to_owned()))
}

fn last(path: &ConfigPath) -> String {
    match path.0.last() {
        Some(Segment::Key(key)) => key.clone(),
        _ => String::new(),
    }
}

fn last_key(path: &ConfigPath) -> String {
    shown(&last(path))
}

fn one_of<S: AsRef<str>>(known: &[S]) -> String {
    format!("write {}", names(known))
}

fn suggestion<S: AsRef<str>>(given: &str, known: &[S]) -> Option<String> {
    match nearest(given, known.iter().map(AsRef::as_ref)) {
        Some(name) => Some(format!("did you mean `{name}`?")),
        None if known.is_empty() => Some("nothing can be written here".to_owned()),
        None if known.len() > KEYS_SHOWN_MAX => None,
        None => Some(one_of(known)),
    }
}

fn unknown_name(given: &str, known: &[&str], node: &Node, found: &Found) -> (String, Option<String>) {
    if found.at_key {
        return (format!("unknown name `{}`", shown(given)), suggestion(given, known));
    }
    if node.origin == Origin::Environment {
        return (format!("{ENVIRONMENT} is no known name"), Some(one_of(known)));
    }
    (format!("unknown value `{}`", shown(given)), suggestion(given, known))
}

fn expected_found(expected: &str, node: &Node, found: &Found) -> (String, Option<String>) {
    let echo = !found.secret && node.origin != Origin::Environment && mask::of_path(&found.path).is_none();
    let help = if echo { help(expected, &node.value) } else { None };
    let found = if node.origin == Origin::Environment { ENVIRONMENT.to_owned() } else { describe(&node.value, echo) };
    (format!("expected {expected}, found {found}"), help)
}

fn describe(value: &Value, echo: bool) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(truth) if echo => format!("`{truth}`"),
        Value::Bool(_) => "a truth value".to_owned(),
        Value::Number(text) if echo => format!("the number `{}`", shown(text)),
        Value::Number(_) => "a number".to_owned(),
        Value::Text(text) if text.is_empty() => "empty text".to_owned(),
        Value::Text(text) if echo => format!("text `{}`", shown(text)),
        Value::Text(_) => "text".to_owned(),
        Value::List(_) => "a list".to_owned(),
        Value::Mapping(_) => "a mapping".to_owned(),
    }
}

fn help(expected: &str, value: &Value) -> Option<String> {
    let numeric = expected.contains("number");
    match value {
        Value::Bool(truth) if expected == "text" => Some(format!("write it in quotes: \"{truth}\"")),
        Value::Number(text) if expected == "text" => Some(format!("write it in quotes: \"{}\"", shown(text))),
        Value::Text(text) if numeric && number(text).is_some() => {
            Some(format!("write it without quotes: {}", shown(text)))
        }
        Value::Text(text) if expected == "true or false" => truth(text).map(|truth| format!("write `{truth}`")),
        Value::Text(text) if expected == "a list" => Some(format!("write it as a list: [{}]", shown(text))),
        Value::Mapping(_) if expected == "a list" => Some("begin each of its items with `- `".to_owned()),
        Value::Null if expected == "a mapping" => Some("write `{}` for one without keys".to_owned()),
        Value::Null if expected == "a list" => Some("write `[]` for one without items".to_owned()),
        _ => None,
    }
}

/// What older YAML would have read.
fn truth(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "yes" | "y" | "on" | "true" => Some(true),
        "no" | "n" | "off" | "false" => Some(false),
        _ => None,
    }
}

/// The texts in a value that a message about it must not repeat, and what to call each instead.
pub(super) fn unshown(node: &Node, path: &ConfigPath, secret: bool) -> Vec<(String, &'static str)> {
    let mut texts = Vec::new();
    collect(node, secret || mask::of_path(path).is_some(), &mut texts);
    texts.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
    texts
}

fn collect(node: &Node, secret: bool, texts: &mut Vec<(String, &'static str)>) {
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| collect(item, secret, texts)),
        Value::Mapping(entries) => {
            entries.iter().for_each(|entry| collect(&entry.value, secret || mask::of_key(&entry.key).is_some(), texts));
        }
        _ => {
            let stand_in =
                if node.origin == Origin::Environment { Some(ENVIRONMENT) } else { secret.then_some(SECRET) };
            let text = node.text().filter(|text| !text.is_empty());
            texts.extend(text.zip(stand_in).map(|(text, stand_in)| (text.to_owned(), stand_in)));
        }
    }
}

/// A message without these texts. When a part of one is still in it, the message is replaced as a whole.
pub(super) fn scrub(message: &str, texts: &[(String, &'static str)]) -> String {
    let mut clean = message.to_owned();
    for (text, stand_in) in texts {
        clean = clean.replace(&format!("`{text}`"), stand_in);
        if text.chars().count() >= PART_CHARS {
            clean = clean.replace(text.as_str(), stand_in);
        }
    }
    let rest = clean.replace(ENVIRONMENT, "").replace(SECRET, "");
    match texts.iter().find(|(text, _)| leaks(&rest, text)) {
        Some((_, stand_in)) => format!("{stand_in} is not valid here"),
        None => line(&clean),
    }
}

/// So many characters of a secret in a row are never there by chance.
const PART_CHARS: usize = 4;

/// Longer texts are not searched for in parts: then a message is not trusted at all.
const TEXT_BYTES_MAX: usize = 4096;

fn leaks(message: &str, text: &str) -> bool {
    // The scheme of an address is no secret, and messages name it.
    let text: Vec<char> = text.rsplit("://").next().unwrap_or(text).chars().collect();
    text.len() > TEXT_BYTES_MAX
        || text.windows(PART_CHARS).any(|part| message.contains(&part.iter().collect::<String>()))
}
