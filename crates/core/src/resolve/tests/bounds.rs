//! Shows that no event asks for, keeps or says more than is allowed, whatever is in it.

use serde_json::json;

use super::*;
use crate::event::EventLimits;

#[test]
fn too_many_actions_widen_and_never_drop() {
    let rules = json!({"limits": {"max_actions_per_event": 3}, "caches": {
        "c": {"key": "c:{shop}:{id}", "depends_on": [{"row": "e"}]}, "d": {"key": "d:{id}", "depends_on": [{"row": "f"}]}}});
    let list = |entity: &str, count: u32| json!({"entity": entity, "op": "create", "after": {"shop": 1, "id": (0..count).collect::<Vec<_>>()}});
    check(&rules, list("e", 3), &["delete c:1:0", "delete c:1:1", "delete c:1:2"]);
    check(&rules, list("e", 4), &["delete_prefix c:1:"]);
    check(&rules, list("f", 4), &["delete_prefix d:"]);
    let home = json!({"limits": {"max_actions_per_event": 1}, "caches": {
        "product": {"key": "product:{id}", "depends_on": [{"row": "e"}]}, "home": {"key": "home", "depends_on": [{"cache": "product"}]}}});
    check(&home, json!({"entity": "e", "op": "create", "after": {"id": 4}}), &["delete home", "delete product:4"]);
    let one = json!({"entity": "e", "op": "create", "after": {"id": 4}}).to_string();
    let resolution = resolver(&home).resolve(&[request(one.as_bytes())]);
    assert_eq!(resolution.widened, [], "what is past the limit and cannot be widened is not counted");
    let doubled =
        json!({"targets": {"a": "plain", "b": "plain"}, "limits": rules["limits"], "caches": rules["caches"]});
    let two = list("e", 2).to_string();
    let explanation = resolver(&doubled).explain(&request(two.as_bytes())).unwrap();
    let notes = &explanation.changes[0].caches[0].notes;
    assert_eq!(notes[..], ["widened: too many actions, limits.max_actions_per_event is 3"]);
    let both = json!({"events": [list("e", 3), list("f", 3)]});
    check(&rules, both, &["delete c:1:0", "delete c:1:1", "delete c:1:2", "delete d:0", "delete d:1", "delete d:2"]);
}

#[test]
fn an_event_that_names_very_many_key_sets_is_widened_before_they_are_kept() {
    let rules = json!({"limits": {"max_actions_per_event": 3}, "caches": {
        "c": {"key": "c:{shop}:{id}", "depends_on": [{"m2m": "e.r", "map": {"shop": "from.id", "id": "to.id"}}]}}});
    let resolver = resolver(&rules);
    let to: Vec<_> = (0..50_000).map(|id| json!({"id": [id, -id, id + 1]})).collect();
    let body = json!({"entity": "e", "op": "add", "relation": "r", "from": {"id": 1}, "to": to}).to_string();
    let limits = EventLimits { max_message_bytes: body.len(), ..EventLimits::default() };
    let mut changes = Vec::new();
    decode(request(body.as_bytes()).payload, Format::Json, &limits, &mut changes).unwrap();
    let mut found = Found::default();
    resolver.rules.find(&changes[0], &Around::NONE, &mut found);
    let [(_, sets)] = &found.stale[..] else { panic!("{:?}", found.stale) };
    assert!(sets.len() <= 3, "{} key sets", sets.len());
    assert_eq!(found.widened[..], [(CacheId(0), Widened::TooManyActions)]);
}

#[test]
fn values_never_widen_a_delete_by_their_content() {
    let rules = one(json!({"key": "c:{a}:{b}", "depends_on": [
        {"row": "exact", "map": {"a": "x", "b": "x"}}, {"row": "prefix", "map": {"a": "x"}}]}));
    let event = |entity: &str, value: Json| json!({"entity": entity, "op": "create", "after": {"x": value}});
    check(&rules, event("exact", json!("*")), &["delete c:*:*"]);
    check(&rules, event("exact", json!("a\nb\u{0}")), &["delete c:a\nb\u{0}:a\nb\u{0}"]);
    check(&rules, event("exact", json!("")), &["delete c::"]);
    check(&rules, event("prefix", json!("*")), &["delete_prefix c:*:"]);
    check(&rules, event("prefix", json!("")), &["delete_prefix c::"]);
    let open = one(json!({"key": "c:{a}{b}", "depends_on": [{"row": "prefix", "map": {"a": "x"}}]}));
    check(&open, event("prefix", json!("1")), &["delete_prefix c:1"]);
    for empty in ["", " ", "\t\n"] {
        let refused =
            "refused: cache c: argument a is empty, and a prefix that ends with it would remove what others cached";
        check(&open, event("prefix", json!(empty)), &[refused]);
    }
    check(
        &rules,
        event("exact", json!("x".repeat(10_000))),
        &["refused: cache c: a key has 20003 bytes, the limit is 4096 (limits.max_key_bytes)"],
    );
    check(
        &rules,
        event("exact", json!(1.5)),
        &[
            "refused: cache c: argument a is a number with a fraction, whose spelling in a key is not known; publish it as \
           text, or write it as Python's `repr()` does, with `!r` behind its name in the template: `{price!r}`",
        ],
    );
    check(&rules, event("exact", json!({"y": 1})), &["refused: cache c: argument a is an object; map a path into it"]);
}

#[test]
fn what_is_said_of_an_event_is_short_and_has_no_control_characters_whatever_is_in_it() {
    let rules = one(json!({"key": "c:{id}", "depends_on": [{"row": "shop.Book"}]}));
    let long = "\u{1b}[2J".repeat(100_000);
    let commands = [
        json!({"invalidate": {"cache": long}}),
        json!({"invalidate": {"cache": "c", "args": {long.as_str(): 1}}}),
        json!({"invalidate": {"cache": "c", "target": long}}),
    ];
    for command in commands {
        let said = asked(&rules, &[command]);
        assert!(said[0].len() < 200 && !said[0].contains('\u{1b}'), "{}", said[0]);
    }
    let body = json!({"entity": "shop.Book", "op": "create", "key": {"id": 1}, "after": {"id": long}}).to_string();
    let trace = resolver(&rules).trace(&request(body.as_bytes()));
    assert!(trace.iter().all(|line| line.chars().count() <= 301), "{:?}", trace.iter().map(String::len));
}

#[test]
fn a_message_full_of_events_that_each_name_much_is_widened_as_a_whole() {
    let rules = json!({"limits": {"max_actions_per_event": 400}, "caches": {
        "c": {"key": "c:{shop}:{a}:{b}", "depends_on": [{"row": "e"}]}}});
    let event = |shop: usize| {
        let list = (0..20).collect::<Vec<_>>();
        json!({"entity": "e", "op": "create", "after": {"shop": shop, "a": list, "b": list}})
    };
    let events: Vec<_> = (0..50).map(event).collect();
    let asked = asked(&rules, &[json!({ "events": events })]);
    assert!(asked.len() <= 400 + 100 * 50, "{} actions", asked.len());
    for shop in 0..50 {
        let (key, prefix) = (format!("delete c:{shop}:19:19"), format!("delete_prefix c:{shop}:"));
        assert!(asked.contains(&key) || asked.contains(&prefix), "shop {shop} is not removed");
    }
}

#[test]
fn a_number_that_no_key_could_hold_is_refused() {
    let rules = one(json!({"key": "c:{p:.2f}", "depends_on": [{"row": "e"}]}));
    let event = |p: &str| json!({"entity": "e", "op": "create", "types": {"p": "decimal"}, "after": {"p": p}});
    check(&rules, event("1E-70000"), &["delete c:0.00"]);
    for (number, why) in [
        ("1.5E-9223372036854775808", "no decimal number, but its type is decimal"),
        ("1E-9223372036854775808", "no decimal number, but its type is decimal"),
        ("1E+70000", "a value that the format in its template does not fit"),
    ] {
        check(&rules, event(number), &[&format!("refused: cache c: argument p is {why}")]);
    }
}

/// What the keys of a plan hold.
fn bytes(plan: &Plan) -> usize {
    plan.shares.iter().flat_map(|share| &share.actions).map(|action| action.object().len()).sum()
}

/// What a batch asks for, in as many parts as it takes, and the bytes of the largest part.
fn in_parts(resolver: &Resolver, bodies: &[String]) -> (Vec<Vec<String>>, usize) {
    let requests: Vec<Request<'_>> = bodies.iter().map(|body| request(body.as_bytes())).collect();
    let (mut rest, mut parts, mut largest) = (&requests[..], Vec::new(), 0);
    while !rest.is_empty() {
        let resolution = resolver.resolve(rest);
        assert!(!resolution.outcomes.is_empty() && resolution.outcomes.len() <= rest.len());
        rest = &rest[resolution.outcomes.len()..];
        largest = largest.max(bytes(&resolution.plan));
        parts.push(lines(resolver, &resolution.plan));
    }
    (parts, largest)
}

#[test]
fn a_batch_whose_keys_would_fill_the_memory_is_split_and_then_widened() {
    let rules = json!({"limits": {"max_plan_bytes": 1_000_000}, "caches": {
        "c": {"key": "c:{shop}:{id}", "publish": "gone", "depends_on": [{"row": "e"}]}}});
    let resolver = resolver(&rules);
    let event = |shop: &str, count: u32| {
        json!({"entity": "e", "op": "create", "after": {"shop": shop, "id": (0..count).collect::<Vec<_>>()}})
            .to_string()
    };
    let short = event("s", 1000);
    let (parts, _) = in_parts(&resolver, &[short.clone(), short]);
    assert_eq!((parts.len(), parts[0].len()), (1, 2000), "what fits is neither split nor widened");

    let long: Vec<String> = (0..8).map(|shop| event(&format!("{shop}{}", "x".repeat(1000)), 700)).collect();
    let (parts, largest) = in_parts(&resolver, &long);
    assert!((4..=8).contains(&parts.len()), "{} parts", parts.len());
    assert!(largest < 3_000_000, "{largest} bytes");
    let keys = parts.iter().flatten().filter(|line| line.starts_with("delete c:")).count();
    assert_eq!(keys, 8 * 700, "a part of a batch is not widened because of its neighbours");

    let (parts, largest) = in_parts(&resolver, &[event(&"x".repeat(4000), 10_000)]);
    assert!(largest < 10_000, "{largest} bytes");
    assert_eq!(parts[0].len(), 2);
    assert!(
        parts[0][0].starts_with("delete_prefix c:xxxx") && parts[0][1].starts_with("publish gone"),
        "{:?}",
        parts[0]
    );
}

#[test]
fn a_long_value_is_not_hashed_once_for_each_of_a_list() {
    let rules = one(json!({"key": "c:{a|md5}:{b}", "depends_on": [{"row": "e"}]}));
    let side = || json!({"a": "x".repeat(100_000), "b": (0..5_000).collect::<Vec<_>>()});
    let event = json!({"entity": "e", "op": "update", "before": side(), "after": side()});
    check(&rules, event, &["delete_prefix c:d5816f35916d1d9482fb0f1ec201101d:"]);
}

#[test]
fn enumerating_values_of_long_keys_ends_at_the_budget() {
    let rules = json!({"limits": {"max_plan_bytes": 100_000}, "caches": {
        "c": {"key": "c:{a}:{n}", "values": {"n": (0..1000).collect::<Vec<_>>()}, "depends_on": [{"row": "e", "map": {"a": "a"}}]}}});
    let event = |a: &str| json!({"entity": "e", "op": "create", "after": {"a": a}});
    check(&rules, event(&"x".repeat(2000)), &[&format!("delete_prefix c:{}:", "x".repeat(2000))]);
    let body = event("x").to_string();
    let resolution = resolver(&rules).resolve(&[request(body.as_bytes())]);
    assert_eq!(resolution.widened, [(CacheId(0), Widened::TooManyBytes)]);
}

/// Processor time of this thread, in nanoseconds: what else the machine does is not in it.
fn spent_ns(work: impl FnOnce()) -> u64 {
    let now = || {
        let line = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    };
    let start = now();
    work();
    now() - start
}

/// Four times as much takes about four times as long. Quadratic work would take sixteen times as long, in every attempt.
#[track_caller]
fn check_linear(what: &str, resolver: &Resolver, message: impl Fn(usize) -> (String, String)) {
    const SIZE: usize = 1_000;
    const ATTEMPTS: usize = 5;
    let spent = |size: usize| {
        let (body, key) = message(size);
        let headers = [("key".into(), key)];
        let request = Request::fresh(Payload { body: body.as_bytes(), headers: &headers }, Format::Auto);
        let spent = spent_ns(|| {
            let resolution = resolver.resolve(&[request]);
            assert!(matches!(resolution.outcomes[..], [Resolved::Matched(_)]), "{what}: {:?}", resolution.outcomes);
        });
        spent.max(1)
    };
    let mut ratios = (0..ATTEMPTS).map(|_| spent(4 * SIZE) / spent(SIZE));
    assert!(ratios.any(|ratio| ratio < 8), "{what}");
}

#[test]
fn what_a_message_costs_grows_with_its_size_and_no_faster() {
    let resolver = resolver(&json!({"caches": {
        "c": {"key": "c:{a}:{b}", "depends_on": [{"row": "e"}, {"row": "public.t", "map": {"a": "c1", "b": "c2"}}]},
        "m": {"key": "m:{a}:{b}", "depends_on": [{"m2m": "e.r", "map": {"a": "from.last", "b": "to.id"}}]}}}));
    let columns = |size: usize| (0..size).map(|n| (format!("c{n}"), json!(n))).collect::<serde_json::Map<_, _>>();
    let no_key = |body: Json| (body.to_string(), String::new());
    check_linear("types beside a list", &resolver, |size| {
        let types: serde_json::Map<_, _> = (0..size).map(|n| (format!("t{n}"), json!("str"))).collect();
        no_key(
            json!({"entity": "e", "op": "create", "types": types, "after": {"a": (0..size).collect::<Vec<_>>(), "b": 1}}),
        )
    });
    check_linear("rows at the other end of a long row", &resolver, |size| {
        let mut from = columns(size);
        from.insert("last".to_owned(), json!(1));
        let to: Vec<_> = (0..size).map(|n| json!({"id": n})).collect();
        let types: serde_json::Map<_, _> = (0..size).map(|n| (format!("to.t{n}"), json!("str"))).collect();
        no_key(json!({"entity": "e", "op": "add", "relation": "r", "from": from, "to": to, "types": types}))
    });
    check_linear("a long list for each row at the other end", &resolver, |size| {
        let to: Vec<_> = (0..size).map(|n| json!({"id": n})).collect();
        let last: Vec<_> = (0..size).map(|n| format!("x{n}")).collect();
        no_key(json!({"entity": "e", "op": "add", "relation": "r", "from": {"last": last}, "to": to}))
    });
    check_linear("wal2json's primary key", &resolver, |size| {
        let tuple: Vec<_> =
            (0..size).map(|n| json!({"name": format!("c{n}"), "type": "integer", "value": n})).collect();
        let pk: Vec<_> = (0..size).map(|n| json!({"name": format!("c{}", size - 1 - n), "type": "integer"})).collect();
        no_key(json!({"action": "U", "schema": "public", "table": "t", "columns": tuple, "identity": tuple, "pk": pk}))
    });
    check_linear("Debezium's key beside a long row", &resolver, |size| {
        let source = json!({"connector": "postgresql", "schema": "public", "table": "t"});
        let body = json!({"op": "u", "source": source, "before": columns(size), "after": columns(size)}).to_string();
        (body, Json::Object(columns(size)).to_string())
    });
    check_linear("Debezium's schema of a long row", &resolver, |size| {
        let source = json!({"connector": "postgresql", "schema": "public", "table": "t"});
        let payload = json!({"op": "c", "source": source, "after": columns(size)});
        let field =
            |n: usize| json!({"type": "int32", "field": format!("c{}", size - 1 - n), "name": "io.debezium.time.Date"});
        let after: Vec<_> = (0..size).map(field).collect();
        no_key(
            json!({"schema": {"type": "struct", "fields": [{"type": "struct", "field": "after", "fields": after}]}, "payload": payload}),
        )
    });
}
