//! Promises of Debezium's format.

use crate::event::testing::{check, check_malformed, decoded, event, int, row, text};
use crate::event::{Change, Event, Format, Op, Row, Type, Types, Value};

const SOURCE: &str = r#"{"version":"<v>","connector":"postgresql","name":"PostgreSQL_server","ts_ms":1559033904863,
    "ts_us":1559033904863769,"ts_ns":1559033904863769000,"snapshot":false,"db":"postgres","schema":"public",
    "table":"customers","txId":556,"lsn":24023128,"xmin":null}"#;

fn customers(op: Op) -> Event<'static> {
    Event {
        source: Some("PostgreSQL_server".into()),
        time_us: Some(1_559_033_904_863_769),
        filled: op == Op::Update,
        ..event("public.customers", op)
    }
}

fn anne(first_name: &'static str) -> Row<'static> {
    row([
        ("id", int(1)),
        ("first_name", text(first_name)),
        ("last_name", text("Kretchmar")),
        ("email", text("annek@noanswer.org")),
    ])
}

/// One change of the customers table.
fn change(rest: &str) -> String {
    format!(r#"{{"source":{SOURCE},"ts_ms":1465584025523,{rest}}}"#)
}

#[test]
fn an_insert_with_its_schema_is_a_create() {
    let body = r#"{"schema": {"type":"struct","fields":[],"optional":false,"name":"PostgreSQL_server.inventory.customers.Envelope"},
 "payload": {"before": null,
  "after": {"id": 1, "first_name": "Anne", "last_name": "Kretchmar", "email": "annek@noanswer.org"},
  "source": {"version": "<v>", "connector": "postgresql", "name": "PostgreSQL_server",
   "ts_ms": 1559033904863, "ts_us": 1559033904863123, "ts_ns": 1559033904863123000,
   "snapshot": true, "db": "postgres", "sequence": "[\"24023119\",\"24023128\"]",
   "schema": "public", "table": "customers", "txId": 555, "lsn": 24023128, "xmin": null},
  "op": "c", "ts_ms": 1559033904863, "ts_us": 1559033904863841, "ts_ns": 1559033904863841257}}"#;
    let time_us = Some(1_559_033_904_863_123);
    check(body, Format::Debezium, [Event { after: Some(anne("Anne")), time_us, ..customers(Op::Create) }]);
}

#[test]
fn every_operation_without_schema_is_an_event() {
    let after = r#"{"id":1,"first_name":"Anne Marie","last_name":"Kretchmar","email":"annek@noanswer.org"}"#;
    let key_only = || Some(row([("id", int(1))]));
    let cases = [
        (
            format!(r#""op":"r","before":null,"after":{after}"#),
            Event { after: Some(anne("Anne Marie")), ..customers(Op::Create) },
        ),
        (
            format!(r#""op":"u","before":{{"id":1}},"after":{after}"#),
            Event { before: key_only(), after: Some(anne("Anne Marie")), ..customers(Op::Update) },
        ),
        (format!(r#""op":"u","after":{after}"#), Event { after: Some(anne("Anne Marie")), ..customers(Op::Update) }),
        (
            r#""op":"d","before":{"id":1},"after":null"#.to_owned(),
            Event { before: key_only(), ..customers(Op::Delete) },
        ),
        (r#""op":"d","before":null,"after":null"#.to_owned(), customers(Op::Delete)),
        (r#""op":"t""#.to_owned(), customers(Op::Truncate)),
    ];
    for (rest, expected) in cases {
        check(&change(&rest), Format::Debezium, [expected]);
    }
}

#[test]
fn what_says_nothing_about_rows_carries_nothing() {
    for body in [
        "null",
        r#"{"schema":null,"payload":null}"#,
        r#"{"ts_ms":1465584025523}"#,
        r#"{"status":"BEGIN","id":"571:53195832","ts_ms":1486500577125,"event_count":null,"data_collections":null}"#,
        r#"{"status":"END","id":"571:53195832","ts_ms":1486500577691,"event_count":2,
            "data_collections":[{"data_collection":"s1.a","event_count":1},{"data_collection":"s2.a","event_count":1}]}"#,
        r#"{"source":{"connector":"mysql"},"ts_ms":1,"databaseName":"inventory","ddl":"ALTER …","tableChanges":[]}"#,
        r#"{"op":"m","source":{},"message":{"prefix":"foo","content":"Ymfy"}}"#,
    ] {
        check(body, Format::Debezium, []);
    }
}

#[test]
fn a_tombstone_needs_its_format_or_its_key() {
    let key: [(&str, &str); 1] = [("key", r#"{"id":1}"#)];
    for body in ["", "default", " \n"] {
        assert_eq!(decoded(body, Format::Debezium, &[]), Ok(vec![]), "{body}");
        assert_eq!(decoded(body, Format::Auto, &key), Ok(vec![]), "{body}");
        assert!(decoded(body, Format::Auto, &[]).is_err(), "{body}");
    }
}

#[test]
fn a_logical_message_with_our_prefix_carries_an_event() {
    // {"entity":"a.B","op":"truncate"}
    let message = r#""op":"m","message":{"prefix":"quash","content":"eyJlbnRpdHkiOiJhLkIiLCJvcCI6InRydW5jYXRlIn0="}"#;
    let expected = Event { entity: "a.B".into(), ..customers(Op::Truncate) };
    check(&change(message), Format::Debezium, [expected]);
    check_malformed(
        &change(r#""op":"m","message":{"prefix":"quash","content":"?"}"#),
        Format::Auto,
        "Debezium event: the logical message's `content` is no base64",
    );
}

#[test]
fn the_key_comes_from_its_header() {
    let body = change(r#""op":"d","before":null"#);
    let cases = [
        (r#"{"id":1}"#, row([("id", int(1))])),
        (r#"{"schema":{"type":"struct"},"payload":{"id":1}}"#, row([("id", int(1))])),
        ("default", row([])),
        ("5", row([])),
    ];
    for (key, expected) in cases {
        let expected = Event { key: expected, ..customers(Op::Delete) };
        assert_eq!(decoded(&body, Format::Auto, &[("key", key)]), Ok(vec![Change::Event(expected)]), "{key}");
    }
    assert!(decoded(&body, Format::Auto, &[("key", &"[".repeat(300))]).is_err());
}

#[test]
fn columns_that_were_not_logged_are_unknown() {
    let image = r#"{"id":1,"body":"__debezium_unavailable_value","raw":"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==",
        "list":["__debezium_unavailable_value"],"map":{"__debezium_unavailable_value":"__debezium_unavailable_value"},"n":2}"#;
    check(
        &change(&format!(r#""op":"u","before":null,"after":{image}"#)),
        Format::Debezium,
        [Event { after: Some(row([("id", int(1)), ("n", int(2))])), ..customers(Op::Update) }],
    );
}

#[test]
fn blanks_that_stand_for_an_unlogged_old_row_are_unknown() {
    let before = |image: &str, key: Option<&'static str>| {
        let headers: Vec<_> = key.map(|key| ("key", key)).into_iter().collect();
        let decoded = decoded(&change(&format!(r#""op":"d","before":{image}"#)), Format::Auto, &headers);
        match decoded.as_deref() {
            Ok([Change::Event(Event { before, filled: false, .. })]) => before.clone(),
            other => panic!("{other:?}"),
        }
    };
    let id = || Some(row([("id", text("id1"))]));
    assert_eq!(before(r#"{"id":"id1","code":null,"name":"","n":0,"b":false}"#, None), id());
    assert_eq!(before(r#"{"id":"id1","code":null}"#, Some(r#"{"id":"id1"}"#)), id());
    let pair = Some(row([("a", int(0)), ("b", int(2))]));
    assert_eq!(before(r#"{"a":0,"b":2,"c":null}"#, Some(r#"{"a":0,"b":2}"#)), pair);
    for blank in [
        r#""1970-01-01T00:00:00.000000Z""#,
        r#""1970-01-01T00:00:00Z""#,
        r#""1970-01-01Z""#,
        r#""1970-01-01""#,
        r#""00:00:00""#,
        r#""0""#,
        r#""0.00""#,
        r#""AA==""#,
        r#""{}""#,
        r#""00000000-0000-0000-0000-000000000000""#,
        "[]",
        "{}",
        "0.0",
        r#"{"scale":0,"value":"AA=="}"#,
    ] {
        assert_eq!(before(&format!(r#"{{"id":"id1","x":{blank}}}"#), None), id(), "{blank}");
    }
}

#[test]
fn a_deleted_row_whose_defaults_are_not_known_may_be_filled_in() {
    let of = |image: &str, schema: Option<&str>, key: Option<&'static str>| {
        let headers: Vec<_> = key.map(|key| ("key", key)).into_iter().collect();
        let change = change(&format!(r#""op":"d","before":{image}"#));
        let body = match schema {
            Some(columns) => format!(
                r#"{{"schema":{{"type":"struct","fields":[{{"field":"before","fields":[{columns}]}}]}},"payload":{change}}}"#
            ),
            None => change,
        };
        match decoded(&body, Format::Auto, &headers).as_deref() {
            Ok([Change::Event(event)]) => (event.before.clone(), event.filled),
            other => panic!("{other:?}"),
        }
    };
    let (id, key) = (Some(row([("id", int(7))])), Some(r#"{"id":7}"#));
    let image = r#"{"id":7,"status":"draft","author_id":1}"#;
    let whole = Some(row([("id", int(7)), ("status", text("draft")), ("author_id", int(1))]));
    assert_eq!(of(image, None, key), (whole.clone(), true));
    assert_eq!(of(image, None, None), (whole.clone(), true));
    let columns = r#"{"field":"id","type":"int32"},{"field":"status","type":"string","default":"draft"},
        {"field":"author_id","type":"int32","default":1}"#;
    assert_eq!(of(image, Some(columns), key), (id.clone(), false), "all of it are defaults");
    assert_eq!(of(image, Some(columns), None), (id, false), "only a key can be no default");
    let other = columns.replace("\"default\":1", "\"default\":2");
    assert_eq!(of(image, Some(&other), key), (whole.clone(), false), "a value that is no default was logged");
    assert_eq!(of(image, Some(&other), None), (whole.clone(), true), "it may be of the key");
    let nullable = other.replace("\"default\":2", "\"optional\":true");
    assert_eq!(of(image, Some(&nullable), None), (whole, false), "what may be null is not of the key");
}

#[test]
fn other_databases_log_whole_rows_and_name_the_database() {
    let body = r#"{"op":"u","before":{"id":7,"n":0},"after":{"id":7,"n":1},"ts_ms":2,"source":{"connector":"mysql",
        "name":"shop","db":"inventory","table":"products","ts_ms":1,"server_id":223344,"gtid":null,
        "file":"mysql-bin.000003","pos":154,"row":0,"thread":7,"query":null}}"#;
    let expected = Event {
        id: Some("mysql-bin.000003:154:0".into()),
        source: Some("shop".into()),
        before: Some(row([("id", int(7)), ("n", int(0))])),
        after: Some(row([("id", int(7)), ("n", int(1))])),
        time_us: Some(1000),
        ..event("inventory.products", Op::Update)
    };
    check(body, Format::Debezium, [expected]);
}

#[test]
fn a_transaction_names_its_changes() {
    let body = change(r#""op":"t","transaction":{"id":"571:53195832","total_order":"1","data_collection_order":"1"}"#);
    check(&body, Format::Debezium, [Event { id: Some("571:53195832:1".into()), ..customers(Op::Truncate) }]);
}

#[test]
fn a_day_and_json_are_what_they_hold() {
    let after = |body: &str| match decoded(body, Format::Auto, &[]).as_deref() {
        Ok([Change::Event(event)]) => event.after.clone(),
        other => panic!("{other:?}"),
    };
    let image = r#"{"born":"2019-07-09Z","at":"2019-07-09T02:28:57Z","no":"2019-13-09Z","attrs":"{\"a\":[1]}"}"#;
    let body = change(&format!(r#""op":"c","after":{image}"#));
    let plain = [("born", text("2019-07-09")), ("at", text("2019-07-09T02:28:57Z")), ("no", text("2019-13-09Z"))];
    let as_text = ("attrs", text(r#"{"a":[1]}"#));
    let [born, at, no] = plain.clone();
    assert_eq!(after(&body), Some(row([born, at, no, as_text])));
    let schema = r#"{"fields":[{"field":"after","fields":[{"field":"attrs","name":"io.debezium.data.Json"}]}]}"#;
    let Some(Row(columns)) = after(&format!(r#"{{"schema":{schema},"payload":{body}}}"#)) else { panic!("no row") };
    let held = Value::Object(row([("a", Value::List(vec![int(1)]))]));
    assert_eq!(columns.last(), Some(&("attrs".into(), held)));
}

#[test]
fn what_is_no_envelope_is_refused() {
    let cases = [
        (change(r#""op":"x""#), "Debezium event: unknown `op` 'x', expected one of c, r, u, d, t, m"),
        (change(r#""op":"c","after":null"#), "no `after`, which `op` c needs"),
        (change(r#""op":"u","before":{"id":1}"#), "no `after`, which `op` u needs"),
        (change(r#""op":"c","after":"{\"_id\":1}""#), "`after` is the text"),
        (change(r#""before":{"id":1}"#), "no `op`: expected an envelope"),
        (change(r#""op":"m""#), "no `message`, which `op` m needs"),
        (r#"{"op":"t","source":{"schema":"public"}}"#.to_owned(), "no `source.table`"),
        (r#"{"schema":{},"payload":5}"#.to_owned(), "the payload is no object"),
        (r#"{"schema":{},"payload":[]}"#.to_owned(), "expected an object with `op`"),
    ];
    for (body, words) in &cases {
        check_malformed(body, Format::Auto, words);
    }
    let flattened = r#"{"id":1,"first_name":"Anne"}"#;
    check_malformed(flattened, Format::Debezium, "not a flattened row");
    check_malformed(r#"{"entity":"a.B","op":"truncate"}"#, Format::Debezium, "Debezium event: no `source`");
}

#[test]
fn keyspaces_stand_for_databases() {
    let source = |connector: &str| {
        format!(
            r#""source":{{"connector":"{connector}","name":"s","db":"","keyspace":"inventory","table":"products"}}"#
        )
    };
    let created = format!(r#"{{"op":"c","after":{{"id":7}},{}}}"#, source("vitess"));
    let of = |op| Event { source: Some("s".into()), ..event("inventory.products", op) };
    check(&created, Format::Debezium, [Event { after: Some(row([("id", int(7))])), ..of(Op::Create) }]);
    let cells = r#"{"id":{"value":7,"deletion_ts":null,"set":true},"name":{"value":"x","deletion_ts":null,"set":true},
        "gone":{"value":null,"deletion_ts":5,"set":true},"same":{"value":null,"deletion_ts":null,"set":false},"other":null}"#;
    let image = || Some(row([("id", int(7)), ("name", text("x")), ("gone", Value::Null)]));
    let cassandra = |op: &str| format!(r#"{{"op":"{op}","ts_ms":1,"after":{cells},{}}}"#, source("cassandra"));
    let timed = |event| Event { time_us: Some(1000), ..event };
    for op in ["i", "u"] {
        check(&cassandra(op), Format::Debezium, [timed(Event { after: image(), filled: true, ..of(Op::Update) })]);
    }
    for op in ["d", "r"] {
        check(&cassandra(op), Format::Debezium, [timed(Event { before: image(), ..of(Op::Delete) })]);
    }
}

#[test]
fn a_flattened_row_says_what_happened_in_added_fields() {
    let image = || Some(row([("id", int(7)), ("op", text("x")), ("key", Value::Null)]));
    let flat = |added: &str| format!(r#"{{"id":7,"op":"x","key":null,"__table":"book","__source_ts_ms":1,{added}}}"#);
    let of = |op| Event { time_us: Some(1000), ..event("public.book", op) };
    let schema = r#""__schema":"public","__db":"shop""#;
    let created = flat(&format!(r#""__op":"c",{schema},"__deleted":"false""#));
    check(&created, Format::Debezium, [Event { after: image(), ..of(Op::Create) }]);
    let updated = flat(&format!(r#""__op":"u",{schema}"#));
    check(&updated, Format::Debezium, [Event { after: image(), filled: true, ..of(Op::Update) }]);
    let deleted = flat(&format!(r#""__op":"d",{schema},"__connector":"mysql""#));
    check(&deleted, Format::Debezium, [Event { before: image(), ..of(Op::Delete) }]);
    let mysql = flat(r#""__op":"c","__db":"shop""#);
    check(&mysql, Format::Debezium, [Event { entity: "shop.book".into(), after: image(), ..of(Op::Create) }]);
    let fields = r#"{"field":"born","type":"int32","name":"io.debezium.time.Date"}"#;
    let row_of = r#"{"born":18075,"__op":"r","__table":"person","__schema":"public"}"#;
    let wrapped = format!(r#"{{"schema":{{"type":"struct","fields":[{fields}]}},"payload":{row_of}}}"#);
    let types = Types(vec![("born".into(), Type::Date)]);
    let born = Some(row([("born", text("2019-06-28"))]));
    check(&wrapped, Format::Debezium, [Event { after: born, types, ..event("public.person", Op::Create) }]);
    for lacking in [r#"{"id":7,"__deleted":"true"}"#, r#"{"id":7,"__op":"c"}"#] {
        check_malformed(lacking, Format::Auto, "set `add.fields=op,table,schema,db,source.ts_ms`");
    }
}
