//! Asks the server for messages ahead of time, and again after whatever cut it off.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Message, StatusCode, Subscriber};
use futures_util::{FutureExt, StreamExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::api::{Next, nanoseconds};
use super::connection::made_anew;
use super::consume::Consuming;
use super::intake::{self, Sorted, unix_ms};
use super::topology::{self, Lane};
use super::{reply, unreadable};
use crate::TransportError;
use crate::backoff::Pace;

/// How many batches are fetched ahead, those on their way included: as many as keep server and worker busy.
const AHEAD: usize = 8;

/// How many batches are asked for at once, at least: a request costs the server as much as handing out dozens of messages.
const ASKED: usize = AHEAD / 2;

/// How many bytes one request may bring, so that large messages do not fill the memory; at least two of the largest.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// How many messages are looked at in one go.
const CHUNK: usize = 512;

/// How long the last messages may take to arrive after nothing more is asked for.
const LAST_ANSWER: Duration = Duration::from_secs(1);

/// Fetches from one consumer.
pub(super) struct Fetcher {
    consuming: Arc<Consuming>,
    lane: Lane,
    /// When the server made the consumer: another time is another consumer, which knows nothing of what is held.
    created: String,
    pace: Pace,
}

/// Why fetching ended.
enum Ended {
    /// Nothing more is wanted.
    Stopped,
    /// It must be seen whether the consumer is still there.
    Doubtful(String),
}

/// What is asked for and did not come yet.
struct Asked {
    wanted: usize,
    /// When the server was last heard of.
    heard: Instant,
    /// How often it was silent for too long.
    silences: u32,
}

impl Fetcher {
    pub(super) fn new(consuming: Arc<Consuming>, lane: Lane, created: String) -> Self {
        Self { consuming, lane, created, pace: Pace::of_reconnects() }
    }

    /// Fetches until the consumer stops.
    pub(super) async fn run(mut self) {
        let mut stop = self.consuming.stop.subscribe();
        loop {
            match self.pull(&mut stop).await {
                Ok(Ended::Stopped) => return,
                Ok(Ended::Doubtful(why)) => {
                    tracing::debug!(lane = ?self.lane, %why, "looking whether the consumer is there")
                }
                Err(error) => tracing::debug!(lane = ?self.lane, %error, "cannot fetch"),
            }
            tokio::select! {
                () = self.restore() => unreadable::looked(&self.consuming).await,
                () = stopped(&mut stop) => return,
            }
        }
    }

    async fn pull(&mut self, stop: &mut watch::Receiver<bool>) -> Result<Ended, TransportError> {
        let link = &self.consuming.shared.link;
        let client = link.client().await?;
        let inbox = client.new_inbox();
        let subscribed = client.subscribe(inbox.clone()).await;
        let mut messages = subscribed.map_err(|error| link.unreachable(error))?;
        let ended = self.pull_from(&client, &inbox, &mut messages, stop).await;
        match ended {
            Ok(Ended::Stopped) => self.finish(messages).await,
            // What has arrived is not to wait until the server misses it.
            _ => {
                if let Some(Some(chunk)) = next_chunk(&mut messages).now_or_never() {
                    self.take_in(&client, chunk, &mut Asked::nothing()).await?;
                }
            }
        }
        ended
    }

    async fn pull_from(
        &mut self,
        client: &Client,
        inbox: &str,
        messages: &mut Subscriber,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Ended, TransportError> {
        let consuming = Arc::clone(&self.consuming);
        let mut connections = consuming.shared.link.connections();
        let mut asked = Asked::nothing();
        loop {
            let mut taken = pin!(consuming.buffer.taken.notified());
            let mut settled = pin!(consuming.held.settled.notified());
            taken.as_mut().enable();
            settled.as_mut().enable();
            self.ask(client, inbox, &mut asked).await?;
            tokio::select! {
                chunk = next_chunk(messages) => {
                    let Some(chunk) = chunk else { return Ok(Ended::Doubtful("the subscription ended".into())) };
                    if let Some(why) = self.take_in(client, chunk, &mut asked).await? {
                        return Ok(Ended::Doubtful(why));
                    }
                }
                () = taken => {}
                () = settled, if self.lane == Lane::Suspects => {}
                // The server forgets what was asked for on a connection that is gone.
                () = made_anew(&mut connections) => return Ok(Ended::Doubtful("the connection was made anew".into())),
                () = consuming.doubt.notified() => return Ok(Ended::Doubtful("an ack got no answer".into())),
                () = sleep_until(asked.heard + consuming.patience()), if asked.wanted > 0 => {
                    // Of a missing right the server tells beside, and answers nothing.
                    if let error @ TransportError::Refused(_) = consuming.shared.link.silence(asked.heard) {
                        consuming.buffer.fail(self.lane, error);
                    }
                    if let Some(why) = asked.silent() {
                        return Ok(Ended::Doubtful(why));
                    }
                }
                () = stopped(stop) => return Ok(Ended::Stopped),
            }
        }
    }

    /// Asks for as much as there is room for.
    async fn ask(&self, client: &Client, inbox: &str, asked: &mut Asked) -> Result<(), TransportError> {
        let consuming = &*self.consuming;
        let shared = &consuming.shared;
        let batch = self.room(asked.wanted);
        if batch == 0 {
            return Ok(());
        }
        let heartbeat = *shared.config.heartbeat;
        let next = Next {
            batch,
            max_bytes: BYTES_MAX.max(2 * client.max_payload()),
            expires: nanoseconds(heartbeat * 4),
            idle_heartbeat: nanoseconds(heartbeat),
        };
        let next = serde_json::to_vec(&next).unwrap_or_default();
        let (stream, consumer) = (shared.names.stream_of(self.lane), shared.names.consumer_of(self.lane));
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
        if asked.wanted == 0 {
            asked.heard = Instant::now();
        }
        asked.wanted += batch;
        let sent = client.publish_with_reply(subject, inbox.to_owned(), next.into()).await;
        sent.map_err(|error| shared.link.unreachable(error))
    }

    /// How much to ask for now; much at once, so that asking costs little.
    fn room(&self, wanted: usize) -> usize {
        let consuming = &*self.consuming;
        match self.lane {
            // Exactly one: its count goes up only when it was really in somebody's hands.
            Lane::Suspects => usize::from(wanted == 0 && consuming.held.is_free(Lane::Suspects)),
            _ if consuming.buffer.bytes() > AHEAD * BYTES_MAX => 0,
            lane => {
                let free = (consuming.batch * AHEAD).saturating_sub(wanted + consuming.buffer.waiting(lane));
                if free < consuming.batch * ASKED { 0 } else { free }
            }
        }
    }

    /// Takes in what arrived; says why the consumer may not be there any more, if something says so.
    async fn take_in(
        &mut self,
        client: &Client,
        chunk: Vec<Message>,
        asked: &mut Asked,
    ) -> Result<Option<String>, TransportError> {
        let mut doubt = None;
        let mut fetched = Vec::with_capacity(chunk.len());
        for message in chunk {
            match message.status {
                // A publisher may have written a status too; what is acked to somebody was stored in the stream.
                Some(status) if !is_delivery(&message) => {
                    doubt = asked.hear(status, &message, self.consuming.batch).or(doubt)
                }
                _ => fetched.push(message),
            }
        }
        asked.heard = Instant::now();
        asked.silences = 0;
        asked.wanted = asked.wanted.saturating_sub(fetched.len());
        if doubt.is_none() {
            self.pace.succeeded();
        }
        let early = self.keep(fetched, false);
        send_back(client, early).await.map_err(|error| self.consuming.shared.link.unreachable(error))?;
        Ok(doubt)
    }

    /// Holds what was fetched, and passes it on unless the consumer ends. Returns what is not due yet.
    fn keep(&self, fetched: Vec<Message>, ending: bool) -> Vec<(async_nats::Subject, Duration)> {
        if fetched.is_empty() {
            return Vec::new();
        }
        let consuming = &*self.consuming;
        let sorted = intake::sort(&consuming.shared.names, self.lane, fetched, Instant::now(), unix_ms());
        let Sorted { held, ready, suspects, early, more } = sorted;
        consuming.held.hold(held);
        if !ending {
            match self.lane {
                Lane::Suspects => consuming.buffer.add_alone(ready),
                lane if !ready.is_empty() => consuming.buffer.add(lane, ready, more),
                _ => {}
            }
            for suspect in suspects {
                // The receiving half ends only with the consumer, and what is held then goes back.
                _ = consuming.aside.send(suspect);
            }
        }
        early
    }

    /// Takes in what was on its way when nothing more was wanted; it goes back with the rest.
    async fn finish(&self, mut messages: Subscriber) {
        if messages.drain().await.is_err() {
            return;
        }
        while let Ok(Some(chunk)) = timeout(LAST_ANSWER, next_chunk(&mut messages)).await {
            let fetched = chunk.into_iter().filter(is_delivery).collect();
            let early = self.keep(fetched, true);
            if let Ok(client) = self.consuming.shared.link.client().await {
                _ = send_back(&client, early).await;
            }
        }
    }

    /// Waits until the consumer is there, made anew if need be.
    async fn restore(&mut self) {
        let consuming = Arc::clone(&self.consuming);
        loop {
            self.pace.failed().await;
            match topology::ensure_consumer(&consuming.shared, self.lane).await {
                Ok(found) => {
                    if found.created != self.created {
                        self.created = found.created;
                        consuming.forget(self.lane);
                    }
                    consuming.buffer.mend(self.lane);
                    return;
                }
                Err(error) if topology::restore_aside(&consuming.shared, &error).await => {}
                Err(error @ TransportError::Refused(_)) => consuming.buffer.fail(self.lane, error),
                Err(error) => tracing::debug!(lane = ?self.lane, %error, "cannot look at the consumer"),
            }
        }
    }
}

impl Asked {
    fn nothing() -> Self {
        Self { wanted: 0, heard: Instant::now(), silences: 0 }
    }

    /// Takes note of a status; says why the consumer may not be there any more, if it says so.
    fn hear(&mut self, status: StatusCode, message: &Message, batch: usize) -> Option<String> {
        const CONFLICT: u16 = 409;
        let words = message.description.as_deref().unwrap_or_default();
        match status.as_u16() {
            100 => return None,
            404 | 408 => {}
            // Ends of a request that the consumer survives.
            CONFLICT if words.contains("MaxBytes") || words.contains("Batch Completed") => {}
            code => return Some(format!("{code} {words}")),
        }
        let pending = message.headers.as_ref().and_then(|headers| headers.get("Nats-Pending-Messages"));
        let ended = pending.and_then(|pending| pending.as_str().parse().ok()).unwrap_or(batch);
        self.wanted = self.wanted.saturating_sub(ended);
        None
    }

    /// The server was silent for too long: what was asked for is asked for again, and in the end doubted.
    fn silent(&mut self) -> Option<String> {
        self.wanted = 0;
        self.heard = Instant::now();
        self.silences += 1;
        (self.silences >= 2).then(|| "the server is silent".to_owned())
    }
}

/// Whether this is a message of the stream, and no word of the server about a request.
fn is_delivery(message: &Message) -> bool {
    message.reply.as_deref().and_then(reply::facts).is_some()
}

/// Waits until nothing more is wanted.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    _ = stop.wait_for(|stop| *stop).await;
}

/// Waits for messages and takes what is there already.
async fn next_chunk(messages: &mut Subscriber) -> Option<Vec<Message>> {
    let mut chunk = vec![messages.next().await?];
    while chunk.len() < CHUNK
        && let Some(Some(message)) = messages.next().now_or_never()
    {
        chunk.push(message);
    }
    Some(chunk)
}

/// Sends back what is not due yet.
async fn send_back(
    client: &Client,
    early: Vec<(async_nats::Subject, Duration)>,
) -> Result<(), async_nats::PublishError> {
    for (reply, delay) in early {
        let nak = format!("-NAK {{\"delay\": {}}}", nanoseconds(delay));
        client.publish(reply, nak.into()).await?;
    }
    Ok(())
}
