//! Finds what in a value does not fit, by its JSON Schema, where serde only says that none of several forms matched.

use serde_json::Value as Json;

use super::mismatch::Why;
use super::node::{Entry, Node, Value};
use super::scalar::{Number, number};
use super::{ConfigPath, Segment, deserialize};

/// References that are followed one after another; a schema that refers to itself alone would never end.
const REFERENCES_MAX: usize = 16;

/// Levels of a value that are looked into.
const DEPTH_MAX: usize = 32;

/// The deepest place below `path` that does not fit, and why; `None` when the schema finds nothing wrong.
pub(super) fn blame(schema: &Json, root: &Node, path: &ConfigPath) -> Option<(ConfigPath, Why)> {
    let schemas = Schemas { root: schema };
    let here = path.0.iter().try_fold(schema, |schema, segment| schemas.child(schema, segment))?;
    schemas.misfit(here, root.at(path)?, path, 0)
}

#[derive(Clone, Copy)]
struct Schemas<'a> {
    root: &'a Json,
}

impl<'a> Schemas<'a> {
    fn resolve(self, mut schema: &'a Json) -> &'a Json {
        for _ in 0..REFERENCES_MAX {
            let reference = schema.get("$ref").and_then(Json::as_str).and_then(|name| name.strip_prefix('#'));
            match reference.and_then(|pointer| self.root.pointer(pointer)) {
                Some(next) => schema = next,
                None => break,
            }
        }
        schema
    }

    /// The forms that a value may have; one for most.
    fn forms(self, schema: &'a Json) -> Vec<&'a Json> {
        let schema = self.resolve(schema);
        let several = ["anyOf", "oneOf"].iter().find_map(|key| schema.get(key)).and_then(Json::as_array);
        match several {
            Some(forms) if schema.get("properties").is_none() => {
                forms.iter().flat_map(|form| self.forms(form)).collect()
            }
            _ => vec![schema],
        }
    }

    fn child(self, schema: &'a Json, segment: &Segment) -> Option<&'a Json> {
        self.forms(schema).into_iter().find_map(|form| match segment {
            Segment::Key(key) => property(form, key),
            Segment::Index(_) => form.get("items"),
        })
    }

    fn misfit(self, schema: &'a Json, node: &Node, path: &ConfigPath, depth: usize) -> Option<(ConfigPath, Why)> {
        if depth > DEPTH_MAX || node.dropped {
            return None;
        }
        let forms: Vec<_> = self.forms(schema).into_iter().filter(|form| fits_type(form, node)).collect();
        let misfits: Vec<_> = forms.iter().map(|form| self.misfit_in(form, node, path, depth)).collect();
        match misfits.as_slice() {
            [] => Some((path.clone(), Why::Expected(self.describe(schema)))),
            [one] => one.clone(),
            several if several.iter().any(Option::is_none) => None,
            _ => Some((path.clone(), Why::Expected(self.describe(schema)))),
        }
    }

    /// What does not fit in a value of the right type.
    fn misfit_in(self, form: &'a Json, node: &Node, path: &ConfigPath, depth: usize) -> Option<(ConfigPath, Why)> {
        match &node.value {
            Value::List(items) => items.iter().enumerate().find_map(|(index, item)| {
                form.get("items").and_then(|schema| self.misfit(schema, item, &path.index(index), depth + 1))
            }),
            Value::Mapping(entries) => {
                let mut live = entries.iter().filter(|entry| !entry.value.dropped);
                let wrong = live.find_map(|entry| self.misfit_at(form, entry, path, depth));
                wrong.or_else(|| missing(form, node, path))
            }
            Value::Text(text) => match words(form) {
                Some(words) if !words.contains(&text.as_str()) => {
                    Some((path.clone(), Why::Expected(deserialize::names(&words))))
                }
                _ => None,
            },
            _ => None,
        }
    }

    fn misfit_at(self, form: &'a Json, entry: &Entry, path: &ConfigPath, depth: usize) -> Option<(ConfigPath, Why)> {
        let path = path.key(&entry.key);
        match property(form, &entry.key) {
            Some(schema) => self.misfit(schema, &entry.value, &path, depth + 1),
            None if form.get("additionalProperties") == Some(&Json::Bool(false)) => {
                Some((path, Why::UnknownKey(keys(form))))
            }
            None => None,
        }
    }

    /// What a schema expects, for people.
    fn describe(self, schema: &'a Json) -> String {
        let mut forms: Vec<String> = self.forms(schema).into_iter().filter_map(describe_form).collect();
        forms.dedup();
        if forms.is_empty() { "another value".to_owned() } else { forms.join(" or ") }
    }
}

fn property<'a>(form: &'a Json, key: &str) -> Option<&'a Json> {
    let named = form.get("properties").and_then(|properties| properties.get(key));
    named.or_else(|| form.get("additionalProperties").filter(|schema| schema.is_object()))
}

fn keys(form: &Json) -> Vec<String> {
    let properties = form.get("properties").and_then(Json::as_object);
    properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default()
}

fn words(form: &Json) -> Option<Vec<&str>> {
    match (form.get("enum").and_then(Json::as_array), form.get("const").and_then(Json::as_str)) {
        (Some(words), _) => Some(words.iter().filter_map(Json::as_str).collect()),
        (None, word) => word.map(|word| vec![word]),
    }
}

fn missing(form: &Json, node: &Node, path: &ConfigPath) -> Option<(ConfigPath, Why)> {
    let required = form.get("required")?.as_array()?.iter().filter_map(Json::as_str);
    let mut missing =
        required.filter(|key| node.child(&Segment::Key((*key).to_owned())).is_none_or(|child| child.dropped));
    missing.next().map(|key| (path.clone(), Why::Missing(key.to_owned())))
}

fn types(form: &Json) -> Vec<&str> {
    match form.get("type") {
        Some(Json::String(one)) => vec![one],
        Some(Json::Array(several)) => several.iter().filter_map(Json::as_str).collect(),
        _ if words(form).is_some() => vec!["string"],
        _ => Vec::new(),
    }
}

fn fits_type(form: &Json, node: &Node) -> bool {
    let types = types(form);
    let has = |name| types.contains(&name);
    types.is_empty()
        || match &node.value {
            Value::Null => has("null"),
            Value::Bool(_) => has("boolean"),
            Value::Number(text) => has("number") || has("integer") && matches!(number(text), Some(Number::Int(_))),
            Value::Text(_) => has("string"),
            Value::List(_) => has("array"),
            Value::Mapping(_) => has("object"),
        }
}

fn describe_form(form: &Json) -> Option<String> {
    if let Some(words) = words(form) {
        return Some(deserialize::names(&words));
    }
    let required: Vec<&str> =
        form.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect();
    let described = match *types(form).iter().find(|name| **name != "null")? {
        "string" => "text".to_owned(),
        "boolean" => "true or false".to_owned(),
        "integer" => "a whole number".to_owned(),
        "array" => "a list".to_owned(),
        "object" if required.is_empty() => "a mapping".to_owned(),
        "object" => format!("a mapping with `{}`", required.join("`, `")),
        other => format!("a {other}"),
    };
    Some(described)
}
