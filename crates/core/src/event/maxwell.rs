//! Decodes Maxwell's JSON: one object per row of MySQL.

use std::borrow::Cow;

use super::fields::{Fields, object, text};
use super::problem::{malformed, quoted, within};
use super::read::{KeyNames, old_row};
use super::{Change, DecodeError, Event, Op, Row, Types, Value, time};

/// Whether an object looks like Maxwell's, rows and changes of the schema alike.
pub(super) fn is_change(fields: &Fields<'_>) -> bool {
    fields.other_text("database").is_some() && fields.other_text("type").is_some() && fields.other("isDdl").is_none()
}

/// Decodes a message.
pub(super) fn decode<'a>(row: Row<'a>, changes: &mut Vec<Change<'a>>) -> Result<(), DecodeError> {
    let decode = || {
        let mut row = row;
        let op = match row.get("type") {
            Some(Value::Text(kind)) => match &**kind {
                "insert" | "bootstrap-insert" => Op::Create,
                "update" => Op::Update,
                "delete" => Op::Delete,
                // What begins and ends a snapshot, and what changes the schema.
                other if ["bootstrap-", "table-", "database-"].iter().any(|begin| other.starts_with(begin)) => {
                    return Ok(());
                }
                other => {
                    return Err(malformed(format!(
                        "unknown `type` {}, expected insert, update or delete",
                        quoted(other)
                    )));
                }
            },
            _ => return Err(malformed("no `type`")),
        };
        changes.push(Change::Event(event(op, &mut row)?));
        Ok(())
    };
    decode().map_err(within("Maxwell event"))
}

fn event<'a>(op: Op, row: &mut Row<'a>) -> Result<Event<'a>, DecodeError> {
    let database = text("database", row.take("database"))?.ok_or_else(|| malformed("no `database`"))?;
    let table = text("table", row.take("table"))?.ok_or_else(|| malformed("no `table`"))?;
    let data = object("data", row.take("data"))?.ok_or_else(|| malformed("no `data`"))?;
    let old = object("old", row.take("old"))?;
    let key = KeyNames::of(row.take("primary_key_columns")).key(&data);
    let changed: Option<Vec<Cow<'a, str>>> =
        old.as_ref().filter(|_| op == Op::Update).map(|old| old.0.iter().map(|(name, _)| name.clone()).collect());
    let before = old.filter(|_| op == Op::Update).map(|old| old_row(&data, old));
    let (before, after) = if op == Op::Delete { (Some(data), None) } else { (before, Some(data)) };
    let seconds = match row.get("ts") {
        Some(Value::Int(seconds)) => seconds.checked_mul(1000).and_then(time::ms_us),
        _ => None,
    };
    Ok(Event {
        id: None,
        source: None,
        entity: format!("{database}.{table}").into(),
        op,
        key,
        before,
        after,
        filled: false,
        changed,
        types: Types::default(),
        relation: None,
        time_us: seconds,
        origin: None,
        traceparent: None,
        transaction: None,
        answer: None,
    })
}

#[cfg(test)]
mod tests {
    use crate::event::testing::{check, check_malformed, event, int, row, text};
    use crate::event::{Event, Format, Op, Value};

    #[test]
    fn a_row_that_was_is_made_of_its_old_values_and_those_that_stayed() {
        let message = |kind: &str, rest: &str| {
            format!(
                r#"{{"database":"test","table":"e","type":"{kind}","ts":1477053234,"xid":23396,"commit":true,
                    "position":"master.000006:800911","data":{{"id":1,"m":5.5,"c":"2016-10-21 05:33:54.631000","comment":"x"}}{rest}}}"#
            )
        };
        let after = || {
            row([
                ("id", int(1)),
                ("m", Value::Float(5.5)),
                ("c", text("2016-10-21 05:33:54.631000")),
                ("comment", text("x")),
            ])
        };
        let of = |op| Event { time_us: Some(1_477_053_234_000_000), ..event("test.e", op) };
        let update = Event {
            key: row([("id", int(1))]),
            before: Some(row([("m", Value::Float(4.25)), ("c", Value::Null), ("id", int(1)), ("comment", text("x"))])),
            after: Some(after()),
            changed: Some(vec!["m".into(), "c".into()]),
            ..of(Op::Update)
        };
        let old = r#","old":{"m":4.25,"c":null},"primary_key":[1],"primary_key_columns":["id"]"#;
        check(&message("update", old), Format::Maxwell, [update]);
        for kind in ["insert", "bootstrap-insert"] {
            check(&message(kind, ""), Format::Maxwell, [Event { after: Some(after()), ..of(Op::Create) }]);
        }
        check(&message("delete", ""), Format::Maxwell, [Event { before: Some(after()), ..of(Op::Delete) }]);
    }

    #[test]
    fn what_is_no_row_carries_nothing_or_is_refused() {
        for kind in ["bootstrap-start", "bootstrap-complete", "table-create", "table-alter", "database-drop"] {
            let body = format!(r#"{{"database":"test","table":"e","type":"{kind}","ts":1,"data":{{}}}}"#);
            check(&body, Format::Maxwell, []);
        }
        let other = r#"{"database":"test","table":"e","type":"upsert"}"#;
        check_malformed(other, Format::Auto, "Maxwell event: unknown `type` 'upsert', expected insert");
        check_malformed(r#"{"database":"test","table":"e","type":"insert"}"#, Format::Auto, "Maxwell event: no `data`");
        check_malformed("{}", Format::Maxwell, "Maxwell event: no `type`");
        check_malformed("[]", Format::Maxwell, "expected an object");
    }
}
