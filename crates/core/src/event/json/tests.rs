//! Promises of the native format.

use crate::answer::AnswerId;
use crate::event::testing::{check, check_malformed, decoded, event, int, row, text};
use crate::event::{Change, Command, Event, Format, Invalidate, Op, Relation, Value};

#[test]
fn every_field_of_an_event_is_read() {
    let body = r#"{"quash": 1, "id": "01J9ZC", "source": "django:shop", "entity": "shop.Book", "op": "update",
        "key": {"id": 42}, "before": {"id": 42, "title": "Old\n", "shelf": null}, "after": {"id": 42, "title": "New"},
        "changed": ["title"], "time": "1970-01-01T00:00:01.5Z", "origin": "web-7f9c", "traceparent": "00-1-2-01",
        "unheard_of": {"a": [1, 2, {"b": 3}]}}"#;
    check(
        body,
        Format::Json,
        [Event {
            id: Some("01J9ZC".into()),
            source: Some("django:shop".into()),
            key: row([("id", int(42))]),
            before: Some(row([("id", int(42)), ("title", text("Old\n")), ("shelf", Value::Null)])),
            after: Some(row([("id", int(42)), ("title", text("New"))])),
            changed: Some(vec!["title".into()]),
            time_us: Some(1_500_000),
            origin: Some("web-7f9c".into()),
            traceparent: Some("00-1-2-01".into()),
            ..event("shop.Book", Op::Update)
        }],
    );
}

#[test]
fn what_is_null_is_not_carried() {
    let body = r#"{"entity":"a.B","op":"delete","key":{"id":1},"before":null,"after":null,"changed":null,"id":null,
        "source":null,"time":null,"origin":null}"#;
    check(body, Format::Json, [Event { key: row([("id", int(1))]), ..event("a.B", Op::Delete) }]);
}

#[test]
fn relations_have_two_ends() {
    let relation = |to| Some(Relation { name: "tags".into(), from: row([("id", int(1))]), to });
    let book = |op, to| Event { relation: relation(to), ..event("shop.Book", op) };
    let (five, nine) = (row([("id", int(5))]), row([("id", int(9))]));
    let cases = [
        (r#""add","to":[{"id":5},{"id":9}]"#, book(Op::Add, vec![five.clone(), nine])),
        (r#""remove","to":{"id":5}"#, book(Op::Remove, vec![five])),
        (r#""clear","to":null"#, book(Op::Clear, vec![])),
        (r#""clear""#, book(Op::Clear, vec![])),
    ];
    for (rest, expected) in cases {
        let body = format!(r#"{{"entity":"shop.Book","relation":"tags","from":{{"id":1}},"op":{rest}}}"#);
        check(&body, Format::Json, [expected]);
    }
}

#[test]
fn a_transaction_hands_down_what_its_events_do_not_say() {
    let body = r#"{"source":"shop","time":1000,"events":[
        {"entity":"a.B","op":"truncate","source":"other"},
        {"entity":"a.C","op":"truncate","id":7},
        {"invalidate":{"key":"home"}}]}"#;
    let expected = vec![
        Change::Event(Event { source: Some("other".into()), time_us: Some(1_000_000), ..event("a.B", Op::Truncate) }),
        Change::Event(Event {
            id: Some("7".into()),
            source: Some("shop".into()),
            time_us: Some(1_000_000),
            ..event("a.C", Op::Truncate)
        }),
        Change::Command(Command {
            what: Invalidate::Key("home".into()),
            target: None,
            id: None,
            time_us: Some(1_000_000),
            answer: None,
        }),
    ];
    assert_eq!(decoded(body, Format::Auto, &[]), Ok(expected));
    assert_eq!(decoded(r#"{"events":[]}"#, Format::Auto, &[]), Ok(vec![]));
}

#[test]
fn commands_name_exactly_one_thing() {
    let command = |what| Command { what, target: None, id: None, time_us: None, answer: None };
    let args = row([("author_id", int(3)), ("page", text("1"))]);
    let cases = [
        (
            r#"{"cache":"catalog","args":{"author_id":3,"page":"1"}}"#,
            command(Invalidate::Cache { cache: "catalog".into(), args }),
        ),
        (r#"{"cache":"catalog"}"#, command(Invalidate::Cache { cache: "catalog".into(), args: row([]) })),
        (
            r#"{"key":"product:1","target":"eu"}"#,
            Command { target: Some("eu".into()), ..command(Invalidate::Key("product:1".into())) },
        ),
        (r#"{"prefix":"p:","target":null}"#, command(Invalidate::Prefix("p:".into()))),
        (r#"{"tag":"author:3"}"#, command(Invalidate::Tag("author:3".into()))),
    ];
    for (what, expected) in cases {
        let body = format!(r#"{{"invalidate":{what}}}"#);
        assert_eq!(decoded(&body, Format::Auto, &[]), Ok(vec![Change::Command(expected)]), "{body}");
    }
    let refused = [
        ("{}", "names nothing"),
        (r#"{"args":{"id":1}}"#, "names nothing"),
        (r#"{"key":"a","tag":"b"}"#, "more than one"),
        (r#"{"key":""}"#, "`key` of `invalidate` is empty"),
        (r#"{"prefix":""}"#, "`prefix` of `invalidate` is empty"),
        (r#"{"tag":null}"#, "`tag` of `invalidate` is empty"),
        (r#"{"cache":""}"#, "`cache` of `invalidate` is empty"),
        (r#"{"key":"a","target":""}"#, "`target` of `invalidate` is empty"),
        (r#"{"key":"a","args":{}}"#, "only `cache` takes"),
        (r#"{"cache":"a","arguments":{"id":1}}"#, "unknown field 'arguments'"),
        (r#"{"cache":"a","args":[1]}"#, "`args` is a list"),
        (r#"{"key":1}"#, "`key` is 1: expected text"),
        (r#""product:1""#, "`invalidate` is the text 'product:1'"),
        ("null", "`invalidate` is null"),
    ];
    for (what, words) in refused {
        check_malformed(&format!(r#"{{"invalidate":{what}}}"#), Format::Auto, words);
    }
}

#[test]
fn an_event_that_could_match_nothing_is_refused() {
    let cases = [
        (r#"{"entity":"a.B"}"#, "no `op`, expected one of create, update, delete, truncate, add, remove, clear"),
        (r#"{"entity":"a.B","op":"upsert"}"#, "unknown `op` 'upsert', expected one of create"),
        (r#"{"entity":"a.B","op":1}"#, "`op` is 1: expected text"),
        (r#"{"op":"create","after":{}}"#, "no `entity`"),
        (r#"{"entity":"","op":"create","after":{}}"#, "no `entity`"),
        (r#"{"entity":{"model":"a.B"},"op":"create"}"#, "`entity` is an object: expected text"),
        (r#"{"entity":"a.B","op":"create"}"#, "no `after`, which `op` create needs"),
        (r#"{"entity":"a.B","op":"update"}"#, "no `after` or `key`"),
        (r#"{"entity":"a.B","op":"delete"}"#, "no `before` or `key`"),
        (r#"{"entity":"a.B","op":"delete","key":{}}"#, "no `before` or `key`"),
        (r#"{"entity":"a.B","op":"add","from":{}}"#, "no `relation`, which `op` add needs"),
        (r#"{"entity":"a.B","op":"add","relation":"","from":{}}"#, "no `relation`"),
        (r#"{"entity":"a.B","op":"clear","relation":"tags"}"#, "no `from`, which `op` clear needs"),
        (r#"{"entity":"a.B","op":"add","relation":"tags","from":{},"to":[5]}"#, "`to` has 5"),
        (r#"{"entity":"a.B","op":"update","key":42}"#, "`key` is 42: expected an object of columns"),
        (r#"{"entity":"a.B","op":"update","after":[1]}"#, "`after` is a list"),
        (r#"{"entity":"a.B","op":"truncate","changed":["a",1]}"#, "`changed` has 1: expected a list"),
        (r#"{"entity":"a.B","op":"truncate","changed":"a"}"#, "`changed` has the text 'a'"),
        (r#"{"entity":"a.B","op":"truncate","time":"yesterday"}"#, "`time` is the text 'yesterday': expected RFC 3339"),
        (r#"{"entity":"a.B","op":"truncate","time":1.5}"#, "`time` is 1.5"),
        (r#"{"entity":"a.B","op":"truncate","quash":2}"#, "unknown schema version: `quash` is 2, expected 1"),
        (r#"{"entity":"a.B","op":"truncate","source":{}}"#, "`source` is an object: expected text"),
        (r#"{"entity":"a.B","op":"truncate","events":[]}"#, "more than one of"),
        (r#"{"events":[],"invalidate":{"key":"a"}}"#, "more than one of"),
        (r#"{"events":{}}"#, "expected a list of events"),
        (r#"{"events":[{"entity":"a.B","op":"truncate"},{"entity":"a.B"}]}"#, "event 2: no `op`"),
        (r#"{"events":[{"events":[]}]}"#, "event 1: `events` inside of `events`"),
        (r#"{"events":[5]}"#, "event 1: expected an object"),
    ];
    for (body, words) in cases {
        check_malformed(body, Format::Auto, words);
    }
    check_malformed("{}", Format::Json, "native event: no `entity` and `op`, no `events` and no `invalidate`");
    check_malformed("[]", Format::Json, "native event: expected an object");
    check_malformed("null", Format::Json, "native event: expected an object");
}

#[test]
fn fields_that_other_formats_know_are_harmless() {
    let others = r#""payload":{"a":1},"schema":"public","columns":["a",{}],"identity":{},"pk":5,"data":[1],"action":"I",
        "table":[],"message":1,"change":2,"transaction":null,"type":"x","ts_ms":"soon","status":{}"#;
    let body = format!(r#"{{"entity":"a.B","op":"truncate",{others}}}"#);
    check(&body, Format::Json, [event("a.B", Op::Truncate)]);
}

#[test]
fn an_answer_is_asked_for_under_an_identifier_of_32_digits() {
    const ID: &str = "000102030405060708090a0b0c0d0eff";
    let asked = AnswerId::parse(ID);
    let asks = |body: &str| match &decoded(body, Format::Auto, &[]).unwrap()[..] {
        [Change::Event(event)] => event.answer,
        [Change::Command(command)] => command.answer,
        other => panic!("{other:?}"),
    };
    for body in [
        format!(r#"{{"entity":"a.B","op":"truncate","answer":"{ID}"}}"#),
        format!(r#"{{"invalidate":{{"key":"home"}},"answer":"{ID}"}}"#),
        format!(r#"{{"answer":"{ID}","events":[{{"entity":"a.B","op":"truncate"}}]}}"#),
        format!(r#"{{"events":[{{"invalidate":{{"key":"home"}},"answer":"{ID}"}}]}}"#),
        format!(
            r#"{{"specversion":"1.0","id":"1","source":"/","type":"t","data":{{"entity":"a.B","op":"truncate","answer":"{ID}"}}}}"#
        ),
    ] {
        assert_eq!(asks(&body), asked, "{body}");
    }
    assert_eq!(asks(r#"{"entity":"a.B","op":"truncate","answer":null}"#), None);
    for wrong in [r#""""#, "7", r#""0123""#, &format!(r#""{}""#, ID.to_uppercase()), r#"{"id":1}"#] {
        let body = format!(r#"{{"entity":"a.B","op":"truncate","answer":{wrong}}}"#);
        check_malformed(&body, Format::Json, "`answer` is");
    }
}
