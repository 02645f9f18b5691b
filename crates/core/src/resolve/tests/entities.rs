//! Shows what is declared of entities: the names of their partitions, their keys, and what of their old rows is logged.

use serde_json::json;

use super::*;
use crate::explain::RuleVerdict;

/// A change that Debezium captured in PostgreSQL.
fn captured(op: &str, before: Json, after: Json) -> Json {
    let source =
        json!({"connector": "postgresql", "name": "s", "db": "shop", "schema": "public", "table": "book", "ts_ms": 1});
    json!({"op": op, "before": before, "after": after, "source": source, "ts_ms": 1})
}

fn books(entities: Json) -> Json {
    json!({"entities": entities, "caches": {
        "book": {"key": "book:{id}", "depends_on": [{"row": "public.book"}]},
        "author": {"key": "author:{author_id}", "depends_on": [{"row": "public.book"}]}}})
}

#[test]
fn fillings_of_a_deleted_row_are_not_taken_for_what_was_there() {
    let deleted = |image: Json| captured("d", image, json!(null));
    for filling in [
        json!({"author_id": 0, "title": "", "status": "draft"}),
        json!({"author_id": 1, "active": true}),
        json!({"author_id": 0, "created_at": "1970-01-01T00:00:00.000000Z", "price": "0", "tags": [], "attrs": "{}"}),
        json!({"author_id": 0, "price": "AA==", "status": "draft"}),
    ] {
        let mut image = filling;
        image["id"] = json!(7);
        let event = deleted(image.clone());
        check(
            &books(json!({"public.book": {"key": ["id"]}})),
            event.clone(),
            &["delete book:7", "delete_prefix author:"],
        );
        let unknown = asked(&books(json!({})), std::slice::from_ref(&event));
        assert!(unknown.contains(&"delete_prefix author:".to_owned()), "{unknown:?} of {image}");
        assert!(unknown.iter().any(|line| line == "delete book:7" || line == "delete_prefix book:"), "{unknown:?}");
        let full = json!({"public.book": {"replica_identity": "full"}});
        if image["author_id"] == json!(1) {
            check(&books(full), event, &["delete author:1", "delete book:7"]);
        }
    }
}

#[test]
fn an_update_without_its_old_row_keeps_its_key_where_that_is_declared() {
    let update = captured("u", json!(null), json!({"id": 7, "author_id": 3}));
    check(&books(json!({})), update.clone(), &["delete_prefix author:", "delete_prefix book:"]);
    check(&books(json!({"public.book": {"key": ["id"]}})), update, &["delete book:7", "delete_prefix author:"]);
    let body = captured("u", json!(null), json!({"id": 7})).to_string();
    let explained = resolver(&books(json!({}))).explain(&request(body.as_bytes())).unwrap();
    let RuleVerdict::Matched { notes, .. } = &explained.changes[0].rules[0].verdict else { panic!("{explained:?}") };
    assert_eq!(notes[..], ["widened: Debezium does not say what author_id was or is"]);
    let native = json!({"entity": "public.book", "op": "update", "after": {"id": 7, "author_id": 3}});
    let expected = ["delete_prefix author:", "delete_prefix book:"];
    check(&books(json!({"public.book": {"key": ["id"]}})), native, &expected);
}

#[test]
fn partitions_are_their_table() {
    let rules = json!({
        "entities": {"public.orders": {"also": ["public.orders_*", "archive.orders"]}},
        "caches": {
            "order": {"key": "order:{id}", "depends_on": [{"row": "public.orders", "when": "entity == 'public.orders'"}]},
            "old": {"key": "old:{id}", "depends_on": [{"row": "public.orders_gone"}]}}});
    let created = |entity: &str| json!({"entity": entity, "op": "create", "after": {"id": 7}});
    for entity in ["public.orders", "public.orders_2026_11", "archive.orders"] {
        check(&rules, created(entity), &["delete order:7"]);
    }
    check(&rules, created("public.orders_gone"), &["delete old:7"]);
    check(&rules, created("public.orders2"), &[]);
    let wal2json = json!({"action": "D", "schema": "public", "table": "orders_2026_11", "identity": [{"name": "id", "type": "integer", "value": 7}]});
    check(&rules, wal2json.clone(), &["delete order:7"]);
    let debezium = json!({"op": "c", "source": {"schema": "public", "table": "orders_1"}, "after": {"id": 7}});
    check(&rules, debezium, &["delete order:7"]);
    let body = wal2json.to_string();
    let explained = resolver(&rules).explain(&request(body.as_bytes())).unwrap();
    assert_eq!(explained.changes[0].change, "delete public.orders id=7");

    let resolver = resolver(&rules);
    let mut changes = Vec::new();
    let body = created("public.orders_1").to_string();
    decode(request(body.as_bytes()).payload, Format::Json, &resolver.limits.event(), &mut changes).unwrap();
    assert_eq!(lines(&resolver, &resolver.resolve_changes(&changes, None).plan), ["delete order:7"]);
}

#[test]
fn what_is_wrong_with_an_entity_is_said() {
    let problems = |entities: Json| {
        let (_, problems) = compile(&books(entities));
        let shown = problems.iter().filter(|problem| problem.path.to_string().starts_with("entities"));
        shown.map(|problem| format!("{:?} {} {}", problem.severity, problem.path, problem.message)).collect::<Vec<_>>()
    };
    assert_eq!(
        problems(json!({"public.boook": {}})),
        [
            "Warning entities.public.boook no dependency is on a row or a relation of `public.boook`, so that this says nothing"
        ]
    );
    for nothing in ["*", "**", ""] {
        let expected = "Error entities.public.book.also[0] would take events of every entity";
        assert_eq!(problems(json!({"public.book": {"also": [nothing]}})), [expected]);
    }
    let twice = json!({"public.book": {"also": ["a.b"]}, "public.paper": {"also": ["a.b", "public.b*"]}});
    assert_eq!(
        problems(twice),
        [
            "Warning entities.public.paper no dependency is on a row or a relation of `public.paper`, so that this says nothing",
            "Error entities.public.paper.also[0] `a.b` is taken for `public.book` already",
            "Warning entities.public.paper.also[1] `public.book` has rules of its own, and its events are not taken for those of `public.paper`",
        ]
    );
}

#[test]
fn rules_may_ask_for_what_stands_around_an_event() {
    let rules = json!({"caches": {
        "c": {"key": "t:{tenant}:{source}:{id}", "depends_on": [{"row": "shop.Book", "when": "event.origin != 'import'",
            "map": {"tenant": "event.headers.Quash-Tenant", "source": "event.source", "id": "id"}}]},
        "plain": {"key": "p:{source}:{event}", "depends_on": [{"row": "shop.Paper", "map": {"source": "source", "event": "event.id"}}]},
        "m": {"key": "m:{tenant}:{id}", "depends_on": [{"m2m": "shop.Book.tags", "when": "event.headers['quash-tenant'] == 'acme'",
            "map": {"tenant": "event.headers.quash-tenant", "id": "to.id"}}]}}});
    let resolver = resolver(&rules);
    let of = |event: Json, tenant: Option<&str>| {
        let body = event.to_string();
        let headers: Vec<_> = tenant.map(|tenant| ("quash-Tenant".into(), tenant.to_owned())).into_iter().collect();
        let request = Request::fresh(Payload { body: body.as_bytes(), headers: &headers }, Format::Auto);
        lines(&resolver, &resolver.resolve(&[request]).plan)
    };
    let book = |origin: &str| json!({"entity": "shop.Book", "op": "create", "source": "web", "origin": origin, "after": {"id": 7}});
    assert_eq!(of(book("w1"), Some("acme")), ["delete t:acme:web:7"]);
    assert_eq!(of(book("import"), Some("acme")), [""; 0]);
    assert_eq!(of(book("w1"), None), ["delete_prefix t:"], "what is not there is unknown");
    let paper = json!({"entity": "shop.Paper", "op": "create", "source": "web", "after": {"source": "column", "event": {"id": 3}}});
    assert_eq!(of(paper, None), ["delete p:column:3"], "other names are columns");
    let tagged = json!({"entity": "shop.Book", "op": "add", "relation": "tags", "from": {"id": 1}, "to": [{"id": 5}, {"id": 6}]});
    assert_eq!(of(tagged.clone(), Some("acme")), ["delete m:acme:5", "delete m:acme:6"]);
    assert_eq!(of(tagged, Some("other")), [""; 0]);
    let graph = resolver.graph();
    let columns: Vec<_> = graph.iter().flat_map(|dependence| &dependence.columns).collect();
    assert!(columns.iter().all(|column| !column.contains("headers")), "{columns:?}");
}

#[test]
fn on_unknown_stands_once_for_a_cache_and_once_for_all() {
    let event = update(json!({}), json!(null), json!({"author_id": 4}));
    let rules = |all: Json, cache: Json, dependency: Json| {
        json!({"on_unknown": all, "caches": {"c": {"key": "by:{author_id}", "on_unknown": cache,
            "depends_on": [{"row": "shop.Book", "on_unknown": dependency}]}}})
    };
    let (exact, widened) = (["delete by:4"], ["delete_prefix by:"]);
    check(&rules(json!(null), json!(null), json!(null)), event.clone(), &widened);
    check(&rules(json!("after_only"), json!(null), json!(null)), event.clone(), &exact);
    check(&rules(json!("widen"), json!("after_only"), json!(null)), event.clone(), &exact);
    check(&rules(json!("after_only"), json!("after_only"), json!("widen")), event, &widened);
}
