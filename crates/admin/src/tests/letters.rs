//! Shows letters, as JSON and as pages: what is known, to whom, and as text alone.

use std::sync::Arc;

use quash_delivery::headers;
use quash_delivery::record::{Reason, Record};
use quash_dispatch::config::Config;
use quash_transport::Message;
use quash_worker::dead_letter::testing::{message, record};
use serde_json::{Value, json};

use super::site::{Site, TOKENS, ask, serve};

fn mixed() -> Vec<Message> {
    let refused = |error: &str| {
        message(
            &Record { error: error.to_owned(), ..record(Reason::TargetError) },
            r#"{"entity":"shop.Product","op":"update","key":{"id":7}}"#,
        )
    };
    vec![
        refused("NOPERM for key 1"),
        message(&record(Reason::Decode), "x"),
        refused("NOPERM for key 2"),
        Message::default(),
    ]
}

fn names(value: &Value) -> Vec<&str> {
    value["letters"].as_array().unwrap().iter().map(|letter| letter["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn letters_are_listed_filtered_and_grouped_with_their_age() {
    let site = Site::open(mixed()).await;
    let list = site.json("/api/v1/letters?limit=3").await;
    assert_eq!(
        (names(&list), &list["total"], &list["matched"], &list["next"]),
        (vec!["4", "3", "2"], &json!(4), &json!(4), &json!("2"))
    );
    assert!(list["age_ms"].as_i64().is_some_and(|age| age >= 0), "{list}");
    let rest = site.json("/api/v1/letters?limit=3&after=2").await;
    assert_eq!((names(&rest), &rest["next"]), (vec!["1"], &Value::Null));
    let filtered = site.json("/api/v1/letters?order=oldest&filter=reason:target_error%20error:noperm").await;
    assert_eq!((names(&filtered), &filtered["matched"], &filtered["total"]), (vec!["1", "3"], &json!(2), &json!(4)));
    assert_eq!(filtered["letters"][0]["payload_bytes"], 54, "{filtered}");

    let groups = site.json("/api/v1/groups").await;
    let groups = groups["sources"][0]["groups"].as_array().unwrap();
    assert_eq!((groups.len(), &groups[0]["count"], &groups[0]["error"]), (3, &json!(2), &json!("NOPERM for key *")));
    assert_eq!(groups[0]["filter"], "reason:target_error target:main cache:product error:\"NOPERM for key *\"");
    let page = site.get("/groups").await.body;
    assert!(page.contains("give this user the rights"), "the cure: {page}");
    assert!(page.contains("quash dlq replay --filter &#39;reason:target_error"), "{page}");
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_with_what_is_wrong() {
    let site = Site::open(mixed()).await;
    for (path, part) in [
        ("/api/v1/letters?filter=raeson:rule", "there is no field"),
        ("/api/v1/letters?flter=reason:rule", "there is no parameter `flter`"),
        ("/api/v1/letters?limit=9999", "`limit` is 1 to"),
        ("/api/v1/letters?source=other", "there is no source `other`"),
        ("/api/v1/letters/events/77", "there is no dead letter 77 in events"),
        ("/api/v1/jobs/7", "there is no job 7"),
    ] {
        let answer = site.get(path).await;
        assert!((400..500).contains(&answer.status) && answer.body.contains(part), "{path}: {answer:?}");
        let page = site.get(&path.replace("/api/v1", "")).await;
        assert_eq!(page.status, answer.status, "{path}");
        assert!(page.body.starts_with("<!doctype html>"), "{path}: {}", page.body);
    }
}

#[tokio::test]
async fn one_letter_is_told_whole_and_explained_by_the_rules_in_force() {
    let site = Site::open(mixed()).await;
    let letter = site.json("/api/v1/letters/events/3").await;
    assert_eq!((&letter["id"], &letter["about"]["reason"]), (&json!("3"), &json!("target_error")));
    assert_eq!(letter["about"]["attempts"].as_array().map(Vec::len), Some(2));
    assert_eq!(letter["letter"]["payload"], r#"{"entity":"shop.Product","op":"update","key":{"id":7}}"#);
    assert_eq!(letter["explained"]["changes"][0]["caches"][0]["actions"][0]["object"], "product:7", "{letter}");
    let refused = site.json("/api/v1/letters/events/2").await;
    assert_eq!(refused["explained"]["refused"], "decode", "{refused}");

    let page = site.get("/letters/events/3?filter=reason:target_error&order=oldest").await.body;
    for part in [
        "NOPERM for key 2",
        "What a replay would do now",
        "product:7",
        "7b 22 65",
        "rel=\"prev\" href=\"/letters/events/1?filter=",
        "quash dlq show &#39;3&#39;",
    ] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    assert!(!page.contains("rel=\"next\""), "it is the last that the filter means: {page}");
}

#[tokio::test]
async fn hostile_contents_stay_text() {
    let evil = "<script>alert('x')</script>\"onload=\"y\u{202e}\u{0}\u{1b}[2J{{7*7}}";
    let record = Record {
        error: evil.to_owned(),
        entity: Some(evil.to_owned()),
        id: Some(evil.to_owned()),
        cache: Some(evil.to_owned()),
        target: Some(evil.to_owned()),
        worker: evil.to_owned(),
        trace: vec![evil.to_owned()],
        ..record(Reason::Rule)
    };
    let mut letter = message(&record, &format!("{{\"a\":{}}}", json!(evil)));
    letter.headers.set("x-evil", evil);
    letter.headers.set(headers::ID, evil);
    let long = message(&record, &"<b>".repeat(100_000));
    let site = Site::open([letter, long]).await;
    let evil_query = "%3Cscript%3Ealert(1)%3C/script%3E";
    for path in [
        "/groups",
        "/letters",
        "/letters/events/1",
        "/letters/events/2",
        "/replay?all=1",
        &format!("/explain?key={evil_query}"),
        &format!("/letters?filter={evil_query}"),
        &format!("/{evil_query}"),
        &format!("/letters/events/{evil_query}"),
    ] {
        let page = site.get(path).await.body;
        let lower = page.to_lowercase();
        assert_eq!(
            lower.matches("<script").count(),
            usize::from(lower.contains("<html")),
            "only the page's own script, {path}: {page}"
        );
        assert!(!page.contains("<b>") && !page.contains(['\u{202e}', '\u{0}', '\u{1b}']), "{path}: {page}");
        assert!(!page.contains("\"onload=\""), "{path}: {page}");
    }
    let page = site.get("/letters/events/2").await.body;
    assert!(page.contains("Only the first 65536 of 300000 bytes are shown"), "a long payload is cut, and that is said");
    assert!(page.len() < 1_500_000, "{} bytes", page.len());
    let api = site.get("/api/v1/letters/events/1").await;
    assert!(!api.body.contains(['\u{202e}', '\u{1b}']), "{}", api.body);
    assert_eq!(api.json()["about"]["error"], evil);
}

#[tokio::test]
async fn payloads_are_hidden_from_those_who_are_not_to_see_them() {
    let mut letter = message(&record(Reason::Rule), "{\"name\":\"s3cret-name\"}");
    letter.headers.set("x-customer", "s3cret-name");
    let site = Site::with(TOKENS, [letter]).await;
    let as_who =
        async |path: &str, who: &str| site.ask("GET", path, &[("Authorization", &format!("Bearer t-{who}"))], "").await;
    for path in ["/api/v1/letters/events/1", "/letters/events/1", "/api/v1/export"] {
        let (seen, hidden) = (as_who(path, "bob").await, as_who(path, "eve").await);
        assert!(seen.body.contains("s3cret-name"), "{path}: {seen:?}");
        assert!(!hidden.body.contains("s3cret-name"), "{path}: {hidden:?}");
    }
    assert_eq!(as_who("/api/v1/export", "eve").await.status, 403);
}

#[tokio::test]
async fn an_export_is_what_the_command_writes() {
    let site = Site::open((0..300).map(|index| message(&record(Reason::ALL[index % 6]), "{}"))).await;
    let all = site.get("/api/v1/export").await;
    assert_eq!((all.status, all.body.lines().count()), (200, 300));
    let line: Value = serde_json::from_str(all.body.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&line["id"], &line["payload"], &line["record"]["reason"]),
        (&json!("1"), &json!("{}"), &json!("decode"))
    );
    assert_eq!(site.get("/api/v1/export?filter=reason:decode").await.body.lines().count(), 50);
    assert_eq!(site.get("/api/v1/export?id=7&id=9").await.body.lines().count(), 2);
}

#[tokio::test]
async fn a_broker_that_does_not_answer_is_unknown_and_never_empty() {
    let config =
        Config::parse("{ version: 1, sources: { events: { redis_streams: { url: 'redis://127.0.0.1:1/0' } } } }")
            .unwrap();
    let away: Arc<dyn quash_transport::Transport> = config.sources["events"].kind.build().unwrap();
    let served = serve("", "redis_streams: { url: 'redis://127.0.0.1:1/0' }", away).await;
    let get = async |path: &str| ask(&served, "GET", path, &[], "").await;
    let list = get("/api/v1/letters").await.json();
    assert_eq!(
        (&list["total"], &list["letters"], &list["matched"]),
        (&Value::Null, &Value::Null, &Value::Null),
        "{list}"
    );
    assert!(list["unanswered"].as_str().is_some_and(|why| why.contains("cannot reach")), "{list}");
    let overview = get("/api/v1/overview").await.json();
    let source = &overview["sources"][0];
    for figure in ["ready", "unsettled", "parked", "dead_letters", "connected", "in_flight"] {
        assert_eq!(source[figure], Value::Null, "{figure}: {overview}");
    }
    assert_eq!(source["unanswered"].as_array().map(Vec::len), Some(2), "{overview}");
    for (path, part) in [
        ("/", "Unknown, dead letters: cannot reach"),
        ("/groups", "not known how many"),
        ("/letters", "the last reading failed"),
    ] {
        let page = get(path).await.body;
        assert!(page.contains(part), "{path}: {part} is not in {page}");
    }
    assert_eq!(get("/api/v1/letters/events/1").await.status, 502);
    assert_eq!(get("/api/v1/export").await.status, 502);
}

#[tokio::test]
async fn events_and_keys_are_explained() {
    let site = Site::open([]).await;
    let event = json!({ "entity": "shop.Product", "op": "update", "key": { "id": 9 } });
    let explained = site.post("/api/v1/explain", &json!({ "event": event })).await.json();
    assert_eq!(explained["changes"][0]["caches"][0]["actions"][0]["object"], "product:9", "{explained}");
    let as_text = site.post("/api/v1/explain", &json!({ "event": event.to_string() })).await.json();
    assert_eq!(as_text, explained);
    let key = site.post("/api/v1/explain", &json!({ "key": "product:9" })).await.json();
    assert_eq!(
        (&key["targets"][0]["caches"][0]["cache"], &key["targets"][0]["caches"][0]["role"]),
        (&json!("product"), &json!("entry"))
    );
    assert_eq!(site.post("/api/v1/explain", &json!({})).await.status, 400);
    let broken = site.post("/api/v1/explain", &json!({ "event": "x" })).await.json();
    assert_eq!(broken["refused"], "decode");

    let page = site
        .send(
            "/explain",
            "event=%7B%22entity%22%3A%22shop.Prodct%22%2C%22op%22%3A%22update%22%2C%22key%22%3A%7B%22id%22%3A1%7D%7D",
        )
        .await;
    assert!(page.body.contains("no rule is on shop.Prodct; did you mean shop.Product?"), "{}", page.body);
    assert!(page.body.contains("Nothing is stale"), "{}", page.body);
    let page = site.get("/explain?key=product:9").await.body;
    assert!(page.contains("it is an entry of cache product (product:*)"), "{page}");
}
