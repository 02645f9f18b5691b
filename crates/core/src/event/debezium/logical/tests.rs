//! Promises of values that Kafka Connect and Debezium encode.

use crate::event::testing::decoded;
use crate::event::{Change, Event, Format, Type, Value};

const POSTGRES: &str = "postgresql";
const MYSQL: &str = "mysql";
const ORACLE: &str = "oracle";
const SQLSERVER: &str = "sqlserver";

/// The event of a row with one column of this schema.
fn event(connector: &str, schema: &str, value: &str) -> Event<'static> {
    let fields = format!(r#"[{{"field":"after","fields":[{{"field":"x","optional":true,{schema}}}]}}]"#);
    let source = format!(r#"{{"connector":"{connector}","db":"shop","table":"t"}}"#);
    let payload = format!(r#"{{"op":"c","after":{{"x":{value}}},"source":{source}}}"#);
    let body = format!(r#"{{"schema":{{"fields":{fields}}},"payload":{payload}}}"#);
    match decoded(&body, Format::Debezium, &[]).map(|mut changes| changes.pop()) {
        Ok(Some(Change::Event(event))) => event,
        other => panic!("{body}: {other:?}"),
    }
}

/// What a column of this schema is read as; nothing where it is unknown.
fn read(connector: &str, schema: &str, value: &str) -> Option<Value<'static>> {
    event(connector, schema, value).after.and_then(|mut row| row.take("x"))
}

/// The name of a logical type.
fn named(name: &str) -> String {
    format!(r#""type":"int64","name":"{name}""#)
}

#[test]
fn encoded_values_are_written_as_text_by_their_schema() {
    let decimal = r#""type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"}"#;
    let cases = [
        (POSTGRES, decimal.to_owned(), r#""dzWUAA==""#, Some("20000000.00")),
        (POSTGRES, named("org.apache.kafka.connect.data.Decimal"), r#""dzWUAA==""#, None),
        // It has no zeros at its end there, and PostgreSQL's were taken off.
        (ORACLE, named("io.debezium.data.VariableScaleDecimal"), r#"{"scale":1,"value":"/w=="}"#, Some("-0.1")),
        (POSTGRES, named("io.debezium.data.VariableScaleDecimal"), r#"{"scale":1,"value":"/w=="}"#, None),
        (POSTGRES, named("io.debezium.time.Date"), "18075", Some("2019-06-28")),
        (MYSQL, named("org.apache.kafka.connect.data.Date"), "-1", Some("1969-12-31")),
        (POSTGRES, named("io.debezium.time.Date"), "-719163", None),
        (POSTGRES, named("io.debezium.time.Date"), "-719162", Some("0001-01-01")),
        (POSTGRES, named("io.debezium.time.Date"), "999999999999", None),
        (SQLSERVER, named("io.debezium.time.Timestamp"), "1562630400000", Some("2019-07-09T00:00:00")),
        (MYSQL, named("io.debezium.time.MicroTimestamp"), "1562630400000001", Some("2019-07-09T00:00:00.000001")),
        (
            SQLSERVER,
            named("io.debezium.time.NanoTimestamp"),
            "1562630400000000001",
            Some("2019-07-09T00:00:00.000000001"),
        ),
        (MYSQL, named("io.debezium.time.Time"), "43200000", Some("12:00:00")),
        (MYSQL, named("io.debezium.time.MicroTime"), "43200000001", Some("12:00:00.000001")),
        (SQLSERVER, named("io.debezium.time.NanoTime"), "1", Some("00:00:00.000000001")),
        (POSTGRES, named("io.debezium.time.MicroTime"), "86400000000", None),
        (MYSQL, named("io.debezium.time.MicroTime"), "-1", None),
        // Their microseconds were cut off, if there were any.
        (MYSQL, named("org.apache.kafka.connect.data.Timestamp"), "1562630400123", None),
        (MYSQL, named("org.apache.kafka.connect.data.Time"), "1", None),
        (POSTGRES, named("io.debezium.time.ZonedTimestamp"), r#""2019-07-09T00:00:00Z""#, Some("2019-07-09T00:00:00Z")),
        (
            POSTGRES,
            named("io.debezium.time.ZonedTimestamp"),
            r#""2019-07-09T00:00:00.120000Z""#,
            Some("2019-07-09T00:00:00.12Z"),
        ),
        (
            SQLSERVER,
            named("io.debezium.time.ZonedTimestamp"),
            r#""2019-07-09T02:00:00+02:00""#,
            Some("2019-07-09T02:00:00+02:00"),
        ),
        (POSTGRES, named("io.debezium.time.ZonedTimestamp"), r#""infinity""#, Some("infinity")),
        (POSTGRES, named("io.debezium.time.ZonedTimestamp"), r#""-0043-03-15T10:00:00Z""#, None),
        (POSTGRES, named("io.debezium.time.ZonedTimestamp"), r#""+10000-01-01T00:00:00Z""#, None),
        (POSTGRES, named("io.debezium.time.ZonedTime"), r#""01:04:05Z""#, None),
        (POSTGRES, named("io.debezium.time.IsoDate"), r#""2019-07-09Z""#, Some("2019-07-09")),
        (POSTGRES, named("io.debezium.time.IsoTime"), r#""12:00:00.000001Z""#, Some("12:00:00.000001")),
        (
            POSTGRES,
            named("io.debezium.time.IsoTimestamp"),
            r#""2019-07-09T02:28:57.000000Z""#,
            Some("2019-07-09T02:28:57"),
        ),
        (POSTGRES, named("io.debezium.time.IsoTimestamp"), r#""infinity""#, None),
        (ORACLE, named("io.debezium.time.MicroDuration"), "93600000000", None),
        (ORACLE, named("io.debezium.time.Interval"), r#""P1DT2H""#, None),
        (
            MYSQL,
            r#""type":"bytes","name":"io.debezium.data.Bits","parameters":{"length":"9"}"#.to_owned(),
            r#""AQE=""#,
            None,
        ),
        (POSTGRES, r#""type":"bytes""#.to_owned(), r#""AP8=""#, Some("\\x00ff")),
        (POSTGRES, r#""type":"bytes""#.to_owned(), r#""?""#, None),
        // How an application spells them is not known.
        (MYSQL, r#""type":"bytes""#.to_owned(), r#""AP8=""#, None),
        (POSTGRES, r#""type":"string""#.to_owned(), r#""0E-8""#, None),
        (POSTGRES, r#""type":"string""#.to_owned(), r#""-1.5E-7""#, None),
        (POSTGRES, r#""type":"string""#.to_owned(), r#""NAN""#, None),
        (POSTGRES, r#""type":"string""#.to_owned(), r#""E-8""#, Some("E-8")),
        (MYSQL, r#""type":"string""#.to_owned(), r#""0E-8""#, Some("0E-8")),
        (MYSQL, named("io.debezium.data.Enum"), r#""a""#, Some("a")),
        (MYSQL, named("io.debezium.data.EnumSet"), r#""a,b""#, Some("a,b")),
        (
            POSTGRES,
            named("io.debezium.data.Uuid"),
            r#""3f2504e0-4f89-11d3-9a0c-0305e82c3301""#,
            Some("3f2504e0-4f89-11d3-9a0c-0305e82c3301"),
        ),
    ];
    for (connector, schema, value, expected) in cases {
        let expected = expected.map(|text| Value::Text(text.into()));
        assert_eq!(read(connector, &schema, value), expected, "{value} of {connector} as {schema}");
    }
}

#[test]
fn what_is_no_text_keeps_its_kind_and_elements_are_as_columns() {
    let days = format!(r#""type":"array","items":{{{}}}"#, named("io.debezium.time.Date"));
    let text = |text: &str| Value::Text(text.to_owned().into());
    let cases = [
        (r#""type":"double""#.to_owned(), "5", Some(Value::Float(5.0))),
        (r#""type":"float""#.to_owned(), r#""NaN""#, Some(text("NaN"))),
        (r#""type":"int64""#.to_owned(), "5", Some(Value::Int(5))),
        (named("io.debezium.time.Year"), "2019", Some(Value::Int(2019))),
        (named("io.debezium.time.Date"), "null", Some(Value::Null)),
        (named("io.debezium.data.Bits"), "null", Some(Value::Null)),
        (days.clone(), "[18075,null]", Some(Value::List(vec![text("2019-06-28"), Value::Null]))),
        (days.clone(), "[18075,999999999999]", None),
        (days, "[]", Some(Value::List(vec![]))),
    ];
    for (schema, value, expected) in cases {
        assert_eq!(read(POSTGRES, &schema, value), expected, "{value} as {schema}");
    }
}

#[test]
fn columns_say_what_they_are_in_the_application() {
    let cases = [
        (r#""type":"double""#.to_owned(), "1.5", Some(Type::Float)),
        (named("io.debezium.time.IsoDate"), r#""2019-07-09Z""#, Some(Type::Date)),
        (named("io.debezium.time.ZonedTimestamp"), r#""2019-07-09T00:00:00Z""#, Some(Type::Datetime)),
        (named("io.debezium.data.Uuid"), r#""x""#, Some(Type::Uuid)),
        (r#""type":"string""#.to_owned(), r#""x""#, None),
        (r#""type":"int64""#.to_owned(), "1", None),
        (named("io.debezium.data.Enum"), r#""x""#, None),
    ];
    for (schema, value, expected) in cases {
        assert_eq!(event(POSTGRES, &schema, value).types.at(&["x"]), expected, "{schema}");
    }
}
