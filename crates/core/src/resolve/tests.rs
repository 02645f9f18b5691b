//! Shows what events ask for: rules and events as JSON, actions as short lines.

mod bounds;
mod entities;
mod freshness;
mod graph;
mod later;
mod libraries;
mod locations;
mod spell;

use std::collections::BTreeMap;
use std::time::Duration;

use quash_config::{Problem, Secret};

use crate::action::Action;
use crate::event::{Format, Payload};
use crate::key::KeyFormat;
use crate::plan::{Plan, TargetSet};
use crate::rule::config::{CacheConfig, EntityConfig, Limits, OnUnknown};
use crate::scope::CacheId;
use serde_json::{Value as Json, json};

use super::*;

/// Compiles rules: `{"targets": {name: format}, "caches": {…}, "limits": {…}}`; without targets there is a plain `main`.
fn compile(rules: &Json) -> (Option<Resolver>, Vec<Problem>) {
    let read = |key: &str, default: Json| rules.get(key).cloned().unwrap_or(default);
    let targets: BTreeMap<String, KeyFormat> =
        serde_json::from_value(read("targets", json!({"main": "plain"}))).unwrap();
    let caches: BTreeMap<String, CacheConfig> = serde_json::from_value(read("caches", json!({}))).unwrap();
    let limits: Limits = serde_json::from_value(read("limits", json!({}))).unwrap();
    let secrets: BTreeMap<String, Secret> = serde_json::from_value(read("secrets", json!({}))).unwrap();
    let entities: BTreeMap<String, EntityConfig> = serde_json::from_value(read("entities", json!({}))).unwrap();
    let on_unknown: Option<OnUnknown> = serde_json::from_value(read("on_unknown", json!(null))).unwrap();
    Resolver::compile(Declared {
        targets: &targets,
        caches: &caches,
        entities: &entities,
        on_unknown,
        secrets: &secrets,
        limits,
    })
}

fn resolver(rules: &Json) -> Resolver {
    let (resolver, problems) = compile(rules);
    resolver.unwrap_or_else(|| panic!("{problems:?}"))
}

fn request(body: &[u8]) -> Request<'_> {
    let payload = Payload { body, headers: &[] };
    Request::fresh(payload, Format::Auto)
}

fn lines(resolver: &Resolver, plan: &Plan) -> Vec<String> {
    let mut lines: Vec<String> = plan
        .shares
        .iter()
        .flat_map(|share| {
            let target = &resolver.targets()[usize::from(share.target.0)];
            let only = resolver.targets().len() == 1;
            share.actions.iter().map(move |action| {
                let target = if only { String::new() } else { format!("{target} ") };
                match action {
                    Action::Publish { channel, message } => format!("{target}publish {channel} {message}"),
                    other => format!("{target}{} {}", other.kind(), other.object()),
                }
            })
        })
        .collect();
    lines.sort();
    lines
}

/// What the events ask for as one batch; a refused one gives a line of its own.
fn asked(rules: &Json, events: &[Json]) -> Vec<String> {
    let resolver = resolver(rules);
    let bodies: Vec<Vec<u8>> = events.iter().map(|event| event.to_string().into_bytes()).collect();
    let requests: Vec<Request<'_>> = bodies.iter().map(|body| request(body)).collect();
    let resolution = resolver.resolve(&requests);
    let refused = resolution.outcomes.iter().filter_map(|outcome| match outcome {
        Resolved::Refused(refused) => Some(format!("refused: {refused}")),
        _ => None,
    });
    lines(&resolver, &resolution.plan).into_iter().chain(refused).collect()
}

fn check(rules: &Json, event: Json, expect: &[&str]) {
    assert_eq!(asked(rules, std::slice::from_ref(&event)), expect, "{event}");
}

fn one(cache: Json) -> Json {
    json!({ "caches": { "c": cache } })
}

fn update(key: Json, before: Json, after: Json) -> Json {
    json!({"entity": "shop.Book", "op": "update", "key": key, "before": before, "after": after})
}

#[test]
fn the_shortest_cache_takes_its_arguments_from_columns_of_the_same_name() {
    let rules = one(json!({"key": "book:{id}", "depends_on": [{"row": "shop.Book"}]}));
    check(&rules, update(json!({"id": 42}), json!({}), json!({"id": 42})), &["delete book:42"]);
    check(&rules, json!({"entity": "shop.Book", "op": "create", "after": {"id": "x"}}), &["delete book:x"]);
    check(&rules, json!({"entity": "shop.Book", "op": "delete", "key": {"id": 7}}), &["delete book:7"]);
    check(&rules, json!({"entity": "shop.Author", "op": "create", "after": {"id": 1}}), &[]);
    check(&rules, json!({"entity": "shop.Book", "op": "truncate"}), &["delete_prefix book:"]);
}

#[test]
fn a_row_that_moves_drops_both_its_places() {
    let rules = one(json!({"key": "by:{author_id}", "depends_on": [{"row": "shop.Book"}]}));
    let moved = update(json!({"id": 1}), json!({"author_id": 3}), json!({"author_id": 4}));
    check(&rules, moved, &["delete by:3", "delete by:4"]);
    let stayed = update(json!({"id": 1}), json!({"author_id": 3}), json!({"author_id": 3}));
    check(&rules, stayed, &["delete by:3"]);
}

#[test]
fn images_are_evaluated_each_as_a_whole() {
    let rules = one(json!({"key": "c:{a}:{b}", "depends_on": [{"row": "shop.Book"}]}));
    let moved = update(json!({}), json!({"a": 1, "b": 1}), json!({"a": 2, "b": 2}));
    check(&rules, moved, &["delete c:1:1", "delete c:2:2"]);
}

#[test]
fn an_unknown_column_is_what_the_key_or_the_other_image_says_else_any() {
    let rules = one(json!({"key": "by:{author_id}:{id}", "depends_on": [{"row": "shop.Book"}]}));
    let event = |changed: Json| {
        let mut event = update(json!({"id": 1}), json!(null), json!({"author_id": 4}));
        event["changed"] = changed;
        event
    };
    check(&rules, event(json!(["title"])), &["delete by:4:1"]);
    check(&rules, event(json!(["author_id"])), &["delete_prefix by:"]);
    check(&rules, event(json!(null)), &["delete_prefix by:"]);
    let toast = json!({"entity": "shop.Book", "op": "update", "changed": ["title"], "before": {"author_id": 3, "id": 1}, "after": {"id": 1}});
    check(&rules, toast, &["delete by:3:1"]);
    let new_key = json!({"entity": "shop.Book", "op": "update", "changed": ["id"], "key": {"id": 2}, "before": {"author_id": 3}, "after": {"author_id": 3}});
    check(&rules, new_key, &["delete_prefix by:3:"]);
    let no_after = json!({"entity": "shop.Book", "op": "update", "changed": ["id"], "key": {"id": 24}, "before": {"id": 24, "author_id": 3}});
    check(&rules, no_after, &["delete_prefix by:3:"]);
    let moved_key = json!({"entity": "shop.Book", "op": "update", "changed": ["id"], "key": {"id": 2}, "before": {"id": 1, "author_id": 3}, "after": {"id": 2}});
    check(&rules, moved_key, &["delete by:3:1", "delete by:3:2"]);
}

#[test]
fn on_unknown_decides_what_an_unknown_column_means() {
    let rules = |on_unknown: &str| {
        one(json!({"key": "by:{author_id}", "depends_on": [{"row": "shop.Book", "on_unknown": on_unknown}]}))
    };
    let event = update(json!({}), json!(null), json!({"author_id": 4}));
    check(&rules("widen"), event.clone(), &["delete_prefix by:"]);
    check(&rules("after_only"), event.clone(), &["delete by:4"]);
    check(
        &rules("dead_letter"),
        event,
        &["refused: cache c: column author_id is unknown, and on_unknown is dead_letter"],
    );
    let nothing_known = update(json!({}), json!(null), json!({"title": "x"}));
    check(&rules("after_only"), nothing_known, &["delete_prefix by:"]);
}

#[test]
fn clauses_narrow_what_counts() {
    let rules = one(json!({"key": "c:{id}", "depends_on": [{
        "row": "shop.Book", "ops": ["update", "delete"], "changed": ["title", "price"],
        "when": "after.state == 'published' || before.state == 'published'"}]}));
    let event = |before: Json, after: Json| update(json!({"id": 1}), before, after);
    let (draft, public) =
        (json!({"state": "draft", "title": "a", "price": 1}), json!({"state": "published", "title": "b", "price": 1}));
    check(&rules, event(draft.clone(), public.clone()), &["delete c:1"]);
    check(&rules, event(public.clone(), draft.clone()), &["delete c:1"]);
    check(&rules, event(draft.clone(), draft.clone()), &[]);
    check(&rules, event(public.clone(), public.clone()), &[]);
    check(&rules, json!({"entity": "shop.Book", "op": "create", "after": {"id": 1, "state": "published"}}), &[]);
    check(
        &rules,
        json!({"entity": "shop.Book", "op": "delete", "key": {"id": 1}, "before": {"state": "published"}}),
        &["delete c:1"],
    );
    check(&rules, json!({"entity": "shop.Book", "op": "delete", "key": {"id": 1}, "before": {"state": "draft"}}), &[]);
    check(&rules, json!({"entity": "shop.Book", "op": "delete", "key": {"id": 1}}), &["delete c:1"]);
    let said = json!({"entity": "shop.Book", "op": "update", "key": {"id": 1}, "changed": ["stock"], "before": draft, "after": public});
    check(&rules, said, &[]);
}

#[test]
fn maps_give_paths_constants_any_and_several_key_sets() {
    let rules = one(json!({"key": "c:{a}:{b}", "depends_on": [{"row": "shop.Book", "map": [
        {"a": "author.country.id", "b": {"value": "x"}}, {"a": {"value": 9}, "b": "*"}]}]}));
    let event = json!({"entity": "shop.Book", "op": "create", "after": {"author": {"country": {"id": 5}}}});
    check(&rules, event, &["delete c:5:x", "delete_prefix c:9:"]);
    let null = json!({"entity": "shop.Book", "op": "create", "after": {"author": null}});
    check(&rules, null, &["delete_prefix c:9:"]);
}

#[test]
fn nulls_are_skipped_or_kept() {
    let rules =
        |nulls: &str| one(json!({"key": "by:{author_id}", "depends_on": [{"row": "shop.Book", "nulls": nulls}]}));
    let event = update(json!({}), json!({"author_id": null}), json!({"author_id": 4}));
    check(&rules("skip"), event.clone(), &["delete by:4"]);
    check(&rules("keep"), event, &["delete by:4", "delete by:null"]);
}

#[test]
fn a_list_gives_one_key_set_per_element_and_several_their_product() {
    let rules = one(json!({"key": "c:{a}:{b}", "depends_on": [{"row": "shop.Book"}]}));
    let event = json!({"entity": "shop.Book", "op": "create", "after": {"a": [1, 2], "b": ["x", null, "y"]}});
    check(&rules, event, &["delete c:1:x", "delete c:1:y", "delete c:2:x", "delete c:2:y"]);
}

#[test]
fn relations_know_both_ends() {
    let rules = one(
        json!({"key": "c:{author_id}:{tag}", "depends_on": [{"m2m": "shop.Book.tags", "map": {"author_id": "from.author_id", "tag": "to.id"}}]}),
    );
    let event = |op: &str, to: Json| json!({"entity": "shop.Book", "op": op, "relation": "tags", "key": {"id": 1}, "from": {"id": 1, "author_id": 3}, "to": to});
    check(&rules, event("add", json!([{"id": 5}, {"id": 6}])), &["delete c:3:5", "delete c:3:6"]);
    check(&rules, event("remove", json!({"id": 5})), &["delete c:3:5"]);
    check(&rules, event("clear", json!([])), &["delete_prefix c:3:"]);
    let other = json!({"entity": "shop.Book", "op": "add", "relation": "shelves", "from": {"id": 1}, "to": []});
    check(&rules, other, &[]);
}

#[test]
fn the_cheapest_reach_is_chosen() {
    let rules = one(json!({
        "args": ["author_id", "status", "page"], "key": "catalog:{author_id}:{status}:{page}",
        "values": {"status": ["draft", "published"]}, "tags": ["author:{author_id}"],
        "depends_on": [
            {"row": "exact", "map": {"author_id": "a", "status": "s", "page": "p"}},
            {"row": "listed", "map": {"author_id": "a", "page": "p"}},
            {"row": "tagged", "map": {"author_id": "a"}},
            {"row": "rest", "map": {"status": "s"}}]}));
    let event = |entity: &str| json!({"entity": entity, "op": "create", "after": {"a": 3, "s": "draft", "p": 1}});
    check(&rules, event("exact"), &["delete catalog:3:draft:1"]);
    check(&rules, event("listed"), &["delete catalog:3:draft:1", "delete catalog:3:published:1"]);
    check(&rules, event("tagged"), &["bump author:3"]);
    check(&rules, event("rest"), &["delete_prefix catalog:"]);
    let (_, problems) = compile(&rules);
    let shown: Vec<String> = problems.iter().map(|problem| format!("{} {}", problem.path, problem.message)).collect();
    assert_eq!(
        shown,
        [
            "caches.c.depends_on[3] removes more than was asked, and passes over all keys of the target to remove `catalog:*`"
        ]
    );
}

#[test]
fn caches_that_depend_on_caches_follow_them() {
    let rules = json!({"caches": {
        "product": {"key": "p:{id}", "depends_on": [{"row": "shop.Product"}]},
        "catalog": {"key": "cat:{id}:{page}", "depends_on": [{"cache": "product"}]},
        "author": {"key": "a:{author}", "depends_on": [{"cache": "catalog", "map": {"author": "*"}}, {"row": "shop.Author", "map": {"author": "id"}}]}}});
    check(
        &rules,
        json!({"entity": "shop.Product", "op": "create", "after": {"id": 1}}),
        &["delete p:1", "delete_prefix a:", "delete_prefix cat:1:"],
    );
    check(&rules, json!({"entity": "shop.Author", "op": "create", "after": {"id": 1}}), &["delete a:1"]);
    check(
        &rules,
        json!({"entity": "shop.Product", "op": "truncate"}),
        &["delete_prefix a:", "delete_prefix cat:", "delete_prefix p:"],
    );
}

#[test]
fn key_formats_multiply_keys_and_targets_are_chosen() {
    let rules = json!({
        "targets": {"eu": "plain", "main": {"django": {"prefix": "shop", "version": [1, 2]}}},
        "caches": {
            "both": {"key": "b:{id}", "depends_on": [{"row": "shop.Book"}]},
            "one": {"targets": ["main"], "key": "o:{id}", "tags": ["t:{author_id}"], "args": ["id", "author_id"],
                    "depends_on": [{"row": "shop.Book", "map": {"author_id": "author_id"}}]}}});
    let event = json!({"entity": "shop.Book", "op": "create", "after": {"id": 1, "author_id": 2}});
    check(
        &rules,
        event,
        &[
            "eu delete b:1",
            "main bump shop:1:t:2",
            "main bump shop:2:t:2",
            "main delete shop:1:b:1",
            "main delete shop:2:b:1",
        ],
    );
}

#[test]
fn a_batch_asks_once_and_remembers_who_asked() {
    let resolver = resolver(&one(json!({"key": "by:{author_id}", "depends_on": [{"row": "shop.Book"}]})));
    let body =
        |id: u32| json!({"entity": "shop.Book", "op": "create", "after": {"author_id": id}}).to_string().into_bytes();
    let bodies = [
        body(1),
        body(2),
        body(1),
        b"garbage".to_vec(),
        json!({"entity": "x", "op": "truncate"}).to_string().into_bytes(),
    ];
    let requests: Vec<_> = bodies.iter().map(|body| request(body)).collect();
    let resolution = resolver.resolve(&requests);
    let share = &resolution.plan.shares[0];
    assert_eq!(share.actions, [Action::Delete("by:1".into()), Action::Delete("by:2".into())]);
    assert_eq!(
        share
            .asked_by
            .iter()
            .map(|requests| requests.iter().map(|request| request.0).collect())
            .collect::<Vec<Vec<u32>>>(),
        [vec![0, 2], vec![1]]
    );
    assert!(matches!(
        resolution.outcomes[..],
        [
            Resolved::Matched(_),
            Resolved::Matched(_),
            Resolved::Matched(_),
            Resolved::Refused(Refused::Decode(_)),
            Resolved::Unmatched { .. }
        ]
    ));
    assert_eq!(resolution.cache_matches, [(CacheId(0), 3)]);
}

#[test]
fn what_comes_back_is_resolved_and_not_counted_again() {
    let resolver = resolver(&json!({"targets": {"t": "plain"}, "caches": {
        "c": {"key": "c:{id}", "depends_on": [{"row": "e", "map": {"id": "missing"}}]}}}));
    let changed = |entity: &str| json!({"entity": entity, "op": "create", "after": {"id": 1}});
    let body = json!({"events": [changed("e"), changed("slip"), changed("slip")]}).to_string().into_bytes();
    let counted = |counts| {
        let resolution =
            resolver.resolve(&[Request { remaining: Remaining { counts, ..Remaining::ALL }, ..request(&body) }]);
        assert_eq!(resolution.plan.shares.len(), 1);
        let widened = resolution.widened.len();
        (resolution.cache_matches, widened, resolution.undeclared_events)
    };
    assert_eq!(counted(true), (vec![(CacheId(0), 1)], 1, 2));
    assert_eq!(counted(false), (vec![], 0, 0));
}

#[test]
fn commands_invalidate_by_name() {
    let rules = json!({
        "targets": {"eu": "plain", "main": {"django": {}}},
        "caches": {"c": {"key": "c:{id}:{page}"}, "d": {"key": "d:{id}", "depends_on": [{"cache": "c"}]}}});
    let command = |what: Json| json!({ "invalidate": what });
    check(
        &rules,
        command(json!({"cache": "c", "args": {"id": 1}, "target": "eu"})),
        &["eu delete d:1", "eu delete_prefix c:1:"],
    );
    check(
        &rules,
        command(json!({"cache": "c", "args": {}, "target": "main"})),
        &["main delete_prefix :1:c:", "main delete_prefix :1:d:"],
    );
    check(&rules, command(json!({"key": "k*"})), &["eu delete k*", "main delete :1:k*"]);
    check(&rules, command(json!({"prefix": "k", "target": "main"})), &["main delete_prefix :1:k"]);
    check(&rules, command(json!({"tag": "t", "target": "main"})), &["main bump :1:t"]);
    check(
        &rules,
        command(json!({"key": "k", "target": "mian"})),
        &["refused: no target is called 'mian'; did you mean `main`?"],
    );
    check(
        &rules,
        command(json!({"cache": "cc", "args": {}})),
        &["refused: no cache is called 'cc'; did you mean `c`?"],
    );
    check(
        &rules,
        command(json!({"cache": "c", "args": {"ID": 1}})),
        &["refused: cache c: it has no argument 'ID', its arguments are: id, page"],
    );
}

#[test]
fn one_rule_that_fails_does_not_keep_the_others_from_their_work() {
    let rules = json!({"caches": {
        "bad": {"key": "bad:{x}", "depends_on": [{"row": "e", "on_unknown": "dead_letter"}]},
        "good": {"key": "good:{id}", "depends_on": [{"row": "e"}]}}});
    check(
        &rules,
        json!({"entity": "e", "op": "create", "after": {"id": 1}}),
        &["delete good:1", "refused: cache bad: column x is unknown, and on_unknown is dead_letter"],
    );
}

#[test]
fn filters_spell_as_readers_do() {
    let rules =
        one(json!({"key": "c:{t|lower}:{t|urlencode}:{t|md5}:{t|lower|sha256}:{{}}", "depends_on": [{"row": "e"}]}));
    let event = json!({"entity": "e", "op": "create", "after": {"t": "A b/Ü"}});
    let expect = "delete c:a b/ü:A%20b%2F%C3%9C:ec0f7c9cd0b2ff24a3d4be07eb4b0e31:x:{}";
    let given = asked(&rules, &[event]);
    let md5_and_sha: Vec<&str> = given[0].split(':').collect();
    assert_eq!(given[0].split(':').take(3).collect::<Vec<_>>(), expect.split(':').take(3).collect::<Vec<_>>());
    assert_eq!((md5_and_sha[3].len(), md5_and_sha[4].len(), md5_and_sha[5]), (32, 64, "{}"));
}

#[test]
fn invalidations_are_announced_with_their_exact_arguments() {
    let rules = one(json!({"key": "c:{a}:{b}", "publish": "gone", "depends_on": [{"row": "e", "map": {"a": "a"}}]}));
    let event = json!({"entity": "e", "op": "create", "after": {"a": "1\"", "b": 2}});
    check(&rules, event, &["delete_prefix c:1\":", r#"publish gone {"cache":"c","args":{"a":"1\""}}"#]);
}

#[test]
fn wrong_rules_are_refused_where_they_stand() {
    let row = json!([{"row": "e"}]);
    let cases: &[(Json, &str)] = &[
        (
            one(json!({"key": "{id}", "depends_on": row})),
            "caches.c.key: must begin with literal text, or a rule could remove every key of the target",
        ),
        (
            one(json!({"key": "", "depends_on": row})),
            "caches.c.key: must begin with literal text, or a rule could remove every key of the target",
        ),
        (one(json!({"depends_on": row})), "caches.c: a cache needs a `key`"),
        (
            one(json!({"key": "c:{id", "depends_on": row})),
            "caches.c.key: a brace is not closed or not opened; write `{{` for a brace itself",
        ),
        (
            one(json!({"args": ["id"], "key": "c:{idd}", "depends_on": row})),
            "caches.c.key: unknown argument `idd` in the template (did you mean `id`?)",
        ),
        (
            one(json!({"key": "c:{id|lowr}", "depends_on": row})),
            "caches.c.key: unknown filter `lowr` in the template (did you mean `lower`?)",
        ),
        (
            one(json!({"args": ["id", "page"], "key": "c:{id}", "depends_on": row})),
            "caches.c.args[1]: argument `page` stands in neither the key nor a tag (take it out, or add it to the key)",
        ),
        (
            one(json!({"key": "c:{id}", "tags": ["{id}"], "depends_on": row})),
            "caches.c.tags[0]: must begin with literal text, or a rule could remove every key of the target",
        ),
        (
            one(json!({"key": "c:{id}", "again_after": ["1.0005s"], "depends_on": row})),
            "caches.c.again_after: a later pass is due after whole milliseconds",
        ),
        (
            one(json!({"key": "c:{id}", "depends_on": [{"row": "e", "map": []}]})),
            "caches.c.depends_on[0].map: an empty list of maps would invalidate nothing",
        ),
        (
            one(json!({"key": "c:{id}", "targets": ["mian"], "depends_on": row})),
            "caches.c.targets[0]: no target is called `mian` (did you mean `main`?)",
        ),
        (
            one(json!({"key": "c:{id}", "depends_on": [{"cache": "d"}]})),
            "caches.c.depends_on[0].cache: no cache is called `d` (did you mean `c`?)",
        ),
        (
            one(json!({"key": "c:{id}", "depends_on": [{"cache": "c"}]})),
            "caches.c.depends_on[0].cache: caches depend on each other in a circle: c → c",
        ),
        (
            one(json!({"key": "c:{id}", "depends_on": [{}]})),
            "caches.c.depends_on[0]: a dependency is on exactly one of `row`, `m2m`, `cache`",
        ),
        (
            one(json!({"key": "c:{id}", "depends_on": [{"row": "e", "when": "befor.x == 1"}]})),
            "caches.c.depends_on[0].when: the condition uses an unknown name `befor` (did you mean `before`?)",
        ),
        (
            one(json!({"key": "c:{id}", "depends_on": [{"row": "e", "map": {"idd": "id"}}]})),
            "caches.c.depends_on[0].map.idd: the cache has no argument `idd` (did you mean `id`?)",
        ),
        (
            one(json!({"key": "c:{id}", "depends_on": [{"row": "e", "ops": ["add"]}]})),
            "caches.c.depends_on[0].ops[0]: `add` never happens here",
        ),
        (
            one(json!({"key": "c:{id}", "depends_on": [{"m2m": "tags"}]})),
            "caches.c.depends_on[0].m2m: `tags` is no relation",
        ),
        (
            one(json!({"key": "c:{id}", "values": {"id": []}, "depends_on": row})),
            "caches.c.values.id: no values of `id` would mean no entries at all",
        ),
    ];
    for (rules, expect) in cases {
        let (resolver, problems) = compile(rules);
        assert!(resolver.is_none(), "{rules}");
        let shown: Vec<String> = problems
            .iter()
            .map(|problem| {
                format!(
                    "{}: {}{}",
                    problem.path,
                    problem.message,
                    problem.help.iter().map(|help| format!(" ({help})")).collect::<String>()
                )
            })
            .collect();
        assert!(shown.iter().any(|line| line.starts_with(expect)), "{expect}\n{shown:#?}");
    }
    let cycle = json!({"caches": {
        "a": {"key": "a:{id}", "depends_on": [{"row": "e"}, {"cache": "b"}]},
        "b": {"key": "b:{id}", "depends_on": [{"cache": "c"}]},
        "c": {"key": "c:{id}", "depends_on": [{"cache": "a"}]}}});
    let (_, problems) = compile(&cycle);
    assert_eq!(problems[0].message, "caches depend on each other in a circle: a → b → c → a");
    assert_eq!(problems[0].path.to_string(), "caches.a.depends_on[1].cache");
}

#[test]
fn everything_on_a_target_is_its_caches_and_nothing_else() {
    let resolver = resolver(&json!({"targets": {"a": {"django": {"version": [1, 2]}}, "b": "plain"}, "caches": {
        "all": {"key": "all", "depends_on": [{"row": "e"}]},
        "some": {"targets": ["a"], "key": "some:{id}", "depends_on": [{"row": "e"}]}}}));
    let on = |name: &str| {
        let mut lines: Vec<String> = resolver
            .everything_on(resolver.target(name).unwrap())
            .iter()
            .map(|action| format!("{} {}", action.kind(), action.object()))
            .collect();
        lines.sort();
        lines
    };
    assert_eq!(on("a"), ["delete :1:all", "delete :2:all", "delete_prefix :1:some:", "delete_prefix :2:some:"]);
    assert_eq!(on("b"), ["delete all"]);
}

#[test]
fn explanations_say_what_matched_and_which_clause_failed() {
    let resolver = resolver(&json!({"caches": {
        "page": {"key": "page:{author_id}", "again_after": ["1s"], "depends_on": [{"row": "shop.Book"}]},
        "stock": {"key": "stock:{id}", "depends_on": [{"row": "shop.Book", "changed": ["stock"]}]},
        "feed": {"key": "feed:{author_id}", "depends_on": [{"cache": "page"}]}}}));
    let body =
        update(json!({"id": 1}), json!({"author_id": 3, "stock": 1}), json!({"author_id": 4, "stock": 1})).to_string();
    let explanation = resolver.explain(&request(body.as_bytes())).unwrap();
    let [change] = &explanation.changes[..] else { panic!("{explanation:?}") };
    assert_eq!(change.change, "update shop.Book id=1");
    let rules: Vec<String> =
        change.rules.iter().map(|rule| format!("{} {} {:?}", rule.cache, rule.on, rule.verdict)).collect();
    assert_eq!(
        rules,
        [
            r#"page row shop.Book Matched { key_sets: ["author_id=3", "author_id=4"], notes: [] }"#,
            r#"stock row shop.Book Skipped { clause: "changed", why: "none of stock changed" }"#,
        ]
    );
    let caches: Vec<_> = change
        .caches
        .iter()
        .map(|cache| (cache.cache.as_str(), cache.through.join(","), cache.actions.len()))
        .collect();
    assert_eq!(caches, [("page", String::new(), 2), ("feed", "page".to_owned(), 2)]);
    assert_eq!(
        resolver.trace(&request(body.as_bytes()))[..2],
        ["update shop.Book id=1", "page matched row shop.Book: author_id=3, author_id=4"]
    );
}
