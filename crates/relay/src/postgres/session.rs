//! Reads a slot's stream and hands it to the broker, and confirms to the slot what the broker has confirmed, never more.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quash_core::event::EventLimits;
use quash_dispatch::config::{Config, OnSchemaChange, PostgresRelay};
use quash_transport::{Transport, TransportError};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::address::Address;
use super::catalogue::Catalogue;
use super::failure::Failure;
use super::link::{Frame, Link};
use super::position::Lsn;
use super::setup::{Wanted, free, prepare};
use super::transaction::Assembler;
use crate::error::RelayError;
use crate::publisher::{Progress, Publisher, answered};
use crate::status::Status;

/// How often the server hears from the relay, and answers: a tenth of the time after which it counts as dead.
const EVERY: Duration = Duration::from_secs(1);
/// How often at most it hears that more is safe: what it has not heard comes again after a kill.
const SOON: Duration = Duration::from_millis(100);
/// A server that answers nothing for so long is gone. While it reads a large transaction it may be silent for a while.
const SILENCE: Duration = Duration::from_secs(60);

/// Where to read, and where to write.
pub(crate) struct Session<'s> {
    address: &'s Address,
    wanted: Wanted,
    /// How the relay is called in its events.
    source: String,
    source_name: &'s str,
    limits: EventLimits,
    purge_on_schema_change: bool,
    transport: Arc<dyn Transport>,
    status: &'s Status,
}

impl<'s> Session<'s> {
    /// A session of the relay of this name.
    pub(crate) fn new(
        name: &str,
        address: &'s Address,
        relay: &PostgresRelay,
        config: &Config,
        (source_name, transport): (&'s str, Arc<dyn Transport>),
        status: &'s Status,
    ) -> Self {
        Self {
            address,
            wanted: Wanted::of(relay, config),
            source: format!("relay:{name}"),
            source_name,
            limits: config.limits.event(),
            purge_on_schema_change: relay.on_schema_change == OnSchemaChange::Purge,
            transport,
            status,
        }
    }

    /// Works until somebody wants to stop, and then until the broker has what was read, or the drain is over.
    ///
    /// # Errors
    /// Whatever kept it from going on; the connection to the database is closed by then.
    pub(crate) async fn run(
        &self,
        mut stop: Pin<&mut (impl Future<Output = ()> + Send)>,
        drain: Duration,
    ) -> Result<(), RelayError> {
        let mut reading = tokio::select! {
            begun = self.begin() => begun?,
            () = stop.as_mut() => return Ok(()),
        };
        self.status.works();
        let ended = reading.relay(self, stop).await;
        match ended {
            Ok(()) => reading.drain(drain).await,
            // What is known to be safe is worth a last word, unless the database is what is gone.
            Err(RelayError::Broker { .. }) => reading.leave().await,
            Err(_) => {}
        }
        ended
    }

    fn broker(&self, error: TransportError) -> RelayError {
        RelayError::Broker { source_name: self.source_name.to_owned(), error }
    }

    async fn begin(&self) -> Result<Reading<'s>, RelayError> {
        // Without a broker there is no reason to hold a connection that keeps the database from stopping.
        answered(self.transport.prepare()).await.map_err(|error| self.broker(error))?;
        self.read().await.map_err(Failure::into_error)
    }

    async fn read(&self) -> Result<Reading<'s>, Failure> {
        let catalogue = Catalogue::open(self.address).await?;
        let about = prepare(&catalogue, &self.wanted).await?;
        free(&catalogue, &self.wanted.slot, |pid| {
            if !self.status.is_standing_by() {
                tracing::info!(slot = self.wanted.slot, pid, "another relay holds the slot; this one stands by");
            }
            self.status.stands_by();
        })
        .await?;
        let mut link = Link::open(self.address).await?;
        let identified = link.query("IDENTIFY_SYSTEM").await?;
        let system = identified.into_iter().next().flatten().ok_or_else(|| Failure::odd("no identifier"))?;
        // It came from a server, and goes into JSON.
        if !system.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Failure::odd("an identifier that is no number"));
        }
        link.start(&self.wanted.slot, &self.wanted.publication).await?;
        tracing::info!(slot = self.wanted.slot, system, "the log is relayed");
        let assembler = Assembler::new(&self.source, &system, about.xid, &self.limits, self.purge_on_schema_change);
        let publisher = Publisher::new(Arc::clone(&self.transport));
        Ok(Reading {
            link,
            assembler,
            publisher,
            status: self.status,
            confirmed: Lsn(0),
            end: Lsn(0),
            owes: false,
            heard: Instant::now(),
            said: Instant::now(),
        })
    }
}

/// A stream that is being read.
struct Reading<'s> {
    link: Link,
    assembler: Assembler,
    publisher: Publisher,
    status: &'s Status,
    /// Everything before is with the broker.
    confirmed: Lsn,
    /// How far the server's log goes, as far as it said.
    end: Lsn,
    /// Whether the server waits to hear that everything is confirmed, as it does before it stops.
    owes: bool,
    /// When the server was heard last.
    heard: Instant,
    /// When it was told last what is safe.
    said: Instant,
}

impl Reading<'_> {
    async fn relay(
        &mut self,
        session: &Session<'_>,
        mut stop: Pin<&mut (impl Future<Output = ()> + Send)>,
    ) -> Result<(), RelayError> {
        let mut every = interval(EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                filled = self.link.fill(), if self.publisher.has_room() => {
                    filled.map_err(Failure::into_error)?;
                    self.take().await?;
                }
                landed = self.publisher.landed() => {
                    let progress = landed.map_err(|error| session.broker(error))?;
                    self.safe(progress).await?;
                }
                _ = every.tick() => {
                    self.confirm(true).await?;
                    if !self.publisher.has_room() {
                        // Nobody listens at the moment.
                        self.heard = Instant::now();
                    } else if self.heard.elapsed() > SILENCE {
                        return Err(RelayError::Unreachable(format!("no answer for {SILENCE:?}")));
                    }
                }
                () = stop.as_mut() => return Ok(()),
            }
        }
    }

    /// Takes what has arrived of the stream.
    async fn take(&mut self) -> Result<(), RelayError> {
        self.heard = Instant::now();
        let (mut mark, mut asked, mut done) = (None, false, false);
        while let Some(frame) = self.link.next().map_err(Failure::into_error)? {
            match frame {
                Frame::Log { bytes, end } => {
                    self.end = self.end.max(end);
                    self.assembler.take(&bytes).map_err(|error| RelayError::Misread(error.to_string()))?;
                }
                Frame::Alive { end, asks } => {
                    self.end = self.end.max(end);
                    // Inside of a transaction it says nothing of what was told.
                    mark = (!self.assembler.is_open()).then_some(end.0).or(mark);
                    asked |= asks;
                }
                Frame::Done => {
                    done = true;
                    break;
                }
            }
        }
        let made = self.assembler.made();
        for table in &made.altered {
            tracing::warn!(table, "the columns of a table changed: rows that were written anew are not in the log");
        }
        let reached = made.reached.max(mark);
        let progress =
            Progress { reached, rows: made.rows, transactions: made.transactions, committed_us: made.committed_us };
        if self.publisher.is_empty() {
            self.status.pending(made.committed_us);
        }
        self.publisher.push(made.messages, progress);
        self.publisher.launch();
        if asked {
            self.owes = true;
            self.confirm(false).await?;
        }
        match done {
            true => Err(RelayError::Unreachable("the server ended the stream".to_owned())),
            false => Ok(()),
        }
    }

    /// The broker has more.
    async fn safe(&mut self, progress: Progress) -> Result<(), RelayError> {
        self.confirmed = self.confirmed.max(Lsn(progress.reached.unwrap_or_default()));
        self.status.counted(progress.rows, progress.transactions);
        if let Some(committed_us) = progress.committed_us {
            self.status.committed(committed_us);
        }
        let all = self.publisher.is_empty();
        // What is still on its way was committed later.
        if all || progress.committed_us.is_some() {
            self.status.pending(progress.committed_us.filter(|_| !all));
        }
        if self.owes && all || progress.reached.is_some() && self.said.elapsed() > SOON {
            self.owes &= !all;
            self.confirm(false).await?;
        }
        Ok(())
    }

    async fn confirm(&mut self, asks: bool) -> Result<(), RelayError> {
        if self.confirmed > Lsn(0) {
            let behind = self.end.0.saturating_sub(self.confirmed.0);
            self.status.behind(behind, behind == 0 && self.publisher.is_empty());
        }
        self.said = Instant::now();
        self.link.confirm(self.confirmed, now_us(), asks).await.map_err(Failure::into_error)
    }

    /// Waits for what the broker has in hand, and ends.
    async fn drain(mut self, limit: Duration) {
        let landing = async {
            while !self.publisher.is_empty() {
                self.publisher.launch();
                match self.publisher.landed().await {
                    Ok(progress) => self.confirmed = self.confirmed.max(Lsn(progress.reached.unwrap_or_default())),
                    // What the broker does not have comes again from the slot.
                    Err(_) => break,
                }
            }
        };
        drop(timeout(limit, landing).await);
        self.leave().await;
    }

    /// Says a last word, so that nothing comes twice without need, and lets go of the slot.
    async fn leave(mut self) {
        drop(self.link.confirm(self.confirmed, now_us(), false).await);
        self.link.close().await;
    }
}

/// Now, in microseconds since 1970.
fn now_us() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
}
