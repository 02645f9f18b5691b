//! Takes everything out of a server of NATS, by the words of JetStream's API as they go over the wire.

use async_nats::Client;
use futures_util::StreamExt as _;
use quash_e2e::Broker;
use quash_e2e::recorded::{Header, Lain, decode};
use serde_json::{Map, Value, json};

/// Streams first, and then the consumers on them.
pub(crate) async fn declared(broker: &Broker) -> Vec<Value> {
    let nats = connect(broker).await;
    let (mut declared, mut consumers) = (Vec::new(), Vec::new());
    for stream in streams(&nats).await {
        let info = ask(&nats, &format!("STREAM.INFO.{stream}"), json!({})).await;
        declared.push(json!({ "declared": "stream", "name": stream, "config": info["config"] }));
        let names = ask(&nats, &format!("CONSUMER.NAMES.{stream}"), json!({})).await;
        for name in texts(&names["consumers"]) {
            let info = ask(&nats, &format!("CONSUMER.INFO.{stream}.{name}"), json!({})).await;
            let consumer = json!({ "declared": "consumer", "name": name, "stream": stream, "config": info["config"] });
            consumers.push(consumer);
        }
    }
    declared.extend(consumers);
    declared
}

pub(crate) async fn take(broker: &Broker) -> Vec<Lain> {
    let nats = connect(broker).await;
    let mut taken = Vec::new();
    for stream in streams(&nats).await {
        let state = ask(&nats, &format!("STREAM.INFO.{stream}"), json!({})).await["state"].take();
        let number = |name: &str| state[name].as_u64().unwrap_or(0);
        for sequence in number("first_seq").max(1)..=number("last_seq") {
            let found = ask(&nats, &format!("STREAM.MSG.GET.{stream}"), json!({ "seq": sequence })).await;
            if found.get("error").is_none() {
                taken.push(lain(&stream, &found["message"]));
            }
        }
        ask(&nats, &format!("STREAM.PURGE.{stream}"), json!({})).await;
    }
    taken
}

/// Takes the only message and gives it back, again and again.
pub(crate) async fn hand_out(broker: &Broker, stream: &str, times: u32) {
    let nats = connect(broker).await;
    let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.quash");
    for _ in 0..times {
        let inbox = nats.new_inbox();
        let mut answers = nats.subscribe(inbox.clone()).await.expect("a subscription");
        let question = json!({ "batch": 1, "expires": 5_000_000_000_i64 });
        nats.publish_with_reply(subject.clone(), inbox, question.to_string().into()).await.expect("a question");
        let message = answers.next().await.expect("an answer");
        let reply = message.reply.unwrap_or_else(|| panic!("no message: {:?}", message.headers));
        // Asked about a consumer, the server forgets requests that nobody waits for any more: it loses count while it has
        // such and something goes back.
        ask(&nats, &format!("CONSUMER.INFO.{stream}.quash"), json!({})).await;
        nats.request(reply, "-NAK".into()).await.expect("the server hears it");
    }
}

fn lain(stream: &str, message: &Value) -> Lain {
    let field = |name: &str| message[name].as_str().unwrap_or_default();
    let headers = String::from_utf8(decode(field("hdrs"))).expect("headers are text");
    let line = |line: &str| {
        let (name, value) = line.split_once(':').expect("a header");
        Header::plain(name, value.strip_prefix(' ').unwrap_or(value))
    };
    // A first line says the version, and an empty one ends them.
    let headers = headers.split("\r\n").skip(1).filter(|line| !line.is_empty()).map(line).collect();
    let besides = ["subject", "seq", "time"].map(|name| (name.to_owned(), message[name].clone()));
    Lain { within: stream.to_owned(), headers, body: decode(field("data")), besides: Map::from_iter(besides) }
}

async fn streams(nats: &Client) -> Vec<String> {
    let names = ask(nats, "STREAM.NAMES", json!({})).await;
    let mut names = texts(&names["streams"]);
    names.sort();
    names
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

async fn connect(broker: &Broker) -> Client {
    async_nats::connect(broker.url()).await.expect("the broker answers")
}

async fn ask(nats: &Client, what: &str, question: Value) -> Value {
    let answer = nats.request(format!("$JS.API.{what}"), question.to_string().into()).await;
    let answer = answer.unwrap_or_else(|error| panic!("{what}: {error}"));
    serde_json::from_slice(&answer.payload).expect("JetStream answers with JSON")
}
