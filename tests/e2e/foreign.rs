//! Publishes as other programs do: with the broker's own driver, and headers in the broker's own way.

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{BasicProperties, Connection, ConnectionProperties};
use quash_e2e::{Broker, Kind, Queue};

/// A message as a program makes it that knows nothing of Quash.
pub(crate) struct Foreign<'a> {
    /// The attributes of a `CloudEvent` in binary mode, without a prefix.
    pub(crate) attributes: &'a [(&'a str, &'a str)],
    /// The context that tracing libraries send along.
    pub(crate) traceparent: &'a str,
    /// The type of the body.
    pub(crate) content_type: &'a str,
    /// The body.
    pub(crate) body: &'a str,
}

impl Foreign<'_> {
    /// Publishes it and waits until the broker has it.
    pub(crate) async fn publish(&self, broker: &Broker, queue: &Queue) {
        queue.declare().await;
        match broker.kind() {
            Kind::RedisStreams => self.to_redis(&broker.url(), queue.name()).await,
            Kind::Amqp => self.to_rabbitmq(&broker.url(), queue.name()).await,
            Kind::Nats => self.to_nats(&broker.url(), queue.name()).await,
        }
    }

    async fn to_redis(&self, url: &str, stream: &str) {
        let mut entry = redis::cmd("XADD");
        entry.arg(stream).arg("*").arg(&["body", self.body]);
        for (name, value) in self.attributes {
            entry.arg(format!("ce-{name}")).arg(value);
        }
        entry.arg(&["traceparent", self.traceparent, "content-type", self.content_type]);
        let client = redis::Client::open(url).unwrap();
        entry.exec_async(&mut client.get_multiplexed_async_connection().await.unwrap()).await.unwrap();
    }

    async fn to_rabbitmq(&self, url: &str, queue: &str) {
        let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let mut headers = FieldTable::default();
        let text = |value: &str| AMQPValue::LongString(LongString::from(value));
        for (name, value) in self.attributes {
            headers.insert(format!("cloudEvents:{name}").into(), text(value));
        }
        headers.insert("traceparent".into(), text(self.traceparent));
        let properties = BasicProperties::default().with_headers(headers).with_content_type(self.content_type.into());
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let sent = channel.basic_publish("".into(), queue.into(), options, self.body.as_bytes(), properties).await;
        let confirmed = sent.unwrap().await.unwrap();
        assert!(confirmed.is_ack() && confirmed.take_message().is_none(), "the queue {queue} is there");
    }

    async fn to_nats(&self, url: &str, subject: &str) {
        let jetstream = async_nats::jetstream::new(async_nats::connect(url).await.unwrap());
        let mut headers = async_nats::HeaderMap::new();
        for (name, value) in self.attributes {
            headers.insert(format!("ce-{name}"), *value);
        }
        headers.insert("traceparent", self.traceparent);
        headers.insert("Content-Type", self.content_type);
        let body = self.body.to_owned().into();
        jetstream.publish_with_headers(subject.to_owned(), headers, body).await.unwrap().await.unwrap();
    }
}
