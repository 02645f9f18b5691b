//! Promises about every message, whatever its format: limits, bad input, and nothing left behind by an error.

use proptest::prelude::*;

use super::*;
use crate::event::testing::{check_malformed, event};
use crate::event::{Event, Op};

const FORMATS: [Format; 8] = Format::ALL;

fn error(body: &[u8], limits: &EventLimits) -> DecodeError {
    let mut changes = vec![Change::Event(event("kept.One", Op::Truncate))];
    let error = decode(Payload { body, headers: &[] }, Format::Auto, limits, &mut changes).expect_err("it is bad");
    assert_eq!(changes, [Change::Event(event("kept.One", Op::Truncate))]);
    error
}

fn limit(what: &'static str, actual: usize, limit: usize, setting: &'static str) -> DecodeError {
    DecodeError::Limit { what, actual, limit, setting }
}

#[test]
fn a_body_past_the_limit_is_refused_before_it_is_read() {
    let limits = EventLimits::default();
    let expected = limit("message size", 50 << 20, 1 << 20, "limits.max_message_bytes");
    assert_eq!(error(&vec![0xff; 50 << 20], &limits), expected);
    assert_eq!(expected.to_string(), "message size is 52428800, the limit is 1048576 (limits.max_message_bytes)");
}

#[test]
fn nesting_past_the_limit_is_refused_in_every_field() {
    let limits = EventLimits::default();
    for field in ["after", "ignored", "data", "payload"] {
        let body =
            format!(r#"{{"entity":"a.B","op":"create","{field}":{}{}}}"#, r#"{"a":"#.repeat(300), "}".repeat(300));
        assert_eq!(error(body.as_bytes(), &limits), limit("nesting depth", 33, 32, "limits.max_depth"), "{field}");
    }
    let unbounded = EventLimits { max_depth: 1_000_000, ..limits };
    let deep = "[".repeat(200_000);
    assert_eq!(error(deep.as_bytes(), &unbounded), limit("nesting depth", 128, 127, "limits.max_depth"));
}

#[test]
fn nesting_up_to_the_limit_is_read() {
    let limits = EventLimits { max_depth: 127, ..EventLimits::default() };
    let body = format!(r#"{{"entity":"a.B","op":"create","after":{}1{}}}"#, r#"{"a":"#.repeat(126), "}".repeat(126));
    let mut changes = Vec::new();
    let decoded = decode(Payload { body: body.as_bytes(), headers: &[] }, Format::Auto, &limits, &mut changes);
    assert_eq!(decoded, Ok(()));
}

#[test]
fn events_past_the_limit_are_refused_and_counted() {
    let limits = EventLimits { max_events: 3, ..EventLimits::default() };
    let list = |count| format!("[{}]", vec![r#"{"entity":"a.B","op":"truncate"}"#; count].join(","));
    let expected = |count| limit("number of events", count, 3, "limits.max_events");
    assert_eq!(error(format!(r#"{{"events":{}}}"#, list(7)).as_bytes(), &limits), expected(7));
    assert_eq!(error(list(7).as_bytes(), &limits), expected(7));
    let inner = format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"t","data":{{"events":{}}}}}"#, list(2));
    assert_eq!(error(format!("[{inner},{inner}]").as_bytes(), &limits), expected(4));
    let mut changes = Vec::new();
    let body = format!(r#"{{"events":{}}}"#, list(3));
    assert_eq!(decode(Payload { body: body.as_bytes(), headers: &[] }, Format::Auto, &limits, &mut changes), Ok(()));
    assert_eq!(changes.len(), 3);
}

#[test]
fn what_is_no_json_is_refused_with_its_place() {
    let cases: [(&[u8], &str); 15] = [
        (b"", "the body is empty"),
        (b" \n\t", "the body is empty"),
        (b"\xef\xbb\xbf{}", "begins with a byte order mark"),
        (b"\x93\xfa\x00\x17", "not valid UTF-8: byte 0x93 at offset 0"),
        (b"{\"entity\":\"\xff\"}", "not valid UTF-8: byte 0xff at offset 11"),
        (b"{\"ignored\":\"\xff\"}", "not valid UTF-8: byte 0xff at offset 12"),
        (br#"{"entity":"a.B","op":"up"#, "not valid JSON: EOF while parsing a string at line 1 column 24"),
        (br#"{"entity":"a.B","#, "EOF while parsing"),
        (br#"{"entity":"a.B","op":"truncate"} {"#, "trailing characters at line 1 column 34"),
        (br#"{"entity":"a.B","op":"truncate","x":01}"#, "invalid number"),
        (br#"{"entity":"a.B","op":"create","after":{"n":1e400}}"#, "number out of range"),
        (br#"{"entity":"a.B","entity":"a.C","op":"truncate"}"#, "the field `entity` is there twice"),
        (br#"{"entity":"a.B","op":"create","after":{"a":1,"b":2,"a":3}}"#, "the field `a` is there twice"),
        (br#"{"entity":"\ud800","op":"truncate"}"#, "not valid JSON"),
        (b"{\"entity\":\"a\nB\"}", "control character"),
    ];
    for (body, words) in cases {
        let error = error(body, &EventLimits::default()).to_string();
        assert!(error.contains(words), "{error}, not {words}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn what_no_format_knows_is_refused_and_says_what_is_known() {
    for body in ["5", "true", "{}", r#"{"id":1}"#] {
        check_malformed(body, Format::Auto, "no format recognised: expected an object with entity and op");
    }
    check_malformed(r#"{"op":"update"}"#, Format::Auto, "native event: no `entity`");
}

#[test]
fn nul_and_big_integers_are_data() {
    let body = r#"{"entity":"a.B","op":"create","after":{"s":"\u0000","n":18446744073709551615}}"#;
    let mut changes = Vec::new();
    decode(Payload { body: body.as_bytes(), headers: &[] }, Format::Auto, &EventLimits::default(), &mut changes)
        .expect("it is right");
    let Change::Event(Event { after: Some(after), .. }) = &changes[0] else { panic!("no after image") };
    assert_eq!(after.get("s"), Some(&Value::Text("\0".into())));
    assert_eq!(after.get("n"), Some(&Value::Int(u64::MAX.into())));
}

#[test]
fn an_error_quotes_a_bounded_part_of_the_payload() {
    let long = "\u{1b}é".repeat(5_000);
    let escaped = long.replace('\u{1b}', "\\u001b");
    let bodies = [
        format!(r#"{{"entity":"a.B","op":"{escaped}"}}"#),
        format!(r#"{{"entity":"a.B","op":"truncate","time":"{escaped}"}}"#),
        format!(r#"{{"invalidate":{{"{escaped}":1}}}}"#),
        format!(r#"{{"after":{{"{escaped}":1,"{escaped}":1}}}}"#),
        format!(r#"{{"action":"{escaped}"}}"#),
        format!(r#"{{"op":"{escaped}","source":{{"table":"t"}}}}"#),
        format!(r#"{{"specversion":"{escaped}"}}"#),
        format!("{{{long}"),
        long,
    ];
    for body in bodies {
        let words = error(body.as_bytes(), &EventLimits::default()).to_string();
        assert!(words.chars().count() < 400, "{words}");
        assert!(!words.contains(char::is_control), "{words:?}");
    }
}

/// Text that is often JSON, and often one of the formats.
fn nearly_an_event() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "entity",
        "op",
        "events",
        "invalidate",
        "key",
        "before",
        "after",
        "source",
        "payload",
        "schema",
        "data",
        "specversion",
        "1.0",
        "type",
        "id",
        "action",
        "columns",
        "identity",
        "pk",
        "name",
        "value",
        "table",
        "message",
        "prefix",
        "content",
        "quash",
        "c",
        "u",
        "d",
        "m",
        "create",
        "I",
        "M",
        "to",
        "from",
        "relation",
        "add",
        "time",
        "data_base64",
        "e30=",
        "iodebeziumop",
        "changed",
        "ts_ms",
        "status",
        "BEGIN",
        "change",
    ]);
    let leaf = prop_oneof![
        word.clone().prop_map(|word| format!("{word:?}")),
        Just("null".to_owned()),
        Just("1".to_owned()),
        Just("1e999".to_owned()),
        "[ -~]{0,5}",
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        let field = (word.clone(), inner.clone()).prop_map(|(name, value)| format!("{name:?}:{value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(field, 0..6).prop_map(|fields| format!("{{{}}}", fields.join(","))),
        ]
    })
}

fn survives(body: &[u8], headers: Headers<'_>) -> Result<(), TestCaseError> {
    for format in FORMATS {
        let mut changes = vec![Change::Event(event("kept.One", Op::Truncate))];
        let decoded = decode(Payload { body, headers }, format, &EventLimits::default(), &mut changes);
        prop_assert_eq!(&changes[0], &Change::Event(event("kept.One", Op::Truncate)));
        if let Err(error) = decoded {
            prop_assert_eq!(changes.len(), 1);
            prop_assert!(!error.to_string().contains(char::is_control));
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        survives(&body, &[])?;
    }

    #[test]
    fn arbitrary_shapes_never_panic_and_leave_nothing_behind(body in nearly_an_event(), key in nearly_an_event()) {
        let headers = [("key".into(), key), ("ce-id".into(), body.clone()), ("ce-time".into(), "%ff".to_owned())];
        survives(body.as_bytes(), &[])?;
        survives(body.as_bytes(), &headers)?;
    }

    #[test]
    fn a_truncated_event_is_always_malformed(end in 0_usize..72) {
        let body = r#"{"entity":"shop.Book","op":"update","key":{"id":42},"after":{"id":42.5}}"#;
        let refused = matches!(error(&body.as_bytes()[..end], &EventLimits::default()), DecodeError::Malformed(_));
        prop_assert!(refused);
    }
}

#[test]
fn json_inside_of_text_says_what_to_set() {
    let native = r#"{"entity":"a.B","op":"truncate"}"#;
    let text = serde_json::Value::from(native).to_string();
    check_malformed(&text, Format::Auto, "expand.json.payload=true");
    let wrapped = format!(r#"{{"schema":{{"type":"string"}},"payload":{text}}}"#);
    check_malformed(&wrapped, Format::Auto, "expand.json.payload=true");
    let body = format!(r#"{{"schema":{{"type":"struct"}},"payload":{native}}}"#);
    let mut changes = Vec::new();
    decode(Payload { body: body.as_bytes(), headers: &[] }, Format::Auto, &EventLimits::default(), &mut changes)
        .unwrap();
    assert_eq!(changes, [Change::Event(event("a.B", Op::Truncate))]);
}

#[test]
fn what_stands_beside_the_events_is_kept_once_however_many_there_are() {
    let events = [r#"{"entity":"a.B","op":"truncate"}"#; 100].join(",");
    for said in ["plain", "\\n escaped"] {
        let native = format!(r#"{{"source":"{said}","origin":"{said}","traceparent":"{said}","events":[{events}]}}"#);
        let encoded = encode(native.as_bytes());
        let text = serde_json::Value::from(native.as_str());
        for body in [
            native.clone(),
            format!(r#"{{"action":"M","prefix":"quash","content":{text}}}"#),
            format!(
                r#"{{"op":"m","source":{{"name":"{said}"}},"message":{{"prefix":"quash","content":"{encoded}"}}}}"#
            ),
            format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"t","data":{native}}}"#),
            format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"{encoded}"}}"#),
        ] {
            let mut changes = Vec::new();
            let payload = Payload { body: body.as_bytes(), headers: &[] };
            decode(payload, Format::Auto, &EventLimits::default(), &mut changes).unwrap();
            let said = |of: fn(&Event<'_>) -> Option<*const u8>| {
                let texts = changes.iter().map(|change| match change {
                    Change::Event(event) => of(event).unwrap(),
                    Change::Command(_) => panic!("no event"),
                });
                texts.collect::<std::collections::BTreeSet<_>>().len()
            };
            let kept = [
                said(|event| event.source.as_deref().map(str::as_ptr)),
                said(|event| event.origin.as_deref().map(str::as_ptr)),
                said(|event| event.traceparent.as_deref().map(str::as_ptr)),
            ];
            assert_eq!((changes.len(), kept), (100, [1, 1, 1]), "{body}");
        }
    }
}

/// Base64.
fn encode(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let bits = (0..3).fold(0, |bits, index| bits << 8 | usize::from(three.get(index).copied().unwrap_or_default()));
        (0..=three.len()).map(|index| char::from(DIGITS[bits >> (18 - 6 * index) & 63])).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}
