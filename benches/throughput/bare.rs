//! Drives each broker with nothing but its driver: the loops that everybody writes first.

use std::time::{Duration, Instant};

use async_nats::jetstream;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::consumer::pull::Stream;
use bytes::Bytes;
use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryStreamExt};
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer};
use quash_e2e::{Broker, Kind, Queue};
use redis::aio::MultiplexedConnection;
use redis::streams::{StreamReadOptions, StreamReadReply};
use redis::{AsyncCommands, AsyncConnectionConfig};

use crate::{BATCH, Outcome};

/// Messages of RabbitMQ that may be under way; quorum queues allow no more.
const PREFETCH: u16 = 2_000;
/// What the bare consumer is called.
const TAG: &str = "bare";
/// Longer than any broker takes for its next message while there is one.
const DRY_AFTER: Duration = Duration::from_secs(5);

/// The driver of one broker, connected to the queue that the worker uses.
pub(crate) enum Bare {
    Redis { connection: MultiplexedConnection, stream: String },
    // The connection is held so that it lives as long as its channel.
    Amqp { _connection: Connection, channel: Channel, queue: String },
    Nats { context: jetstream::Context, consumer: Box<PullConsumer>, subject: String },
}

impl Bare {
    /// Connects to a queue that has been declared.
    pub(crate) async fn connect(broker: &Broker, queue: &Queue) -> Outcome<Self> {
        let (url, name) = (broker.url(), queue.name().to_owned());
        Ok(match broker.kind() {
            Kind::RedisStreams => Self::Redis { connection: patient(&url).await?, stream: name },
            Kind::Amqp => {
                let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
                let channel = connection.create_channel().await?;
                channel.confirm_select(ConfirmSelectOptions::default()).await?;
                Self::Amqp { _connection: connection, channel, queue: name }
            }
            Kind::Nats => {
                let context = jetstream::new(async_nats::connect(&url).await?);
                let stream = context.get_stream(context.stream_by_subject(&name).await?).await?;
                let first = stream.consumer_names().try_next().await?;
                let consumer = stream.get_consumer(&first.ok_or("the stream has no consumer")?).await?;
                Self::Nats { context, consumer: Box::new(consumer), subject: name }
            }
        })
    }

    /// Publishes in windows of [`BATCH`], and has the broker's answer for each message.
    pub(crate) async fn publish(&mut self, events: &[Bytes]) -> Outcome<Duration> {
        let begun = Instant::now();
        for window in events.chunks(BATCH) {
            match self {
                Self::Redis { connection, stream } => {
                    let mut pipeline = redis::pipe();
                    for event in window {
                        pipeline.cmd("XADD").arg(&*stream).arg("*").arg("body").arg(&event[..]).ignore();
                    }
                    let () = pipeline.query_async(connection).await?;
                }
                Self::Amqp { channel, queue, .. } => confirm(channel, queue, window).await?,
                Self::Nats { context, subject, .. } => {
                    let sent = window.iter().map(|event| context.publish(subject.clone(), event.clone()));
                    let answers = try_join_all(sent).await?;
                    try_join_all(answers.into_iter().map(IntoFuture::into_future)).await?;
                }
            }
        }
        Ok(begun.elapsed())
    }

    /// Receives and acks so many messages, and does nothing else.
    pub(crate) async fn drain(&mut self, events: usize) -> Outcome<Duration> {
        let begun = Instant::now();
        let drained = async {
            match self {
                Self::Redis { connection, stream } => drain_redis(connection, stream, events).await,
                Self::Amqp { channel, queue, .. } => drain_amqp(channel, queue, events).await,
                Self::Nats { consumer, .. } => drain_nats(consumer, events).await,
            }
        };
        drained.await?;
        Ok(begun.elapsed())
    }

    /// Begins to receive message by message.
    pub(crate) async fn arrivals(&self) -> Outcome<Arrivals> {
        Ok(match self {
            Self::Redis { connection, stream } => {
                Arrivals::Redis { connection: connection.clone(), stream: stream.clone() }
            }
            Self::Amqp { channel, queue, .. } => {
                Arrivals::Amqp { channel: channel.clone(), consumer: consume(channel, queue).await? }
            }
            Self::Nats { consumer, .. } => Arrivals::Nats { messages: Box::new(consumer.stream().messages().await?) },
        })
    }

    /// Removes what acked messages leave behind, so that the next side finds nothing but its own.
    pub(crate) async fn tidy(&mut self) -> Outcome<()> {
        if let Self::Redis { connection, stream } = self {
            let () = redis::cmd("FLUSHALL").query_async(connection).await?;
            let () = connection.xgroup_create_mkstream(&*stream, "quash", "0").await?;
        }
        Ok(())
    }
}

/// What a bare driver receives message by message.
pub(crate) enum Arrivals {
    Redis { connection: MultiplexedConnection, stream: String },
    Amqp { channel: Channel, consumer: Consumer },
    Nats { messages: Box<Stream> },
}

impl Arrivals {
    /// Waits for one message and acks it; says when it was there.
    pub(crate) async fn next(&mut self) -> Outcome<Instant> {
        let arrived;
        match self {
            Self::Redis { connection, stream } => {
                let ids = read_redis(connection, stream).await?;
                arrived = Instant::now();
                let () = connection.xack(&*stream, "quash", &ids).await?;
            }
            Self::Amqp { consumer, .. } => {
                let delivery = consumer.next().await.ok_or_else(|| dry(1))??;
                arrived = Instant::now();
                delivery.acker.ack(BasicAckOptions::default()).await?;
            }
            Self::Nats { messages } => {
                let message = messages.next().await.ok_or_else(|| dry(1))??;
                arrived = Instant::now();
                message.double_ack().await?;
            }
        }
        Ok(arrived)
    }

    /// Leaves the queue to others.
    pub(crate) async fn end(self) -> Outcome<()> {
        if let Self::Amqp { channel, .. } = self {
            channel.basic_cancel(TAG.into(), Default::default()).await?;
        }
        Ok(())
    }
}

async fn patient(url: &str) -> Outcome<MultiplexedConnection> {
    let options = AsyncConnectionConfig::new().set_response_timeout(None);
    Ok(redis::Client::open(url)?.get_multiplexed_async_connection_with_config(&options).await?)
}

async fn confirm(channel: &Channel, queue: &str, window: &[Bytes]) -> Outcome<()> {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let persistent = BasicProperties::default().with_delivery_mode(2);
    let sent =
        window.iter().map(|event| channel.basic_publish("".into(), queue.into(), options, event, persistent.clone()));
    for confirmation in try_join_all(sent).await? {
        let confirmed = confirmation.await?;
        if !confirmed.is_ack() || confirmed.take_message().is_some() {
            return Err("the broker did not take a message".into());
        }
    }
    Ok(())
}

async fn drain_redis(connection: &mut MultiplexedConnection, stream: &str, events: usize) -> Outcome<()> {
    let mut left = events;
    while left > 0 {
        let ids = read_redis(connection, stream).await?;
        if ids.is_empty() {
            return Err(dry(left));
        }
        let acked: usize = connection.xack(stream, "quash", &ids).await?;
        left -= acked;
    }
    Ok(())
}

async fn read_redis(connection: &mut MultiplexedConnection, stream: &str) -> Outcome<Vec<String>> {
    let options = StreamReadOptions::default().group("quash", TAG).count(BATCH).block(1_000);
    let reply: Option<StreamReadReply> = connection.xread_options(&[stream], &[">"], &options).await?;
    Ok(reply.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids).map(|entry| entry.id).collect())
}

async fn consume(channel: &Channel, queue: &str) -> Outcome<Consumer> {
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    Ok(channel.basic_consume(queue.into(), TAG.into(), BasicConsumeOptions::default(), FieldTable::default()).await?)
}

async fn drain_amqp(channel: &Channel, queue: &str, events: usize) -> Outcome<()> {
    let mut consumer = consume(channel, queue).await?;
    for received in 1..=events {
        let next = tokio::time::timeout(DRY_AFTER, consumer.next()).await;
        let delivery = next.ok().flatten().ok_or_else(|| dry(events - received + 1))??;
        if received % BATCH == 0 || received == events {
            delivery.acker.ack(BasicAckOptions { multiple: true }).await?;
        }
    }
    channel.basic_cancel(TAG.into(), Default::default()).await?;
    Ok(())
}

async fn drain_nats(consumer: &PullConsumer, events: usize) -> Outcome<()> {
    let mut messages = consumer.stream().max_messages_per_batch(PREFETCH.into()).messages().await?;
    for received in 1..=events {
        let next = tokio::time::timeout(DRY_AFTER, messages.next()).await;
        let message = next.ok().flatten().ok_or_else(|| dry(events - received + 1))??;
        if received == events {
            // The broker's answer to the last one stands for all before it: they travel in order.
            message.double_ack().await?;
        } else {
            message.ack().await?;
        }
    }
    Ok(())
}

fn dry(left: usize) -> Box<dyn std::error::Error + Send + Sync> {
    format!("the queue is dry with {left} events to go").into()
}
