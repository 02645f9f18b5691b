//! Says what Debezium's converters make of values, as SQL that makes the same of them.
//!
//! Taken from its source: `debezium-connector-postgres/…/PostgresValueConverter.java` (`schemaBuilder`, `converter` and the methods that
//! they name), `debezium-core/…/jdbc/JdbcValueConverters.java`, `debezium-core/…/data/{SpecialValueDecimal,VariableScaleDecimal,Bits}.java`,
//! `debezium-core/…/time/*.java`; and from "Data type mappings" in `documentation/…/connectors/postgresql.adoc`.

use serde_json::{Value, json};

/// A set of options of the connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Options {
    /// The defaults: `decimal.handling.mode=precise`, `time.precision.mode=adaptive`, `interval.handling.mode=numeric`,
    /// `binary.handling.mode=bytes`.
    Default,
    /// `string`, `isostring`, `string`, `hex`.
    Text,
    /// `double`, `connect`, `numeric`, `base64`.
    Connect,
    /// `precise`, `microseconds`, `numeric`, `base64-url-safe`.
    Micro,
}

use Options::{Connect, Default, Micro, Text};

/// How the values of types are written with some options.
type Row = (&'static [&'static str], &'static [Options], &'static str, &'static str);

const ALL: &[Options] = &[Default, Text, Connect, Micro];
const NAMED: &str = r#"{"type":"string","name":"io.debezium.data.?"}"#;
const TEXT: &str = r#"{"type":"string"}"#;
const PLAIN: &str = "to_json(format('%s', c))";
const INT: &str = r#"{"type":"int64"}"#;
const DOUBLE: &str = r#"{"type":"double"}"#;
/// Java writes `5.0`, and the words of JSON's writer for what is no number.
const JAVA_DOUBLE: &str = "case when c::float8 in ('NaN', 'Infinity', '-Infinity') then to_json(c::float8::text)
    when c::float8::text ~ '^-?[0-9]+$' then (c::float8::text || '.0')::json else c::float8::text::json end";
/// Eight bytes of two's complement, which mean the same as the fewest.
const UNSCALED: &str = "case when c in ('NaN', 'Infinity', '-Infinity') or abs(c) > 9e16 then null
    else to_json(encode(int8send((c * 10 ^ scale(c))::int8), 'base64')) end";
const VARIABLE: &str =
    "case when c in ('NaN', 'Infinity', '-Infinity') or abs(c) > 9e16 then null else json_build_object(
    'scale', scale(trim_scale(c)), 'value', encode(int8send((c * 10 ^ scale(trim_scale(c)))::int8), 'base64')) end";
/// `BigDecimal.toString`, and the names of what is none.
const JAVA_DECIMAL: &str = "to_json(case c::text when 'NaN' then 'NAN' when 'Infinity' then 'POSITIVE_INFINITY'
    when '-Infinity' then 'NEGATIVE_INFINITY' when '0.0000001' then '1E-7' when '0.00000000' then '0E-8'
    when '0.00000001' then '1E-8' else c::text end)";
const DAYS: &str = "case when isfinite(c) then to_json(c - date '1970-01-01') else to_json(-2147483648) end";
const MICROS: &str =
    "case c when 'infinity' then to_json(9223372036825200000) when '-infinity' then to_json(-9223372036832400000)
    else to_json(round(extract(epoch from c) * 1000000)::int8) end";
const MILLIS: &str =
    "case c when 'infinity' then to_json(9223372036825200) when '-infinity' then to_json(-9223372036832400)
    else to_json(floor(extract(epoch from c) * 1000)::int8) end";
const CLOCK_MICROS: &str = "to_json(round(extract(epoch from c) * 1000000)::int8)";
const CLOCK_MILLIS: &str = "to_json(floor(extract(epoch from c) * 1000)::int8)";
/// As `java.time` prints it: six digits in the fraction, a sign before years that have not four digits.
const JAVA_TIME: &str = "case when not isfinite(c) then to_json(c::text)
    when c < '0001-01-01' then to_json('-' || to_char(extract(year from c) * -1 - 1, 'FM0000') || to_char(c, '-MM-DD\"T\"HH24:MI:SS.US\"Z\"'))
    when c >= '10000-01-01' then to_json('+' || to_char(c, 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'))
    else to_json(to_char(c, 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')) end";
const JAVA_DATE: &str = "case when not isfinite(c) then to_json(c::text)
    when c < '0001-01-01' then to_json('-' || to_char(extract(year from c) * -1 - 1, 'FM0000') || to_char(c, '-MM-DD\"Z\"'))
    when c >= '10000-01-01' then to_json('+' || to_char(c, 'YYYY-MM-DD\"Z\"')) else to_json(to_char(c, 'YYYY-MM-DD\"Z\"')) end";
/// Little end first, without the zeros at the big end.
const BITS: &str =
    "to_json(encode(case when c::bit(8) = B'00000000' then ''::bytea else '\\x05'::bytea end, 'base64'))";

/// Every type that Debezium writes.
const CONVERTED: &[Row] = &[
    (&["smallint"], ALL, r#"{"type":"int16"}"#, "to_json(c)"),
    (&["integer", "positive"], ALL, r#"{"type":"int32"}"#, "to_json(c)"),
    (&["bigint"], ALL, INT, "to_json(c)"),
    (&["oid"], ALL, INT, "to_json(c::text::int8)"),
    (&["boolean", "truth"], ALL, r#"{"type":"boolean"}"#, "to_json(c)"),
    (&["real"], ALL, r#"{"type":"float"}"#, JAVA_DOUBLE),
    (&["double precision"], ALL, DOUBLE, JAVA_DOUBLE),
    (&["numeric"], &[Default, Micro], r#"{"type":"struct","name":"io.debezium.data.VariableScaleDecimal"}"#, VARIABLE),
    (&["numeric(10,2)", "cents"], &[Default, Micro], DECIMAL_2, UNSCALED),
    (
        &["numeric(12,8)"],
        &[Default, Micro],
        r#"{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"8"}}"#,
        UNSCALED,
    ),
    (
        &["numeric(38,0)"],
        &[Default, Micro],
        r#"{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"0"}}"#,
        UNSCALED,
    ),
    (&["numeric", "numeric(10,2)", "cents", "numeric(12,8)", "numeric(38,0)"], &[Text], TEXT, JAVA_DECIMAL),
    (&["numeric", "numeric(10,2)", "cents", "numeric(12,8)", "numeric(38,0)"], &[Connect], DOUBLE, JAVA_DOUBLE),
    (&["money"], &[Default, Micro], DECIMAL_2, "to_json(encode(int8send((c::numeric * 100)::int8), 'base64'))"),
    (&["money"], &[Text], TEXT, "to_json(c::numeric::text)"),
    (&["money"], &[Connect], DOUBLE, "to_json(c::numeric::float8)"),
    (
        &[
            "text",
            "character varying(30)",
            "character varying",
            "character(4)",
            "character",
            "\"char\"",
            "name",
            "title",
            "inet",
            "cidr",
            "macaddr",
            "macaddr8",
            "int4range",
            "int8range",
            "numrange",
            "tsrange",
            "tstzrange",
            "daterange",
        ],
        ALL,
        TEXT,
        PLAIN,
    ),
    (&["xml", "uuid", "json", "jsonb", "doc", "mood", "tsvector"], ALL, NAMED, PLAIN),
    (&["bytea", "blob"], &[Default, Connect, Micro], r#"{"type":"bytes"}"#, "to_json(encode(c, 'base64'))"),
    (&["bytea", "blob", "bytea[]"], &[Text], TEXT, "to_json(encode(c, 'hex'))"),
    (&["bit(1)"], ALL, r#"{"type":"boolean"}"#, "to_json(c = B'1')"),
    (
        &["bit(3)", "bit(9)", "bit varying(12)"],
        ALL,
        r#"{"type":"bytes","name":"io.debezium.data.Bits","parameters":{"length":"9"}}"#,
        BITS,
    ),
    (&["date"], &[Default, Micro], r#"{"type":"int32","name":"io.debezium.time.Date"}"#, DAYS),
    (&["date"], &[Connect], r#"{"type":"int32","name":"org.apache.kafka.connect.data.Date"}"#, DAYS),
    (&["date"], &[Text], r#"{"type":"string","name":"io.debezium.time.IsoDate"}"#, JAVA_DATE),
    (
        &["time without time zone"],
        &[Default, Micro],
        r#"{"type":"int64","name":"io.debezium.time.MicroTime"}"#,
        CLOCK_MICROS,
    ),
    (&["time(3) without time zone"], &[Default], r#"{"type":"int32","name":"io.debezium.time.Time"}"#, CLOCK_MILLIS),
    (&["time(3) without time zone"], &[Micro], r#"{"type":"int64","name":"io.debezium.time.MicroTime"}"#, CLOCK_MICROS),
    (
        &["time without time zone", "time(3) without time zone", "time without time zone[]"],
        &[Connect],
        r#"{"type":"int32","name":"org.apache.kafka.connect.data.Time"}"#,
        CLOCK_MILLIS,
    ),
    (
        &["time without time zone", "time(3) without time zone", "time without time zone[]"],
        &[Text],
        r#"{"type":"string","name":"io.debezium.time.IsoTime"}"#,
        "to_json(c::text || 'Z')",
    ),
    (
        &["time with time zone"],
        ALL,
        r#"{"type":"string","name":"io.debezium.time.ZonedTime"}"#,
        "to_json(replace((c at time zone 'UTC')::text, '+00', 'Z'))",
    ),
    (
        &["timestamp without time zone"],
        &[Default, Micro],
        r#"{"type":"int64","name":"io.debezium.time.MicroTimestamp"}"#,
        MICROS,
    ),
    (
        &["timestamp(3) without time zone"],
        &[Default],
        r#"{"type":"int64","name":"io.debezium.time.Timestamp"}"#,
        MILLIS,
    ),
    (
        &["timestamp(3) without time zone"],
        &[Micro],
        r#"{"type":"int64","name":"io.debezium.time.MicroTimestamp"}"#,
        MICROS,
    ),
    (
        &["timestamp without time zone", "timestamp(3) without time zone", "timestamp without time zone[]"],
        &[Connect],
        r#"{"type":"int64","name":"org.apache.kafka.connect.data.Timestamp"}"#,
        MILLIS,
    ),
    (
        &["timestamp without time zone", "timestamp(3) without time zone", "timestamp without time zone[]"],
        &[Text],
        r#"{"type":"string","name":"io.debezium.time.IsoTimestamp"}"#,
        JAVA_TIME,
    ),
    (
        &["timestamp with time zone", "stamp"],
        ALL,
        r#"{"type":"string","name":"io.debezium.time.ZonedTimestamp"}"#,
        JAVA_TIME,
    ),
    (
        &["interval"],
        &[Default, Connect, Micro],
        r#"{"type":"int64","name":"io.debezium.time.MicroDuration"}"#,
        "to_json(round(extract(epoch from c) * 1000000)::int8)",
    ),
    (
        &["interval"],
        &[Text],
        r#"{"type":"string","name":"io.debezium.time.Interval"}"#,
        "to_json('P' || extract(year from c) || 'Y' || extract(month from c) || 'M' || extract(day from c) || 'DT0H0M'
            || extract(second from c) || 'S')",
    ),
    (
        &["point"],
        ALL,
        r#"{"type":"struct","name":"io.debezium.data.geometry.Point"}"#,
        "json_build_object('x', c[0], 'y', c[1], 'wkb', 'AQEAAAA=', 'srid', null)",
    ),
    (
        &["box", "lseg", "path", "polygon"],
        ALL,
        r#"{"type":"struct","name":"io.debezium.data.geometry.Geometry"}"#,
        "json_build_object('wkb', 'AQEAAAA=', 'srid', null)",
    ),
    (
        &["line", "circle"],
        ALL,
        r#"{"type":"struct","name":"io.debezium.data.geometry.Circle"}"#,
        "json_build_object('x', 1.5, 'y', 2.5, 'radius', 3.5)",
    ),
    (&["smallint[]", "integer[]", "bigint[]", "positive[]", "ids"], ALL, r#"{"type":"int32"}"#, "to_json(c)"),
    (&["oid[]"], ALL, INT, "to_json(c::text::int8)"),
    (&["boolean[]"], ALL, r#"{"type":"boolean"}"#, "to_json(c)"),
    (&["real[]", "double precision[]"], ALL, DOUBLE, JAVA_DOUBLE),
    (&["numeric(10,2)[]"], &[Default, Micro], DECIMAL_2, UNSCALED),
    (
        &["numeric[]"],
        &[Default, Micro],
        r#"{"type":"struct","name":"io.debezium.data.VariableScaleDecimal"}"#,
        VARIABLE,
    ),
    (&["numeric(10,2)[]", "numeric[]"], &[Text], TEXT, JAVA_DECIMAL),
    (&["numeric(10,2)[]", "numeric[]"], &[Connect], DOUBLE, JAVA_DOUBLE),
    (&["text[]", "character varying(30)[]", "character(4)[]", "inet[]", "int4range[]"], ALL, TEXT, PLAIN),
    (&["uuid[]", "jsonb[]", "mood[]"], ALL, NAMED, PLAIN),
    (&["date[]"], &[Default, Micro], r#"{"type":"int32","name":"io.debezium.time.Date"}"#, DAYS),
    (&["date[]"], &[Connect], r#"{"type":"int32","name":"org.apache.kafka.connect.data.Date"}"#, DAYS),
    (&["date[]"], &[Text], r#"{"type":"string","name":"io.debezium.time.IsoDate"}"#, JAVA_DATE),
    (
        &["time without time zone[]"],
        &[Default, Micro],
        r#"{"type":"int64","name":"io.debezium.time.MicroTime"}"#,
        CLOCK_MICROS,
    ),
    (
        &["timestamp without time zone[]"],
        &[Default, Micro],
        r#"{"type":"int64","name":"io.debezium.time.MicroTimestamp"}"#,
        MICROS,
    ),
    (&["timestamp with time zone[]"], ALL, r#"{"type":"string","name":"io.debezium.time.ZonedTimestamp"}"#, JAVA_TIME),
    (&["bytea[]"], &[Default, Connect, Micro], r#"{"type":"bytes"}"#, "to_json(encode(c, 'base64'))"),
];

const DECIMAL_2: &str = r#"{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"}}"#;

/// How values of a type are written; types that are not listed are left out of events.
fn converted(kind: &str, options: Options) -> Option<&'static Row> {
    CONVERTED.iter().find(|(kinds, with, ..)| kinds.contains(&kind) && with.contains(&options))
}

/// SQL for the values of a column, one a row: null where the value stops the connector.
pub(super) fn sql(at: usize, kind: &str, options: Options) -> String {
    let Some((.., expression)) = converted(kind, options) else {
        return "select '[]'::json".to_owned();
    };
    let null = "'{\"null\": true}'::json";
    let value = if kind.ends_with("[]") {
        let element = format!("case when c is null then 'null' else ({expression}) end");
        format!("(select case when bool_and(({element}) is not null) is not false then coalesce(json_agg({element}), '[]') end
                  from unnest(c) as e(c))")
    } else {
        format!("(select {expression})")
    };
    format!(
        "select json_agg(case when c is null then {null} else {value} end order by id) from (select id, c{at} as c from kinds) k"
    )
}

/// The change of a row of which this is one column.
pub(super) fn event(
    at: usize,
    kind: &str,
    options: Options,
    value: Option<&Value>,
    with_schema: bool,
) -> Option<String> {
    let Some((_, _, schema, _)) = converted(kind, options) else { return Some(message(json!({}), None)) };
    let name = match kind {
        "json" | "jsonb" | "doc" | "jsonb[]" => "Json",
        "uuid" | "uuid[]" => "Uuid",
        "mood" | "mood[]" => "Enum",
        "xml" => "Xml",
        _ => "TsVector",
    };
    let mut schema: Value = serde_json::from_str(&schema.replace('?', name)).unwrap();
    if kind.ends_with("[]") || kind == "ids" {
        schema = json!({ "type": "array", "items": schema });
    }
    let column = format!("c{at}");
    schema["field"] = json!(column);
    schema["optional"] = json!(true);
    let value = match value? {
        Value::Null => return None,
        Value::Object(null) if null.contains_key("null") => &Value::Null,
        value => value,
    };
    Some(message(json!({ column: value }), with_schema.then_some(schema)))
}

fn message(after: Value, column: Option<Value>) -> String {
    let source =
        json!({ "connector": "postgresql", "name": "shop", "db": "shop", "schema": "public", "table": "kinds" });
    let payload = json!({ "op": "c", "before": null, "after": after, "source": source });
    let Some(column) = column else { return payload.to_string() };
    let image = json!({ "type": "struct", "field": "after", "fields": [column] });
    json!({ "schema": { "type": "struct", "fields": [image] }, "payload": payload }).to_string()
}
