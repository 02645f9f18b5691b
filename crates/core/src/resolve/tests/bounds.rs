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
    resolver.rules.find(&changes[0], &mut found);
    let [(_, sets)] = &found.stale[..] else { panic!("{:?}", found.stale) };
    assert!(sets.len() <= 3, "{} key sets", sets.len());
    assert_eq!(found.widened[..], [(0, Widened::TooManyActions)]);
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
        &["refused: cache c: argument a is a number whose spelling in a key is not known; publish it as text"],
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
