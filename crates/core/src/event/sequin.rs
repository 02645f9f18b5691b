//! Decodes Sequin's JSON: one object per row of PostgreSQL.

use super::fields::{Fields, object, text};
use super::problem::{malformed, quoted, within};
use super::read::old_row;
use super::{Change, DecodeError, Event, Op, Row, Types, Value, time};

/// Whether an object looks like Sequin's.
pub(super) fn is_change(fields: &Fields<'_>) -> bool {
    fields.other("record").is_some() && fields.other("metadata").is_some() && fields.other("action").is_some()
}

/// Decodes a message.
pub(super) fn decode<'a>(mut row: Row<'a>, changes: &mut Vec<Change<'a>>) -> Result<(), DecodeError> {
    let event = event(&mut row).map_err(within("Sequin event"))?;
    changes.push(Change::Event(event));
    Ok(())
}

fn event<'a>(row: &mut Row<'a>) -> Result<Event<'a>, DecodeError> {
    let action = text("action", row.take("action"))?.ok_or_else(|| malformed("no `action`"))?;
    let op = match &*action {
        "insert" | "read" => Op::Create,
        "update" => Op::Update,
        "delete" => Op::Delete,
        other => {
            return Err(malformed(format!(
                "unknown `action` {}, expected insert, update, delete or read",
                quoted(other)
            )));
        }
    };
    let mut metadata = object("metadata", row.take("metadata"))?.ok_or_else(|| malformed("no `metadata`"))?;
    let table =
        text("table_name", metadata.take("table_name"))?.ok_or_else(|| malformed("no `metadata.table_name`"))?;
    let entity = match text("table_schema", metadata.take("table_schema"))? {
        Some(schema) => format!("{schema}.{table}").into(),
        None => table,
    };
    let record = object("record", row.take("record"))?.ok_or_else(|| malformed("no `record`"))?;
    let old = object("changes", row.take("changes"))?.filter(|_| op == Op::Update);
    let changed = old.as_ref().map(|old| old.0.iter().map(|(name, _)| name.clone()).collect());
    let before = old.map(|old| old_row(&record, old));
    let (before, after) = if op == Op::Delete { (Some(record), None) } else { (before, Some(record)) };
    let time_us = match metadata.get("commit_timestamp") {
        Some(Value::Text(text)) => time::text_us(text),
        _ => None,
    };
    Ok(Event {
        id: text("idempotency_key", metadata.take("idempotency_key"))?,
        source: None,
        entity,
        op,
        key: Row::default(),
        before,
        after,
        filled: false,
        changed,
        types: Types::default(),
        relation: None,
        time_us,
        origin: None,
        traceparent: None,
        transaction: None,
        answer: None,
    })
}

#[cfg(test)]
mod tests {
    use crate::event::testing::{check, check_malformed, event, int, row, text};
    use crate::event::{Event, Format, Op};

    #[test]
    fn every_action_is_an_event() {
        let message = |action: &str, changes: &str| {
            format!(
                r#"{{"record":{{"id":1234,"status":"shipped","n":1}},"changes":{changes},"action":"{action}",
                    "metadata":{{"table_schema":"public","table_name":"orders","idempotency_key":"c2Vx",
                    "commit_timestamp":"1970-01-01T00:00:01Z","commit_lsn":123456790,"commit_idx":1}}}}"#
            )
        };
        let record = || Some(row([("id", int(1234)), ("status", text("shipped")), ("n", int(1))]));
        let of = |op| Event { id: Some("c2Vx".into()), time_us: Some(1_000_000), ..event("public.orders", op) };
        for action in ["insert", "read"] {
            check(&message(action, "null"), Format::Sequin, [Event { after: record(), ..of(Op::Create) }]);
        }
        let before = Some(row([("status", text("pending")), ("id", int(1234)), ("n", int(1))]));
        let updated = Event { before, after: record(), changed: Some(vec!["status".into()]), ..of(Op::Update) };
        check(&message("update", r#"{"status":"pending"}"#), Format::Sequin, [updated]);
        check(&message("delete", "null"), Format::Sequin, [Event { before: record(), ..of(Op::Delete) }]);
        check_malformed(&message("merge", "null"), Format::Auto, "Sequin event: unknown `action` 'merge'");
        check_malformed(r#"{"action":"insert","record":{},"metadata":{}}"#, Format::Auto, "no `metadata.table_name`");
    }
}
