//! Promises of wal2json.

use crate::event::testing::{check, check_malformed, decoded, event, int, row, text};
use crate::event::{Change, Event, Format, Op, Type, Types, Value};

#[test]
fn every_action_on_rows_is_an_event() {
    check(
        r#"{"action":"I","schema":"public","table":"table3_with_pk","columns":[{"name":"a","type":"integer","value":1},{"name":"b","type":"character varying(30)","value":"Backup and Restore"},{"name":"c","type":"timestamp without time zone","value":"2019-12-29 04:58:34.806671"}]}"#,
        Format::Wal2json,
        [Event {
            after: Some(row([
                ("a", int(1)),
                ("b", text("Backup and Restore")),
                ("c", text("2019-12-29 04:58:34.806671")),
            ])),
            types: Types(vec![("c".into(), Type::Datetime)]),
            ..event("public.table3_with_pk", Op::Create)
        }],
    );
    check(
        r#"{"action":"U","schema":"public","table":"actions","columns":[{"name":"a","type":"integer","value":2}],"identity":[{"name":"a","type":"integer","value":1}]}"#,
        Format::Wal2json,
        [Event {
            key: row([("a", int(1))]),
            before: Some(row([("a", int(1))])),
            after: Some(row([("a", int(2))])),
            ..event("public.actions", Op::Update)
        }],
    );
    check(
        r#"{"action":"D","schema":"public","table":"actions","identity":[{"name":"a","type":"integer","value":2}]}"#,
        Format::Wal2json,
        [Event {
            key: row([("a", int(2))]),
            before: Some(row([("a", int(2))])),
            ..event("public.actions", Op::Delete)
        }],
    );
    check(
        r#"{"action":"T","schema":"public","table":"actions"}"#,
        Format::Wal2json,
        [event("public.actions", Op::Truncate)],
    );
}

#[test]
fn arrays_and_json_are_what_they_hold_and_unknown_where_they_cannot_be_read() {
    check(
        r#"{"action":"U","schema":"public","table":"post","columns":[{"name":"id","type":"integer","value":1},
            {"name":"tag_ids","type":"integer[]","value":"{6,7}"},{"name":"none","type":"text[]","value":null},
            {"type":"jsonb","value":"{\"a\": [\"x\"]}","name":"attrs"},{"name":"bad","type":"integer[]","value":"{6"}],
            "identity":[{"name":"id","type":"integer","value":1},{"name":"tag_ids","type":"integer[]","value":"{5,6}"}]}"#,
        Format::Wal2json,
        [Event {
            key: row([("id", int(1)), ("tag_ids", Value::List(vec![int(5), int(6)]))]),
            before: Some(row([("id", int(1)), ("tag_ids", Value::List(vec![int(5), int(6)]))])),
            after: Some(row([
                ("id", int(1)),
                ("tag_ids", Value::List(vec![int(6), int(7)])),
                ("none", Value::Null),
                ("attrs", Value::Object(row([("a", Value::List(vec![text("x")]))]))),
            ])),
            ..event("public.post", Op::Update)
        }],
    );
}

#[test]
fn values_are_what_the_database_prints_of_them_or_unknown() {
    let read = |kind: &str, value: &str| {
        let column = format!(r#"{{"name":"x","type":"{kind}","value":{value}}}"#);
        let body = format!(r#"{{"action":"I","schema":"public","table":"t","columns":[{column}]}}"#);
        match decoded(&body, Format::Wal2json, &[]).map(|mut changes| changes.pop()) {
            Ok(Some(Change::Event(event))) => event.after.and_then(|mut row| row.take("x")),
            other => panic!("{body}: {other:?}"),
        }
    };
    let cases = [
        ("bytea", r#""00ff""#, Some(text("\\x00ff"))),
        ("bytea", r#""""#, Some(text("\\x"))),
        // As the setting `bytea_output` may have it.
        ("bytea", r#""0ff""#, None),
        // As it comes with `numeric-data-types-as-string`.
        ("bigint", r#""5""#, Some(int(5))),
        ("numeric(10,2)", r#""1.50""#, Some(text("1.50"))),
        ("numeric(10,2)", r#""NaN""#, Some(text("NaN"))),
        // NaN is null as well.
        ("numeric(10,2)", "null", None),
        ("double precision", "null", None),
        ("integer", "null", Some(Value::Null)),
        ("text", r#""t""#, Some(text("t"))),
        ("character varying(3)", r#""{1}""#, Some(text("{1}"))),
        ("timestamp(3) with time zone", r#""2024-01-02 03:04:05+00""#, Some(text("2024-01-02 03:04:05+00"))),
        // A label of an enumeration, or a domain over an array, JSON or a truth value.
        ("mood", r#""ok""#, Some(text("ok"))),
        ("mood", r#""t""#, None),
        ("shop.ids", r#""{7,8}""#, None),
        ("doc", r#""[1]""#, None),
        ("int4multirange", r#""{[1,3)}""#, Some(text("{[1,3)}"))),
    ];
    for (kind, value, expected) in cases {
        assert_eq!(read(kind, value), expected, "{value} as {kind}");
    }
}

#[test]
fn null_is_null_where_numbers_come_in_quotes() {
    check(
        r#"{"action":"I","schema":"public","table":"t","columns":[{"name":"id","type":"integer","value":"1"},
            {"name":"price","type":"numeric(10,2)","value":null}]}"#,
        Format::Wal2json,
        [Event { after: Some(row([("id", int(1)), ("price", Value::Null)])), ..event("public.t", Op::Create) }],
    );
}

#[test]
fn boundaries_and_other_peoples_messages_carry_nothing() {
    for body in [
        r#"{"action":"B"}"#,
        r#"{"action":"C","xid":571,"timestamp":"2019-12-29 04:58:34.806671+00"}"#,
        r#"{"action":"M","transactional":true,"prefix":"audit","content":"not JSON"}"#,
    ] {
        check(body, Format::Wal2json, []);
    }
}

#[test]
fn a_message_with_our_prefix_carries_an_event() {
    check(
        r#"{"action":"M","transactional":true,"prefix":"quash","content":"{\"entity\":\"a.B\",\"op\":\"truncate\"}"}"#,
        Format::Wal2json,
        [event("a.B", Op::Truncate)],
    );
    check_malformed(
        r#"{"action":"M","prefix":"quash","content":"{"}"#,
        Format::Auto,
        "wal2json event: not valid JSON: EOF",
    );
    check_malformed(r#"{"action":"M","prefix":"quash"}"#, Format::Auto, "the message has no `content`");
}

#[test]
fn options_add_key_time_and_identifier() {
    let options = r#""schema":"public","table":"t","xid":571,"lsn":"0/16B3748","timestamp":"1970-01-01 00:00:01+00","pk":[{"name":"id","type":"integer"}]"#;
    let named = |op| Event {
        id: Some("571:0/16B3748".into()),
        time_us: Some(1_000_000),
        key: row([("id", int(2))]),
        ..event("public.t", op)
    };
    let columns = r#""columns":[{"name":"id","value":2},{"name":"x","value":null}]"#;
    let after = || Some(row([("id", int(2)), ("x", Value::Null)]));
    check(
        &format!(r#"{{"action":"U",{options},{columns},"identity":[{{"name":"id","value":1}}]}}"#),
        Format::Wal2json,
        [Event { before: Some(row([("id", int(1))])), after: after(), ..named(Op::Update) }],
    );
    check(
        &format!(r#"{{"action":"D",{options},"identity":[{{"name":"id","value":2}},{{"name":"x","value":true}}]}}"#),
        Format::Wal2json,
        [Event { before: Some(row([("id", int(2)), ("x", Value::Bool(true))])), ..named(Op::Delete) }],
    );
    // Rows that were loaded together share a log position, so that it names none of them.
    check(
        &format!(r#"{{"action":"I",{options},{columns}}}"#),
        Format::Wal2json,
        [Event { id: None, after: after(), ..named(Op::Create) }],
    );
}

#[test]
fn what_is_no_change_is_refused() {
    let cases = [
        (r#"{"change":[{"kind":"insert","schema":"public","table":"t"}]}"#, "set the option `format-version` to 2"),
        (r#"{"action":"X"}"#, "wal2json event: unknown `action` 'X', expected one of I, U, D, T, B, C, M"),
        (r#"{"action":"I","table":"t"}"#, "no `columns`, which a row that was created has"),
        (r#"{"action":"U","table":"t","identity":[]}"#, "no `columns`, which a row that was updated has"),
        (r#"{"action":"T","schema":"public"}"#, "no `table`"),
        (r#"{"action":"T","schema":5,"table":"t"}"#, "`schema` is 5: expected text"),
        (r#"{"action":"I","table":"t","columns":[{"name":"a"}]}"#, "`columns` is no list of columns"),
        (r#"{"action":"I","table":"t","columns":[{"value":1}]}"#, "`columns` is no list of columns"),
        (r#"{"action":"I","table":"t","columns":{"a":1}}"#, "`columns` is no list of columns"),
        (r#"{"action":"D","table":"t","identity":[5]}"#, "`identity` is no list of columns"),
        (r#"{"action":"D","table":"t","identity":[],"pk":[5]}"#, "`pk` is no list of columns"),
        (r#"{"action":"I","columns":[{"name":"a","value":1},{"name":"a","value":2}]}"#, "the field 'a' is there twice"),
        (r#"{"action":"I","columns":[{"name":"a","value":1,"value":2}]}"#, "the field 'value' is there twice"),
    ];
    for (body, words) in cases {
        check_malformed(body, Format::Auto, words);
    }
    check_malformed("{}", Format::Wal2json, "wal2json event: no `action`");
    check_malformed("[]", Format::Wal2json, "wal2json event: expected an object");
    check_malformed(r#"{"entity":"a.B","op":"truncate"}"#, Format::Wal2json, "wal2json event: no `action`");
}
