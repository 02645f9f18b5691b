//! Takes everything out of a node of RabbitMQ.

use std::collections::BTreeMap;

use lapin::message::BasicGetMessage;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions};
use lapin::types::AMQPValue;
use lapin::{Channel, Connection, ConnectionProperties};
use quash_e2e::Broker;
use quash_e2e::recorded::{Header, Lain};
use serde_json::{Value, json};

/// Prints one argument of a queue a line; no other way tells the types of the arguments.
const ARGUMENTS: &str = r#"
lists:foreach(fun(Q) ->
    Name = element(4, amqqueue:get_name(Q)),
    lists:foreach(fun({Key, Type, Value}) ->
        Text = case Value of V when is_binary(V) -> V; V -> io_lib:format("~p", [V]) end,
        io:format("~s\t~s\t~s\t~s~n", [Name, Key, Type, Text])
    end, amqqueue:get_arguments(Q))
end, rabbit_amqqueue:list(<<"/">>))."#;

/// The queues with their arguments.
pub(crate) async fn declared(broker: &Broker) -> Vec<Value> {
    let said = broker.rabbitmqctl(&["eval", ARGUMENTS]).await;
    let mut queues: BTreeMap<&str, Value> = BTreeMap::new();
    for line in said.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [queue, name, kind, value] = fields[..] else { continue };
        let queue = queues
            .entry(queue)
            .or_insert_with(|| json!({ "declared": "queue", "name": queue, "durable": true, "arguments": {} }));
        queue["arguments"][name] = json!({ "type": kind, "value": value });
    }
    queues.into_values().collect()
}

pub(crate) async fn take(broker: &Broker) -> Vec<Lain> {
    let channel = connect(broker).await;
    let listed = broker.rabbitmqctl(&["list_queues", "name", "--no-table-headers"]).await;
    let mut queues: Vec<&str> = listed.lines().map(str::trim).filter(|name| name.starts_with("recorded.")).collect();
    queues.sort_unstable();
    let mut taken = Vec::new();
    for queue in queues {
        while let Some(message) = get(&channel, queue).await {
            taken.push(lain(queue, &message));
            message.delivery.acker.ack(BasicAckOptions::default()).await.expect("the broker takes acks");
        }
    }
    channel.close(200, "done".into()).await.expect("acks are heard before the channel is closed");
    taken
}

/// Takes the only message and gives it back, again and again.
pub(crate) async fn hand_out(broker: &Broker, queue: &str, times: u32) {
    let channel = connect(broker).await;
    for _ in 0..times {
        let message = loop {
            // What was given back takes a moment to lie there again.
            if let Some(message) = get(&channel, queue).await {
                break message;
            }
        };
        let back = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        message.delivery.acker.nack(back).await.expect("the broker takes it back");
    }
    channel.close(200, "done".into()).await.expect("all is given back");
}

fn lain(queue: &str, message: &BasicGetMessage) -> Lain {
    let properties = &message.delivery.properties;
    let table = properties.headers().iter().flatten();
    let headers = table.map(|(name, value)| {
        let (kind, value) = typed(value);
        Header { kind: Some(kind.to_owned()), ..Header::plain(name.as_str(), value) }
    });
    let text = |value: &Option<lapin::types::ShortString>| value.as_ref().map(|text| Value::from(text.as_str()));
    let besides = [
        ("content_type", text(properties.content_type())),
        ("delivery_mode", properties.delivery_mode().map(Value::from)),
        ("expiration", text(properties.expiration())),
        ("message_id", text(properties.message_id())),
        ("timestamp", properties.timestamp().map(Value::from)),
    ];
    let besides = besides.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Lain {
        within: queue.to_owned(),
        headers: headers.collect(),
        body: message.delivery.data.clone(),
        besides: besides.collect(),
    }
}

/// A value with its type, of those that Quash and the broker write.
fn typed(value: &AMQPValue) -> (&'static str, Vec<u8>) {
    match value {
        AMQPValue::LongString(text) => ("longstr", text.as_bytes().to_vec()),
        AMQPValue::LongLongInt(number) => ("long", number.to_string().into_bytes()),
        AMQPValue::LongInt(number) => ("signedint", number.to_string().into_bytes()),
        other => panic!("a header of another type: {other:?}"),
    }
}

async fn get(channel: &Channel, queue: &str) -> Option<BasicGetMessage> {
    channel.basic_get(queue.into(), BasicGetOptions::default()).await.expect("the queue is there")
}

async fn connect(broker: &Broker) -> Channel {
    let connection = Connection::connect(&broker.url(), ConnectionProperties::default()).await;
    connection.expect("the broker answers").create_channel().await.expect("a channel")
}
