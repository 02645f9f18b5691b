//! Says what a message itself tells of a change, before any rule looks at it.

use std::collections::BTreeSet;

use quash_core::event::{Change, Event, Op, Row, Value};

/// What one change of a message says, for people.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The entity, with its relation behind it; `None` for a direct command.
    pub(super) entity: Option<String>,
    /// The columns that differ between the images, as `author_id 3 → 4`.
    pub(super) differences: Vec<String>,
    /// What the publisher left out that rules may need.
    pub(super) missing: Option<&'static str>,
}

impl Seen {
    pub(super) fn of(change: &Change<'_>) -> Self {
        let Change::Event(event) = change else { return Self::default() };
        let relation = event.relation.as_ref().map(|relation| format!(".{}", relation.name)).unwrap_or_default();
        Self {
            entity: Some(format!("{}{relation}", event.entity)),
            differences: differences(event),
            missing: missing(event),
        }
    }
}

fn missing(event: &Event<'_>) -> Option<&'static str> {
    match (event.op, &event.before, &event.changed) {
        (Op::Update, None, None) => Some("no `before` and no `changed`: any column may have had another value"),
        (Op::Update, None, Some(_)) => Some("no `before`: what the changed columns were is unknown"),
        (Op::Delete, None, _) => Some("no `before`: only the key of the deleted row is known"),
        _ => None,
    }
}

fn differences(event: &Event<'_>) -> Vec<String> {
    if let Some(relation) = &event.relation {
        let ends = relation.to.iter().map(|row| format!("to {}", columns(row)));
        return std::iter::once(format!("from {}", columns(&relation.from))).chain(ends).collect();
    }
    match (&event.before, &event.after) {
        (Some(before), Some(after)) => changed(before, after, event),
        (None, Some(row)) | (Some(row), None) => vec![columns(row)],
        (None, None) => Vec::new(),
    }
}

/// Columns whose values differ, in the order of the after image.
fn changed(before: &Row<'_>, after: &Row<'_>, event: &Event<'_>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let names = after.0.iter().chain(&before.0).map(|(name, _)| name.as_ref());
    let names = names.filter(|name| seen.insert(*name));
    let said = |name: &str| event.changed.as_ref().is_none_or(|changed| changed.iter().any(|known| known == name));
    names
        .filter_map(|name| match (before.get(name), after.get(name)) {
            (Some(was), Some(is)) => (was != is).then(|| format!("{name} {} → {}", value(was), value(is))),
            (None, Some(is)) if said(name) => Some(format!("{name} ? → {}", value(is))),
            (Some(was), None) if said(name) => Some(format!("{name} {} → ?", value(was))),
            _ => None,
        })
        .collect()
}

fn columns(row: &Row<'_>) -> String {
    row.0.iter().map(|(name, is)| format!("{name}={}", value(is))).collect::<Vec<_>>().join(" ")
}

fn value(value: &Value<'_>) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Text(text) => shortened(text),
        Value::List(values) => format!("[{} values]", values.len()),
        Value::Object(_) => "{…}".to_owned(),
    }
}

/// Long text says nothing more about a change than its beginning.
fn shortened(text: &str) -> String {
    const CHARS_MAX: usize = 40;
    let mut chars = text.chars();
    let short: String = chars.by_ref().take(CHARS_MAX).collect();
    if chars.next().is_some() { format!("\"{short}…\"") } else { format!("\"{short}\"") }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use quash_core::event::Types;

    use super::*;

    fn row<'a>(columns: &[(&'a str, Value<'a>)]) -> Row<'a> {
        Row(columns.iter().map(|(name, value)| (Cow::Borrowed(*name), value.clone())).collect())
    }

    fn event<'a>(op: Op, before: Option<Row<'a>>, after: Option<Row<'a>>, changed: Option<&[&'a str]>) -> Change<'a> {
        Change::Event(Event {
            id: None,
            source: None,
            entity: "shop.Book".into(),
            op,
            key: row(&[("id", Value::Int(1))]),
            before,
            after,
            filled: false,
            changed: changed.map(|names| names.iter().map(|&name| name.into()).collect()),
            types: Types::default(),
            relation: None,
            time_us: None,
            origin: None,
            traceparent: None,
            transaction: None,
            answer: None,
        })
    }

    #[test]
    fn what_changed_is_told_from_both_images() {
        let book =
            |author, title: &'static str| row(&[("author", Value::Int(author)), ("title", Value::Text(title.into()))]);
        let seen = Seen::of(&event(Op::Update, Some(book(3, "A")), Some(book(4, "A")), None));
        assert_eq!(seen.entity.as_deref(), Some("shop.Book"));
        assert_eq!(seen.differences, ["author 3 → 4"]);
        assert_eq!(seen.missing, None);
    }

    #[test]
    fn what_the_publisher_left_out_is_told() {
        let book = || Some(row(&[("author", Value::Int(4)), ("title", Value::Text("A".into()))]));
        let partly = Some(row(&[("title", Value::Text("B".into()))]));
        let seen = Seen::of(&event(Op::Update, partly, book(), Some(&["author", "title"])));
        assert_eq!(seen.differences, ["author ? → 4", "title \"B\" → \"A\""]);
        assert!(Seen::of(&event(Op::Update, None, book(), None)).missing.is_some());
        assert!(Seen::of(&event(Op::Delete, None, None, None)).missing.is_some());
        assert!(Seen::of(&event(Op::Create, None, book(), None)).missing.is_none());
    }
}
