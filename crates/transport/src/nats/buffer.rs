//! Keeps what was fetched until it is received, and forms batches of it.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::topology::Lane;
use crate::linger::goes_at_once;
use crate::{Delivery, TransportError};

/// How long a batch waits for deliveries that the server has said are on their way. They follow each other within
/// microseconds, unless another worker gets them.
const GATHER: Duration = Duration::from_millis(5);

/// What was fetched and not received. Nothing in here is ever waited for while it is locked.
#[derive(Default)]
pub(super) struct Buffer {
    state: Mutex<State>,
    arrived: Notify,
    /// Rings when something was taken out: there is room for more.
    pub(super) taken: Notify,
}

#[derive(Default)]
struct State {
    /// What comes in company, each with the lane that it came by.
    ready: VecDeque<(Lane, Delivery)>,
    /// How many of each lane these are.
    waiting: [usize; 3],
    /// How many bytes their payloads have.
    bytes: usize,
    /// What comes alone.
    alone: VecDeque<Delivery>,
    /// Whether one that comes alone was the last that was received, so that neither kind starves the other.
    alone_was_last: bool,
    /// Until when more is expected.
    more_until: Option<Instant>,
    /// Why nothing can come at present.
    problem: Option<TransportError>,
    /// Whether that is still so.
    broken: [bool; 3],
}

/// What there is to receive.
enum There {
    Nothing,
    Company,
    Alone(Delivery),
    Problem(TransportError),
}

impl Buffer {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes fetched deliveries in; `more` says whether the server has others on their way.
    pub(super) fn add(&self, lane: Lane, fetched: Vec<Delivery>, more: bool) {
        let mut state = self.state();
        state.waiting[lane as usize] += fetched.len();
        state.bytes += fetched.iter().map(|delivery| delivery.message.payload.len()).sum::<usize>();
        state.ready.extend(fetched.into_iter().map(|delivery| (lane, delivery)));
        state.more_until = more.then(|| Instant::now() + GATHER);
        drop(state);
        self.arrived.notify_one();
    }

    /// Takes in what must be received alone.
    pub(super) fn add_alone(&self, fetched: impl IntoIterator<Item = Delivery>) {
        self.state().alone.extend(fetched);
        self.arrived.notify_one();
    }

    /// How much of a lane waits to be received.
    pub(super) fn waiting(&self, lane: Lane) -> usize {
        let state = self.state();
        match lane {
            Lane::Suspects => state.alone.len(),
            lane => state.waiting[lane as usize],
        }
    }

    /// How many bytes wait to be received in company.
    pub(super) fn bytes(&self) -> usize {
        self.state().bytes
    }

    /// Says why a lane brings nothing; whoever receives is told once.
    pub(super) fn fail(&self, lane: Lane, problem: TransportError) {
        let mut state = self.state();
        state.broken[lane as usize] = true;
        state.problem = Some(problem);
        drop(state);
        self.arrived.notify_one();
    }

    /// Says that a lane works again.
    pub(super) fn mend(&self, lane: Lane) {
        let mut state = self.state();
        state.broken[lane as usize] = false;
        if state.broken == [false; 3] {
            state.problem = None;
        }
    }

    /// Whether every lane works.
    pub(super) fn is_whole(&self) -> bool {
        self.state().broken == [false; 3]
    }

    /// Drops what a consumer brought that is not there any more.
    pub(super) fn clear(&self, lane: Lane) {
        let mut state = self.state();
        match lane {
            Lane::Suspects => state.alone.clear(),
            _ => {
                state.ready.retain(|(from, _)| *from != lane);
                state.waiting[lane as usize] = 0;
                state.bytes = state.ready.iter().map(|(_, delivery)| delivery.message.payload.len()).sum();
            }
        }
    }

    /// Waits for deliveries: up to `max` of those that come in company, or one that comes alone. May be dropped at any
    /// moment, as nothing is taken out before the last wait is over. `held` says how many are fetched and not settled.
    pub(super) async fn next(
        &self,
        max: usize,
        linger: Duration,
        held: impl Fn() -> usize,
    ) -> Result<Vec<Delivery>, TransportError> {
        loop {
            let mut arrived = pin!(self.arrived.notified());
            arrived.as_mut().enable();
            match self.look() {
                There::Nothing => arrived.await,
                There::Alone(delivery) => {
                    self.taken.notify_waiters();
                    return Ok(vec![delivery]);
                }
                There::Problem(problem) => return Err(problem),
                There::Company => break,
            }
        }
        self.fill(max, linger, held).await;
        Ok(self.take(max))
    }

    fn look(&self) -> There {
        let mut state = self.state();
        let alone_first = state.ready.is_empty() || !state.alone_was_last;
        if alone_first && let Some(delivery) = state.alone.pop_front() {
            state.alone_was_last = true;
            return There::Alone(delivery);
        }
        if !state.ready.is_empty() {
            return There::Company;
        }
        state.problem.take().map_or(There::Nothing, There::Problem)
    }

    /// Waits until a batch is full, or as long as it may wait and nothing is on its way.
    async fn fill(&self, max: usize, linger: Duration, held: impl Fn() -> usize) {
        let end = Instant::now() + linger;
        loop {
            let mut arrived = pin!(self.arrived.notified());
            arrived.as_mut().enable();
            let (waiting, more_until) = {
                let state = self.state();
                (state.ready.len(), state.more_until)
            };
            let at_once = more_until.is_none() && goes_at_once(linger, waiting, held());
            if waiting >= max || at_once {
                return;
            }
            let until = more_until.map_or(end, |more| more.max(end));
            if timeout_at(until, arrived).await.is_err() {
                return;
            }
        }
    }

    fn take(&self, max: usize) -> Vec<Delivery> {
        let mut state = self.state();
        let State { ready, waiting, bytes, .. } = &mut *state;
        let count = ready.len().min(max);
        let each = |(lane, delivery): (Lane, Delivery)| {
            waiting[lane as usize] -= 1;
            *bytes -= delivery.message.payload.len();
            delivery
        };
        let batch = ready.drain(..count).map(each).collect();
        state.alone_was_last = false;
        drop(state);
        self.taken.notify_waiters();
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tag;

    fn deliveries(tags: std::ops::Range<u128>) -> Vec<Delivery> {
        let new =
            |tag| Delivery { tag: Tag(tag), broker_id: String::new(), message: Default::default(), deliveries: 1 };
        tags.map(new).collect()
    }

    async fn tags(buffer: &Buffer, max: usize) -> Vec<u128> {
        buffer.next(max, Duration::ZERO, || 0).await.unwrap().into_iter().map(|delivery| delivery.tag.0).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn batches_are_bounded_and_neither_kind_starves() {
        let buffer = Buffer::default();
        buffer.add(Lane::Work, deliveries(0..3), false);
        buffer.add_alone(deliveries(10..12));
        let mut received = Vec::new();
        for _ in 0..4 {
            received.push(tags(&buffer, 2).await);
        }
        assert_eq!(received, [vec![10], vec![0, 1], vec![11], vec![2]]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_waits_for_what_is_on_its_way() {
        let buffer = Buffer::default();
        buffer.add(Lane::Work, deliveries(0..1), true);
        let adding = async {
            tokio::time::sleep(GATHER / 2).await;
            buffer.add(Lane::Work, deliveries(1..2), false);
        };
        let (batch, ()) = tokio::join!(tags(&buffer, 8), adding);
        assert_eq!(batch, [0, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn without_linger_a_batch_waits_only_while_others_are_worked_on() {
        let buffer = Buffer::default();
        let started = Instant::now();
        for (held, waits) in [(2, false), (3, true)] {
            // Between two ticks of the clock.
            tokio::time::advance(Duration::from_micros(300)).await;
            buffer.add(Lane::Work, deliveries(0..2), false);
            let before = started.elapsed();
            assert_eq!(buffer.next(8, Duration::ZERO, || held).await.unwrap().len(), 2);
            assert_eq!(started.elapsed() > before, waits, "{held} are held");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_problem_is_told_once_and_not_before_what_there_is() {
        let buffer = Buffer::default();
        buffer.add(Lane::Work, deliveries(0..1), false);
        buffer.fail(Lane::Work, TransportError::Refused("no".into()));
        assert_eq!(tags(&buffer, 8).await, [0]);
        assert!(buffer.next(8, Duration::ZERO, || 0).await.is_err());
        assert!(!buffer.is_whole());
        buffer.mend(Lane::Work);
        assert!(buffer.is_whole());
        let waiting = tokio::time::timeout(Duration::from_secs(1), buffer.next(8, Duration::ZERO, || 0)).await;
        assert!(waiting.is_err(), "nothing is there, and that is no problem");
    }
}
