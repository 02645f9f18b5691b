//! Fetches for one consumer as long as it lives, over as many connections as that takes, and ends the last of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use futures_util::stream::ReadyChunks;
use lapin::message::Delivery as Delivered;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::consume::{Closing, Consuming, Ending};
use super::held::Held;
use super::publish::Outgoing;
use super::session::{NotOpened, Number, Origin, Session, Streams};
use super::suspects::{self, Aside};
use super::wire::{self, Received};
use super::{retry, topology};
use crate::backoff::Pace;
use crate::{Delivery, SUSPECT_AFTER, TransportError};

/// How long nothing may come before the broker is asked whether something should have.
const SILENCE: Duration = Duration::from_secs(10);

/// How long handing back may take before the rest is left to the end of the connection.
const HAND_BACK_LIMIT: Duration = Duration::from_secs(3);

/// A connection that is open, with what comes on it.
pub(super) struct Opened {
    session: Arc<Session>,
    streams: Streams,
}

impl Opened {
    /// Opens a connection. Where queues have vanished they are declared again, if declaring is this worker's business.
    pub(super) async fn try_open(consuming: &Consuming) -> Result<Self, TransportError> {
        match Self::open(consuming).await {
            Ok(opened) => Ok(opened),
            Err(NotOpened::Failed(error)) => Err(error),
            Err(NotOpened::Missing(error)) if !consuming.shared.config.declare => Err(error),
            Err(NotOpened::Missing(error)) => {
                tracing::error!(%error, "a queue is not there and is declared; if it was deleted, what it held is lost");
                let shared = &consuming.shared;
                topology::prepare(&shared.looking, &shared.names, &shared.config).await?;
                Self::open(consuming).await.map_err(TransportError::from)
            }
        }
    }

    async fn open(consuming: &Consuming) -> Result<Self, NotOpened> {
        let generation = consuming.next_generation();
        let (session, streams) =
            Session::open(&consuming.shared, &consuming.name, consuming.prefetch, generation).await?;
        let session = Arc::new(session);
        consuming.use_session(&session);
        Ok(Self { session, streams })
    }
}

/// Moves what comes from the broker into the inbox.
pub(super) struct Fetcher {
    consuming: Arc<Consuming>,
    ending: oneshot::Receiver<(Ending, Closing)>,
    /// Whether anything came on the connection.
    useful: bool,
}

/// How a connection's time was over.
enum Over {
    Lost(String),
    Ending(Ending, Closing),
}

/// What comes on a connection.
struct Coming {
    work: ReadyChunks<lapin::Consumer>,
    suspects: ReadyChunks<lapin::Consumer>,
    aside: mpsc::UnboundedSender<Aside>,
}

impl Fetcher {
    pub(super) fn new(consuming: Arc<Consuming>, ending: oneshot::Receiver<(Ending, Closing)>) -> Self {
        Self { consuming, ending, useful: false }
    }

    /// Runs until the consumer ends.
    pub(super) async fn run(mut self, first: Opened) {
        let mut opened = Some(first);
        let mut pace = Pace::of_reconnects();
        loop {
            if let Some(Opened { session, streams }) = opened.take() {
                let started = Instant::now();
                self.useful = false;
                if self.serve(session, streams).await.is_break() {
                    break;
                }
                if self.useful || started.elapsed() > SILENCE {
                    pace.succeeded();
                }
            }
            tokio::select! {
                () = pace.failed() => {}
                _ = &mut self.ending => break,
            }
            opened = tokio::select! {
                opened = open_again(&self.consuming) => opened,
                _ = &mut self.ending => break,
            };
        }
        self.consuming.forget_session();
        self.consuming.buffer.end();
    }

    /// Moves what comes on one connection until it or the consumer ends.
    async fn serve(&mut self, session: Arc<Session>, streams: Streams) -> std::ops::ControlFlow<()> {
        let (aside, set_aside) = mpsc::unbounded_channel();
        let setting_aside = tokio::spawn(suspects::run(Arc::clone(&self.consuming), Arc::clone(&session), set_aside));
        let cancelling = Streams { work: streams.work.clone(), suspects: streams.suspects.clone() };
        let chunk = usize::from(self.consuming.prefetch);
        let mut coming =
            Coming { work: streams.work.ready_chunks(chunk), suspects: streams.suspects.ready_chunks(chunk), aside };
        let flow = match self.fetch(&session, &mut coming).await {
            Over::Lost(why) => {
                self.consuming.shared.interrupted.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(queue = %self.consuming.shared.names.work, consumer = %self.consuming.name, error = why,
                    "consuming was interrupted, trying again");
                self.consuming.forget_session();
                session.end();
                self.consuming.buffer.clear();
                std::ops::ControlFlow::Continue(())
            }
            Over::Ending(ending, closing) => {
                if matches!(ending, Ending::Close(_)) {
                    session.cancel(&cancelling).await;
                    self.drain(&session, &mut coming).await;
                }
                self.finish(ending, closing, &session).await;
                std::ops::ControlFlow::Break(())
            }
        };
        setting_aside.abort();
        flow
    }

    async fn fetch(&mut self, session: &Session, coming: &mut Coming) -> Over {
        let mut silence = interval(SILENCE);
        silence.set_missed_tick_behavior(MissedTickBehavior::Delay);
        silence.reset();
        let mut was_ready = false;
        loop {
            let (origin, chunk) = tokio::select! {
                chunk = coming.work.next() => (Origin::Work, chunk),
                chunk = coming.suspects.next() => (Origin::Suspects, chunk),
                _ = silence.tick() => {
                    let is_ready = self.is_silent(session).await;
                    if was_ready && is_ready {
                        return Over::Lost("messages are ready and none comes".into());
                    }
                    was_ready = is_ready;
                    continue;
                }
                ending = &mut self.ending => return match ending {
                    Ok((ending, closing)) => Over::Ending(ending, closing),
                    Err(_) => Over::Ending(Ending::Drop, Closing::begin(&self.consuming.shared)),
                },
            };
            silence.reset();
            was_ready = false;
            self.useful |= chunk.as_ref().is_some_and(|chunk| chunk.iter().any(Result::is_ok));
            match chunk {
                None => return Over::Lost("the broker cancelled it".into()),
                Some(chunk) => {
                    if let Err(error) = self.take_in(session, origin, chunk, &coming.aside) {
                        return Over::Lost(super::connection::words(&error));
                    }
                }
            }
        }
    }

    /// Whether messages are ready that could have come: nothing is under way that would keep them back.
    async fn is_silent(&self, session: &Session) -> bool {
        if session.held() >= u64::from(self.consuming.prefetch) {
            return false;
        }
        match session.ready(&self.consuming.shared).await {
            Ok(ready) => ready > 0,
            Err(error) => {
                tracing::debug!(%error, "asking how much is ready");
                // No answer at all is worse than an answer that nothing was sent.
                true
            }
        }
    }

    /// After a cancel: what was under way before the broker heard of it.
    async fn drain(&self, session: &Session, coming: &mut Coming) {
        let draining = async {
            while let Some(chunk) = coming.work.next().await {
                _ = self.take_in(session, Origin::Work, chunk, &coming.aside);
            }
            while let Some(chunk) = coming.suspects.next().await {
                _ = self.take_in(session, Origin::Suspects, chunk, &coming.aside);
            }
        };
        _ = timeout(HAND_BACK_LIMIT, draining).await;
    }

    fn take_in(
        &self,
        session: &Session,
        origin: Origin,
        chunk: Vec<lapin::Result<Delivered>>,
        aside: &mpsc::UnboundedSender<Aside>,
    ) -> lapin::Result<()> {
        let mut failed = Ok(());
        let mut came = Vec::with_capacity(chunk.len());
        for delivered in chunk {
            match delivered {
                Ok(delivered) => came.push((delivered.delivery_tag, wire::read(delivered))),
                Err(error) => failed = Err(error),
            }
        }
        let since = SystemTime::now();
        session.hold(origin, came.iter().map(|(number, received)| (*number, held(received, since))));
        let (now, kept) = (wire::now_ms(), &self.consuming.buffer);
        let mut deliveries = Vec::with_capacity(came.len());
        for (number, received) in came {
            let at = Number { origin, number };
            if let Some(to) = set_aside(origin, &received, now) {
                // Nobody takes it only when the connection is over; then it comes back.
                _ = aside.send(Aside { at, received, to });
            } else {
                deliveries.push(delivery(session, at, received));
            }
        }
        match origin {
            Origin::Work => kept.add(deliveries),
            Origin::Suspects => kept.add_suspects(deliveries),
        }
        failed
    }

    async fn finish(&self, ending: Ending, closing: Closing, session: &Session) {
        match ending {
            Ending::Drop => {
                self.consuming.buffer.clear();
                self.until_settled().await;
                session.close().await;
                drop(closing);
            }
            Ending::Close(done) => {
                self.hand_back(session).await;
                drop(closing);
                _ = done.send(());
                self.consuming.settler_gone.notified().await;
                self.until_settled().await;
                session.close().await;
            }
        }
    }

    async fn until_settled(&self) {
        let mut settling = self.consuming.settling.subscribe();
        _ = timeout(HAND_BACK_LIMIT, settling.wait_for(|count| *count == 0)).await;
    }

    /// Publishes anew what nobody has received, which does not count as handing it out; where that fails it is returned.
    async fn hand_back(&self, session: &Session) {
        let unused: Vec<_> = self.consuming.buffer.clear();
        let numbers: Vec<_> = unused.iter().filter_map(|delivery| session.number(delivery.tag)).collect();
        let outgoing: Vec<_> =
            numbers.iter().zip(&unused).map(|(at, delivery)| self.back(at.origin, delivery)).collect();
        let published = timeout(HAND_BACK_LIMIT, self.consuming.shared.publisher.publish_each(&outgoing)).await;
        let outcomes = published.unwrap_or_default();
        let is_back = |index: usize| outcomes.get(index).is_some_and(Result::is_ok);
        let (back, rest): (Vec<_>, Vec<_>) = numbers.into_iter().enumerate().partition(|(index, _)| is_back(*index));
        session.ack(&back.into_iter().map(|(_, at)| at).collect::<Vec<_>>()).await;
        session.requeue(&rest.into_iter().map(|(_, at)| at).collect::<Vec<_>>()).await;
    }

    fn back<'a>(&'a self, origin: Origin, delivery: &'a Delivery) -> Outgoing<'a> {
        let names = &self.consuming.shared.names;
        let queue = if origin == Origin::Suspects { &names.suspects } else { &names.work };
        let mut outgoing = Outgoing::plain(queue, &delivery.message);
        outgoing.extras.handed_out = delivery.deliveries.saturating_sub(1);
        outgoing
    }
}

/// Opens a connection again. Leaves a refusal to whoever receives, and waits until it is known: trying again before would
/// not help.
async fn open_again(consuming: &Consuming) -> Option<Opened> {
    match Opened::try_open(consuming).await {
        Ok(opened) => return Some(opened),
        Err(error @ TransportError::Refused(_)) => {
            consuming.buffer.fail(error);
            consuming.buffer.notified().await;
        }
        Err(error) => tracing::debug!(%error, "not connected again yet"),
    }
    None
}

fn held(received: &Received, since: SystemTime) -> Held {
    Held { message: received.message.clone(), handed_out: received.handed_out, since }
}

/// Where a delivery goes that is not for whoever receives.
fn set_aside(origin: Origin, received: &Received, now: u64) -> Option<suspects::Where> {
    if let Some(rest) = retry::rest(received.due, now) {
        return Some(suspects::Where::Parked(rest));
    }
    (origin == Origin::Work && received.handed_out >= SUSPECT_AFTER).then_some(suspects::Where::Suspects)
}

fn delivery(session: &Session, at: Number, received: Received) -> Delivery {
    Delivery {
        tag: session.tag(at),
        broker_id: at.number.to_string(),
        message: received.message,
        deliveries: received.handed_out.saturating_add(1),
    }
}
