//! Compares keys with those that the real library wrote, and says what its declaration refuses.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::*;
use crate::event::{Row, Type, Value};
use crate::key::conformance::{Wish, wishes};

fn args_of(config: &Config, values: &Json, types: &Json) -> Args {
    let mut args = Args::new();
    for name in config.args() {
        let of = values.get(&name).map(|values| {
            let values: Vec<Value<'_>> =
                values.as_array().unwrap().iter().map(|value| owned(&value.to_string())).collect();
            values
        });
        args.push(&name, of, types.get(&name).and_then(Json::as_str).map(Type::named));
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

/// What is asked for when these arguments are exact.
fn asked(declared: Json, exact: Json) -> Vec<Wish> {
    let scheme = scheme(declared).unwrap_or_else(|problems| panic!("{problems:?}"));
    let Value::Object(Row(columns)) = owned(&exact.to_string()) else { panic!("{exact} is no object") };
    wishes(&*scheme, &columns, 100)
}

fn delete(key: &str) -> Wish {
    Wish::Delete(key.to_owned())
}

#[test]
fn keys_are_those_of_every_release() {
    let call = json!({"args": ["a", "b"], "kwargs": ["z", "k"]});
    let exact = json!({"a": 1, "b": "a b:c", "z": "x=y", "k": 2});
    let keys = [
        ("0.1.6", "0882fa539ac19b5cf86efe8315847bb6"),
        ("0.1.8", "da5b136868696ea25b7c3ac0cdf772a3"),
        ("0.2.0", "94799dff1a94208427590c2fd7b21d7a"),
        ("0.2.1", "33f10f72ac56fd77500103413a9cd9e4"),
    ];
    for (release, key) in keys {
        let declared = json!({"function": "shop.views:Cls.f", "calls": [call], "release": release});
        assert_eq!(asked(declared, exact.clone()), [delete(key)], "{release}");
    }
    let rolling = json!({"function": "shop.views.Cls.f", "calls": [call], "release": ["0.1.9", "0.2.0", "0.2.1"]});
    assert_eq!(asked(rolling, exact), [delete(keys[2].1), delete(keys[3].1)]);
}

#[test]
fn keys_are_those_of_the_worked_examples() {
    let main = |more: Json| {
        let mut declared = json!({"function": "__main__.expensive"});
        declared.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        declared
    };
    let cases = [
        (main(json!({"args": ["s", "e"]})), json!({"s": 1, "e": 100}), "7d8ecfac02f3d4c31ad7595ddeefa75f"),
        (
            main(json!({"args": ["s"], "kwargs": ["end"]})),
            json!({"s": 1, "end": 100}),
            "7627e326dac9d56889255a3f95c8850f",
        ),
        (json!({"prefix": "rnd"}), json!({}), "b4ecc172fe480c43590dbda040851c77"),
        (
            json!({"function": "__main__.ex", "args": ["x"], "extra": {"version": 2}}),
            json!({"x": "x y/z"}),
            "28c7e431f1305c40e5f5f9c4135badbe",
        ),
        (
            json!({"function": "__main__:K.m", "args": ["self", "n"]}),
            json!({"self": "K(3)", "n": 1}),
            "cf7e11fea232e129428fc658eb3f8ed3",
        ),
    ];
    for (declared, exact, key) in cases {
        assert_eq!(asked(declared.clone(), exact), [delete(key)], "{declared}");
    }
}

#[test]
fn keys_are_those_that_the_library_gives_for_typed_arguments() {
    let one = |types: Json| json!({"function": "m.f", "args": ["a"], "types": types});
    let cases = [
        (one(json!({})), json!({"a": true}), "3a3955c4023ce7ea24c226e6559b36f7"),
        (one(json!({})), json!({"a": 1e16}), "0216b1fe6060de582a4f83fdb97da4b5"),
        (one(json!({"a": "decimal"})), json!({"a": "1.50"}), "27a461f37fee6343d1b4f0fe36b971bf"),
        (one(json!({"a": "datetime"})), json!({"a": "2024-01-02T03:04:05Z"}), "8ec566d53c1ca1f11fc6462e4bab9d84"),
        (one(json!({"a": "tuple"})), json!({"a": [1, 2]}), "9993f5c934964d983313749430a3b3d7"),
        (
            json!({"function": "m.f", "args": ["n"], "kwargs": ["z", "a"]}),
            json!({"n": 1, "z": "é x", "a": 1.0}),
            "d7e741d46380c18eac037603ffd72125",
        ),
        (
            json!({"function": "m.f", "args": [{"chars": "mail"}]}),
            json!({"mail": "ab@c"}),
            "b63c96ff94d0b5acf2bd34b2408e7981",
        ),
        (
            json!({"function": "m.f", "args": ["a"], "extra": {"b": [1, null], "a": "ü", "f": 1e16}}),
            json!({"a": 7}),
            "d20fae29738aba6a59cc7df6739265af",
        ),
    ];
    for (declared, exact, key) in cases {
        assert_eq!(asked(declared.clone(), exact), [delete(key)], "{declared}");
    }
}

#[test]
fn arguments_are_spelt_by_their_types() {
    let md5 = |text: &str| delete(&Digest::Md5.hex(&format!("cache_memoizem.f{text}null")));
    let one = |types: Json, value: Json| {
        asked(json!({"function": "m.f", "args": ["a"], "types": types}), json!({"a": value}))
    };
    assert_eq!(one(json!({}), json!(true)), [md5("True")]);
    assert_eq!(one(json!({}), json!(null)), [md5("None")]);
    assert_eq!(one(json!({}), json!("1")), one(json!({}), json!(1)));
    assert_eq!(one(json!({"a": "decimal"}), json!("1.50")), [md5("1.50")]);
    assert_eq!(
        one(json!({"a": "datetime"}), json!("2024-01-02T03:04:05Z")),
        [md5("2024-01-02%2003%3A04%3A05%2B00%3A00")]
    );
    let refused = one(json!({"a": "decimal"}), json!(1.5));
    assert!(matches!(&refused[..], [Wish::Refused(why)] if why.contains("zeros are lost")), "{refused:?}");
    let chars = json!({"function": "m.f", "args": [{"chars": "mail"}]});
    assert_eq!(asked(chars, json!({"mail": "ab@c"})), [md5("a:b:%40:c")]);
}

#[test]
fn every_shape_of_a_call_and_every_value_has_a_key_of_its_own() {
    let declared = json!({
        "function": "m.price",
        "calls": [{"args": ["id", "currency"]}, {"args": ["id"], "kwargs": ["currency"]}, {"args": ["id"]}],
        "values": {"currency": ["EUR", "USD"]},
    });
    let keys = |texts: &[&str]| -> Vec<Wish> {
        texts.iter().map(|text| delete(&Digest::Md5.hex(&format!("cache_memoizem.price{text}null")))).collect()
    };
    let both = keys(&["7:EUR", "7:USD", "7:currency=EUR", "7:currency=USD", "7"]);
    assert_eq!(asked(declared.clone(), json!({"id": 7})), both);
    assert_eq!(asked(declared.clone(), json!({"id": 7, "currency": "USD"})), keys(&["7:USD", "7:currency=USD", "7"]));
    let reach = scheme(declared).unwrap().reach(ArgSet::EMPTY.with(0), 100);
    assert_eq!((reach.by, reach.actions, reach.rounds_up), (ReachBy::Keys, 5, false));
}

#[test]
fn what_hashes_hide_takes_a_generation_or_a_wipe_or_is_refused() {
    let declared = |more: Json| {
        let mut declared = json!({"function": "m.f", "args": ["id", "text"]});
        declared.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        declared
    };
    let known = json!({"id": 7});
    let generation = asked(declared(json!({"generation": "gen:f"})), known.clone());
    assert_eq!(generation, [Wish::Bump("gen:f".to_owned())]);
    let wipe = asked(declared(json!({"wipe": true})), known.clone());
    assert_eq!(wipe, [Wish::DeletePattern("[0-9a-f]".repeat(32))]);
    let exact = asked(declared(json!({"wipe": true})), json!({"id": 7, "text": "x"}));
    assert!(matches!(&exact[..], [Wish::Delete(_)]), "{exact:?}");
    let refused = asked(declared(json!({})), known);
    assert!(matches!(&refused[..], [Wish::Refused(why)] if why.contains("`values` for text")), "{refused:?}");
    let reach = scheme(declared(json!({}))).unwrap().reach(ArgSet::EMPTY, 100);
    assert_eq!((reach.by, reach.actions), (ReachBy::Nothing, 0));
}

#[test]
fn what_cannot_be_is_refused_with_its_reason() {
    let cases = [
        (json!({}), ": name exactly one of `function` and `prefix`"),
        (json!({"function": "f", "prefix": "p"}), ": name exactly one of `function` and `prefix`"),
        (
            json!({"function": "f", "key_generator_callable": "m.key"}),
            "key_generator_callable: what a callable returns cannot",
        ),
        (json!({"function": "f", "args_rewrite": "m.rewrite"}), "args_rewrite: what a callable returns cannot"),
        (json!({"function": "m.f", "release": "0.1.8"}), "release: release 0.1.8 leaves the module out"),
        (
            json!({"function": "m.f", "release": ["0.2.1", "3.0"]}),
            "release[1]: the keys of release `3.0` are not known",
        ),
        (json!({"function": "m.f", "release": []}), "release: an empty list"),
        (json!({"function": "m.f", "calls": [{}], "args": ["a"]}), "calls: `args` and `kwargs` go into `calls`"),
        (json!({"function": "m.f", "generation": "g", "extra": 1}), "generation: a function has one `extra`"),
        (json!({"function": "m.f", "generation": ""}), "generation: a generation needs a key"),
    ];
    for (declared, expected) in cases {
        let problems = scheme(declared.clone()).map(drop).unwrap_err();
        assert!(problems.iter().any(|problem| problem.starts_with(expected)), "{declared}: {problems:?}");
    }
}

#[test]
fn a_wipe_without_a_prefix_is_refused() {
    let config = |wipe| Config { function: Some("m.f".to_owned()), wipe, ..Config::default() };
    let severity = |wipe, format: &KeyFormat| config(wipe).format_warning(format).map(|warning| warning.severity);
    let django = serde_json::from_value(json!({"django": {}})).unwrap();
    assert_eq!(severity(true, &KeyFormat::Plain), Some(quash_config::Severity::Error));
    assert_eq!(severity(false, &KeyFormat::Plain), Some(quash_config::Severity::Warning));
    assert_eq!(severity(true, &django), None);
}
