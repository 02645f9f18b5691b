//! Proves that letters are grouped, replayed, stopped and kept from viewers over HTTP, by a worker and by `quash ui`.

use quash_e2e::process::{Process, free_port};
use quash_e2e::{Answer, Kind, Quash, ask, eventually, get};
use serde_json::{Value, json};

use crate::dlq::{permit, with_letters};
use crate::scene::{LIMIT, PRODUCT, Scene, on_every_broker};

const TOKENS: &str = "admin: { tokens: { alice: { token: t-alice, role: operator }, bob: { token: t-bob } } }\n";

/// An endpoint, and who asks it.
struct Site {
    address: String,
    token: &'static str,
}

impl Site {
    async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let token = format!("Bearer {}", self.token);
        let body = body.map(Value::to_string).unwrap_or_default();
        let headers = [("Authorization", token.as_str()), ("Content-Type", "application/json")];
        ask(&self.address, method, path, &headers, &body).await.expect("the endpoint answers")
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, None).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error} in {answer:?}"))
    }

    /// The job that this begins.
    async fn begin(&self, path: &str, body: &Value) -> Value {
        let answer = self.ask("POST", path, Some(body)).await;
        assert!([200, 202].contains(&answer.status), "{path} {body}: {answer:?}");
        serde_json::from_str(&answer.body).unwrap()
    }

    /// The job once it has ended.
    async fn ended(&self, job: &Value) -> Value {
        let path = format!("/api/v1/jobs/{}", job["job"]);
        let runs = |job: &Value| ["selecting", "running"].contains(&job["stage"].as_str().unwrap());
        eventually(LIMIT, "the job ends", async || !runs(&self.get(&path).await)).await;
        self.get(&path).await
    }
}

/// `quash ui` on the configuration of a scene, once it answers.
async fn ui(quash: &Quash) -> (Process, Site) {
    let address = format!("127.0.0.1:{}", free_port());
    let log = quash.home().path().join("ui.log");
    let tokens = quash.home().write("tokens.yaml", TOKENS);
    let mut command = quash.command(&["ui", "--listen", &address]);
    command.env("QUASH_CONFIG", format!("{},{}", quash.config().display(), tokens.display()));
    let process = Process::spawn("ui", &log, &mut command);
    eventually(LIMIT, "quash ui answers", async || {
        get(&address, "/livez").await.is_ok_and(|answer| answer.status == 200)
    })
    .await;
    (process, Site { address, token: "t-alice" })
}

on_every_broker!(
    a_refused_kind_of_action_is_one_group_and_ends_by_a_replay,
    a_replay_of_many_letters_is_stopped_half_way,
);

async fn a_refused_kind_of_action_is_one_group_and_ends_by_a_replay(kind: Kind) {
    let (scene, keys) = with_letters(kind, 150).await;
    // Nobody consumes: the fleet is scaled to zero.
    let (_process, site) = ui(&scene.quash).await;
    let groups = site.get("/api/v1/groups?fresh=1").await;
    let known = groups["sources"][0]["groups"].as_array().unwrap();
    assert_eq!((known.len(), &known[0]["count"]), (1, &json!(150)), "{groups}");
    assert_eq!(known[0]["cure"], "give this user the rights that docs/brokers.md and docs/targets.md list");
    let filter = known[0]["filter"].as_str().unwrap();

    let viewer = Site { token: "t-bob", ..site };
    assert_eq!(viewer.ask("POST", "/api/v1/replay", Some(&json!({ "filter": filter }))).await.status, 403);
    assert_eq!(viewer.ask("GET", "/replay?all=1", None).await.status, 403);
    assert_eq!(viewer.get("/api/v1/letters?fresh=1").await["total"], 150, "a viewer looks and changes nothing");
    let site = Site { token: "t-alice", ..viewer };

    let letter = site.get("/api/v1/letters?limit=1").await["letters"][0]["id"].clone();
    let letter = site.get(&format!("/api/v1/letters/events/{}", letter.as_str().unwrap())).await;
    assert!(letter["about"]["error"].as_str().is_some_and(|error| error.contains("NOPERM")), "{letter}");
    assert_eq!(letter["explained"]["changes"][0]["caches"][0]["cache"], "product", "{letter}");

    permit(&scene.cache).await;
    let dry_run = site.begin("/api/v1/replay", &json!({ "filter": filter, "dry_run": true })).await;
    assert_eq!(site.ended(&dry_run).await["matched"], 150);
    let job = site.begin("/api/v1/replay", &json!({ "filter": filter, "confirm": 150 })).await;
    let ended = site.ended(&job).await;
    assert_eq!(
        (&ended["stage"], &ended["replayed"], &ended["who"]),
        (&json!("done"), &json!(150), &json!("alice")),
        "{ended}"
    );
    assert_eq!(site.get("/api/v1/groups?fresh=1").await["sources"][0]["groups"], json!([]));

    let _worker = scene.quash.worker("second").await;
    scene.gone(&keys).await;
    assert_eq!(scene.settled().await, 0);
}

async fn a_replay_of_many_letters_is_stopped_half_way(kind: Kind) {
    let (scene, _) = with_letters(kind, 400).await;
    let (mut process, site) = ui(&scene.quash).await;
    let job = site.begin("/api/v1/replay", &json!({ "all": true, "rate": "500/m" })).await;
    let path = format!("/api/v1/jobs/{}", job["job"]);
    eventually(LIMIT, "some are replayed", async || site.get(&path).await["replayed"].as_u64() > Some(20)).await;
    let stopped = site.begin(&format!("{path}/stop"), &json!({})).await;
    let stopped = site.ended(&stopped).await;
    let (replayed, left) = (stopped["replayed"].as_u64().unwrap(), stopped["left"].as_u64().unwrap());
    assert_eq!((&stopped["stage"], replayed + left), (&json!("stopped"), 400), "{stopped}");
    assert!(left > 0, "{stopped}");
    assert_eq!(scene.queue.dead_letters().await, left);

    // The end of the process stops one as well, and leaves each letter in one place.
    let job = site.begin("/api/v1/replay", &json!({ "all": true, "rate": "100/m" })).await;
    let path = format!("/api/v1/jobs/{}", job["job"]);
    eventually(LIMIT, "it runs", async || site.get(&path).await["replayed"].as_u64() > Some(0)).await;
    process.signal("TERM");
    assert_eq!(process.exit_code(LIMIT).await, 0);
    let kept = scene.queue.dead_letters().await;
    assert!(kept > 0 && kept < left, "{kept} of {left}");
}

#[tokio::test]
async fn a_worker_serves_the_same_and_names_what_no_rule_matched() {
    let scene = Scene::with(Kind::RedisStreams, PRODUCT).await;
    let worker = scene.quash.worker("w1").await;
    scene.quash.publish(&[json!({ "entity": "shop.Prodct", "op": "update", "key": { "id": 1 } })]).await;
    let site = Site { address: worker.admin().to_owned(), token: "none is asked for" };
    let unmatched = json!([{ "entity": "shop.Prodct", "meant": "shop.Product" }]);
    eventually(LIMIT, "it is named", async || {
        site.get("/api/v1/overview").await["sources"][0]["unmatched"] == unmatched
    })
    .await;
    let page = site.ask("GET", "/", None).await.body;
    assert!(page.contains("<code>shop.Prodct</code>: did you mean <code>shop.Product</code>?"), "{page}");
}
