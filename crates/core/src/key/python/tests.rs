//! Compares every spelling with a table that real Python wrote.

use serde_json::Value as Json;

use super::*;

/// What `table.py` wrote, a line a case.
pub(in crate::key) fn table(with: &str) -> Vec<Json> {
    let lines = include_str!("table.jsonl").lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
    let lines: Vec<Json> = lines.filter(|line| line.get(with).is_some()).collect();
    assert!(!lines.is_empty(), "no line has {with}");
    lines
}

/// What a line publishes, and its type.
pub(in crate::key) fn published(line: &Json) -> (String, Option<Type>) {
    (line["published"].to_string(), line.get("type").and_then(Json::as_str).map(Type::named))
}

fn spelt(
    spell: fn(Arg<'_>, &mut String) -> Result<(), Unknown>,
    json: &str,
    declared: Option<Type>,
) -> Result<String, Unknown> {
    let value: Value<'_> = serde_json::from_str(json).unwrap();
    let mut out = String::new();
    spell(Arg { value: &value, declared }, &mut out).map(|()| out)
}

#[test]
fn values_are_spelt_as_python_spells_them() {
    for line in table("str") {
        let (json, declared) = published(&line);
        assert_eq!(spelt(str, &json, declared).as_deref(), Ok(line["str"].as_str().unwrap()), "str of {line}");
        if let Some(expected) = line.get("repr").and_then(Json::as_str) {
            assert_eq!(spelt(repr, &json, declared).as_deref(), Ok(expected), "repr of {line}");
        }
    }
}

#[test]
fn texts_are_quoted_and_data_dumped_as_python_does() {
    for line in table("quote") {
        assert_eq!(quote(line["text"].as_str().unwrap()), line["quote"].as_str().unwrap());
    }
    for line in table("dumps") {
        assert_eq!(json(&line["data"]), line["dumps"].as_str().unwrap());
    }
}

#[test]
fn what_cannot_be_known_is_refused() {
    let cases = [
        ("1.5", Some(Type::Decimal), "zeros are lost"),
        ("100000000000000000000", None, "more than 64 bits"),
        ("-9223372036854775809", None, "more than 64 bits"),
        ("100000000000000000000", Some(Type::Int), "no integer"),
        ("2", Some(Type::Decimal), "zeros are lost"),
        ("\"2024-01-02T03:04:05.678Z\"", Some(Type::Datetime), "cut to milliseconds"),
        ("\"2024-01-02T03:04:05.678901234Z\"", Some(Type::Datetime), "no date with a time"),
        ("\"2024-02-30T00:00:00\"", Some(Type::Datetime), "no date with a time"),
        ("\"2024-01-02T03:04:05Z\"", None, "declare its type"),
        ("\"2024-01-02T03:04\"", None, "declare its type"),
        ("[\"2024-01-02T03:04:05\"]", Some(Type::List), "declare its type"),
        ("\"2024-13-01\"", Some(Type::Date), "no date"),
        ("\"25:00\"", Some(Type::Time), "no time"),
        ("\"3f25\"", Some(Type::Uuid), "no UUID"),
        ("\"é\"", Some(Type::Int), "no integer"),
        ("\"x\"", Some(Type::Decimal), "no decimal"),
        ("\"1e999999999\"", Some(Type::Decimal), "no decimal"),
        ("2", Some(Type::Bool), "no truth value"),
        ("1.5", Some(Type::Str), "not text"),
        ("5", Some(Type::Date), "not published as text"),
        ("\"x\"", Some(Type::Other), "not known here"),
        ("\"é\"", Some(Type::Datetime), "no date with a time"),
        ("\"2024-01-02éééé\"", Some(Type::Datetime), "no date with a time"),
        ("\"2024-01-02T03:04:05+1éa\"", Some(Type::Datetime), "no date with a time"),
    ];
    for (json, declared, why) in cases {
        let refused = spelt(str, json, declared);
        assert!(refused.as_ref().is_err_and(|words| words.contains(why)), "{json} as {declared:?}: {refused:?}");
    }
    let zoned = spelt(repr, "\"2024-01-02T03:04:05Z\"", Some(Type::Datetime));
    assert!(zoned.is_err_and(|why| why.contains("zone")));
}
