//! Compares keys and tags with those that the real library wrote, and says what its declaration refuses.
//!
//! Those that are in no manual were taken from easy-cache 2.0.0 on Python 3.11, with a cache instance that notes the keys
//! that it is asked to write: functions like those of `tests/libraries/easy_cache/app.py`, called with the arguments here.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::*;
use crate::event::{Row, Type, Value};
use crate::key::conformance::{Wish, wishes};

fn owned(json: &Json) -> Value<'static> {
    serde_json::from_str::<Value<'_>>(&json.to_string()).unwrap().into_owned()
}

/// The scheme of a declaration; `values` and `types` are beside it as in a cache.
fn scheme(mut declared: Json) -> Result<Box<dyn Scheme>, Vec<String>> {
    let mut take = |key: &str| declared.as_object_mut().unwrap().remove(key).unwrap_or(Json::Null);
    let (values, types) = (take("values"), take("types"));
    let config: Config = serde_json::from_value(declared).unwrap();
    let mut args = Args::new();
    for name in config.args() {
        let values = values.get(&name).map(|values| values.as_array().unwrap().iter().map(owned).collect());
        args.push(&name, values, types.get(&name).and_then(Json::as_str).map(Type::named));
    }
    let (scheme, problems) = config.scheme(Given { args, secrets: &BTreeMap::new(), max_key_bytes: 4096 });
    scheme.ok_or_else(|| problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect())
}

/// What is asked for when these arguments are exact.
fn asked(declared: &Json, exact: &Json) -> Vec<Wish> {
    let scheme = scheme(declared.clone()).unwrap_or_else(|problems| panic!("{problems:?}"));
    let Value::Object(Row(columns)) = owned(exact) else { panic!("{exact} is no object") };
    wishes(&*scheme, &columns, 100)
}

fn check(declared: Json, exact: Json, expected: &[Wish]) {
    assert_eq!(asked(&declared, &exact), expected, "{declared} {exact}");
}

fn delete(key: &str) -> Wish {
    Wish::Delete(key.to_owned())
}

/// A tag's time, written where there is one, which keeps its time to live.
fn tag(key: &str) -> Wish {
    Wish::Set(key.to_owned(), Write { number: Number::NowUs, life: Life::Keep, only_if_exists: true })
}

fn pattern(text: &str) -> Wish {
    Wish::DeletePattern(text.to_owned())
}

#[test]
fn keys_are_those_of_templates() {
    let cases = [
        (json!({"key": "time_consuming_operation_{n}"}), json!({"n": 10}), "time_consuming_operation_10"),
        (json!({"key": ["a", "b"], "types": {"b": "bytes"}}), json!({"a": "x", "b": "byé"}), "x:b'by\\xc3\\xa9'"),
        (
            json!({"key": "key:{a}:value:{c}", "tags": ["tag:{a}"], "prefix": "pre:{b}"}),
            json!({"a": 10, "b": 2, "c": 11}),
            "pre:2:key:10:value:11",
        ),
        (
            json!({"key": "n:{n:04d}:{x:.2f}:{d:%Y-%m-%d}:{b!r}:{s:>6}", "types": {"x": "decimal", "d": "date"}}),
            json!({"n": 7, "x": "1.5", "d": "2024-01-02", "b": "it's", "s": "ab"}),
            "n:0007:1.50:2024-01-02:\"it's\":    ab",
        ),
        (json!({"key": "{self.id}:friends_count"}), json!({"self.id": 4}), "4:friends_count"),
        (json!({"key": ["user.id", "b"], "prefix": "p:{b}"}), json!({"user.id": 3, "b": 4}), "p:4:3:4"),
        (json!({"key": "k:{kwargs[p]}:{args[0]}"}), json!({"p": 5, "args.0": 9}), "k:5:9"),
        (json!({"key": "everything"}), json!({}), "everything"),
        (json!({"key": ["a", "b"], "prefix": "p", "delimiter": "/"}), json!({"a": 1, "b": 2}), "p/1/2"),
    ];
    for (declared, exact, key) in cases {
        check(declared, exact, &[delete(key)]);
    }
}

#[test]
fn keys_without_a_template_are_the_path_and_the_arguments() {
    let auto = |more: Json| {
        let mut declared = json!({"function": "__main__.auto"});
        declared.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        declared
    };
    check(auto(json!({"args": ["a"], "kwargs": ["b"]})), json!({"a": 1, "b": 5}), &[delete("__main__.auto:1:5")]);
    let many = auto(json!({"args": ["a", "b", "c"], "kwargs": ["z", "y"]}));
    check(many, json!({"a": 1, "b": 2, "c": 3, "z": 9, "y": 8}), &[delete("__main__.auto:1:2:3:8:9")]);
    let both = auto(json!({"calls": [{"args": ["z", "a"]}, {"kwargs": ["z", "a"]}]}));
    check(both, json!({"z": 1, "a": 2}), &[delete("__main__.auto:1:2"), delete("__main__.auto:2:1")]);
    let classes = json!({"function": ["m.A.meth", "m.B.meth"], "args": ["x"], "kwargs": ["y"]});
    check(classes, json!({"x": 5, "y": 2}), &[delete("m.A.meth:5:2"), delete("m.B.meth:5:2")]);
    check(json!({"function": "m.A.aprop"}), json!({}), &[delete("m.A.aprop")]);
    let other = json!({"function": "m.delim2", "args": ["a", "b"], "delimiter": "/"});
    check(other, json!({"a": 1, "b": 2}), &[delete("m.delim2/1/2")]);
}

#[test]
fn arguments_are_spelt_by_their_types() {
    let cases = [
        (json!(null), None, "None", "None"),
        (json!(true), None, "True", "True"),
        (json!(1.0), None, "1.0", "1.0"),
        (json!(1e16), None, "1e+16", "1e+16"),
        (json!("1.50"), Some("decimal"), "1.50", "1.50"),
        (
            json!("2024-01-02T03:04:05.678901Z"),
            Some("datetime"),
            "2024-01-02 03:04:05.678901+00:00",
            "2024-01-02 03:04:05.678901+00:00",
        ),
        (
            json!("3f2504e04f8911d39a0c0305e82c3301"),
            Some("uuid"),
            "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
            "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        ),
        (json!("byé"), Some("bytes"), "b'by\\xc3\\xa9'", "byé"),
        (json!([1, "a"]), Some("tuple"), "(1, 'a')", "(1, 'a')"),
        (json!([1, null]), Some("list"), "[1, None]", "[1, None]"),
        (json!({"b": 1}), Some("dict"), "{'b': 1}", "{'b': 1}"),
    ];
    for (value, declared, formatted, forced) in cases {
        let types = json!({ "v": declared });
        let exact = json!({ "v": value });
        check(json!({"key": "v:{v}", "types": types}), exact.clone(), &[delete(&format!("v:{formatted}"))]);
        check(json!({"function": "f", "args": ["v"], "types": types}), exact, &[delete(&format!("f:{forced}"))]);
    }
    let refused = asked(&json!({"key": "v:{v}", "types": {"v": "decimal"}}), &json!({"v": 1.5}));
    assert!(matches!(&refused[..], [Wish::Refused(why)] if why.contains("zeros are lost")), "{refused:?}");
}

#[test]
fn a_tag_is_written_where_the_key_is_not_known() {
    let states = json!({"key": "users_by_state:{state}", "tags": ["users_by_states"]});
    check(states.clone(), json!({}), &[tag("tag:users_by_states")]);
    check(states, json!({"state": "active"}), &[delete("users_by_state:active")]);
    let shops = json!({"key": "key:{a}:value:{c}", "tags": ["tag:{a}"], "prefix": "pre:{b}"});
    check(shops.clone(), json!({"a": 10}), &[tag("tag:tag:10")]);
    check(shops, json!({"b": 2}), &[tag("tag:pre:2")]);
    let returned = json!({"key": "catalog:{page}", "tags": ["books", "book:{book}"]});
    check(returned.clone(), json!({"book": 5}), &[tag("tag:book:5")]);
    check(returned, json!({}), &[tag("tag:books")]);
    let others = json!({"key": "p/{a}", "tags": ["t:{b}"], "delimiter": "/", "tag_prefix": "T"});
    check(others, json!({"b": 1}), &[tag("T/t:1")]);
    check(json!({"tags": ["shop:{shop}"]}), json!({"shop": 7}), &[tag("tag:shop:7")]);
}

#[test]
fn the_narrowest_tag_is_written() {
    let declared = json!({"tags": ["all", "a:{a}", "ab:{a}:{b}", "b:{b}"]});
    check(declared.clone(), json!({"a": 1, "b": 2}), &[tag("tag:ab:1:2")]);
    check(declared.clone(), json!({"b": 2}), &[tag("tag:b:2")]);
    let reach = scheme(declared).unwrap().reach(ArgSet::EMPTY.with(1), 100);
    assert_eq!((reach.by, reach.template.as_str(), reach.rounds_up), (ReachBy::Tag, "tag:b:{b}", false));
    let few = json!({"tags": ["all", "ab:{a}:{b}"], "values": {"b": [1, 2]}});
    check(few, json!({"a": 3}), &[tag("tag:ab:3:1"), tag("tag:ab:3:2")]);
    let wide = scheme(json!({"key": "k:{a}:{b}", "tags": ["all"]})).unwrap().reach(ArgSet::EMPTY.with(0), 100);
    assert_eq!((wide.by, wide.rounds_up), (ReachBy::Tag, true));
}

#[test]
fn a_tag_lives_as_long_as_it_is_told() {
    let write = Write { number: Number::NowUs, life: Life::Ms(3_600_000), only_if_exists: true };
    check(json!({"tags": ["t"], "tag_ttl": "1h"}), json!({}), &[Wish::Set("tag:t".to_owned(), write)]);
}

#[test]
fn every_value_of_few_is_enumerated_before_a_tag_is_written() {
    let declared = json!({"key": "users:{state}", "tags": ["users"], "values": {"state": ["a", "b"]}});
    check(declared.clone(), json!({}), &[delete("users:a"), delete("users:b")]);
    let scheme = scheme(declared).unwrap();
    assert_eq!(scheme.reach(ArgSet::EMPTY, 1).by, ReachBy::Tag);
}

#[test]
fn every_tag_of_few_is_written_before_keys_are_searched_for() {
    let declared = json!({"key": "{lang}:{page}", "prefix": "site:{lang}", "values": {"lang": ["de", "en"]}});
    check(declared.clone(), json!({}), &[tag("tag:site:de"), tag("tag:site:en")]);
    check(declared.clone(), json!({"lang": "fr"}), &[tag("tag:site:fr")]);
    let reach = scheme(declared).unwrap().reach(ArgSet::EMPTY, 100);
    assert_eq!((reach.by, reach.actions, reach.rounds_up), (ReachBy::Tag, 2, false));
}

#[test]
fn what_has_no_tag_is_searched_for() {
    let goods = json!({"key": "goods:{shop}:{page}:list"});
    check(goods.clone(), json!({"shop": 7}), &[pattern("goods:7:*:list")]);
    check(goods.clone(), json!({"page": 2}), &[pattern("goods:*:2:list")]);
    check(goods, json!({"shop": "*?"}), &[pattern("goods:\\*\\?:*:list")]);
    let open = json!({"key": "goods:{shop}:{page}"});
    check(open.clone(), json!({"shop": 7}), &[Wish::DeletePrefix("goods:7:".to_owned())]);
    check(open.clone(), json!({}), &[pattern("goods:*:*")]);
    let automatic = json!({"function": "m.f", "calls": [{"args": ["a", "b"]}, {"args": ["a"]}]});
    check(automatic, json!({"a": 1}), &[Wish::DeletePrefix("m.f:1:".to_owned()), pattern("m.f:1")]);
    let reach = |declared: &Json, exact| scheme(declared.clone()).unwrap().reach(exact, 100);
    assert_eq!(reach(&open, ArgSet::EMPTY).by, ReachBy::WholeCache);
    let glued = reach(&json!({"key": "p{a}{b}"}), ArgSet::EMPTY.with(0));
    assert_eq!((glued.by, glued.rounds_up, glued.template.as_str()), (ReachBy::Prefix, true, "p{a}*"));
    let empty = asked(&json!({"key": "p{a}{b}"}), &json!({"a": " "}));
    assert!(matches!(&empty[..], [Wish::Refused(why)] if why.contains("argument a is empty")), "{empty:?}");
}

#[test]
fn what_begins_with_an_argument_is_not_searched_for() {
    for (declared, exact) in [
        (json!({"key": "{self.id}:friends_count"}), json!({})),
        (json!({"key": ["a", "b"]}), json!({"a": 1})),
        (json!({"key": "{a}:{b}", "tags": ["t:{a}:{c}"]}), json!({"a": 1})),
    ] {
        let refused = asked(&declared, &exact);
        assert!(matches!(&refused[..], [Wish::Refused(why)] if why.starts_with("keys begin with")), "{refused:?}");
    }
    let refused = asked(&json!({"tags": ["t:{a}"]}), &json!({}));
    assert!(matches!(&refused[..], [Wish::Refused(why)] if why.starts_with("no tag has")), "{refused:?}");
}

#[test]
fn an_attribute_of_self_is_a_column_of_its_row() {
    let config: Config = serde_json::from_value(json!({"key": "{self.owner.name}:{n}:{kwargs[p]}"})).unwrap();
    let columns: Vec<_> = config.args().iter().map(|arg| config.column(arg).join(".")).collect();
    assert_eq!((config.args().join(" "), columns.join(" ")), ("self.owner.name n p".into(), "owner.name n p".into()));
}

#[test]
fn the_delimiter_of_a_prefix_is_that_of_the_library() {
    let warnings = |declared: Json, format: Json| {
        let config: Config = serde_json::from_value(declared).unwrap();
        config.format_warning(&serde_json::from_value(format).unwrap()).is_some()
    };
    let cases = [
        (json!({}), json!({"prefixed": {"prefix": "app"}}), false),
        (json!({"delimiter": "/"}), json!({"prefixed": {"prefix": "app"}}), true),
        (json!({"delimiter": "/"}), json!({"prefixed": {"prefix": "app", "delimiter": "/"}}), false),
        (json!({"delimiter": "/"}), json!({"django": {}}), false),
        (json!({}), json!("plain"), true),
    ];
    for (declared, format, expected) in cases {
        assert_eq!(warnings(declared.clone(), format.clone()), expected, "{declared} {format}");
    }
}

#[test]
fn everything_goes_by_the_cheapest_way() {
    #[derive(Default)]
    struct All(Vec<String>);
    impl Remover for All {
        fn delete(&mut self, key: &str) -> Result<(), KeyError> {
            self.0.push(format!("delete {key}"));
            Ok(())
        }
        fn delete_prefix(&mut self, prefix: &str) -> Result<(), KeyError> {
            self.0.push(format!("prefix {prefix}"));
            Ok(())
        }
        fn delete_pattern(&mut self, pattern: &crate::key::Glob) -> Result<(), KeyError> {
            self.0.push(format!("pattern {pattern}"));
            Ok(())
        }
        fn bump(&mut self, tag: &str) -> Result<(), KeyError> {
            self.0.push(format!("bump {tag}"));
            Ok(())
        }
        fn set(&mut self, key: &str, _: Write) -> Result<(), KeyError> {
            self.0.push(format!("set {key}"));
            Ok(())
        }
    }
    let cases = [
        (json!({"key": "a"}), "delete a"),
        (json!({"key": "a:{b}"}), "prefix a:"),
        (json!({"key": "a:{b}", "prefix": "p"}), "set tag:p"),
        (json!({"key": "{b}:a"}), ""),
    ];
    for (declared, expected) in cases {
        let mut all = All::default();
        scheme(declared.clone()).unwrap().remove_all(&mut all);
        assert_eq!(all.0.join(" "), expected, "{declared}");
    }
}

#[test]
fn what_cannot_be_is_refused_with_its_reason() {
    let cases = [
        (json!({}), ": name one of `key`, `function`, `tags` and `prefix`"),
        (json!({"key": "k", "function": "m.f"}), "function: the decorator has a `cache_key`"),
        (json!({"key": []}), "key: an empty list spells no key"),
        (json!({"function": []}), "function: an empty list would invalidate nothing"),
        (json!({"key": "k:{a}", "args": ["a"]}), "args: how it is called matters only"),
        (json!({"tags": ["t"], "calls": [{"args": ["a"]}]}), "calls: how it is called matters only"),
        (json!({"function": "f", "args": ["a"], "calls": [{}]}), "calls: `args` and `kwargs` go into `calls`"),
        (json!({"key": "k", "tag_ttl": "1h"}), "tag_ttl: there is no tag"),
        (json!({"key": "k:{a"}), "key: a brace is not closed"),
        (json!({"key": "k:{}"}), "key: `{}` names no argument"),
        (json!({"key": ["a", "b c["]}), "key[1]: `{b c[}` names no argument"),
        (json!({"key": "k:{a:4q}"}), "key: `4q` is no format of Python"),
        (json!({"key": "k", "tags": ["t", "u}"]}), "tags[1]: a brace is not closed"),
        (json!({"key": "k", "prefix": "{a!x}"}), "prefix: unknown conversion `!x`"),
        (json!({"key": "k".repeat(5000)}), "key: is longer than limits.max_key_bytes (4096)"),
        (json!({"callable": "m.make_key"}), "callable: what a callable returns cannot be computed from outside"),
        (json!({"key": "k", "refresh": true}), "refresh: the function runs in the application alone"),
    ];
    for (declared, expected) in cases {
        let problems = scheme(declared.clone()).map(drop).unwrap_err();
        assert!(problems.iter().any(|problem| problem.starts_with(expected)), "{declared}: {problems:?}");
    }
}
