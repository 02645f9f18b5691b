//! Shows what caches ask for whose keys a library spells, and what their declarations refuse.

use super::*;
use crate::key::digest::Digest;

/// The physical key of django-cache-memoize for this text behind the function's name `m.f`.
fn key(prefix: &str, args: &str) -> String {
    format!("delete {prefix}{}", Digest::Md5.hex(&format!("cache_memoizem.f{args}null")))
}

/// A cache of `m.f` on a Django target, with more keys.
fn library(more: Json, declared: Json) -> Json {
    let mut cache = json!({"cache_memoize": {"function": "m.f"}, "depends_on": [{"row": "shop.Book"}]});
    cache["cache_memoize"].as_object_mut().unwrap().extend(declared.as_object().unwrap().clone());
    cache.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "targets": {"main": {"django": {"prefix": "my"}}}, "caches": { "c": cache } })
}

fn problems(rules: &Json) -> Vec<String> {
    let (_, problems) = compile(rules);
    problems.iter().map(|problem| format!("{:?} {} {}", problem.severity, problem.path, problem.message)).collect()
}

#[test]
fn a_library_spells_the_keys_of_both_images() {
    let rules = library(json!({}), json!({"args": ["author"]}));
    let moved = update(json!({}), json!({"author": 3}), json!({"author": 4}));
    let mut expected = [key("my:1:", "3"), key("my:1:", "4")];
    expected.sort();
    check(&rules, moved, &[&expected[0], &expected[1]]);
}

#[test]
fn a_cache_may_have_another_key_format_than_its_targets() {
    let format = json!({"key_format": {"django": {"prefix": "own", "version": [6, 7]}}});
    let created = json!({"entity": "shop.Book", "op": "create", "after": {"a": 1}});
    let rules = library(format, json!({"args": ["a"]}));
    check(&rules, created, &[&key("own:6:", "1"), &key("own:7:", "1")]);
    let empty = library(json!({"key_format": {"prefixed": {"prefix": []}}}), json!({}));
    assert_eq!(problems(&empty), ["Error caches.c.key_format.prefixed.prefix an empty list would invalidate nothing"]);
}

#[test]
fn types_come_from_the_event_and_the_cache_knows_better() {
    let rules = |types: Json| library(json!({ "types": types }), json!({"args": ["at"]}));
    let created = |types: Json| json!({"entity": "shop.Book", "op": "create", "after": {"at": "2024-01-02T03:04:05Z"}, "types": types});
    let spelt = "2024-01-02%2003%3A04%3A05%2B00%3A00";
    check(&rules(json!({})), created(json!({"at": "datetime"})), &[&key("my:1:", spelt)]);
    check(&rules(json!({"at": "datetime"})), created(json!({})), &[&key("my:1:", spelt)]);
    check(
        &rules(json!({"at": "str"})),
        created(json!({"at": "datetime"})),
        &[&key("my:1:", "2024-01-02T03%3A04%3A05Z")],
    );
    let guess =
        "refused: cache c: argument at is text that looks like a date with a time; declare its type, datetime or str";
    check(&rules(json!({})), created(json!({})), &[guess]);
    check(
        &rules(json!({})),
        created(json!({"at": "timestamptz"})),
        &["refused: cache c: argument at is of a type that is not known here; publish one that is"],
    );
}

#[test]
fn a_list_is_one_value_where_its_type_says_so() {
    let created = json!({"entity": "shop.Book", "op": "create", "after": {"ids": [1, 2]}});
    let tuple = library(json!({"types": {"ids": "tuple"}}), json!({"args": ["ids"]}));
    check(&tuple, created.clone(), &[&key("my:1:", "%281%2C%202%29")]);
    let mut each = [key("my:1:", "1"), key("my:1:", "2")];
    each.sort();
    check(&library(json!({}), json!({"args": ["ids"]})), created, &[&each[0], &each[1]]);
}

#[test]
fn a_list_of_which_the_event_says_the_type_is_one_value() {
    let rules = library(json!({}), json!({"args": ["ids"]}));
    let created = |ids: Json, kind: &str| json!({"entity": "shop.Book", "op": "create", "types": {"ids": kind}, "after": {"ids": ids}});
    check(&rules, created(json!([1, 2]), "list"), &[&key("my:1:", "%5B1%2C%202%5D")]);
    check(&rules, created(json!([]), "list"), &[&key("my:1:", "%5B%5D")]);
    check(&rules, created(json!([null]), "list"), &[&key("my:1:", "%5BNone%5D")]);
    check(&rules, created(json!([[1, 2]]), "list"), &[&key("my:1:", "%5B%5B1%2C%202%5D%5D")]);
    check(&rules, created(json!([1]), "tuple"), &[&key("my:1:", "%281%2C%29")]);
    let declared = library(json!({"types": {"ids": "int"}}), json!({"args": ["ids"]}));
    check(&declared, created(json!([1]), "list"), &[&key("my:1:", "1")]);
    let native = one(json!({"key": "c:{ids}", "depends_on": [{"row": "shop.Book"}]}));
    let refused = "refused: cache c: argument ids is a list as one value (inside a list, or of the type list), which no key can hold";
    check(&native, created(json!([1]), "list"), &[refused]);
}

#[test]
fn what_is_known_goes_where_the_rest_cannot_be_searched() {
    let rules = library(json!({}), json!({"args": ["product_id"]}));
    let event = json!({"entity": "shop.Book", "op": "update", "key": {"id": 1}, "after": {"product_id": 7}});
    let why = "keys are hashes, which cannot be searched: give `map` or `values` for product_id, or a `generation`, or \
               `wipe: true` for all functions of the alias; the event does not say what a mapped column was or is: publish it \
               in `before`, say in `changed` what changed, or set `on_unknown: after_only`";
    let refused = format!("refused: cache c: {why}");
    check(&rules, event.clone(), &[&key("my:1:", "7"), &refused]);
    let mut unchanged = event.clone();
    unchanged["changed"] = json!(["title"]);
    check(&rules, unchanged, &[&key("my:1:", "7")]);
    let after_only = library(json!({"on_unknown": "after_only"}), json!({"args": ["product_id"]}));
    check(&after_only, event, &[&key("my:1:", "7")]);
    let mut few = rules;
    few["limits"] = json!({"max_actions_per_event": 3});
    let many = json!({"entity": "shop.Book", "op": "create", "after": {"product_id": [1, 2, 3, 4, 5]}});
    let asked = asked(&few, &[many]);
    let [.., refused] = &asked[..] else { panic!("{asked:?}") };
    assert!(refused.starts_with("refused: cache c: keys are hashes"), "{asked:?}");
}

#[test]
fn a_dependency_that_nothing_from_outside_can_serve_is_an_error() {
    let map = json!({"depends_on": [{"row": "shop.Book", "map": {"a": "id"}}]});
    let rules = library(map.clone(), json!({"args": ["a", "b"]}));
    assert_eq!(problems(&rules), ["Error caches.c.depends_on[0] nothing from outside removes `md5 of m.f({a}, {b})`"]);
    let wipe = library(map, json!({"args": ["a", "b"], "wipe": true}));
    assert_eq!(
        problems(&wipe),
        [
            "Warning caches.c.depends_on[0] removes more than was asked, and passes over all keys of the target to remove \
          `[0-9a-f]{32}`"
        ]
    );
    let created = json!({"entity": "shop.Book", "op": "create", "after": {"id": 1}});
    check(&wipe, created, &[&format!("delete_pattern my:1:{}", "[0-9a-f]".repeat(32))]);
}

#[test]
fn exactly_one_thing_spells_the_keys() {
    let both = library(json!({"key": "c:{a}", "tags": ["t"]}), json!({"args": ["a"]}));
    assert_eq!(
        problems(&both),
        [
            "Error caches.c.key `key` is for keys of your own, and `cache_memoize` spells these",
            "Error caches.c.tags `tags` is for keys of your own, and `cache_memoize` spells these",
        ]
    );
    assert_eq!(problems(&one(json!({"depends_on": [{"row": "a.B"}]}))), ["Error caches.c a cache needs a `key`"]);
    let plain = json!({"caches": {"c": {"cache_memoize": {"prefix": "p"}, "depends_on": [{"row": "a.B"}]}}});
    assert!(
        problems(&plain)[0].starts_with("Warning caches.c.cache_memoize the library writes behind Django's prefix")
    );
    let unknown = library(json!({"types": {"b": "int"}, "values": {"c": []}}), json!({"args": ["a"]}));
    assert_eq!(
        problems(&unknown),
        [
            "Error caches.c.values.c the cache has no argument `c`",
            "Error caches.c.types.b the cache has no argument `b`",
            "Error caches.c.values.c no values of `c` would mean no entries at all",
        ]
    );
}

#[test]
fn tags_alone_remove_what_they_name() {
    let rules = one(json!({"tags": ["author:{author}", "all"], "depends_on": [{"row": "shop.Book"}]}));
    let created = json!({"entity": "shop.Book", "op": "create", "after": {"author": 3}});
    check(&rules, created, &["bump author:3"]);
    check(&rules, json!({"entity": "shop.Book", "op": "truncate"}), &["bump all"]);
    let narrow = one(json!({"tags": ["author:{author}"], "depends_on": [{"row": "shop.Book", "map": {}}]}));
    assert_eq!(problems(&narrow), ["Error caches.c.depends_on[0] nothing from outside removes `author:{author}`"]);
}

#[test]
fn native_templates_take_the_formats_of_python() {
    let rules = one(json!({
        "key": "c:{n:04d}:{price:.2f}:{day:%Y%m%d}:{name!r|md5}",
        "types": {"day": "date", "price": "decimal"},
        "depends_on": [{"row": "shop.Book"}],
    }));
    let created = json!({"entity": "shop.Book", "op": "create",
        "after": {"n": 7, "price": "1.5", "day": "2024-01-02", "name": "x"}});
    check(&rules, created, &[&format!("delete c:0007:1.50:20240102:{}", Digest::Md5.hex("'x'"))]);
    let wrong = one(json!({"key": "c:{n:4q}", "args": ["n"], "depends_on": [{"row": "a.B"}]}));
    assert_eq!(problems(&wrong), ["Error caches.c.key `4q` is no format of Python"]);
}
