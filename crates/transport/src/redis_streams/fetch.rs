//! Reads new entries ahead of the worker, on a connection of its own because the server holds back its answers.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::{Cmd, RedisError, cmd};
use tokio::sync::mpsc::{Sender, UnboundedSender};
use tokio::time::{Instant, sleep, timeout};

use super::connection::failure;
use super::consume::{Batch, Consuming, own};
use super::suspects::hand_out_again;
use super::wire::deliveries;
use crate::backoff::Pace;
use crate::{Delivery, TransportError};

/// How long the server holds an answer back when there is nothing: the heartbeat of the connection.
const BLOCK: Duration = Duration::from_secs(2);

/// After so long without a heartbeat the connection counts as dead.
const SILENCE: Duration = Duration::from_secs(3 * BLOCK.as_secs());

/// Fetches entries and hands them on; reconnects for ever.
pub(super) struct Fetcher {
    consuming: Arc<Consuming>,
    batches: Sender<Batch>,
    suspects: UnboundedSender<u128>,
    /// Whether anything was answered on the present connection.
    useful: bool,
}

/// Why reading stopped.
enum Stop {
    /// Nobody wants entries any more.
    Unwanted,
    /// The group is not there.
    NoGroup,
    Failed(TransportError),
}

impl From<TransportError> for Stop {
    fn from(error: TransportError) -> Self {
        Self::Failed(error)
    }
}

/// What an error of the server means for reading.
fn refusal(error: &RedisError) -> Stop {
    if error.code() == Some("NOGROUP") { Stop::NoGroup } else { Stop::Failed(failure(error)) }
}

impl Fetcher {
    pub(super) const fn new(
        consuming: Arc<Consuming>,
        batches: Sender<Batch>,
        suspects: UnboundedSender<u128>,
    ) -> Self {
        Self { consuming, batches, suspects, useful: false }
    }

    pub(super) async fn run(mut self) {
        let mut pace = Pace::of_reconnects();
        loop {
            let Err(stop) = self.session(&mut pace).await;
            self.consuming.reading.store(false, Ordering::Relaxed);
            if std::mem::take(&mut self.useful) {
                self.interrupted(&stop);
            }
            let failed = match stop {
                Stop::Unwanted => return,
                Stop::NoGroup => self.consuming.shared.regroup(&self.consuming.link).await,
                Stop::Failed(error) => Err(error),
            };
            let Err(error) = failed else { continue };
            *self.consuming.stopped.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error.clone());
            let refused = matches!(error, TransportError::Refused(_));
            if refused && self.batches.send(Err(error)).await.is_err() {
                return;
            }
            pace.failed().await;
        }
    }

    /// Reading went well and then not any more: said once, and not at each attempt after it.
    fn interrupted(&self, stop: &Stop) {
        let shared = &self.consuming.shared;
        let error = match stop {
            Stop::Unwanted => return,
            Stop::NoGroup => "the consumer group is not there any more",
            Stop::Failed(error) => &error.to_string(),
        };
        shared.interrupted.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(stream = %shared.names.stream, consumer = %self.consuming.name, error, "reading was interrupted, trying again");
    }

    /// Reads on one connection until it breaks.
    async fn session(&mut self, pace: &mut Pace) -> Result<Infallible, Stop> {
        let mut connection = self.consuming.shared.server.open_blocking().await?;
        self.own_first().await?;
        let waiting = self.read_command(self.consuming.batch, Some(BLOCK));
        loop {
            self.consuming.reading.store(true, Ordering::Relaxed);
            let mut batch = self.read(&mut connection, &waiting).await?;
            pace.succeeded();
            self.useful = true;
            let filled = self.fill(&mut connection, &mut batch).await;
            // What was read goes out although filling failed: the server would not send it again.
            if !batch.is_empty() && self.batches.send(Ok(batch)).await.is_err() {
                return Err(Stop::Unwanted);
            }
            filled?;
        }
    }

    /// Hands out what the server says is ours and we do not know of: left by an earlier consumer of this name, or sent to
    /// a connection that was cut.
    async fn own_first(&self) -> Result<(), Stop> {
        let own = match own(&self.consuming).await? {
            Ok(own) => own,
            Err(error) => return Err(refusal(&error)),
        };
        hand_out_again(&self.consuming, own, &self.batches, &self.suspects).await.map_err(Stop::Failed)
    }

    /// Waits once for more, here and not at the server, whose timer of blocked reads is coarse.
    async fn fill(&self, connection: &mut MultiplexedConnection, batch: &mut Vec<Delivery>) -> Result<(), Stop> {
        let room = self.consuming.batch - batch.len();
        if !batch.is_empty() && room > 0 && !self.consuming.linger.is_zero() {
            sleep(self.consuming.linger).await;
            batch.extend(self.read(connection, &self.read_command(room, None)).await?);
        }
        Ok(())
    }

    fn read_command(&self, count: usize, block: Option<Duration>) -> Cmd {
        let names = &self.consuming.shared.names;
        let mut read = cmd("XREADGROUP");
        read.arg("GROUP").arg(&names.group).arg(&self.consuming.name).arg("COUNT").arg(count);
        if let Some(block) = block {
            read.arg("BLOCK").arg(block.as_millis() as u64);
        }
        read.arg("STREAMS").arg(&names.stream).arg(">");
        read
    }

    async fn read(&self, connection: &mut MultiplexedConnection, read: &Cmd) -> Result<Vec<Delivery>, Stop> {
        let Ok(answer) = timeout(SILENCE, connection.req_packed_command(read)).await else {
            return Err(TransportError::Unreachable(format!("silent for {SILENCE:?}")).into());
        };
        let batch = match answer.and_then(redis::Value::extract_error) {
            Ok(answer) => deliveries(answer),
            Err(error) => return Err(refusal(&error)),
        };
        self.consuming.held.hold(&batch, Instant::now());
        Ok(batch)
    }
}
