//! Spells the changes of one table's rows as native events; what the log does not have of a row is left out, and so unknown.

use std::borrow::Cow;
use std::collections::BTreeSet;

use quash_core::event::{Op, Row, Value, postgres};

use super::pgoutput::{Columns, Datum, Identity, Old};
use super::types::{self, Names, Spelling};

/// A table as its rows look now.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Table {
    /// `schema.table`, as rules name it.
    pub(super) entity: String,
    identity: Identity,
    columns: Vec<Column>,
}

#[derive(Debug, Clone, PartialEq)]
struct Column {
    key: bool,
    /// With quotes, as it stands in JSON.
    name: String,
    oid: u32,
    spelling: Spelling,
    word: Option<&'static str>,
}

/// What bounds an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Bytes of an event at most. Values that are too long for it are left out, the longest first.
    pub(super) event_bytes: usize,
    /// Levels of nesting that a value may have.
    pub(super) value_depth: usize,
}

/// A change of a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change<'c> {
    /// What happened.
    pub(super) op: Op,
    /// The row before, as far as it was logged.
    pub(super) old: Option<&'c Old<'c>>,
    /// The row after.
    pub(super) new: Option<&'c [Datum<'c>]>,
}

/// Longer values are left out where an event with them would be too large.
const CAPS: [usize; 4] = [usize::MAX, 16 * 1024, 1024, 64];

/// The columns of a row that are known, in the order of the table.
type Known<'c> = Vec<Option<Datum<'c>>>;

impl Table {
    /// A table as the log describes it.
    pub(super) fn new(described: &Columns<'_>, names: &Names) -> Self {
        // The catalogue's own schema is not written out.
        let schema = if described.schema.is_empty() { "pg_catalog" } else { described.schema };
        let columns = described.columns.iter().map(|column| {
            let (spelling, word) = types::of(column.oid, names);
            Column {
                key: column.key,
                name: Value::Text(Cow::Borrowed(column.name)).json(),
                oid: column.oid,
                spelling,
                word,
            }
        });
        Self {
            entity: format!("{schema}.{}", described.table),
            identity: described.identity,
            columns: columns.collect(),
        }
    }

    /// Whether stored rows of the other may be read wrongly as rows of this: it has another name, other columns or types.
    pub(super) fn differs_from(&self, other: &Self) -> bool {
        let shape =
            |table: &Self| table.columns.iter().map(|column| (column.name.clone(), column.oid)).collect::<Vec<_>>();
        self.entity != other.entity || shape(self) != shape(other)
    }

    /// Appends the event of a change. Of one that no event can hold, all that is known is that something of the table changed: it
    /// becomes a truncate.
    pub(super) fn spell(&self, change: &Change<'_>, id: &str, bounds: Bounds, out: &mut Vec<u8>) {
        let start = out.len();
        for cap in CAPS {
            self.spell_within(change, id, cap, bounds.value_depth, out);
            if out.len() - start <= bounds.event_bytes {
                return;
            }
            out.truncate(start);
        }
        self.emptied(id, out);
    }

    /// Appends the event that all of its rows may have changed.
    pub(super) fn emptied(&self, id: &str, out: &mut Vec<u8>) {
        self.begin(Op::Truncate, id, out);
        out.push(b'}');
    }

    fn spell_within(&self, change: &Change<'_>, id: &str, cap: usize, depth: usize, out: &mut Vec<u8>) {
        let (before, after) = self.images(change);
        let key = self.key(before.as_ref(), after.as_ref());
        self.begin(change.op, id, out);
        let mut words = BTreeSet::new();
        for (field, image) in [("key", key), ("before", before), ("after", after)] {
            let Some(image) = image else { continue };
            out.extend_from_slice(format!(",\"{field}\":").as_bytes());
            self.row(&image, cap, depth, &mut words, out);
        }
        self.types(&words, out);
        out.push(b'}');
    }

    fn begin(&self, op: Op, id: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":\"");
        out.extend_from_slice(id.as_bytes());
        out.extend_from_slice(b"\",\"entity\":");
        Value::Text(Cow::Borrowed(&self.entity)).write(out);
        out.extend_from_slice(b",\"op\":\"");
        out.extend_from_slice(op.name().as_bytes());
        out.push(b'"');
    }

    /// What is known of the row before and after.
    fn images<'c>(&self, change: &Change<'c>) -> (Option<Known<'c>>, Option<Known<'c>>) {
        let before: Option<Known<'c>> = change.old.map(|old| {
            let known = |column: &Column, datum: Datum<'c>| (old.whole || column.key).then_some(datum).filter(is_known);
            self.each(&old.tuple, known)
        });
        let after = change.new.map(|new| self.each(new, |_, datum| Some(datum).filter(is_known)));
        // What did not change and was not logged with the new row is as in the old one, where all of that was logged.
        let old_values = before.as_ref().filter(|_| change.old.is_some_and(|old| old.whole));
        let after = match (after, old_values) {
            (Some(after), Some(before)) => Some(after.into_iter().zip(before).map(|(new, old)| new.or(*old)).collect()),
            (after, _) => after,
        };
        (before, after)
    }

    fn each<'c>(&self, tuple: &[Datum<'c>], known: impl Fn(&Column, Datum<'c>) -> Option<Datum<'c>>) -> Known<'c> {
        self.columns.iter().enumerate().map(|(at, column)| known(column, *tuple.get(at)?)).collect()
    }

    /// The columns of the key after the change, or else before it. With the identity full all columns count as the key, which
    /// says nothing of it.
    fn key<'c>(&self, before: Option<&Known<'c>>, after: Option<&Known<'c>>) -> Option<Known<'c>> {
        if !matches!(self.identity, Identity::Default | Identity::Index)
            || !self.columns.iter().any(|column| column.key)
        {
            return None;
        }
        let value =
            |at: usize| after.and_then(|row| row.get(at).copied().flatten()).or_else(|| before?.get(at).copied()?);
        Some(self.columns.iter().enumerate().map(|(at, column)| value(at).filter(|_| column.key)).collect())
    }

    fn row(&self, row: &Known<'_>, cap: usize, depth: usize, words: &mut BTreeSet<usize>, out: &mut Vec<u8>) {
        out.push(b'{');
        let mut first = true;
        for (at, (column, datum)) in self.columns.iter().zip(row).enumerate() {
            let Some(datum) = datum else { continue };
            let start = out.len();
            if !first {
                out.push(b',');
            }
            out.extend_from_slice(column.name.as_bytes());
            out.push(b':');
            match column.spelling.write(*datum, cap, depth, out) {
                Some(()) => {
                    first = false;
                    if column.word.is_some() {
                        words.insert(at);
                    }
                }
                None => out.truncate(start),
            }
        }
        out.push(b'}');
    }

    fn types(&self, words: &BTreeSet<usize>, out: &mut Vec<u8>) {
        for (nth, column) in words.iter().filter_map(|at| self.columns.get(*at)).enumerate() {
            out.extend_from_slice(if nth == 0 { b",\"types\":{" } else { b"," });
            out.extend_from_slice(format!("{}:\"{}\"", column.name, column.word.unwrap_or_default()).as_bytes());
        }
        if !words.is_empty() {
            out.push(b'}');
        }
    }
}

const fn is_known(datum: &Datum<'_>) -> bool {
    matches!(datum, Datum::Null | Datum::Text(_))
}

impl Spelling {
    /// Appends a value; `None` where it cannot be read or is too long, which makes it unknown.
    fn write(self, datum: Datum<'_>, cap: usize, depth: usize, out: &mut Vec<u8>) -> Option<()> {
        let text = match datum {
            Datum::Null => {
                out.extend_from_slice(b"null");
                return Some(());
            }
            Datum::Text(text) if text.len() <= cap => std::str::from_utf8(text).ok()?,
            Datum::Text(_) | Datum::Unchanged | Datum::Binary => return None,
        };
        match self {
            Self::Bool => out.extend_from_slice(if text == "t" { b"true" } else { b"false" }),
            Self::Int if is_integer(text) => out.extend_from_slice(text.as_bytes()),
            Self::Float if is_number(text) => out.extend_from_slice(text.as_bytes()),
            Self::Json => whole(&postgres::typed("jsonb", Cow::Borrowed(text))?, text, depth, out)?,
            Self::Array(name) => {
                let list = postgres::typed(name, Cow::Borrowed(text))?;
                (levels(&list) <= depth).then(|| list.write(out))?;
            }
            Self::Int | Self::Float | Self::Text => Value::Text(Cow::Borrowed(text)).write(out),
        }
        Some(())
    }
}

/// A JSON text that was read goes as it stands.
fn whole(read: &Value<'_>, text: &str, depth: usize, out: &mut Vec<u8>) -> Option<()> {
    (levels(read) <= depth).then(|| out.extend_from_slice(text.as_bytes()))
}

/// How deep lists and objects nest in it.
fn levels(value: &Value<'_>) -> usize {
    match value {
        Value::List(items) => 1 + items.iter().map(levels).max().unwrap_or_default(),
        Value::Object(Row(columns)) => 1 + columns.iter().map(|(_, value)| levels(value)).max().unwrap_or_default(),
        _ => 0,
    }
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    (1..=19).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'))
}

fn is_number(text: &str) -> bool {
    serde_json::from_str::<serde_json::Number>(text).is_ok()
}

/// Writes values as JSON.
trait Write {
    fn write(&self, out: &mut Vec<u8>);

    fn json(&self) -> String {
        let mut out = Vec::new();
        self.write(&mut out);
        String::from_utf8(out).unwrap_or_default()
    }
}

impl Write for Value<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(truth) => out.extend_from_slice(if *truth { b"true" } else { b"false" }),
            Self::Int(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Self::Float(number) => out.extend_from_slice(serde_json::json!(number).to_string().as_bytes()),
            // Writing to memory does not fail.
            Self::Text(text) => drop(serde_json::to_writer(out, text.as_ref())),
            Self::List(items) => {
                out.push(b'[');
                for (nth, item) in items.iter().enumerate() {
                    if nth > 0 {
                        out.push(b',');
                    }
                    item.write(out);
                }
                out.push(b']');
            }
            Self::Object(Row(columns)) => {
                out.push(b'{');
                for (nth, (name, value)) in columns.iter().enumerate() {
                    if nth > 0 {
                        out.push(b',');
                    }
                    drop(serde_json::to_writer(&mut *out, name.as_ref()));
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
        }
    }
}
