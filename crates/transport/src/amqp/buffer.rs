//! Keeps what was fetched until somebody receives it: batches of the work queue, suspects one by one.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::{Delivery, TransportError};

/// Filled by one, emptied by one other.
#[derive(Default)]
pub(super) struct Buffer {
    content: Mutex<Content>,
    /// Rings when something came.
    arrived: Notify,
    /// Rings when somebody has been told an error.
    notified: Notify,
}

#[derive(Default)]
struct Content {
    work: VecDeque<Delivery>,
    suspects: VecDeque<Delivery>,
    error: Option<TransportError>,
    /// Whether a suspect was handed out last: then it is the others' turn.
    suspect_last: bool,
    over: bool,
}

/// What may be received at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Nothing,
    /// A suspect, or an error: no waiting helps.
    Now,
    /// So many deliveries.
    Work(usize),
}

impl Buffer {
    /// Takes deliveries of the work queue in.
    pub(super) fn add(&self, deliveries: impl IntoIterator<Item = Delivery>) {
        self.content().work.extend(deliveries);
        self.arrived.notify_one();
    }

    /// Takes a suspect in.
    pub(super) fn add_suspects(&self, deliveries: impl IntoIterator<Item = Delivery>) {
        self.content().suspects.extend(deliveries);
        self.arrived.notify_one();
    }

    /// Leaves an error for whoever receives next.
    pub(super) fn fail(&self, error: TransportError) {
        self.content().error = Some(error);
        self.arrived.notify_one();
    }

    /// Says that nothing comes any more.
    pub(super) fn end(&self) {
        self.content().over = true;
        self.arrived.notify_one();
    }

    /// Waits until an error was told.
    pub(super) async fn notified(&self) {
        self.notified.notified().await;
    }

    /// Waits until something came.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// What may be received.
    pub(super) fn next(&self) -> Next {
        let content = self.content();
        if content.error.is_some() || content.over || content.is_suspects_turn() {
            return Next::Now;
        }
        match content.work.len() {
            0 => Next::Nothing,
            length => Next::Work(length),
        }
    }

    /// The next batch: a suspect alone, or up to so many others.
    pub(super) fn take(&self, max: usize) -> Result<Vec<Delivery>, TransportError> {
        let mut content = self.content();
        if let Some(error) = content.error.take() {
            self.notified.notify_one();
            return Err(error);
        }
        if content.is_suspects_turn() {
            content.suspect_last = true;
            return Ok(content.suspects.pop_front().into_iter().collect());
        }
        content.suspect_last = false;
        if content.work.is_empty() && content.over {
            return Err(TransportError::Unreachable("receiving: the consumer has ended".into()));
        }
        let count = max.min(content.work.len());
        Ok(content.work.drain(..count).collect())
    }

    /// Takes everything out.
    pub(super) fn clear(&self) -> Vec<Delivery> {
        let mut content = self.content();
        let mut all: Vec<_> = std::mem::take(&mut content.work).into();
        all.extend(content.suspects.drain(..));
        all
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    fn is_suspects_turn(&self) -> bool {
        !self.suspects.is_empty() && (self.work.is_empty() || !self.suspect_last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Message, Tag};

    fn delivery(number: u128) -> Delivery {
        Delivery { tag: Tag(number), broker_id: String::new(), message: Message::default(), deliveries: 1 }
    }

    fn tags(buffer: &Buffer, max: usize) -> Vec<u128> {
        buffer.take(max).unwrap().iter().map(|delivery| delivery.tag.0).collect()
    }

    #[test]
    fn suspects_come_alone_and_starve_nobody() {
        let buffer = Buffer::default();
        buffer.add((1..=3).map(delivery));
        buffer.add_suspects((11..=13).map(delivery));
        let batches: Vec<_> = (0..5).map(|_| tags(&buffer, 2)).collect();
        assert_eq!(batches, [vec![11], vec![1, 2], vec![12], vec![3], vec![13]]);
        assert_eq!(buffer.next(), Next::Nothing);
    }

    #[test]
    fn an_error_is_told_once_and_keeps_nothing_back() {
        let buffer = Buffer::default();
        buffer.add([delivery(1)]);
        buffer.fail(TransportError::Refused("no right".into()));
        assert_eq!(buffer.next(), Next::Now);
        assert_eq!(buffer.take(1), Err(TransportError::Refused("no right".into())));
        assert_eq!(buffer.next(), Next::Work(1));
        assert_eq!(tags(&buffer, 1), [1]);
        buffer.end();
        assert!(matches!(buffer.take(1), Err(TransportError::Unreachable(_))));
    }
}
