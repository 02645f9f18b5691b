//! Compares keys and tokens with those that the library wrote in its three layouts, and says what its declaration refuses.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::key::conformance::{Wish, asked_of, goes, scheme_of};

fn asked(declared: Json, exact: Json) -> Vec<Wish> {
    asked_of::<Config>(declared, &exact)
}

fn delete(key: &str) -> Wish {
    Wish::Delete(key.to_owned())
}

fn renew(key: &str) -> Wish {
    Wish::Set(key.to_owned(), Write::RENEW)
}

fn detail(layout: Json) -> Json {
    json!({"function": "app.Book.detail", "params": ["self", "lang"], "partial": [["self"]], "layout": layout})
}

#[test]
fn entries_are_spelt_in_every_layout() {
    let exact = json!({"self": 42, "lang": "en"});
    let hashed_args = "app.Book.detail|3a82ce384752bab2129a8b830bcb3f9dc0c863e2c052bbfde5f8bdb1493e7ee6";
    let hashed_all = "78b40da0c96ed62a3f6cc9ba8ed79b68eb4d65437f18811b2885d07b87eacb62";
    let cases = [("raw", "app.Book.detail|42:en"), ("hashed_args", hashed_args), ("hashed_all", hashed_all)];
    for (layout, key) in cases {
        assert_eq!(asked(detail(json!(layout)), exact.clone()), [delete(key)], "{layout}");
    }
    let rolling = asked(detail(json!(["raw", "hashed_args", "hashed_all"])), exact);
    assert_eq!(rolling, cases.map(|(_, key)| delete(key)));
}

#[test]
fn tokens_are_spelt_in_every_layout() {
    let cases = [
        ("raw", "TOKEN__app.Book.detail|self|42", "TOKEN__app.Book.detail|"),
        (
            "hashed_args",
            "TOKEN__app.Book.detail|self|73475cb40a568e8da8a045ced110137e159f890ac4da883b6b17dc651b3a8049",
            "TOKEN__app.Book.detail|e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        (
            "hashed_all",
            "TOKEN__4b4d836bb9727b7abdec94e6dbff7fdbe8087a7a641a379841b30139a30c36b2",
            "TOKEN__b3ece1bd7dceaebdf72e07183d159ebecccf464925cb191ecceb34d859af1d4c",
        ),
    ];
    for (layout, of_self, of_all) in cases {
        assert_eq!(asked(detail(json!(layout)), json!({"self": 42})), [renew(of_self)], "{layout}");
        assert_eq!(asked(detail(json!(layout)), json!({})), [renew(of_all)], "{layout}");
        assert_eq!(asked(detail(json!(layout)), json!({"lang": "en"})), [renew(of_all)], "{layout}");
    }
}

#[test]
fn a_key_set_without_a_token_takes_the_one_that_was_made_last_of_those_that_fit() {
    let declared =
        |tokens: Json| json!({"function": "f", "params": ["x", "y", "z"], "partial": tokens, "layout": "raw"});
    let two = || declared(json!([["x"], ["y"]]));
    let cases = [
        (two(), json!({"x": 1}), "TOKEN__f|x|1"),
        (two(), json!({"x": 1, "z": 9}), "TOKEN__f|x|1"),
        (two(), json!({"y": 2, "z": 9}), "TOKEN__f|y|2"),
        (two(), json!({"x": 1, "y": 2}), "TOKEN__f|y|2"),
        (two(), json!({"z": 9}), "TOKEN__f|"),
        (declared(json!([["y"], ["x"]])), json!({"x": 1, "y": 2}), "TOKEN__f|x|1"),
        (declared(json!([["y", "x"], ["x"]])), json!({"x": 1, "y": 2}), "TOKEN__f|x:y|1:2"),
        // One over all parameters is the entry, and is not stored.
        (declared(json!([["x"], ["x", "y", "z"]])), json!({"x": 1, "z": 3}), "TOKEN__f|x|1"),
    ];
    for (declared, exact, token) in cases {
        assert_eq!(asked(declared.clone(), exact.clone()), [renew(token)], "{declared} {exact}");
    }
}

#[test]
fn it_is_said_where_more_goes_than_was_asked() {
    let rounds_up = |tokens: Json, exact: ArgSet| {
        let declared = json!({"function": "f", "params": ["x", "y", "z"], "partial": tokens, "layout": "raw"});
        let reach = scheme_of::<Config>(declared).unwrap().reach(exact, 100);
        (reach.by, reach.template, reach.rounds_up)
    };
    let (x, xz) = (ArgSet::EMPTY.with(0), ArgSet::EMPTY.with(0).with(2));
    assert_eq!(rounds_up(json!([["x"]]), x), (ReachBy::Tag, "TOKEN__f|x|{x}".to_owned(), false));
    assert_eq!(rounds_up(json!([["x"]]), xz), (ReachBy::Tag, "TOKEN__f|x|{x}".to_owned(), true));
    assert_eq!(rounds_up(json!([]), x), (ReachBy::Tag, "TOKEN__f|".to_owned(), true));
    assert_eq!(rounds_up(json!([]), ArgSet::EMPTY), (ReachBy::Tag, "TOKEN__f|".to_owned(), false));
    let all = xz.with(1);
    assert_eq!(rounds_up(json!([]), all), (ReachBy::Keys, "f|{x}:{y}:{z}".to_owned(), false));
}

#[test]
fn few_values_are_enumerated_before_more_goes_than_was_asked() {
    let declared = |tokens: Json| json!({"function": "f", "params": ["x", "y"], "partial": tokens, "layout": "raw", "values": {"y": ["a", "b"]}});
    let known = || json!({"x": 1});
    assert_eq!(asked(declared(json!([])), known()), [delete("f|1:a"), delete("f|1:b")]);
    assert_eq!(asked(declared(json!([["x"]])), known()), [renew("TOKEN__f|x|1")]);
    let wider = json!({"function": "f", "params": ["x", "y", "z"], "partial": [["x", "y"]], "layout": "raw",
        "values": {"y": ["a", "b"]}});
    assert_eq!(asked(wider, known()), [renew("TOKEN__f|x:y|1:a"), renew("TOKEN__f|x:y|1:b")]);
}

#[test]
fn text_can_be_searched_where_no_token_fits() {
    let declared =
        json!({"function": "f", "params": ["x", "y", "z"], "partial": [["x"]], "layout": "raw", "scan": true});
    let like = |pattern: &str| [Wish::DeletePattern(pattern.to_owned())];
    assert_eq!(asked(declared.clone(), json!({"y": "a*b"})), like("f|*:a\\*b:*"));
    assert_eq!(asked(declared.clone(), json!({"x": 3, "z": 9})), like("f|3:*:9"));
    assert_eq!(asked(declared, json!({"x": 3})), [renew("TOKEN__f|x|3")]);
}

#[test]
fn arguments_are_marinaded() {
    let one = |declared: &str, value: Json| {
        let types = json!({ "a": declared });
        asked(json!({"function": "f", "params": ["a"], "layout": "raw", "types": types}), json!({"a": value}))
    };
    let cases = [
        ("list", json!([1, "a", [2]]), "[1,a,[2]]"),
        ("list", json!([null, true, {"k": "v"}]), "[None,True,{'k': 'v'}]"),
        ("list", json!([]), "[]"),
        ("tuple", json!([1, "a"]), "(1, 'a')"),
        ("dict", json!({"b": 1, "a": 2}), "{'b': 1, 'a': 2}"),
        ("decimal", json!("1.10"), "1.10"),
        ("date", json!("2024-01-02"), "2024-01-02"),
        ("datetime", json!("2024-01-02T03:04:05"), "2024-01-02 03:04:05"),
        ("uuid", json!("3F2504E04F8911D39A0C0305E82C3301"), "3f2504e0-4f89-11d3-9a0c-0305e82c3301"),
        ("bytes", json!("x"), "b'x'"),
        ("float", json!(1e16), "1e+16"),
        ("bool", json!(true), "True"),
        ("str", json!("a:b|c"), "a:b|c"),
        ("int", json!(null), "None"),
    ];
    for (declared, value, text) in cases {
        assert_eq!(one(declared, value), [delete(&format!("f|{text}"))], "{declared}");
    }
    let refused = one("decimal", json!(1.5));
    assert!(matches!(&refused[..], [Wish::Refused(why)] if why.contains("zeros are lost")), "{refused:?}");
}

#[test]
fn functions_have_the_names_that_the_library_gives_them() {
    let cases = [
        ("app.books.of", "", "app.books.of"),
        ("app.books:of", "", "app.books.of"),
        ("app.books:Book.of", "", "app.books.Book.of"),
        ("app.books:P.Q.m", "", "app.books.Q.m"),
        ("app.books:outer.<locals>.inner", "", "app.books.outer.inner"),
        ("app.books:outer.<locals>.K.m", "*x.y", "app.books.K.m*x.y"),
    ];
    for (function, extra_name, name) in cases {
        let declared = json!({"function": function, "extra_name": extra_name, "layout": "raw"});
        assert_eq!(asked(declared, json!({})), [renew(&format!("TOKEN__{name}|"))]);
    }
}

#[test]
fn a_rendered_tag_goes_by_the_list_of_its_arguments() {
    let declared = || json!({"inclusion_tag": "app.tags:card", "params": ["book", "size"], "layout": "raw"});
    let name = "TOKEN__argcache.extras.template.CachedInclusionNode.render_given_args*app.tags.card";
    let exact = asked(declared(), json!({"book": 1, "size": "s"}));
    assert_eq!(exact, [renew(&format!("{name}|resolved_args|[1,s]"))]);
    assert_eq!(asked(declared(), json!({"book": 1})), [renew(&format!("{name}|"))]);
    assert!(scheme_of::<Config>(declared()).unwrap().reach(ArgSet::EMPTY.with(0), 100).rounds_up);
}

#[test]
fn what_cannot_be_is_refused_with_its_reason() {
    let with = |more: Json| {
        let mut declared = json!({"function": "f", "params": ["a", "b"], "layout": "raw"});
        declared.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        declared
    };
    let cases = [
        (json!({"layout": "raw"}), ": name exactly one of `function` and `inclusion_tag`"),
        (with(json!({"inclusion_tag": "g"})), ": name exactly one of `function` and `inclusion_tag`"),
        (json!({"function": "f"}), "layout: which layout the keys have is not known"),
        (with(json!({"layout": []})), "layout: which layout the keys have is not known"),
        (with(json!({"params": ["a", "a"]})), "params[1]: parameter `a` is named twice"),
        (with(json!({"partial": [["a"], ["b", "c"]]})), "partial[1][1]: `c` is none of `params`"),
        (with(json!({"scan": true, "layout": ["raw", "hashed_args"]})), "scan: hashed keys cannot be searched"),
        (json!({"inclusion_tag": "f", "layout": "raw", "scan": true}), "scan: the keys of a rendered tag"),
        (json!({"inclusion_tag": "f", "layout": "raw", "extra_name": "x"}), "inclusion_tag: a rendered tag has one"),
        (with(json!({"derived_field": {"any": "thing"}})), "derived_field: a DerivedField computes its column"),
    ];
    for (declared, expected) in cases {
        let problems = scheme_of::<Config>(declared.clone()).map(drop).unwrap_err();
        assert!(problems.iter().any(|problem| problem.starts_with(expected)), "{declared}: {problems:?}");
    }
}

proptest! {
    #[test]
    fn a_search_finds_every_entry(x in "[a:*|\\[\\]é]{0,5}", y in "[a:?]{0,5}", z in "[a:-]{0,5}", known in 1_usize..7) {
        let declared = || json!({"function": "f[0]", "params": ["x", "y", "z"], "layout": "raw", "scan": true});
        let all = json!({"x": x, "y": y, "z": z});
        let mut exact = all.clone();
        for (_, name) in ["x", "y", "z"].into_iter().enumerate().filter(|(index, _)| known & (1 << index) == 0) {
            exact.as_object_mut().unwrap().remove(name);
        }
        let found = asked(declared(), exact);
        for wish in asked(declared(), all) {
            let Wish::Delete(key) = wish else { panic!("{wish:?} is no key") };
            prop_assert!(goes(&key, &found), "{key} is not found by {found:?}");
        }
    }
}
