//! Reads the two ends of a relation from a native event.

use crate::event::fields::{Fields, object, text};
use crate::event::problem::{described, malformed};
use crate::event::{DecodeError, Op, Relation, Row, Value};

/// Reads what an operation on a relation names.
pub(super) fn read<'a>(op: Op, fields: &mut Fields<'a>) -> Result<Option<Relation<'a>>, DecodeError> {
    if !op.is_of_relation() {
        return Ok(None);
    }
    let missing = |what| malformed(format!("no `{what}`, which `op` {} needs", op.name()));
    let name = text("relation", fields.relation.take())?.filter(|name| !name.is_empty());
    let from = object("from", fields.from.take())?;
    Ok(Some(Relation {
        name: name.ok_or_else(|| missing("relation"))?,
        from: from.ok_or_else(|| missing("from"))?,
        to: other_end(fields.to.take())?,
    }))
}

fn other_end(value: Option<Value<'_>>) -> Result<Vec<Row<'_>>, DecodeError> {
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Object(row)) => Ok(vec![row]),
        Some(Value::List(rows)) => rows.into_iter().map(end_row).collect(),
        Some(other) => end_row(other).map(|row| vec![row]),
    }
}

fn end_row(value: Value<'_>) -> Result<Row<'_>, DecodeError> {
    match value {
        Value::Object(row) => Ok(row),
        other => Err(malformed(format!("`to` has {}: expected an object or a list of objects", described(&other)))),
    }
}
