//! Holds one connection of a consumer with its two channels, from its opening to its end; tags are bound to it.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection, ErrorKind};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::Shared;
use super::connection::{answer, failure};
use super::held::{Claim, Held, Window};
use crate::{Dated, Tag, TransportError};

/// How long acks wait for deliveries before them to be settled, so that one ack stands for all: batches are worked on side
/// by side and end in any order, but soon after each other.
const ORDER_PATIENCE: Duration = Duration::from_millis(5);

/// So few acks are written one by one at once.
const SINGLE_ACKS: usize = 4;

/// The bit of a tag that says that the delivery came from the suspects.
const SUSPECT: u64 = 1 << 63;

/// The broker's code for what is not there.
const NOT_FOUND: u16 = 404;

/// Which of the two queues a delivery came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Work,
    Suspects,
}

/// A delivery on one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) origin: Origin,
    pub(super) number: u64,
}

/// One connection of a consumer. When it ends, all that it held comes back by the broker, and its tags mean nothing.
pub(super) struct Session {
    generation: u64,
    connection: Connection,
    work: Intake,
    suspects: Intake,
    over: AtomicBool,
    /// What the consumers of this transport hold.
    unsettled: Arc<AtomicU64>,
    /// Rings when a claim was given back or made good, and at the end.
    resolved: Notify,
}

/// A channel with what it has delivered.
struct Intake {
    channel: Channel,
    window: Mutex<Window>,
    /// Held while acks are written, so that they are in the order in which they were decided.
    turn: tokio::sync::Mutex<()>,
    /// Rings when acks were written that stand for all before them.
    advanced: Notify,
}

/// What the broker delivers, as it comes.
pub(super) struct Streams {
    pub(super) work: lapin::Consumer,
    pub(super) suspects: lapin::Consumer,
}

/// Why there is no session.
pub(super) enum NotOpened {
    /// A queue is not there.
    Missing(TransportError),
    Failed(TransportError),
}

impl From<TransportError> for NotOpened {
    fn from(error: TransportError) -> Self {
        Self::Failed(error)
    }
}

impl From<NotOpened> for TransportError {
    fn from(not: NotOpened) -> Self {
        match not {
            NotOpened::Missing(error) | NotOpened::Failed(error) => error,
        }
    }
}

impl Session {
    /// Connects and asks for deliveries.
    pub(super) async fn open(
        shared: &Shared,
        name: &str,
        prefetch: u16,
        generation: u64,
    ) -> Result<(Self, Streams), NotOpened> {
        let connection = shared.link.server().connect(&format!("consumer {name}")).await?;
        // One at a time, so that whatever ends the process was the only one in its hands.
        let (suspects, suspects_in) = intake(&connection, &shared.names.suspects, 1).await?;
        let (work, work_in) = intake(&connection, &shared.names.work, prefetch).await?;
        let session = Self {
            generation,
            connection,
            work,
            suspects,
            over: AtomicBool::new(false),
            unsettled: Arc::clone(&shared.held),
            resolved: Notify::new(),
        };
        Ok((session, Streams { work: work_in, suspects: suspects_in }))
    }

    /// The tag of a delivery.
    pub(super) fn tag(&self, at: Number) -> Tag {
        let bit = if at.origin == Origin::Suspects { SUSPECT } else { 0 };
        Tag(u128::from(self.generation) << 64 | u128::from(at.number | bit))
    }

    /// The delivery that a tag stands for, if it came on this connection.
    pub(super) fn number(&self, tag: Tag) -> Option<Number> {
        let low = (tag.0 & u128::from(u64::MAX)) as u64;
        let origin = if low & SUSPECT == 0 { Origin::Work } else { Origin::Suspects };
        (tag.0 >> 64 == u128::from(self.generation)).then_some(Number { origin, number: low & !SUSPECT })
    }

    /// Whether the broker is reached, as far as the driver knows.
    pub(super) fn lives(&self) -> bool {
        !self.is_over() && self.connection.status().connected()
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Takes deliveries in.
    pub(super) fn hold(&self, origin: Origin, held: impl Iterator<Item = (u64, Held)>) {
        let mut window = self.window(origin);
        let before = window.held();
        held.for_each(|(number, held)| window.hold(number, held));
        self.unsettled.fetch_add(window.held() - before, Ordering::Relaxed);
    }

    /// The delivery that has been held for the longest time.
    pub(super) fn oldest(&self) -> Option<Dated> {
        let dated = |held: &Held| Dated { since: held.since, headers: held.message.headers.clone() };
        let of = |origin| self.window(origin).oldest().map(dated);
        [Origin::Work, Origin::Suspects].into_iter().filter_map(of).min_by_key(|dated| dated.since)
    }

    /// How many deliveries of the work queue are held.
    pub(super) fn held(&self) -> u64 {
        self.window(Origin::Work).held()
    }

    /// Asks for the right to settle a delivery, and looks at what it holds when that is granted.
    pub(super) fn claim(&self, at: Number, look: impl FnOnce(&Held)) -> Claim {
        let mut window = self.window(at.origin);
        let claim = window.claim(at.number);
        if claim == Claim::Granted
            && let Some(held) = window.get(at.number)
        {
            look(held);
        }
        claim
    }

    /// Gives the right back.
    pub(super) fn unclaim(&self, numbers: &[Number]) {
        for at in numbers {
            self.window(at.origin).unclaim(at.number);
        }
        self.resolved.notify_waiters();
    }

    /// The moment at which a claim that was busy may be tried again. Made before the claim, it misses none.
    pub(super) fn resolved(&self) -> tokio::sync::futures::Notified<'_> {
        self.resolved.notified()
    }

    /// Acks deliveries; done when it is written. Where that fails the connection is over, and all of them come back.
    pub(super) async fn ack(&self, numbers: &[Number]) {
        for (origin, intake) in [(Origin::Work, &self.work), (Origin::Suspects, &self.suspects)] {
            let own: Vec<_> = numbers.iter().filter(|at| at.origin == origin).map(|at| at.number).collect();
            if !own.is_empty() {
                self.ack_on(intake, own).await;
            }
        }
        self.resolved.notify_waiters();
    }

    async fn ack_on(&self, intake: &Intake, numbers: Vec<u64>) {
        let mut advanced = pin!(intake.advanced.notified());
        advanced.as_mut().enable();
        {
            let _turn = intake.turn.lock().await;
            let up_to = self.change(intake, |window| window.done(&numbers));
            intake.ack_up_to(up_to).await;
        }
        let deadline = Instant::now() + ORDER_PATIENCE;
        while intake.window().beyond(&numbers) > SINGLE_ACKS {
            if timeout_at(deadline, advanced.as_mut()).await.is_err() {
                break;
            }
            advanced.set(intake.advanced.notified());
            advanced.as_mut().enable();
        }
        let _turn = intake.turn.lock().await;
        let singly = intake.window().singly(numbers);
        let written = join_all(singly.into_iter().map(|number| intake.ack(number, false))).await;
        written.into_iter().for_each(noted);
    }

    /// Changes a window, and counts what is not held any more.
    fn change<T>(&self, intake: &Intake, change: impl FnOnce(&mut Window) -> T) -> T {
        let mut window = intake.window();
        let before = window.held();
        let changed = change(&mut window);
        self.unsettled.fetch_sub(before - window.held(), Ordering::Relaxed);
        changed
    }

    /// Hands deliveries back as they are; the broker counts that as having handed them out.
    pub(super) async fn requeue(&self, numbers: &[Number]) {
        for at in numbers {
            let intake = self.intake(at.origin);
            let _turn = intake.turn.lock().await;
            if self.change(intake, |window| window.get(at.number).is_some()) {
                let options = BasicNackOptions { requeue: true, multiple: false };
                _ = intake.channel.basic_nack(at.number, options).await;
                let up_to = self.change(intake, |window| window.forget(at.number));
                intake.ack_up_to(up_to).await;
            }
        }
        self.resolved.notify_waiters();
    }

    /// Asks the broker for no more; the streams end after what is under way.
    pub(super) async fn cancel(&self, streams: &Streams) {
        for (intake, stream) in [(&self.work, &streams.work), (&self.suspects, &streams.suspects)] {
            let cancelled = intake.channel.basic_cancel(stream.tag(), BasicCancelOptions::default());
            // Where that fails the connection is over, and its streams end by that.
            _ = answer("cancelling", cancelled).await;
        }
    }

    /// Ends it: nothing is settled on it any more.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Release);
        for origin in [Origin::Work, Origin::Suspects] {
            let held = self.window(origin).clear();
            self.unsettled.fetch_sub(held, Ordering::Relaxed);
        }
        self.resolved.notify_waiters();
    }

    /// Hands everything back that is not settled, and closes. The broker puts it back in its order, all of it at once;
    /// with a cancel before, it would put back first what was under way, and only then what came before that.
    pub(super) async fn close(&self) {
        for intake in [&self.work, &self.suspects] {
            let _turn = intake.turn.lock().await;
            _ = answer("closing a channel", intake.channel.close(200, "done".into())).await;
        }
        self.end();
        _ = answer("closing", self.connection.close(200, "done".into())).await;
    }

    /// How many messages wait in the work queue.
    pub(super) async fn ready(&self, shared: &Shared) -> Result<u64, TransportError> {
        let channel = answer("opening a channel", self.connection.create_channel()).await?;
        let count = super::topology::count(&channel, &shared.names.work).await?;
        super::topology::close(&channel).await;
        Ok(count.unwrap_or(0).into())
    }

    fn intake(&self, origin: Origin) -> &Intake {
        match origin {
            Origin::Work => &self.work,
            Origin::Suspects => &self.suspects,
        }
    }

    fn window(&self, origin: Origin) -> MutexGuard<'_, Window> {
        self.intake(origin).window()
    }
}

impl Intake {
    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes an ack that stands for all up to a number, if there is one.
    async fn ack_up_to(&self, number: Option<u64>) {
        if let Some(number) = number {
            noted(self.ack(number, true).await);
            self.advanced.notify_waiters();
        }
    }

    async fn ack(&self, number: u64, multiple: bool) -> lapin::Result<()> {
        self.channel.basic_ack(number, BasicAckOptions { multiple }).await
    }
}

fn noted(written: lapin::Result<()>) {
    if let Err(error) = written {
        tracing::debug!(%error, "acks were not written: the messages come back");
    }
}

async fn intake(connection: &Connection, queue: &str, prefetch: u16) -> Result<(Intake, lapin::Consumer), NotOpened> {
    let channel = answer("opening a channel", connection.create_channel()).await?;
    answer("limiting what is fetched ahead", channel.basic_qos(prefetch, BasicQosOptions::default())).await?;
    let asked = channel.basic_consume(
        queue.into(),
        ShortString::default(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    );
    let stream = answer("consuming", async { Ok(asked.await) }).await?.map_err(|error| not_consumed(queue, &error))?;
    Ok((
        Intake { channel, window: Mutex::default(), turn: tokio::sync::Mutex::default(), advanced: Notify::new() },
        stream,
    ))
}

fn not_consumed(queue: &str, error: &lapin::Error) -> NotOpened {
    let failed = failure(&format!("consuming from the queue {queue}"), error);
    match error.kind() {
        ErrorKind::ProtocolError(error) if error.get_id() == NOT_FOUND => NotOpened::Missing(failed),
        _ => NotOpened::Failed(failed),
    }
}
