//! Shows what is done for readers that check tags or take leases, and which declarations could not keep their promise.

use super::*;
use crate::action::{Object, Void};
use crate::explain::PlannedAction;

fn problems(rules: &Json) -> Vec<String> {
    let (_, problems) = compile(rules);
    problems.iter().map(|problem| format!("{:?} {} {}", problem.severity, problem.path, problem.message)).collect()
}

/// What is wrong with a cache that depends on books.
fn wrong(cache: Json) -> Vec<String> {
    problems(&one(depending(cache)))
}

fn depending(mut cache: Json) -> Json {
    if cache.get("depends_on").is_none() {
        cache["depends_on"] = json!([{"row": "shop.Book"}]);
    }
    cache
}

fn planned(rules: &Json, event: &Json) -> Vec<Action> {
    let body = event.to_string().into_bytes();
    resolver(rules).resolve(&[request(&body)]).plan.shares.into_iter().flat_map(|share| share.actions).collect()
}

fn pages(freshness: &str) -> Json {
    one(json!({
        "key": "book:{author_id}:{page}", "tags": ["author:{author_id}"], "freshness": freshness,
        "depends_on": [{"row": "shop.Book", "map": {"author_id": "author_id", "page": "page"}}],
    }))
}

#[test]
fn an_exact_key_never_stands_for_the_tag_that_readers_check() {
    let event = update(json!({"id": 1}), json!({"author_id": 3, "page": 2}), json!({"author_id": 3, "page": 2}));
    let body = event.to_string().into_bytes();
    let explained = |freshness: &str| {
        let mut explanation = resolver(&pages(freshness)).explain(&request(&body)).unwrap();
        let cache = explanation.changes.remove(0).caches.remove(0);
        let shown = |action: &PlannedAction| format!("{} {}", action.action, action.object);
        (cache.actions.iter().map(shown).collect::<Vec<_>>(), cache.guarantee.to_string())
    };
    // The token stays: a load that is under way is stored under one that is good still.
    assert_eq!(explained("none"), (vec!["delete book:3:2".to_owned()], "none: TTL alone".to_owned()));
    assert_eq!(explained("generation"), (vec!["set author:3".to_owned()], "exact".to_owned()));
    // Here the lease stands in the key itself.
    assert_eq!(explained("lease"), (vec!["delete book:3:2".to_owned()], "exact".to_owned()));
    let renewal = Action::Set { key: "author:3".into(), write: crate::action::Write::RENEW };
    assert_eq!(planned(&pages("generation"), &event), [renewal]);
}

#[test]
fn the_narrowest_tag_that_is_known_is_renewed_and_else_all_that_it_may_be() {
    let rules = one(json!({
        "key": "book:{author_id}:{page}", "tags": ["all", "author:{author_id}"], "freshness": "generation",
        "depends_on": [{"row": "shop.Book", "map": {"author_id": "author_id"}}],
    }));
    check(&rules, json!({"entity": "shop.Book", "op": "create", "after": {"author_id": 3}}), &["set author:3"]);
    check(&rules, json!({"entity": "shop.Book", "op": "truncate"}), &["set all"]);
    let created = json!({"entity": "shop.Book", "op": "create", "after": {"id": 1}});
    // The event does not say whose book it is, and no tag is on all of them.
    check(&pages("generation"), created, &["delete_prefix author:"]);
    let everything = |rules: &Json| {
        let resolver = resolver(rules);
        let target = resolver.target("main").unwrap();
        resolver
            .everything_on(target)
            .iter()
            .map(|action| format!("{} {}", action.kind(), action.object()))
            .collect::<Vec<_>>()
    };
    assert_eq!(everything(&rules), ["set all"]);
    assert_eq!(everything(&pages("generation")), ["delete_pattern author:*"]);
    assert_eq!(everything(&pages("lease")), ["delete_prefix book:"]);
}

#[test]
fn tags_are_made_where_readers_may_rely_on_it_and_renewed_where_they_make_them() {
    let wide = |freshness: &str| {
        one(json!({
            "key": "book:{author_id}:{page}", "tags": ["author:{author_id}"], "freshness": freshness,
            "depends_on": [{"row": "shop.Book", "map": {"author_id": "author_id"}}],
        }))
    };
    let created = json!({"entity": "shop.Book", "op": "create", "after": {"author_id": 3}});
    for (freshness, expected) in [("none", "bump author:3"), ("generation", "set author:3"), ("lease", "set author:3")]
    {
        check(&wide(freshness), created.clone(), &[expected]);
    }
}

#[test]
fn entries_are_held_voided_or_removed_with_their_guards_as_the_cache_says() {
    let key = || Object::Key("book:1".into());
    let void = |hold_ms, stale_ms| Void { version: 0, hold_ms, stale_ms };
    let cases = [
        (json!({}), Action::Delete("book:1".into())),
        (json!({"hold": "2s"}), Action::Hold { key: "book:1".into(), ms: 2000, guarded: false }),
        (json!({"stale": "30s"}), Action::Void { object: key(), void: void(0, 30_000) }),
        (json!({"stale": "30s", "hold": "2s"}), Action::Void { object: key(), void: void(2000, 30_000) }),
        (json!({"layout": "plain"}), Action::DeleteGuarded(key())),
        (json!({"layout": "plain", "hold": "2s"}), Action::Hold { key: "book:1".into(), ms: 2000, guarded: true }),
    ];
    let created = json!({"entity": "shop.Book", "op": "create", "after": {"id": 1}});
    let truncated = json!({"entity": "shop.Book", "op": "truncate"});
    let prefix = || Object::Prefix("book:".into());
    for (more, expected) in cases {
        let mut cache = depending(json!({"key": "book:{id}", "freshness": "lease"}));
        cache.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let rules = one(cache);
        assert_eq!(planned(&rules, &created), [expected], "{more}");
        let pass = match (more.get("stale"), more.get("layout")) {
            (Some(_), _) => Action::Void { object: prefix(), void: void(0, 30_000) },
            (_, Some(_)) => Action::DeleteGuarded(prefix()),
            _ => Action::DeletePrefix("book:".into()),
        };
        assert_eq!(planned(&rules, &truncated), [pass], "{more}");
    }
}

#[test]
fn a_key_that_a_command_names_is_treated_as_its_cache_says() {
    let cache = |layout: &str, more: Json| {
        let mut cache = depending(json!({"key": "book:{id}", "freshness": "lease", "layout": layout}));
        cache.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"targets": {"main": {"django": {}}}, "caches": { "c": cache }})
    };
    let key = |key: &str| json!({"invalidate": {"key": key}});
    let prefix = json!({"invalidate": {"prefix": "b"}});
    let held = cache("framed", json!({"hold": "2s"}));
    assert_eq!(planned(&held, &key("book:1")), [Action::Hold { key: ":1:book:1".into(), ms: 2000, guarded: false }]);
    assert_eq!(planned(&held, &key("other")), [Action::Delete(":1:other".into())]);
    assert_eq!(planned(&held, &prefix), [Action::DeletePrefix(":1:b".into())]);
    let plain = cache("plain", json!({}));
    assert_eq!(planned(&plain, &key("book:1")), [Action::DeleteGuarded(Object::Key(":1:book:1".into()))]);
    assert_eq!(planned(&plain, &prefix), [Action::DeleteGuarded(Object::Prefix(":1:b".into()))]);
    assert_eq!(planned(&plain, &key("other")), [Action::Delete(":1:other".into())]);
}

#[test]
fn no_command_reaches_the_keys_of_quash() {
    let rules = one(depending(json!({"key": "book:{id}"})));
    let refused = "refused: keys that begin with `quash:` are Quash's own";
    for what in [json!({"key": "quash:verify"}), json!({"prefix": "quas"}), json!({"tag": "quash:index"})] {
        let asked = asked(&rules, &[json!({ "invalidate": what })]);
        assert_eq!(asked, [refused.replace("refused: ", "refused: cache a direct command: ")], "{what}");
    }
    check(&rules, json!({"invalidate": {"key": "quash"}}), &["delete quash"]);
}

#[test]
fn what_does_not_fit_together_is_refused_at_its_place() {
    let lease = |more: Json| {
        let mut cache = json!({"key": "book:{id}", "freshness": "lease"});
        cache.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        cache
    };
    let cases = [
        (
            json!({"key": "book:{id}", "freshness": "generation"}),
            "freshness readers check tags, and the cache has none",
        ),
        (
            json!({"key": "book:{id}", "stale": "1s"}),
            "stale `stale` is for readers that take leases, and those of `freshness: none` take none",
        ),
        (
            json!({"key": "book:{id}", "hold": "1s"}),
            "hold `hold` is for readers that take leases, and those of `freshness: none` take none",
        ),
        (
            json!({"key": "book:{id}", "layout": "plain"}),
            "layout `layout` is for readers that take leases, and those of `freshness: none` take none",
        ),
        (
            json!({"key": "book:{id}", "tags": ["all"], "freshness": "generation", "stale": "1s"}),
            "stale `stale` is for readers that take leases, and those of `freshness: generation` take none",
        ),
        (lease(json!({"stale": "0s"})), "stale stale is at least 1ms"),
        (lease(json!({"hold": "0s"})), "hold hold is at least 1ms"),
        (lease(json!({"lease": "0s"})), "lease lease is at least 1ms"),
        (
            lease(json!({"ttl": "1m", "soft_ttl": "2m"})),
            "soft_ttl an entry ends after ttl (1m) before it is refreshed after soft_ttl (2m)",
        ),
        (
            lease(json!({"soft_ttl": "2m"})),
            "soft_ttl soft_ttl refreshes entries before their ttl ends, and there is none",
        ),
        (
            lease(json!({"layout": "plain", "stale": "1s"})),
            "stale an old value that may be served is marked in its frame, and `layout: plain` has none",
        ),
        (
            lease(json!({"layout": "plain", "tags": ["all"]})),
            "tags tokens of tags are stored in the frame, and `layout: plain` has none",
        ),
        (
            lease(json!({"layout": "plain", "ttl": "2m", "soft_ttl": "1m"})),
            "soft_ttl soft_ttl is stored in the frame, and `layout: plain` has none",
        ),
        (
            lease(json!({"hold": "1s", "depends_on": [{"row": "shop.Book", "map": {}}]})),
            "depends_on[0] entries can only be held by their keys, and `book:*` are many",
        ),
        (
            json!({"key": "book:{id}:{page}", "tags": ["book:{id}"], "freshness": "generation",
                "depends_on": [{"row": "shop.Book", "map": {"page": "page"}}]}),
            "depends_on[0] no tag covers these entries: `book:*` would be a pass over tags",
        ),
        (
            json!({"key": "quash:book:{id}"}),
            "key keys that begin with `quash:` are Quash's own, and `quash:book:*` may be one",
        ),
        (json!({"key": "q{id}"}), "key keys that begin with `quash:` are Quash's own, and `q*` may be one"),
        (
            json!({"key": "book:{id}", "tags": ["quash:{id}"], "depends_on": [{"row": "shop.Book"}]}),
            "tags keys that begin with `quash:` are Quash's own, and `quash:*` may be one",
        ),
    ];
    for (cache, expected) in cases {
        assert_eq!(wrong(cache.clone()), [format!("Error caches.c.{expected}")], "{cache}");
    }
    let fine = [
        lease(
            json!({"stale": "30s", "hold": "2s", "ttl": "10m", "soft_ttl": "8m", "negative_ttl": "1m", "lease": "10s", "wait": "200ms"}),
        ),
        lease(json!({"layout": "plain", "hold": "2s"})),
        lease(json!({"layout": "framed", "foreign": "accept"})),
        json!({"key": "q", "depends_on": [{"row": "shop.Book"}]}),
        json!({"key": "quashed:{id}"}),
    ];
    for cache in fine {
        assert_eq!(wrong(cache.clone()), [""; 0], "{cache}");
    }
}

#[test]
fn a_renewed_tag_leaves_nothing_to_serve_and_says_so() {
    let cache = json!({
        "key": "book:{id}:{page}", "tags": ["book:{id}"], "freshness": "lease", "stale": "30s",
        "depends_on": [{"row": "shop.Book", "map": {"id": "id"}}],
    });
    let expected =
        "Warning caches.c.depends_on[0] a new token of `book:{id}` leaves no old value that `stale` could serve";
    assert_eq!(wrong(cache), [expected]);
}

#[test]
fn caches_with_the_same_keys_have_the_same_readers() {
    let rules = |other: Json, more: Json| {
        let mut other = depending(other);
        other["depends_on"] = json!([{"row": "shop.Author"}]);
        let caches =
            json!({"a": depending(json!({"key": "book:{id}", "freshness": "lease", "hold": "2s"})), "b": other});
        let mut rules = json!({ "caches": caches });
        rules.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        rules
    };
    let same = "Error caches.b.freshness its keys are those of cache `a` too (`book:*` on target `main`), whose `freshness` is another";
    assert_eq!(problems(&rules(json!({"key": "book:{book}"}), json!({}))), [same]);
    assert_eq!(problems(&rules(json!({"key": "book:{id}", "freshness": "lease", "hold": "3s"}), json!({}))), [same]);
    assert_eq!(problems(&rules(json!({"key": "book:{id}", "freshness": "lease", "hold": "2s"}), json!({}))), [""; 0]);
    assert_eq!(problems(&rules(json!({"key": "page:{id}"}), json!({}))), [""; 0]);
    let two = json!({"targets": {"main": "plain", "eu": {"django": {}}}});
    let elsewhere = json!({"key": "book:{id}", "key_format": {"django": {"version": 7}}});
    assert_eq!(problems(&rules(elsewhere, two)), [""; 0]);
}

#[test]
fn in_a_cluster_a_guard_needs_a_hash_tag() {
    let apart = |key: &str, clusters: bool| {
        let rules = one(depending(json!({"key": key, "freshness": "lease", "layout": "plain"})));
        let problems = resolver(&rules).guards_apart(|_| clusters);
        problems.iter().map(|problem| format!("{} {}", problem.path, problem.message)).collect::<Vec<_>>()
    };
    let message = "caches.c.layout target `main` is a cluster, in which a key and its guard, the key with `!q` behind it, may \
                   be on different servers";
    assert_eq!(apart("book:{id}", true), [message]);
    assert_eq!(apart("book:{{{id}}}", true), [""; 0]);
    assert_eq!(apart("book:{id}", false), [""; 0]);
}
