//! Promises of CloudEvents, in their three modes.

use crate::event::testing::{check, check_malformed, decoded, event, int, row, text};
use crate::event::{Change, Event, Format, Op};

const ATTRIBUTES: &str =
    r#""specversion":"1.0","id":"7","source":"/shop","type":"com.example.changed","time":"1970-01-01T00:00:01Z""#;
const DATA: &str = r#"{"entity":"a.B","op":"truncate"}"#;

fn truncated() -> Event<'static> {
    Event { id: Some("7".into()), source: Some("/shop".into()), time_us: Some(1_000_000), ..event("a.B", Op::Truncate) }
}

#[test]
fn a_structured_event_carries_a_native_one() {
    check(&format!(r#"{{{ATTRIBUTES},"data":{DATA}}}"#), Format::CloudEvents, [truncated()]);
    let own = r#"{"entity":"a.B","op":"truncate","id":"own","source":"mine","time":0,"traceparent":"00-a-b-01"}"#;
    let expected = Event {
        id: Some("own".into()),
        source: Some("mine".into()),
        time_us: Some(0),
        traceparent: Some("00-a-b-01".into()),
        ..truncated()
    };
    check(&format!(r#"{{"data":{own},{ATTRIBUTES}}}"#), Format::CloudEvents, [expected]);
}

#[test]
fn several_changes_in_one_event_do_not_share_its_identifier() {
    let body = format!(r#"{{{ATTRIBUTES},"data":{{"events":[{DATA},{DATA}]}}}}"#);
    let nameless = || Event { id: None, ..truncated() };
    check(&body, Format::CloudEvents, [nameless(), nameless()]);
}

#[test]
fn data_may_be_base64() {
    // {"entity":"a.B","op":"truncate"}
    let body = format!(r#"{{{ATTRIBUTES},"data_base64":"eyJlbnRpdHkiOiJhLkIiLCJvcCI6InRydW5jYXRlIn0="}}"#);
    check(&body, Format::CloudEvents, [truncated()]);
}

#[test]
fn the_time_of_a_header_may_be_that_of_amqp() {
    let of = |time| {
        [
            ("cloudEvents:specversion", "1.0"),
            ("cloudEvents:id", "7"),
            ("cloudEvents:source", "/shop"),
            ("cloudEvents:type", "x"),
            ("cloudEvents:time", time),
        ]
    };
    for time in ["1", "1970-01-01T00:00:01Z"] {
        let decoded = decoded(DATA, Format::Auto, &of(time));
        assert_eq!(decoded, Ok(vec![Change::Event(truncated())]), "{time}");
    }
}

#[test]
fn a_batch_is_a_list() {
    let one = format!(r#"{{{ATTRIBUTES},"data":{DATA}}}"#);
    check(&format!("[{one},{one}]"), Format::CloudEvents, [truncated(), truncated()]);
    check("[]", Format::CloudEvents, []);
    check_malformed(&format!("[{one},{DATA}]"), Format::Auto, "CloudEvents: event 2: no `specversion`");
}

#[test]
fn debezium_puts_the_operation_into_attributes() {
    let body = r#"{"id": "name:test_server;lsn:29274832;txId:565", "source": "/debezium/postgresql/test_server",
        "specversion": "1.0", "type": "io.debezium.connector.postgresql.DataChangeEvent",
        "time": "2020-01-13T13:55:39.738Z", "datacontenttype": "application/json", "iodebeziumop": "r",
        "iodebeziumversion": "<v>", "iodebeziumconnector": "postgresql", "iodebeziumname": "test_server",
        "iodebeziumtsms": "1578923739738", "iodebeziumsnapshot": "true", "iodebeziumdb": "postgres",
        "iodebeziumschema": "s1", "iodebeziumtable": "a", "iodebeziumlsn": "29274832", "iodebeziumxmin": null,
        "iodebeziumtxid": "565", "iodebeziumtxtotalorder": "1", "iodebeziumtxdatacollectionorder": "1",
        "data": {"before": null, "after": {"pk": 1, "name": "Bob"}}}"#;
    let expected = Event {
        id: Some("name:test_server;lsn:29274832;txId:565".into()),
        source: Some("test_server".into()),
        after: Some(row([("pk", int(1)), ("name", text("Bob"))])),
        time_us: Some(1_578_923_739_738_000),
        ..event("s1.a", Op::Create)
    };
    check(body, Format::CloudEvents, [expected]);
}

#[test]
fn data_may_be_a_debezium_envelope() {
    let body = format!(
        r#"{{{ATTRIBUTES},"data":{{"op":"t","source":{{"schema":"public","table":"b","name":"s"}},"ts_ms":1}}}}"#
    );
    let expected = Event {
        id: Some("7".into()),
        source: Some("s".into()),
        time_us: Some(1000),
        ..event("public.b", Op::Truncate)
    };
    check(&body, Format::CloudEvents, [expected]);
}

#[test]
fn binary_attributes_are_found_in_the_spellings_of_all_bindings() {
    let cases: [[(&str, &str); 5]; 4] = [
        [
            ("ce-specversion", "1.0"),
            ("ce-id", "7"),
            ("ce-source", "%2Fshop"),
            ("ce-type", "x"),
            ("ce-time", "1970-01-01T00:00:01Z"),
        ],
        [
            ("CE-SpecVersion", "1.0"),
            ("Ce-Id", "7"),
            ("CE-SOURCE", "/shop"),
            ("ce-Type", "x"),
            ("ce-time", "1970-01-01T00:00:01Z"),
        ],
        [
            ("cloudEvents:specversion", "1.0"),
            ("cloudEvents:id", "7"),
            ("cloudEvents:source", "/shop"),
            ("cloudEvents:type", "x"),
            ("cloudEvents:time", "1970-01-01T00:00:01Z"),
        ],
        [
            ("cloudevents_specversion", "1.0"),
            ("cloudevents_id", "7"),
            ("cloudevents_source", "/shop"),
            ("cloudevents_type", "x"),
            ("cloudevents_time", "1970-01-01T00:00:01Z"),
        ],
    ];
    for headers in cases {
        for format in [Format::CloudEvents, Format::Auto] {
            assert_eq!(decoded(DATA, format, &headers), Ok(vec![Change::Event(truncated())]), "{headers:?}");
        }
        let incomplete = decoded(DATA, Format::Auto, &headers[1..]);
        assert_eq!(incomplete, Ok(vec![Change::Event(event("a.B", Op::Truncate))]), "{headers:?}");
    }
}

#[test]
fn headers_are_decoded_once_and_not_twice() {
    let headers = [("ce-specversion", "1.0"), ("ce-id", "a%2520b"), ("ce-source", "s"), ("ce-type", "x")];
    let Ok(changes) = decoded(DATA, Format::Auto, &headers) else { panic!("refused") };
    let Change::Event(event) = &changes[0] else { panic!("no event") };
    assert_eq!(event.id.as_deref(), Some("a%20b"));
}

#[test]
fn what_is_no_cloud_event_of_version_1_0_is_refused() {
    let with = |change: (&str, &str), rest: &str| format!("{{{}{rest}}}", ATTRIBUTES.replace(change.0, change.1));
    let data = format!(r#","data":{DATA}"#);
    let cases = [
        (with(("1.0", "0.3"), &data), "unknown `specversion` '0.3', expected 1.0"),
        (with((r#""id":"7""#, r#""id":"""#), &data), "no `id`, which every CloudEvent has"),
        (with((r#""source":"/shop""#, r#""source":null"#), &data), "no `source`"),
        (with((r#""type":"com.example.changed""#, r#""type":1"#), &data), "no `type`"),
        (with(("", ""), ""), "no `data`"),
        (with(("", ""), r#","data":"text""#), "the data is no object"),
        (with(("", ""), r#","data_base64":"?""#), "`data_base64` is no base64"),
        (with(("", ""), r#","data_base64":"eyI=""#), "not valid JSON"),
        (with(("", ""), r#","data":{},"data_base64":"""#), "both `data` and `data_base64`"),
        (with(("", ""), r#","data":{"entity":"a.B"}"#), "CloudEvents: native event: no `op`"),
        (with(("1970-01-01T00:00:01Z", "now"), &data), "`time` is the text 'now'"),
    ];
    for (body, words) in &cases {
        check_malformed(body, Format::Auto, words);
    }
    check_malformed(DATA, Format::CloudEvents, "CloudEvents: no `specversion`");
    let words = decoded(DATA, Format::Auto, &[("content-type", "application/cloudevents+json; charset=utf-8")]);
    assert!(words.is_err_and(|error| error.to_string().contains("no `specversion`")));
}
