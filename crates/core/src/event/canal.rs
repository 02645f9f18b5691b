//! Decodes Canal's flat JSON, also as TiCDC writes it: the rows of one statement of MySQL in one object.

use super::fields::{Fields, object, text};
use super::problem::{malformed, quoted, within};
use super::read::{KeyNames, old_row};
use super::{Change, DecodeError, Event, Op, Row, Types, Value, time};

/// Whether an object looks like Canal's.
pub(super) fn is_change(fields: &Fields<'_>) -> bool {
    fields.other("isDdl").is_some() && fields.other_text("type").is_some()
}

/// Decodes a message.
pub(super) fn decode<'a>(mut row: Row<'a>, changes: &mut Vec<Change<'a>>) -> Result<(), DecodeError> {
    rows(&mut row, changes).map_err(within("Canal event"))
}

fn rows<'a>(row: &mut Row<'a>, changes: &mut Vec<Change<'a>>) -> Result<(), DecodeError> {
    let kind = text("type", row.take("type"))?.ok_or_else(|| malformed("no `type`"))?;
    let op = match &*kind {
        "INSERT" => Op::Create,
        "UPDATE" => Op::Update,
        "DELETE" => Op::Delete,
        "TRUNCATE" => Op::Truncate,
        _ if row.get("isDdl") == Some(&Value::Bool(true)) || kind == "TIDB_WATERMARK" => return Ok(()),
        other => return Err(malformed(format!("unknown `type` {}, expected INSERT, UPDATE or DELETE", quoted(other)))),
    };
    let database = text("database", row.take("database"))?.ok_or_else(|| malformed("no `database`"))?;
    let table = text("table", row.take("table"))?.ok_or_else(|| malformed("no `table`"))?;
    let names = KeyNames::of(row.take("pkNames"));
    let time_us = match row.get("es") {
        Some(Value::Int(ms)) => time::ms_us(*ms),
        _ => None,
    };
    let event = |before: Option<Row<'a>>, after: Option<Row<'a>>| Event {
        id: None,
        source: None,
        entity: format!("{database}.{table}").into(),
        op,
        key: after.as_ref().or(before.as_ref()).map(|row| names.key(row)).unwrap_or_default(),
        before,
        after,
        filled: false,
        changed: None,
        types: Types::default(),
        relation: None,
        time_us,
        origin: None,
        traceparent: None,
        transaction: None,
        answer: None,
    };
    if op == Op::Truncate {
        changes.push(Change::Event(event(None, None)));
        return Ok(());
    }
    let Some(Value::List(data)) = row.take("data") else { return Err(malformed("`data` is no list of rows")) };
    let mut old = match row.take("old") {
        Some(Value::List(old)) => old,
        _ => Vec::new(),
    }
    .into_iter();
    for data in data {
        let data = object("data", Some(data))?.ok_or_else(|| malformed("`data` has null in the place of a row"))?;
        let old = object("old", old.next())?;
        let before = old.filter(|_| op == Op::Update).map(|old| old_row(&data, old));
        changes.push(Change::Event(if op == Op::Delete { event(Some(data), None) } else { event(before, Some(data)) }));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::event::testing::{check, check_malformed, event, row, text};
    use crate::event::{Event, Format, Op, Value};

    #[test]
    fn each_row_of_a_statement_is_an_event() {
        let body = r#"{"data":[{"id":"111","name":"scooter","weight":"5.18"},{"id":"112","name":"bike","weight":null}],
            "database":"inventory","es":1589373560000,"id":9,"isDdl":false,"mysqlType":{"id":"INTEGER","name":"VARCHAR(255)"},
            "old":[{"weight":"5.15"},{"name":"cycle"}],"pkNames":["id"],"sql":"","sqlType":{"id":4},"table":"products",
            "ts":1589373560798,"type":"UPDATE"}"#;
        let of = |op| Event { time_us: Some(1_589_373_560_000_000), ..event("inventory.products", op) };
        let scooter = Event {
            key: row([("id", text("111"))]),
            before: Some(row([("weight", text("5.15")), ("id", text("111")), ("name", text("scooter"))])),
            after: Some(row([("id", text("111")), ("name", text("scooter")), ("weight", text("5.18"))])),
            ..of(Op::Update)
        };
        let bike = Event {
            key: row([("id", text("112"))]),
            before: Some(row([("name", text("cycle")), ("id", text("112")), ("weight", Value::Null)])),
            after: Some(row([("id", text("112")), ("name", text("bike")), ("weight", Value::Null)])),
            ..of(Op::Update)
        };
        check(body, Format::Canal, [scooter, bike]);
        let one = |kind: &str, is_ddl: bool| {
            format!(
                r#"{{"data":[{{"id":"1"}}],"database":"inventory","es":1589373560000,"isDdl":{is_ddl},"old":null,
                    "pkNames":["id"],"table":"products","type":"{kind}"}}"#
            )
        };
        let (key, image) = (row([("id", text("1"))]), Some(row([("id", text("1"))])));
        let created = Event { key: key.clone(), after: image.clone(), ..of(Op::Create) };
        check(&one("INSERT", false), Format::Canal, [created]);
        check(&one("DELETE", false), Format::Canal, [Event { key, before: image, ..of(Op::Delete) }]);
        check(&one("TRUNCATE", true), Format::Canal, [of(Op::Truncate)]);
        check(&one("ALTER", true), Format::Canal, []);
        check(&one("TIDB_WATERMARK", false), Format::Canal, []);
        check_malformed(&one("REPLACE", false), Format::Auto, "Canal event: unknown `type` 'REPLACE'");
        let no_rows = one("INSERT", false).replace(r#"[{"id":"1"}]"#, "null");
        check_malformed(&no_rows, Format::Auto, "Canal event: `data` is no list of rows");
    }
}
