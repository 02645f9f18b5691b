//! Compares keys with those that the real library gave (`keys.py`), and says what is removed where not all is known.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::*;
use crate::event::{Row, Type, Value};
use crate::key::conformance::{Wish, wishes};
use crate::key::{ArgSet, ReachBy, Scheme};

fn args_of(config: &Config, values: &Json, types: &Json) -> Args {
    let mut args = Args::new();
    for name in config.args() {
        let few = values.get(&name).and_then(Json::as_array);
        let few = few.map(|few| few.iter().map(|value| owned(&value.to_string())).collect());
        args.push(&name, few, types.get(&name).and_then(Json::as_str).map(Type::named));
    }
    args
}

fn owned(json: &str) -> Value<'static> {
    serde_json::from_str::<Value<'_>>(json).unwrap().into_owned()
}

/// The scheme of a declaration; `values` and `types` are beside it as in a cache.
fn scheme(mut declared: Json) -> Result<Box<dyn Scheme>, Vec<String>> {
    let mut take = |key: &str| declared.as_object_mut().unwrap().remove(key).unwrap_or(Json::Null);
    let (values, types) = (take("values"), take("types"));
    let config: Config = serde_json::from_value(declared).unwrap();
    let args = args_of(&config, &values, &types);
    let (scheme, problems) = config.scheme(Given { args, secrets: &BTreeMap::new(), max_key_bytes: 4096 });
    scheme.ok_or_else(|| problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect())
}

/// What is asked for when these arguments are exact, as `d` for keys, `p` for prefixes and `g` for patterns.
fn asked(declared: Json, exact: Json) -> Vec<String> {
    asked_as_text(declared, &exact.to_string())
}

fn asked_as_text(declared: Json, exact: &str) -> Vec<String> {
    let scheme = scheme(declared).unwrap_or_else(|problems| panic!("{problems:?}"));
    let Value::Object(Row(columns)) = owned(exact) else { panic!("{exact} is no object") };
    let wish = |wish| match wish {
        Wish::Delete(key) => format!("d {key}"),
        Wish::DeletePrefix(prefix) => format!("p {prefix}"),
        Wish::DeletePattern(pattern) => format!("g {pattern}"),
        Wish::Refused(why) => format!("refused {why}"),
        Wish::Bump(_) | Wish::Set(..) => panic!("{wish:?}"),
    };
    wishes(&*scheme, &columns, 100).into_iter().map(wish).collect()
}

/// A function `f` with these fields.
fn of(fields: Json) -> Json {
    json!({"identifier": "f", "fields": fields})
}

fn with(declared: Json, more: Json) -> Json {
    let mut declared = declared;
    declared.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    declared
}

/// The partition `p`, then `a`, then `b`.
fn three() -> Json {
    of(json!({"p": {"args": "p", "partition": true}, "x": {"args": "a"}, "y": {"args": "b"}}))
}

#[test]
fn keys_are_those_of_the_library() {
    /// The arguments stay as they are written: a big number would lose digits.
    #[derive(serde::Deserialize)]
    struct Line<'l> {
        declared: Json,
        #[serde(borrow)]
        args: &'l serde_json::value::RawValue,
        key: String,
    }
    let mut count = 0;
    for line in include_str!("keys.jsonl").lines() {
        let Line { declared, args, key } = serde_json::from_str(line).unwrap();
        assert_eq!(asked_as_text(declared.clone(), args.get()), [format!("d {key}")], "{line}");
        count += 1;
    }
    assert!(count > 70, "{count} lines");
}

#[test]
fn what_is_left_open_is_a_partition_or_the_function() {
    let cases = [
        (json!({"p": 42, "a": 1, "b": 2}), "d f::p:42::a:1::b:2"),
        (json!({"p": 42, "a": 1}), "p f::p:42::a:1::"),
        (json!({"p": 42}), "p f::p:42::"),
        (json!({}), "p f::"),
        (json!({"p": 42, "b": 2}), "g f::p:42::a:*::b:2"),
        (json!({"a": 1, "b": 2}), "g f::p*::a:1::b:2"),
        (json!({"a": 1}), "g f::p*::a:1::*"),
        (json!({"p": "4*", "b": "x]"}), "g f::p:4\\*::a:*::b:x\\]"),
        (json!({"p": ""}), "p f::p:::"),
        (json!({"p": "a::"}), "p f::p:a::"),
    ];
    for (exact, expected) in cases {
        assert_eq!(asked(three(), exact.clone()), [expected], "{exact}");
    }
    let in_two = of(json!({"a": {"args": "a", "partition": true}, "b": {"args": "b", "partition": true}}));
    assert_eq!(asked(in_two.clone(), json!({"b": 4})), ["g f::a:*::b:4::"]);
    assert_eq!(asked(in_two.clone(), json!({"a": 4})), ["p f::a:4::"]);
    assert_eq!(asked(with(in_two, json!({"namespace": "n"})), json!({"a": 4, "b": 1})), ["d n::f::a:4::b:1::"]);
}

#[test]
fn few_values_are_enumerated_instead_of_searched() {
    let declared = with(three(), json!({"values": {"a": ["x", "y"], "b": [null, true]}}));
    let keys = ["d f::p:1::a:x::b:null", "d f::p:1::a:y::b:null", "d f::p:1::a:x::b:True", "d f::p:1::a:y::b:True"];
    assert_eq!(asked(declared.clone(), json!({"p": 1})), keys);
    let reach = |max_keys| scheme(declared.clone()).unwrap().reach(ArgSet::EMPTY.with(0), max_keys);
    assert_eq!((reach(4).by, reach(4).actions, reach(4).rounds_up), (ReachBy::Keys, 4, false));
    assert_eq!((reach(3).by, reach(3).actions, reach(3).rounds_up), (ReachBy::Prefix, 1, false));
}

#[test]
fn a_field_of_several_arguments_may_be_known_in_parts() {
    let field = json!({"p": {"args": "p", "partition": true}, "x": {"args": ["c", "b", "a"]}});
    let cases = [
        (json!({"p": 1, "a": 1, "b": 2, "c": 3}), "d f::p:1::a:1||b:2||c:3"),
        (json!({"p": 1, "a": 1, "b": 2}), "p f::p:1::a:1||b:2||"),
        (json!({"p": 1, "b": 2}), "g f::p:1::a:*||b:2||*"),
        (json!({"p": 1, "c": 3}), "g f::p:1::a:*||b:*||c:3"),
    ];
    for (exact, expected) in cases {
        assert_eq!(asked(of(field.clone()), exact.clone()), [expected], "{exact}");
    }
    let hashed = of(json!({"p": {"args": "p", "partition": true}, "x": {"args": ["a", "b"], "hash_value": true}}));
    assert_eq!(asked(hashed.clone(), json!({"p": 1, "a": 1})), ["p f::p:1::"]);
    let reach = scheme(hashed).unwrap().reach(ArgSet::EMPTY.with(0).with(1), 100);
    assert!(reach.rounds_up && reach.advice.is_some_and(|advice| advice.starts_with("a stands in a digest")));
    let digest = "[0-9a-f]".repeat(32);
    let inside = of(json!({"a": {"args": ["a", "b"], "hash_value": true, "partition": true}, "x": {"args": "x"}}));
    let md5 = with(inside, json!({"key_hash_algorithm": "md5"}));
    assert_eq!(asked(md5, json!({"x": 1})), [format!("g f::{digest}::x:1")]);
}

#[test]
fn what_no_event_knows_is_searched() {
    let view = json!({
        "namespace": "ResponseCache", "identifier": "app.BookView.get",
        "fields": {"path_params": {"args": "pk", "partition": true}, "query_params": {"any": true, "hash_value": true}},
    });
    assert_eq!(asked(view, json!({"pk": 42})), ["p ResponseCache::app.BookView.get::pk:42::"]);
    let cases = [
        // At the end of the suffix it may be empty, and its separator with it.
        (
            json!({"p": {"args": "p", "partition": true}, "x": {"args": "x"}, "y": {"any": true}}),
            json!({"p": 1, "x": 2}),
            vec!["p f::p:1::x:2::", "d f::p:1::x:2"],
        ),
        (
            json!({"p": {"args": "p", "partition": true}, "x": {"args": "x"}, "y": {"any": true}}),
            json!({"x": 2}),
            vec!["g f::p*::x:2::*", "g f::p*::x:2"],
        ),
        // As it may at the end of the partition.
        (
            json!({"p": {"args": "p", "partition": true}, "q": {"any": true, "partition": true}, "x": {"args": "x"}}),
            json!({"p": 1, "x": 2}),
            vec!["g f::p:1::*x:2"],
        ),
        (json!({"q": {"any": true, "partition": true}, "x": {"args": "x"}}), json!({"x": 2}), vec!["g f::*x:2"]),
        (json!({"q": {"any": true, "partition": true}}), json!({}), vec!["p f::"]),
        (
            json!({"a": {"any": true, "partition": true}, "p": {"args": "p", "partition": true}}),
            json!({"p": 2}),
            vec!["g f::*::p:2::"],
        ),
    ];
    for (fields, exact, expected) in cases {
        assert_eq!(asked(of(fields.clone()), exact.clone()), expected, "{fields}");
    }
}

#[test]
fn a_suffix_that_may_be_a_digest_is_known_whole_or_not_at_all() {
    let declared = with(three(), json!({"hash_suffix_on_overflow": true, "max_key_suffix_length": 9}));
    let digest = Digest::Sha256.hex("a:1::b:234");
    assert_eq!(asked(declared.clone(), json!({"p": 1, "a": 1, "b": 23})), ["d f::p:1::a:1::b:23"]);
    assert_eq!(asked(declared.clone(), json!({"p": 1, "a": 1, "b": 234})), [format!("d f::p:1::{digest}")]);
    assert_eq!(asked(declared.clone(), json!({"a": 1, "b": 234})), [format!("g f::p*::{digest}")]);
    assert_eq!(asked(declared.clone(), json!({"p": 1, "a": 1})), ["p f::p:1::"]);
    assert!(scheme(declared).unwrap().reach(ArgSet::EMPTY.with(0).with(1), 100).rounds_up);
}

#[test]
fn functions_namespaces_and_releases_may_be_several() {
    let shared = with(three(), json!({"identifier": ["f", "g"], "namespace": "n"}));
    assert_eq!(asked(shared, json!({"p": 1})), ["p n::f::p:1::", "p n::g::p:1::"]);
    assert_eq!(asked(json!({"namespace": "n"}), json!({})), ["p n::"]);
    let rolling = |fields: Json| json!({"identifier": "f", "release": ["1.1.0", "2.0.1"], "fields": fields});
    let partition = json!({"p": {"args": "p", "partition": true}});
    assert_eq!(asked(rolling(partition.clone()), json!({"p": 1})), ["d f::p:1", "d f::p:1::"]);
    assert_eq!(asked(rolling(partition), json!({})), ["p f::"]);
    assert_eq!(asked(rolling(json!({})), json!({})), ["d f", "d f::"]);
    let open = json!({"p": {"args": "p", "partition": true}, "q": {"any": true}});
    assert_eq!(asked(rolling(open), json!({"p": 1})), ["p f::p:1::", "d f::p:1"]);
    let suffix = json!({"p": {"args": "p", "partition": true}, "q": {"args": "q"}});
    assert_eq!(asked(rolling(suffix.clone()), json!({"p": 1})), ["p f::p:1::"]);
    assert_eq!(asked(rolling(suffix), json!({"p": 1, "q": 2})), ["d f::p:1::q:2"]);
}

#[test]
fn reach_shows_the_keys_that_go() {
    let reach = |exact: ArgSet| scheme(three()).unwrap().reach(exact, 100);
    let shown = |exact| (reach(exact).by, reach(exact).template);
    let (none, p) = (ArgSet::EMPTY, ArgSet::EMPTY.with(0));
    assert_eq!(shown(none), (ReachBy::WholeCache, "f::*".to_owned()));
    assert_eq!(shown(p), (ReachBy::Prefix, "f::p:{p}::*".to_owned()));
    assert_eq!(shown(none.with(2)), (ReachBy::Pattern, "f::p*::a:*::b:{b}".to_owned()));
    assert_eq!(shown(p.with(1).with(2)), (ReachBy::Keys, "f::p:{p}::a:{a}::b:{b}".to_owned()));
}

#[test]
fn what_cannot_be_known_is_refused_and_not_guessed() {
    let one = |more: Json| with(of(json!({"p": {"args": "p", "partition": true}})), more);
    let cases = [
        (one(json!({"types": {"p": "decimal"}})), json!({"p": 1.5}), "zeros are lost"),
        (one(json!({})), json!({"p": "2024-01-02T03:04:05Z"}), "looks like a date with a time"),
        (
            of(json!({"p": {"args": "p", "path": "id", "partition": true}})),
            json!({"p.id": null}),
            "argument p.id is null behind a path",
        ),
    ];
    for (declared, exact, expected) in cases {
        let refused = asked(declared.clone(), exact);
        assert!(matches!(&refused[..], [why] if why.starts_with("refused") && why.contains(expected)), "{refused:?}");
    }
}

#[test]
fn arguments_have_the_names_of_columns() {
    let config = |fields: Json| -> Config { serde_json::from_value(of(fields)).unwrap() };
    let declared = config(json!({
        "a": {"args": ["author"], "path": "country.code"}, "b": {"args": "author"}, "c": {"args": ["author", "id"]},
        "d": {"request": "user.id"},
    }));
    assert_eq!(declared.args(), ["author.country.code", "author", "id", "user_id"]);
    assert_eq!(declared.column("author.country.code"), ["author", "country", "code"]);
    let prefixes = |version: Json| -> Vec<String> {
        let config: Config = serde_json::from_value(with(three(), version)).unwrap();
        let target = serde_json::from_value(json!({"django": {"prefix": "p", "version": 7}})).unwrap();
        config.key_format(&target).unwrap().prefixes().into_iter().map(String::from).collect()
    };
    assert_eq!(prefixes(json!({})), ["p:1:"]);
    assert_eq!(prefixes(json!({"version": [2, 3]})), ["p:2:", "p:3:"]);
}

#[test]
fn what_a_declaration_lacks_or_cannot_have_is_an_error() {
    let field = |field: Json| of(json!({ "x": field }));
    let cases = [
        (json!({}), ": name the function that is cached by its `identifier`"),
        (json!({"namespace": ""}), ": name the function that is cached by its `identifier`"),
        (json!({"namespace": "n", "fields": {"x": {"any": true}}}), "fields: a cache without `identifier`"),
        (json!({"identifier": ["f", ""]}), "identifier: an empty identifier"),
        (json!({"identifier": []}), "identifier: an empty identifier"),
        (json!({"identifier": "f", "version": []}), "version: an empty list would invalidate nothing"),
        (json!({"identifier": "f", "release": []}), "release: an empty list would invalidate nothing"),
        (json!({"identifier": "f", "release": ["1.2", "3.0"]}), "release[1]: the keys of release `3.0` are not known"),
        (field(json!({})), "fields.x: a field is exactly one of"),
        (field(json!({"args": "a", "any": true})), "fields.x: a field is exactly one of"),
        (field(json!({"args": []})), "fields.x.args: a field needs the names"),
        (field(json!({"args": "*"})), "fields.x.args: a field needs the names"),
        (field(json!({"constant": {"a": 1, "b": 2}})), "fields.x.constant: a constant is one key"),
        (field(json!({"any": true, "path": "id"})), "fields.x.path: a path leads from an argument"),
        (field(json!({"args": "a", "normalizer": "str.lower"})), "fields.x.normalizer: what a callable returns cannot"),
        (field(json!({"query": "*"})), "fields.x.query: what stands in the request"),
        (field(json!({"model": "app.Book"})), "fields.x.model: what stands in the request"),
        (field(json!({"serializer": "app.BookSerializer"})), "fields.x.serializer: what stands in the request"),
        (json!({"identifier": "f", "rewarm": true}), "rewarm: Quash does not run Python"),
        (json!({"identifier": "f", "invalidator": "app.drop"}), "invalidator: Quash does not run Python"),
        (json!({"identifier": "f", "field_mapping": {"a": "id"}}), "field_mapping: what makes the cache stale"),
        (json!({"identifier": "f", "require_args": false}), "require_args: what makes the cache stale"),
        (json!({"identifier": "f", "trigger_on_create": true}), "trigger_on_create: what makes the cache stale"),
        (json!({"identifier": "f", "watch_fields": ["a"]}), "watch_fields: what makes the cache stale"),
        (json!({"identifier": "f", "invalidate_when": {"a": 1}}), "invalidate_when: what makes the cache stale"),
        (json!({"identifier": "f", "dispatcher": "celery"}), "dispatcher: where the work runs"),
        (json!({"identifier": "f", "raise_exception": true}), "raise_exception: where the work runs"),
    ];
    for (declared, expected) in cases {
        let problems = scheme(declared.clone()).map(drop).unwrap_err();
        assert!(problems.iter().any(|problem| problem.starts_with(expected)), "{declared}: {problems:?}");
    }
}

/// A key as the library puts it together from the texts of its fields.
fn key_of(fields: &[(bool, String)], release: &str) -> String {
    let section = |of: bool| {
        let texts: String = fields.iter().filter(|(is, _)| *is == of).map(|(_, text)| format!("{text}::")).collect();
        texts.trim_end_matches("::").to_owned()
    };
    let (partition, suffix) = (section(true), section(false));
    let partition = if partition.is_empty() { String::new() } else { format!("{partition}::") };
    let key = format!("f::{partition}{suffix}");
    if release == "1.1" { key.strip_suffix("::").unwrap_or(&key).to_owned() } else { key }
}

fn is_removed(wishes: &[String], key: &str) -> bool {
    wishes.iter().any(|wish| match wish.split_at(2) {
        ("d ", exact) => exact == key,
        ("p ", prefix) => key.starts_with(prefix),
        (_, pattern) => crate::key::Glob::parse(pattern).unwrap().matcher().matches(key.as_bytes()),
    })
}

proptest::proptest! {
    #[test]
    fn whatever_is_known_the_entry_goes(
        fields in proptest::collection::vec((proptest::bool::ANY, 0..3_u8, "[a:*|,]{0,4}"), 0..5),
        known in 0..32_u8,
        release in proptest::sample::select(vec!["1.1", "2.0"]),
    ) {
        let (mut declared, mut exact, mut texts) = (json!({}), json!({}), Vec::new());
        for (index, (partition, kind, value)) in fields.into_iter().enumerate() {
            let name = format!("x{index}");
            let is_any = kind == 0;
            declared[&name] = match kind {
                0 => json!({"any": true, "partition": partition}),
                kind => json!({"args": [name], "partition": partition, "hash_value": kind == 1}),
            };
            let hashed = |text: String| if kind == 1 { Digest::Sha256.hex(&text) } else { text };
            // Nothing, or something with a name.
            let unknown = if value.is_empty() { String::new() } else { format!("q{value}") };
            let text = if is_any { unknown } else { hashed(format!("{name}:{}", hashed(value.clone()))) };
            texts.push((partition, text));
            if !is_any && known & (1 << index) != 0 {
                exact[&name] = json!(value);
            }
        }
        let asked = asked(json!({"identifier": "f", "fields": declared, "release": release}), exact);
        let key = key_of(&texts, release);
        proptest::prop_assert!(is_removed(&asked, &key), "{asked:?} leaves {key}");
        for neighbour in ["f", "f:", "fx::", "g::x0:a::"].iter().filter(|neighbour| **neighbour != key) {
            proptest::prop_assert!(!is_removed(&asked, neighbour) || release == "1.1", "{asked:?} takes {neighbour}");
        }
    }
}
