//! Shows that configuration types are read from every format that serde knows, not from YAML alone.

use super::*;

/// Reads a text of JSON in each way that there is, and by way of a binary format; a place in the text is left out of errors.
fn read<T: serde::de::DeserializeOwned>(json: &str) -> [Result<T, String>; 4] {
    let plain = |error: serde_json::Error| {
        let words = error.to_string();
        words.split(" at line ").next().unwrap_or(&words).to_owned()
    };
    let value: serde_json::Value = serde_json::from_str(json).expect("JSON");
    let mut cbor = Vec::new();
    ciborium::into_writer(&value, &mut cbor).expect("CBOR");
    let by_cbor = ciborium::from_reader(&*cbor).map_err(|error| match error {
        ciborium::de::Error::Semantic(_, words) => words,
        other => other.to_string(),
    });
    [
        serde_json::from_str(json).map_err(plain),
        serde_json::from_reader(json.as_bytes()).map_err(plain),
        serde_json::from_value(value).map_err(plain),
        by_cbor,
    ]
}

fn local(concurrency: usize) -> Target {
    Tagged { kind: Store::Local(Local {}), options: Options { concurrency, ..Options::default() } }
}

#[test]
fn a_kind_stands_beside_its_options_in_any_format_and_any_order() {
    let remote = |database| Tagged {
        kind: Store::Remote(Remote { url: Secret::new("redis://h"), database }),
        options: Options { timeout: Some(Span(std::time::Duration::from_secs(2))), ..Options::default() },
    };
    let cases = [
        (r#"{"local": {}}"#, local(0)),
        (r#"{"local": {}, "concurrency": 8}"#, local(8)),
        (r#"{"concurrency": 8, "local": {}}"#, local(8)),
        (r#"{"concurrency": 8, "local": {}, "shape": "plain"}"#, local(8)),
        (r#"{"timeout": "2s", "remote": {"url": "redis://h"}}"#, remote(None)),
        (r#"{"remote": {"database": 3, "url": "redis://h"}, "timeout": "2s"}"#, remote(Some(3))),
    ];
    for (json, expected) in cases {
        for target in read::<Target>(json) {
            assert_eq!(target.as_ref(), Ok(&expected), "{json}");
        }
    }
}

#[test]
fn a_whole_configuration_is_read_from_any_format_as_from_yaml() {
    let json = r#"{
        "rules": {"a": {"key": "k", "after": ["1s"], "ops": ["create"], "map": [{"x": "y"}, {"z": {"value": 3}}]}},
        "targets": {"main": {"shape": {"django": {"prefix": "p"}}, "remote": {"url": "redis://h"}}, "b": {"local": {}}},
        "admin": {"token": "t", "open": true}, "limits": {"small": 3, "factor": 0.5}, "version": 1, "tests": [{"a": [1]}]
    }"#;
    let expected = load(json, &[]).map(|loaded| loaded.root).expect("JSON is YAML");
    for shop in read::<Shop>(json) {
        assert_eq!(shop.as_ref(), Ok(&expected));
    }
}

#[test]
fn what_is_wrong_is_said_in_any_format() {
    let cases = [
        (r#"{}"#, "the kind is missing: write one of `remote`, `local`"),
        (r#"{"concurrency": 8}"#, "the kind is missing: write one of `remote`, `local`"),
        (r#"{"local": {}, "remote": {"url": "x"}}"#, "`remote` and `local` exclude each other"),
        (r#"{"remot": {"url": "x"}}"#, "unknown field `remot`, expected `remote` or `local`"),
        (
            r#"{"nats": {}}"#,
            "unknown field `nats`, expected one of `concurrency`, `timeout`, `shape`, and as the kind one of `remote`, `local`",
        ),
        (
            r#"{"local": {}, "concurency": 8}"#,
            "unknown field `concurency`, expected one of `concurrency`, `timeout`, `shape`",
        ),
        (r#"{"remote": {}}"#, "missing field `url`"),
        (r#"{"remote": {"url": "x", "databas": 1}}"#, "unknown field `databas`, expected `url` or `database`"),
    ];
    for (json, expected) in cases {
        for target in read::<Target>(json) {
            assert_eq!(target.map_err(|words| words.trim().to_owned()), Err(expected.to_owned()), "{json}");
        }
    }
    let twice = serde_json::from_str::<Target>(r#"{"local": {}, "local": {}}"#).expect_err("twice").to_string();
    assert_eq!(twice, "duplicate field `local` at line 1 column 21");
    for text in ["3", "\"local\"", "[]"] {
        // The binary format does not ask what was expected.
        for target in read::<Target>(text).into_iter().take(3) {
            let words = target.expect_err(text);
            assert!(words.ends_with("expected a mapping with one of `remote`, `local`"), "{text}: {words}");
        }
    }
}

/// What a variant may do without.
#[derive(Debug, Clone, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(remote = "Self", rename_all = "snake_case")]
#[schemars(!remote)]
enum Runs {
    Here(Local),
    There(Limits),
}

impl<'de> Deserialize<'de> for Runs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(OrAlone(deserializer))
    }
}

#[test]
fn a_variant_with_defaults_may_stand_alone_in_any_format() {
    let there = |small| Ok(Runs::There(Limits { small, ..Limits::default() }));
    let cases = [
        (r#""here""#, Ok(Runs::Here(Local {}))),
        (r#"{"here": {}}"#, Ok(Runs::Here(Local {}))),
        (r#""there""#, there(0)),
        (r#"{"there": {"small": 3}}"#, there(3)),
        (r#""her""#, Err("unknown variant `her`, expected `here` or `there`")),
        (r#"{"her": {}}"#, Err("unknown variant `her`, expected `here` or `there`")),
        (r#"{"there": {"smal": 3}}"#, Err("unknown field `smal`, expected `small` or `factor`")),
        (r#"{"here": {}, "there": {}}"#, Err("only one of `here`, `there` may stand here")),
    ];
    for (json, expected) in cases {
        for runs in read::<Runs>(json) {
            assert_eq!(runs, expected.clone().map_err(str::to_owned), "{json}");
        }
    }
}
