//! Tells how many dead letters there are, and the oldest, without keeping anybody from looking at them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::connection::Link;
use super::topology::{self, Count};
use super::wire;
use crate::{Glance, Message, TransportError};

/// How long the oldest letter is taken to be the same while no letter goes. To look at it is to take it for a moment.
const OLDEST_LASTS: Duration = Duration::from_secs(60);

/// How long what somebody holds who looks at the letters is taken to be there still. That is a second after the last look.
const HELD_LASTS: Duration = Duration::from_secs(60);

/// Glances at the queue, over a connection that is there for such questions anyway.
pub(super) struct Glances {
    looking: Arc<Link>,
    queue: String,
    last: Mutex<Option<Last>>,
}

/// What was seen last.
#[derive(Debug, Clone)]
struct Last {
    count: u64,
    oldest: Option<Message>,
    /// When the oldest was looked at.
    looked: Instant,
    /// When nobody else had any of them.
    counted: Instant,
}

impl Glances {
    pub(super) fn new(looking: Arc<Link>, queue: String) -> Self {
        Self { looking, queue, last: Mutex::default() }
    }

    pub(super) async fn glance(&self) -> Result<Glance, TransportError> {
        let mut last = self.last.lock().await;
        let channel = self.looking.throw_away_channel().await?;
        let Some(count) = topology::certain(&channel, &self.queue).await? else {
            *last = None;
            return Ok(Glance::default());
        };
        if count.consumers > 0 {
            topology::close(&channel).await;
            return seen_by_others(count, last.as_ref());
        }
        let count = count.messages.into();
        let known = last.take().filter(|last| count >= last.count && last.looked.elapsed() < OLDEST_LASTS);
        let (oldest, looked) = match known {
            Some(Last { oldest: Some(oldest), looked, .. }) if count > 0 => (Some(oldest), looked),
            _ if count > 0 => (self.oldest(&channel).await?, Instant::now()),
            _ => (None, Instant::now()),
        };
        topology::close(&channel).await;
        *last = Some(Last { count, oldest: oldest.clone(), looked, counted: Instant::now() });
        Ok(Glance { count, oldest })
    }

    async fn oldest(&self, channel: &lapin::Channel) -> Result<Option<Message>, TransportError> {
        let Some(taken) = topology::get(channel, &self.queue).await? else { return Ok(None) };
        let letter = wire::read_letter(&taken.properties, taken.data.clone());
        topology::put_back(&taken).await?;
        Ok(Some(letter))
    }
}

/// What somebody looks at is hidden from the count: as many are there as before, or more.
fn seen_by_others(count: Count, last: Option<&Last>) -> Result<Glance, TransportError> {
    match last.filter(|last| last.counted.elapsed() < HELD_LASTS) {
        Some(last) => Ok(Glance { count: last.count.max(count.messages.into()), oldest: last.oldest.clone() }),
        None => Err(TransportError::Unreachable("somebody else has dead letters in hand".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_somebody_looks_at_are_still_there() {
        let now = Instant::now();
        let last = Last { count: 7, oldest: Some(Message::default()), looked: now, counted: now };
        let count = |messages| Count { messages, consumers: 1 };
        let seen = |messages, last: Option<&Last>| seen_by_others(count(messages), last).map(|glance| glance.count);
        assert_eq!(seen(0, Some(&last)), Ok(7));
        assert_eq!(seen(9, Some(&last)), Ok(9));
        assert!(seen(0, None).is_err(), "never none");
    }
}
