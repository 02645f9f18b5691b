//! Puts what was recorded of a broker back into a real one: what was declared, and every message where it lay.

use std::time::SystemTime;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use quash_e2e::recorded::{Header, Lain, Recording, decode};
use quash_e2e::{Broker, Kind};
use redis::aio::MultiplexedConnection;
use redis::cmd;
use serde_json::{Value, json};

/// Milliseconds that a message may wait on a queue of RabbitMQ here.
const EXPIRATION_MAX: u64 = 30_000;

/// Declares queues, streams and consumers as they were. What is there already must be the same.
pub(crate) async fn declare(broker: &Broker, recording: &Recording) {
    for declared in &recording.declared {
        match broker.kind() {
            Kind::RedisStreams => redis_streams_group(&mut redis(broker).await, declared).await,
            Kind::Amqp => amqp_queue(&amqp(broker).await, declared).await,
            Kind::Nats => nats_stream_or_consumer(broker, declared).await,
        }
    }
}

/// When what waits is due.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Due {
    /// Now, if not before: also where the clock was not set yet when it was recorded.
    Passed,
    /// In an hour, whenever that was.
    InAnHour,
}

impl Due {
    /// A recorded time, in milliseconds since the Unix epoch, moved to where it is wanted.
    fn of(self, recorded_ms: u64) -> u64 {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let now_ms = u64::try_from(now.as_millis()).unwrap();
        match self {
            Self::Passed => recorded_ms.min(now_ms),
            Self::InAnHour => now_ms + 3_600_000,
        }
    }
}

/// Puts every message where it lay.
pub(crate) async fn messages(broker: &Broker, recording: &Recording, due: Due) {
    match broker.kind() {
        Kind::RedisStreams => {
            let mut redis = redis(broker).await;
            for message in &recording.messages {
                to_redis(&mut redis, message, due).await;
            }
        }
        Kind::Amqp => {
            let channel = amqp(broker).await;
            for message in &recording.messages {
                to_rabbitmq(&channel, message, due).await;
            }
        }
        Kind::Nats => {
            let jetstream = async_nats::jetstream::new(async_nats::connect(broker.url()).await.unwrap());
            for message in &recording.messages {
                to_nats(&jetstream, message, due).await;
            }
        }
    }
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_else(|| panic!("`{name}` is text in {value}"))
}

async fn redis_streams_group(redis: &mut MultiplexedConnection, declared: &Value) {
    for group in declared["groups"].as_array().unwrap() {
        let arguments = ["CREATE", text(declared, "name"), group.as_str().unwrap(), "0", "MKSTREAM"];
        let made: redis::RedisResult<()> = cmd("XGROUP").arg(&arguments).query_async(redis).await;
        let is_there = |error: &redis::RedisError| error.code() == Some("BUSYGROUP");
        assert!(made.as_ref().err().is_none_or(is_there), "{declared}: {made:?}");
    }
}

async fn to_redis(redis: &mut MultiplexedConnection, message: &Lain, due: Due) {
    if message.besides.contains_key("packed_base64") {
        let (due_ms, member) = (due.of(message.besides["score"].as_u64().unwrap()), message.text("member"));
        let packed = decode(message.text("packed_base64"));
        let () = cmd("HSET").arg(&message.within).arg(member).arg(packed).query_async(redis).await.unwrap();
        return cmd("ZADD").arg(message.text("due")).arg(due_ms).arg(member).query_async(redis).await.unwrap();
    }
    let mut entry = cmd("XADD");
    entry.arg(&message.within).arg(message.text("id")).arg("body").arg(&message.body);
    for Header { name, value, .. } in &message.headers {
        entry.arg(name).arg(value);
    }
    let () = entry.query_async(redis).await.unwrap();
    if let Some(holder) = message.besides.get("consumer") {
        let deliveries = message.besides["deliveries"].as_u64().unwrap();
        held(redis, &message.within, message.text("id"), holder.as_str().unwrap(), deliveries).await;
    }
}

/// Puts an entry, and all that were not read before it, into the hands of a consumer that has been gone for an hour.
async fn held(redis: &mut MultiplexedConnection, stream: &str, id: &str, holder: &str, deliveries: u64) {
    let read = ["GROUP", "quash", holder, "STREAMS", stream, ">"];
    let _: redis::Value = cmd("XREADGROUP").arg(&read).query_async(redis).await.unwrap();
    let entries: Vec<(String, String, u64, u64)> =
        cmd("XPENDING").arg(&[stream, "quash", "-", "+", "100", holder]).query_async(redis).await.unwrap();
    for (entry, _, _, times) in entries {
        let times = if entry == id { deliveries } else { times }.to_string();
        let claim = [stream, "quash", holder, "0", &entry, "IDLE", "3600000", "RETRYCOUNT", &times, "JUSTID"];
        let _: redis::Value = cmd("XCLAIM").arg(&claim).query_async(redis).await.unwrap();
    }
}

async fn redis(broker: &Broker) -> MultiplexedConnection {
    redis::Client::open(broker.url()).unwrap().get_multiplexed_async_connection().await.unwrap()
}

async fn amqp_queue(channel: &Channel, declared: &Value) {
    let mut arguments = FieldTable::default();
    for (name, argument) in declared["arguments"].as_object().unwrap() {
        arguments.insert(name.as_str().into(), typed(text(argument, "type"), text(argument, "value")));
    }
    let made = channel.queue_declare(text(declared, "name").into(), QueueDeclareOptions::durable(), arguments).await;
    assert!(made.is_ok(), "{declared}: {made:?}");
}

async fn to_rabbitmq(channel: &Channel, message: &Lain, due: Due) {
    let mut headers = FieldTable::default();
    // How often it came back is the broker's own count.
    for header in message.headers.iter().filter(|header| header.name != "x-delivery-count") {
        let kind = header.kind.as_deref().unwrap();
        let value = match header.name.as_str() {
            "quash-transport-due" => due.of(message.header(&header.name).unwrap().parse().unwrap()).to_string(),
            _ => message.header(&header.name).unwrap().to_owned(),
        };
        headers.insert(header.name.as_str().into(), typed(kind, &value));
    }
    let mut properties = BasicProperties::default().with_delivery_mode(2).with_headers(headers);
    properties = properties.with_timestamp(message.besides["timestamp"].as_u64().unwrap());
    let besides = |name: &str| message.besides.get(name).and_then(Value::as_str).map(ShortString::from);
    if let Some(content_type) = besides("content_type") {
        properties = properties.with_content_type(content_type);
    }
    if let Some(message_id) = besides("message_id") {
        properties = properties.with_message_id(message_id);
    }
    let queue = message.within.as_str();
    if let Some(expiration) = besides("expiration") {
        if expiration.as_str().parse::<u64>().unwrap() > EXPIRATION_MAX {
            // It has waited there: the broker itself moves it on, and writes down that it did.
            properties = properties.with_expiration("1".into());
        } else {
            properties = properties.with_expiration(expiration);
        }
    }
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let sent = channel.basic_publish("".into(), queue.into(), options, &message.body, properties).await;
    let confirmed = sent.unwrap().await.unwrap();
    assert!(confirmed.is_ack() && confirmed.take_message().is_none(), "the queue {queue} is there");
}

/// A value of a type by the name that the broker has for it.
fn typed(kind: &str, value: &str) -> AMQPValue {
    match kind {
        "longstr" => AMQPValue::LongString(LongString::from(value)),
        "long" => AMQPValue::LongLongInt(value.parse().unwrap()),
        "signedint" => AMQPValue::LongInt(value.parse().unwrap()),
        other => panic!("nothing was recorded as {other}"),
    }
}

async fn amqp(broker: &Broker) -> Channel {
    let connection = Connection::connect(&broker.url(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    channel
}

async fn nats_stream_or_consumer(broker: &Broker, declared: &Value) {
    let (name, config) = (text(declared, "name"), &declared["config"]);
    let (what, question) = match text(declared, "declared") {
        "stream" => (format!("STREAM.CREATE.{name}"), config.clone()),
        _ => {
            let stream = text(declared, "stream");
            let question = json!({ "stream_name": stream, "config": config });
            (format!("CONSUMER.DURABLE.CREATE.{stream}.{name}"), question)
        }
    };
    let nats = async_nats::connect(broker.url()).await.unwrap();
    let answer = nats.request(format!("$JS.API.{what}"), question.to_string().into()).await.unwrap();
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
    assert!(answer.get("error").is_none(), "{declared}: {answer}");
}

async fn to_nats(jetstream: &async_nats::jetstream::Context, message: &Lain, due: Due) {
    let mut headers = async_nats::HeaderMap::new();
    for header in &message.headers {
        let value = message.header(&header.name).unwrap();
        match header.name.as_str() {
            "_quash-due" => headers.append("_quash-due", due.of(value.parse().unwrap()).to_string()),
            name => headers.append(name, value),
        }
    }
    let (subject, body) = (message.text("subject").to_owned(), message.body.clone().into());
    let stored = jetstream.publish_with_headers(subject, headers, body).await.unwrap().await.unwrap();
    assert_eq!(stored.stream, message.within);
}
