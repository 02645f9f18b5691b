//! Puts a worker into every trouble in which it leaves something in the broker.

use std::time::Duration;

use quash_delivery::headers;
use quash_e2e::recorded::Recording;
use quash_e2e::{Quash, Queue, RedisServer, becomes, eventually};
use quash_transport::{Backlog, Message};
use serde_json::{Value, json};

use super::Studio;

const LIMIT: Duration = Duration::from_secs(120);

/// Attempts are soon over.
const HASTY: &str = "{ max_attempts: 2, initial: 50ms, factor: 1, max: 100ms, jitter: 0, give_up_after: 1s }";
/// Long enough that nothing comes due before it is taken out.
const PATIENT: &str = "{ max_attempts: 5, initial: 20s, factor: 1, max: 20s, jitter: 0 }";

/// One that takes every way to the broker that there is.
const CACHES: &str = "limits: { max_key_bytes: 64 }
caches:
  product: { targets: [main, eu], key: \"product:{id}\", depends_on: [ { row: shop.Product } ] }
  page: { targets: [main, eu], key: \"page:{id}\", again_after: [20s], depends_on: [ { row: shop.Page } ] }
  archive: { targets: [main, eu], key: \"archive:{id}\", again_after: [1h], depends_on: [ { row: shop.Archive } ] }
  strict: { targets: [main, eu], key: \"strict:{code}\", depends_on: [ { row: shop.Strict, on_unknown: dead_letter } ] }
  summary: { targets: [main, eu], key: \"summary:{id}\", depends_on: [ { row: shop.Report } ] }
  report:
    targets: [main, eu]
    key: \"report:{id}\"
    dispatch: { queue: { source: bulk } }
    depends_on: [ { row: shop.Report } ]
";

/// Records all stages; returns the export of the letters.
pub(crate) async fn record(studio: &mut Studio, recording: &mut Recording) -> String {
    let export = letters(studio, recording).await;
    killed(studio, recording).await;
    failing(studio, recording).await;
    waiting(studio, recording).await;
    away(studio, recording).await;
    not_handed_over(studio, recording).await;
    fresh(studio, recording).await;
    export
}

/// A dead letter of every reason, and one that was replayed.
async fn letters(studio: &mut Studio, recording: &mut Recording) -> String {
    let quash = studio.quash(HASTY);
    quash.worker("first").await.terminate().await;
    recording.declared = studio.declared().await;

    studio.events.publish_messages(&[product("letter-panic")]).await;
    studio.hand_out(11).await;
    let mut worker = quash.worker("second").await;
    studio.becomes_letters(&quash, 1).await;
    let long = "long-key-".repeat(8);
    let refused = [
        message(b"\xff\x00 no event".to_vec(), &[]),
        message(br#"{"entity":"shop.Product","op":"upd"#.to_vec(), &[(headers::ID, "letter-decode")]),
        event("shop.Product", "letter-limit", json!({ "id": long })),
        event("shop.Strict", "letter-rule", json!({ "id": "letter-rule" })),
        with(product("letter-unconfigured"), &[(headers::TARGETS, "main,gone")]),
        with(product("letter-unconfigured-cache"), &[(headers::CACHES, "lost,product")]),
    ];
    studio.events.publish_messages(&refused).await;
    studio.becomes_letters(&quash, 7).await;
    forbid(&studio.main).await;
    let report = event("shop.Report", "letter-report", json!({ "id": "letter-report" }));
    let later = [(headers::PASS, "20000"), (headers::REPLAYS, "1"), (headers::CACHES_DONE, "summary,product")];
    let later = with(page("letter-later-pass"), &later);
    studio.events.publish_messages(&[product("letter-target-error"), product("replayed"), report, later]).await;
    // The cache with a queue of its own has a letter there.
    studio.becomes_letters(&quash, 11).await;
    eventually(LIMIT, "a letter of the other queue", async || studio.bulk.letters().await.len() == 1).await;
    permit(&studio.main).await;
    studio.eu.kill9();
    studio.events.publish_messages(&[product("letter-gave-up")]).await;
    studio.becomes_letters(&quash, 12).await;
    studio.eu.restart().await;
    worker.terminate().await;

    let letters = letters_of(&quash).await;
    let replayed = letters.iter().find(|letter| letter["event_id"] == "replayed").expect("a letter to replay");
    let id = replayed["id"].as_str().expect("a name");
    quash.run(&["dlq", "replay", "--source", "events", id]).await.done();
    let export = quash.run(&["dlq", "export", "--source", "events"]).await.done().stdout;
    recording.messages.extend(studio.take().await);
    export
}

/// What a worker had in hand when it was killed: an event whose copy is with another queue already, and one that was in
/// the hands of three before it.
async fn killed(studio: &mut Studio, recording: &mut Recording) {
    let quash = studio.quash(PATIENT);
    let report = event("shop.Report", "killed", json!({ "id": "killed" }));
    studio.events.publish_messages(&[report]).await;
    studio.hand_out(3).await;
    studio.main.stop();
    studio.eu.stop();
    let mut worker = quash.start_worker("killed");
    let copied = async || {
        let Backlog { ready, unsettled, .. } = studio.bulk.backlog().await;
        ready + unsettled > 0 || studio.bulk.kind() == quash_e2e::Kind::Amqp && studio.bulk.unsettled().await > 0
    };
    eventually(LIMIT, "the copy is with the other queue", copied).await;
    worker.kill9();
    studio.main.cont();
    studio.eu.cont();
    recording.messages.extend(studio.take().await);
}

/// Shares that wait for their next attempt.
async fn failing(studio: &mut Studio, recording: &mut Recording) {
    let history = json!([{ "at_ms": 1_760_000_000_000_i64, "target": "main", "error": "it did not like it" }]);
    let earlier = [
        (headers::ATTEMPT, "2"),
        (headers::FIRST_FAILURE, "1760000000000"),
        (headers::TARGETS, "main"),
        (headers::REPLAYS, "1"),
        (headers::ATTEMPTS, &history.to_string()),
    ];
    let events = [
        product("parked-failed"),
        with(product("parked-failed-again"), &earlier),
        with(page("parked-later-pass-failed"), &[(headers::PASS, "20000")]),
        with(
            product("parked-partly-done"),
            &[(headers::CACHES_DONE, "page,summary"), (headers::ID, "parked-by-header")],
        ),
        event("shop.Report", "parked-handed-over", json!({ "id": "parked-handed-over" })),
    ];
    forbid(&studio.main).await;
    studio.parked(&events, 5, 1, recording, PATIENT).await;
    permit(&studio.main).await;
}

/// Shares that wait for a later pass, or for a worker that knows what they are about.
async fn waiting(studio: &mut Studio, recording: &mut Recording) {
    let events = [
        page("parked-pass"),
        event("shop.Archive", "parked-long", json!({ "id": "parked-long" })),
        with(product("parked-unconfigured-target"), &[(headers::TARGETS, "main,gone")]),
        with(product("parked-unconfigured-cache"), &[(headers::CACHES, "lost,product")]),
    ];
    studio.parked(&events, 4, 0, recording, PATIENT).await;
}

/// A share that waits for a target that is away.
async fn away(studio: &mut Studio, recording: &mut Recording) {
    studio.eu.kill9();
    studio.parked(&[product("parked-unreachable")], 1, 0, recording, PATIENT).await;
    studio.eu.restart().await;
}

/// A share that waits for the queue that its cache names.
async fn not_handed_over(studio: &mut Studio, recording: &mut Recording) {
    let quash = studio.quash_with(PATIENT, "{ redis_streams: { url: \"redis://127.0.0.1:1/0\" } }");
    let event = event("shop.Report", "parked-not-handed-over", json!({ "id": "parked-not-handed-over" }));
    studio.events.publish_messages(&[event]).await;
    let mut worker = quash.start_worker("alone");
    waits(&studio.events, 1).await;
    worker.terminate().await;
    recording.messages.extend(studio.take().await);
}

/// Events that no worker has seen, as publishers and dispatchers leave them.
async fn fresh(studio: &mut Studio, recording: &mut Recording) {
    let row = json!({ "id": "fresh-cloud" });
    let cloud = json!({ "entity": "shop.Product", "op": "update", "key": row, "before": row, "after": row });
    let attributes = [
        ("ce-specversion", "1.0"),
        ("ce-id", "fresh-cloud"),
        ("ce-source", "/shop"),
        ("ce-type", "shop.product.changed"),
        ("content-type", "application/json"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("note", " spaces, ä and\na line "),
    ];
    let events = [
        product("fresh"),
        with(product("fresh-partly-done"), &[(headers::CACHES_DONE, "page,summary"), (headers::ID, "fresh-by-header")]),
        message(
            br#"{"id":"fresh-command","invalidate":{"cache":"product","args":{"id":"fresh-command"}}}"#.to_vec(),
            &[],
        ),
        message(cloud.to_string().into_bytes(), &attributes),
    ];
    studio.events.publish_messages(&events).await;
    recording.messages.extend(studio.take().await);
}

impl Studio {
    fn quash(&self, retry: &str) -> Quash {
        self.quash_with(retry, &self.bulk.source(""))
    }

    fn quash_with(&self, retry: &str, bulk: &str) -> Quash {
        let (main, eu, events) = (self.main.url(0), self.eu.url(0), self.events.source(""));
        Quash::with(&format!(
            "version: 1\ntargets:\n  main: {{ redis: {{ url: \"{main}\" }}, timeout: 30s }}\n  eu: {{ redis: {{ url: \
             \"{eu}\" }}, timeout: 30s }}\nsources:\n  events: {events}\n  bulk: {bulk}\nretry: {retry}\n{CACHES}"
        ))
    }

    /// Has a worker handle events until this many copies are parked in each queue, and takes them out.
    async fn parked(&self, events: &[Message], in_events: u64, in_bulk: u64, recording: &mut Recording, retry: &str) {
        let mut worker = self.quash(retry).worker("parking").await;
        self.events.publish_messages(events).await;
        waits(&self.events, in_events).await;
        waits(&self.bulk, in_bulk).await;
        // It settles what it has in hand, and only then ends.
        worker.terminate().await;
        recording.messages.extend(self.take().await);
    }

    async fn becomes_letters(&self, quash: &Quash, count: usize) {
        becomes(LIMIT, "dead letters", count, async || letters_of(quash).await.len()).await;
    }
}

async fn letters_of(quash: &Quash) -> Vec<Value> {
    let ls = quash.run(&["dlq", "ls", "--source", "events", "--limit", "0", "-o", "json"]).await.done().json();
    ls["letters"].as_array().cloned().unwrap_or_default()
}

async fn waits(queue: &Queue, delayed: u64) {
    let all = async || {
        let backlog = queue.backlog().await;
        (backlog.ready, backlog.delayed)
    };
    becomes(LIMIT, "all is parked", (0, delayed), all).await;
}

fn message(body: Vec<u8>, headers: &[(&'static str, &str)]) -> Message {
    with(Message { payload: body.into(), ..Message::default() }, headers)
}

fn with(mut message: Message, headers: &[(&'static str, &str)]) -> Message {
    headers.iter().for_each(|(name, value)| message.headers.set(*name, *value));
    message
}

fn event(entity: &str, id: &str, row: Value) -> Message {
    let event = json!({ "id": id, "entity": entity, "op": "update", "key": row, "before": row, "after": row });
    message(event.to_string().into_bytes(), &[])
}

fn product(id: &str) -> Message {
    event("shop.Product", id, json!({ "id": id }))
}

fn page(id: &str) -> Message {
    event("shop.Page", id, json!({ "id": id }))
}

/// The cache answers from now on, with an error for each key.
async fn forbid(cache: &RedisServer) {
    set_rights(cache, &["resetkeys", "%R~*"]).await;
}

async fn permit(cache: &RedisServer) {
    set_rights(cache, &["allkeys"]).await;
}

async fn set_rights(cache: &RedisServer, rights: &[&str]) {
    let mut connection = cache.connect().await;
    let () = redis::cmd("ACL")
        .arg(&["SETUSER", "default"])
        .arg(rights)
        .query_async(&mut connection)
        .await
        .expect("rights can be set");
}
