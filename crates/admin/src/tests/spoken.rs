//! Shows that health, metrics and the overview are those of the worker, and that the API is the one that is described.

use std::collections::BTreeSet;
use std::time::Duration;

use quash_delivery::record::Reason;
use quash_dispatch::config::Config;
use quash_transport::conformance::eventually;
use quash_worker::app::App;
use quash_worker::dead_letter::testing::{message, record};
use serde_json::{Value, json};

use super::site::{Site, ask};
use crate::api::OPENAPI;
use crate::routes::routes;
use crate::{Desk, Endpoint};

/// How long anything may take that must happen.
const LIMIT: Duration = Duration::from_secs(30);

const WORKER: &str = "{ version: 1, targets: { main: { TARGET } }, sources: { events: { memory: {} } }, worker: { name: w1 }, \
    caches: { product: { key: 'product:{id}', depends_on: [ { row: shop.Product } ] } }, admin: { listen: '127.0.0.1:0' } }";

#[tokio::test]
async fn a_worker_tells_its_health_its_metrics_and_what_nobody_asked_for() {
    let config = Config::parse(&WORKER.replace("TARGET", "memory: {}")).unwrap();
    let running = App::new(config.clone()).unwrap().start().await.unwrap();
    let served = Endpoint::bind(&config.admin).await.unwrap().unwrap().serve(Desk::of_worker(&config, running.view()));
    let get = async |path: &str| ask(&served, "GET", path, &[], "").await;
    let event = |entity: &str| json!({ "entity": entity, "op": "update", "key": { "id": 1 } }).to_string();
    let messages = ["shop.Prodct", "shop.Product"]
        .map(|entity| quash_transport::Message { payload: event(entity).into(), ..Default::default() });
    running.sources()[0].transport.publish(&messages).await.unwrap();
    eventually(LIMIT, "both messages are done", async || {
        let outcomes = get("/api/v1/overview").await.json()["sources"][0]["outcomes"].take();
        outcomes["done"] == 1 && outcomes["unmatched"] == 1
    })
    .await;
    let overview = get("/api/v1/overview").await.json();
    assert_eq!(
        (&overview["worker"]["name"], &overview["caches"][0]["matches"]),
        (&json!("w1"), &json!(1)),
        "{overview}"
    );
    assert_eq!(
        overview["sources"][0]["unmatched"],
        json!([{ "entity": "shop.Prodct", "meant": "shop.Product" }]),
        "{overview}"
    );
    assert_eq!(
        (&overview["targets"][0]["reachable"], &overview["sources"][0]["dead_letters"]),
        (&json!(true), &json!(0))
    );
    let page = get("/").await.body;
    assert!(page.contains("<code>shop.Prodct</code>: did you mean <code>shop.Product</code>?"), "{page}");
    let ready = get("/readyz").await;
    assert_eq!(
        ready.body,
        "{\"ready\":true,\"draining\":false,\"sources\":[{\"name\":\"events\",\"connected\":true}],\"lanes\":[{\"target\":\"main\",\"open\":false}]}\n"
    );
    let metrics = get("/metrics").await;
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(metrics.body.contains("quash_build_info"), "{metrics:?}");
    running.stop_within(Duration::ZERO).await;
    let stopped = get("/readyz").await;
    assert!(stopped.status == 503 && stopped.body.contains("\"draining\":true"), "{stopped:?}");
}

#[tokio::test]
async fn a_worker_that_can_reach_no_target_is_not_ready_and_says_why() {
    let config = Config::parse(&WORKER.replace("TARGET", "redis: { url: 'redis://127.0.0.1:1/1' }")).unwrap();
    let running = App::new(config.clone()).unwrap().start().await.unwrap();
    let served = Endpoint::bind(&config.admin).await.unwrap().unwrap().serve(Desk::of_worker(&config, running.view()));
    let get = async |path: &str| ask(&served, "GET", path, &[], "").await;
    eventually(LIMIT, "it is not ready", async || get("/readyz").await.status == 503).await;
    let overview = get("/api/v1/overview").await.json();
    let target = &overview["targets"][0];
    assert_eq!(target["reachable"], false, "{overview}");
    assert!(target["error"].is_string() && target["away_ms"].is_u64(), "{overview}");
}

#[tokio::test]
async fn where_no_worker_runs_what_only_a_worker_knows_is_unknown() {
    let site = Site::open([]).await;
    let overview = site.json("/api/v1/overview").await;
    assert_eq!((&overview["worker"], &overview["sources"][0]["connected"]), (&Value::Null, &Value::Null), "{overview}");
    assert_eq!((&overview["targets"][0]["reachable"], &overview["caches"][0]["matches"]), (&Value::Null, &Value::Null));
    assert!(site.get("/").await.body.contains("no worker runs in this process"));
    assert_eq!(site.get("/readyz").await.status, 200);
}

#[test]
fn the_api_is_the_one_that_is_described() {
    let described: Value = serde_json::from_str(OPENAPI).unwrap();
    let paths = described["paths"].as_object().unwrap();
    let described: BTreeSet<(String, String)> = paths
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone()))
        })
        .collect();
    let answered = routes().into_iter().filter(|route| route.path.starts_with("/api/"));
    let answered: BTreeSet<(String, String)> =
        answered.map(|route| (route.method.to_owned(), route.path.to_owned())).collect();
    assert_eq!(described, answered);
}

#[tokio::test]
async fn every_answer_has_the_form_that_is_described() {
    let letter = message(&record(Reason::TargetError), r#"{"entity":"shop.Product","op":"update","key":{"id":7}}"#);
    let site = Site::open([letter.clone(), letter]).await;
    let described: Value = serde_json::from_str(OPENAPI).unwrap();
    let asked = [
        ("GET", "/api/v1/overview", "/api/v1/overview", json!(null)),
        ("GET", "/api/v1/groups", "/api/v1/groups", json!(null)),
        ("GET", "/api/v1/letters", "/api/v1/letters", json!(null)),
        ("GET", "/api/v1/letters/{source}/{id}", "/api/v1/letters/events/1", json!(null)),
        ("POST", "/api/v1/explain", "/api/v1/explain", json!({ "key": "product:1" })),
        (
            "POST",
            "/api/v1/explain",
            "/api/v1/explain",
            json!({ "event": { "entity": "shop.Product", "op": "create", "key": { "id": 1 } } }),
        ),
        ("POST", "/api/v1/replay", "/api/v1/replay", json!({ "ids": ["1"] })),
        ("POST", "/api/v1/discard", "/api/v1/discard", json!({ "all": true })),
        ("GET", "/api/v1/jobs", "/api/v1/jobs", json!(null)),
        ("GET", "/api/v1/jobs/{id}", "/api/v1/jobs/1", json!(null)),
        ("POST", "/api/v1/jobs/{id}/stop", "/api/v1/jobs/1/stop", json!({})),
        ("GET", "/api/v1/openapi.json", "/api/v1/openapi.json", json!(null)),
    ];
    for (method, path, index, body) in asked {
        let answer = if method == "GET" { site.json(index).await } else { site.post(index, &body).await.json() };
        let schema = &described["paths"][path][method.to_lowercase()]["responses"]["200"]["content"]["application/json"]
            ["schema"];
        assert!(schema.is_object(), "{method} {path} is not described");
        fits(&described, schema, &answer, &format!("{method} {path}"));
    }
    let refused: Value = serde_json::from_str(&site.get("/api/v1/jobs/9").await.body).unwrap();
    fits(&described, &json!({ "$ref": "#/components/schemas/Error" }), &refused, "a refusal");
}

/// Whether a value has the form of a schema, as far as these say: types, names that must and may be there, items.
fn fits(described: &Value, schema: &Value, value: &Value, index: &str) {
    let resolved = resolved(described, schema);
    if let Some(forms) = resolved["oneOf"].as_array() {
        let has_all = |form: &&Value| {
            let mut required = self::resolved(described, form)["required"].as_array().into_iter().flatten();
            required.all(|name| value.get(name.as_str().unwrap()).is_some())
        };
        let form = forms.iter().find(has_all).unwrap_or_else(|| panic!("{index}: no form fits {value}"));
        return fits(described, form, value, index);
    }
    let schema = resolved;
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().map(|one| one.as_str().unwrap()).collect(),
        _ => return,
    };
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(types.contains(&is), "{index} is {is}, and not one of {types:?}: {value}");
    for (at, item) in value.as_array().into_iter().flatten().enumerate() {
        fits(described, &schema["items"], item, &format!("{index}[{at}]"));
    }
    let (Value::Object(fields), Value::Object(known)) = (value, &schema["properties"]) else { return };
    for name in schema["required"].as_array().into_iter().flatten() {
        assert!(fields.contains_key(name.as_str().unwrap()), "{index} has no {name}: {value}");
    }
    for (name, field) in fields {
        let form = known.get(name).unwrap_or_else(|| panic!("{index}.{name} is not described"));
        fits(described, form, field, &format!("{index}.{name}"));
    }
}

/// The schema that is named.
fn resolved<'d>(described: &'d Value, schema: &'d Value) -> &'d Value {
    match schema["$ref"].as_str() {
        Some(name) => described.pointer(name.trim_start_matches('#')).unwrap_or_else(|| panic!("there is no {name}")),
        None => schema,
    }
}
