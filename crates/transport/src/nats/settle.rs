//! Carries out verdicts: what takes an original's place is stored first, then many acks go at once and the last is answered.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Subject;
use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::{Instant, timeout};

use super::Shared;
use super::connection::Unanswered;
use super::consume::Consuming;
use super::held::Entry;
use super::intake::unix_ms;
use super::publish;
use super::topology::{self, Lane, Names};
use super::wire::{self, Outgoing};
use crate::{Replacement, Settler, Tag, TransportError, Verdict};

const DONE: Bytes = Bytes::from_static(b"+ACK");
const BACK: Bytes = Bytes::from_static(b"-NAK");
const WORKING: Bytes = Bytes::from_static(b"+WPI");

/// Settles the deliveries of one consumer.
pub(super) struct Settling {
    pub(super) consuming: Arc<Consuming>,
}

#[async_trait]
impl Settler for Settling {
    async fn settle(&self, verdicts: &[(Tag, Verdict)]) -> Result<Vec<Tag>, TransportError> {
        let consuming = &self.consuming;
        let plan = Plan::make(consuming, verdicts).await?;
        let oversized = plan.oversized.clone();
        consuming.held.forsake(oversized.iter().map(|tag| tag.0));
        if plan.jobs.is_empty() {
            plan.carry_out(consuming).await?;
        } else {
            // Whoever waits for this may stop waiting: then there still are the original or all of its copies.
            let going_on = GoingOn::begin(consuming);
            let work = tokio::spawn(async move { plan.carry_out(&going_on.0).await });
            work.await.map_err(|error| TransportError::Unreachable(format!("settling died: {error}")))??;
        }
        Ok(oversized)
    }

    fn connected(&self) -> bool {
        self.consuming.is_connected()
    }

    fn interruptions(&self) -> u64 {
        self.consuming.shared.link.interruptions()
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        self.consuming.abandon();
    }
}

/// Counts a settle that is going on.
struct GoingOn(Arc<Consuming>);

impl GoingOn {
    fn begin(consuming: &Arc<Consuming>) -> Self {
        consuming.settling.send_modify(|count| *count += 1);
        Self(Arc::clone(consuming))
    }
}

impl Drop for GoingOn {
    fn drop(&mut self) {
        self.0.settling.send_modify(|count| *count -= 1);
    }
}

/// Something to tell the server about a delivery.
struct Word {
    tag: u128,
    lane: Lane,
    reply: Subject,
    what: Bytes,
}

/// A delivery whose place is taken by copies.
struct Job {
    done: Word,
    copies: Vec<Outgoing>,
}

/// What is to be done about deliveries that are still held.
#[derive(Default)]
pub(super) struct Plan {
    /// What needs no copies.
    words: Vec<Word>,
    jobs: Vec<Job>,
    /// Those with a copy that is larger than the server takes.
    oversized: Vec<Tag>,
}

impl Plan {
    async fn make(consuming: &Consuming, verdicts: &[(Tag, Verdict)]) -> Result<Self, TransportError> {
        let max = consuming.shared.link.payload_max().await?;
        let (now, now_ms) = (Instant::now(), unix_ms());
        let mut plan = Self::default();
        plan.words.reserve(verdicts.len());
        consuming.held.look(verdicts.iter().map(|(tag, _)| tag.0), |index, tag, entry| {
            // Somebody else may have it by now. That it is done is true all the same.
            let late = now.duration_since(entry.since) >= consuming.ack_wait;
            if !late || verdicts[index].1 == Verdict::Ack {
                plan.add(&consuming.shared.names, max, now_ms, tag, entry, &verdicts[index].1);
            }
        });
        Ok(plan)
    }

    fn add(&mut self, names: &Names, max: usize, now_ms: u64, tag: u128, entry: &Entry, verdict: &Verdict) {
        let word = |what| Word { tag, lane: entry.lane, reply: entry.reply.clone(), what };
        let copies = match verdict {
            Verdict::Ack => return self.words.push(word(DONE)),
            Verdict::Replace(copies) => {
                let copied = |(shared, copy)| fitting(copied(names, entry, shared, copy, now_ms), copy, max);
                copies.iter().enumerate().map(copied).collect()
            }
            Verdict::Release => vec![released(names, entry)],
        };
        match verdict {
            _ if copies.iter().all(|copy| copy.size() <= max) => self.jobs.push(Job { done: word(DONE), copies }),
            // It goes back as it is, and then counts as handed out once more.
            Verdict::Release => self.words.push(word(BACK)),
            _ => self.oversized.push(Tag(tag)),
        }
    }

    /// The plan that moves a delivery aside, with how often it was handed out before.
    pub(super) fn aside(consuming: &Consuming, tag: Tag, before: u32, max: usize) -> Option<Self> {
        let mut plan = Self::default();
        consuming.held.look(std::iter::once(tag.0), |_, tag, entry| {
            let names = &consuming.shared.names;
            let message = wire::message(entry.headers.as_ref(), entry.payload.clone());
            let id = format!("{}:s", entry.reply);
            let copy = Outgoing::copy(names.suspects.as_str().into(), &message, &id).handed_out(before);
            let done = Word { tag, lane: entry.lane, reply: entry.reply.clone(), what: DONE };
            plan.jobs.push(Job { done, copies: vec![copy] });
        });
        plan.jobs.iter().all(|job| job.copies.iter().all(|copy| copy.size() <= max)).then_some(plan)
    }

    /// Does it all; an error says that something of it was not heard, or not as far as is known.
    pub(super) async fn carry_out(self, consuming: &Consuming) -> Result<(), TransportError> {
        let Self { words, jobs, .. } = self;
        let (mut done, copies): (Vec<_>, Vec<_>) = jobs.into_iter().map(|job| (job.done, job.copies)).unzip();
        let counts: Vec<_> = copies.iter().map(Vec::len).collect();
        let stored = publish::store_copies(&consuming.shared, copies.into_iter().flatten().collect()).await;
        let mut stored = stored.into_iter();
        let mut failed = None;
        let mut counts = counts.into_iter();
        // An original goes only when all of its copies are there.
        done.retain(|_| {
            let results: Vec<_> = stored.by_ref().take(counts.next().unwrap_or(0)).collect();
            let error = results.into_iter().find_map(Result::err);
            let all = error.is_none();
            failed = failed.take().or(error);
            all
        });
        done.extend(words);
        tell(consuming, &done).await?;
        consuming.held.let_go(done.iter().map(|word| word.tag));
        failed.map_or(Ok(()), Err)
    }
}

/// A dead letter without any header is what was published, and goes without an identifier of its own where there is no room
/// for it.
fn fitting(outgoing: Outgoing, copy: &Replacement, max: usize) -> Outgoing {
    let is_bare = copy.message.headers.as_slice().is_empty() && copy.to == crate::Destination::DeadLetters;
    if is_bare && outgoing.size() > max { Outgoing { headers: None, ..outgoing } } else { outgoing }
}

fn copied(names: &Names, entry: &Entry, index: usize, copy: &Replacement, now_ms: u64) -> Outgoing {
    let id = format!("{}:{index}", entry.reply);
    match copy.to {
        crate::Destination::DeadLetters => Outgoing::copy(names.dead.as_str().into(), &copy.message, &id),
        crate::Destination::Later(delay) => {
            let due = now_ms.saturating_add(milliseconds(delay));
            Outgoing::copy(names.parked.as_str().into(), &copy.message, &id).due_at(due)
        }
    }
}

/// A copy for this consumer alone that is due at once: the server would count what goes back as handed out.
fn released(names: &Names, entry: &Entry) -> Outgoing {
    let message = wire::message(entry.headers.as_ref(), entry.payload.clone());
    Outgoing::copy(names.parked.as_str().into(), &message, &format!("{}:r", entry.reply))
}

/// A delay in whole milliseconds, rounded up so that nothing comes early.
fn milliseconds(delay: Duration) -> u64 {
    u64::try_from(delay.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// Tells the server something about deliveries; returns when it has answered for all of them.
async fn tell(consuming: &Consuming, words: &[Word]) -> Result<(), TransportError> {
    let answered = tell_all(&consuming.shared, words).await;
    if answered.is_err() {
        consuming.doubt.notify_waiters();
    }
    answered
}

/// The server takes what one connection says in its order: when it answers the last, it has heard all. Each consumer
/// answers for itself.
async fn tell_all(shared: &Shared, words: &[Word]) -> Result<(), TransportError> {
    if words.is_empty() {
        return Ok(());
    }
    let client = shared.link.client().await?;
    let asked = Instant::now();
    let connection = shared.link.connection();
    let mut last: [Option<&Word>; 3] = [None; 3];
    let telling = async {
        for word in words {
            if let Some(earlier) = last[word.lane as usize].replace(word) {
                let answered = client.publish(earlier.reply.clone(), earlier.what.clone()).await;
                answered.map_err(|error| shared.link.unreachable(error))?;
            }
        }
        Ok(())
    };
    // The driver keeps only so much to say while it is not connected.
    timeout(*shared.config.publish_timeout, telling).await.unwrap_or_else(|_| Err(shared.link.silence(asked)))?;
    for word in last.into_iter().flatten() {
        let answer = shared.link.ask(word.reply.clone(), None, word.what.clone()).await;
        answer.map_err(|error| unheard(shared, word.lane, error))?;
    }
    // The last word may have gone over another connection than those before it.
    match shared.link.connection() == connection {
        true => Ok(()),
        false => Err(shared.link.unreachable("the connection was lost")),
    }
}

fn unheard(shared: &Shared, lane: Lane, error: Unanswered) -> TransportError {
    match error {
        Unanswered::Other(error) => error,
        Unanswered::NoResponders => shared.link.unreachable(format!(
            "consumer {} of stream {} is not there to be told",
            shared.names.consumer_of(lane),
            shared.names.stream_of(lane)
        )),
    }
}

/// Hands deliveries back at once.
pub(super) async fn hand_back(shared: &Shared, entries: Vec<Entry>) -> Result<(), TransportError> {
    for lane in Lane::ALL {
        // Asked about a consumer, the server forgets requests that nobody waits for any more. At least 2.9.10 loses count
        // when something goes back while there are such: it hands out one message twice and another only after `ack_wait`.
        if entries.iter().any(|entry| entry.lane == lane) {
            topology::consumer_info(shared, lane).await?;
        }
    }
    let back = entries.into_iter().map(|Entry { lane, reply, .. }| Word { tag: 0, lane, reply, what: BACK });
    tell_all(shared, &back.collect::<Vec<_>>()).await
}

/// Says of deliveries that they are still worked on.
pub(super) async fn say_working(consuming: &Consuming, entries: Vec<(u128, Entry)>) -> Result<(), TransportError> {
    let working =
        entries.into_iter().map(|(tag, entry)| Word { tag, lane: entry.lane, reply: entry.reply, what: WORKING });
    tell(consuming, &working.collect::<Vec<_>>()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_never_shortened() {
        let cases = [(0, 0), (1, 1), (1_000_000, 1), (1_000_001, 2), (1_500_000_000, 1500)];
        for (nanoseconds, expected) in cases {
            assert_eq!(milliseconds(Duration::from_nanos(nanoseconds)), expected);
        }
        assert_eq!(milliseconds(Duration::MAX), u64::MAX);
    }
}
