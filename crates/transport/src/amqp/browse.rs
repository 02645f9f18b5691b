//! Browses a queue: takes messages without acking them, and gives them back in their order.
//!
//! The protocol knows no looking without taking. What one session holds is hidden from others, hence the lock, and
//! sessions are short.
//!
//! A quorum queue hands out first what was given back to it, in the order in which that came back. So whoever gives back
//! some of it has to take the rest as well and give back all, or the rest would come first from then on. And it forgets
//! the order within one return of more than [`RETURN_MAX`], and among more than as many consumers.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use futures_util::future::{FutureExt, try_join_all};
use futures_util::stream::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Connection};
use rustc_hash::{FxHashMap, FxHashSet};
use tokio::time::{sleep, timeout};

use super::connection::{Server, answer, failure};
use super::letter_id::{self, Order, Twins};
use super::topology::{self, Names};
use super::wire;
use crate::{LetterId, Message, TransportError};

/// How many messages one consumer takes at most; the broker allows 2,000.
const WINDOW: usize = 1000;

/// How many the first consumer of a session takes, where no more are asked for.
const FIRST_WINDOW: usize = 16;

/// How many acks are written at once.
const ACKS: usize = 256;

/// How many messages may return at once without losing their order.
const RETURN_MAX: usize = 32;

/// How many returns may be on their way; from 32 commands on, the broker lets them wait and joins them.
const RETURNS: usize = 16;

/// How many bytes of messages are kept that were taken and are not shown yet.
const AHEAD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How long to wait for a message that should be there; somebody else may have removed it.
const STALL_LIMIT: Duration = Duration::from_secs(3);

/// How long to wait for somebody else's session to end.
const LOCK_LIMIT: Duration = Duration::from_secs(10);

/// How often to look whether it has.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// How long messages may take to return to the queue.
const RETURN_LIMIT: Duration = Duration::from_secs(3);

/// How often to look whether they have.
const RETURN_PAUSE: Duration = Duration::from_millis(2);

/// A look at the queue of dead letters, from its head to wherever it has got.
pub(super) struct Session {
    connection: Connection,
    queue: String,
    /// Where it takes messages.
    channel: Channel,
    /// Where it asks for counts.
    control: Channel,
    /// The delivery tag of each letter that it holds.
    tags: FxHashMap<LetterId, u64>,
    /// The same tags in the order of the queue.
    held: BTreeSet<u64>,
    /// The last tag of each consumer.
    windows: Vec<u64>,
    twins: Twins,
    /// Taken and not shown yet.
    ahead: VecDeque<(LetterId, Message)>,
    ahead_bytes: usize,
    /// Whether some that were taken behind those are not kept.
    blind: bool,
    /// Whether the last one taken was given back before, so that more of these may follow.
    returned: bool,
    /// The last letter that was shown; the next comes after it.
    pub(super) front: Option<LetterId>,
    /// When it was last used.
    pub(super) touched: Instant,
}

impl Session {
    /// Begins at the head of the queue; nothing if there is no such queue.
    pub(super) async fn open(server: &Server, names: &Names) -> Result<Option<Self>, TransportError> {
        let connection = server.connect("browsing").await?;
        let control = lock(&connection, &names.lock).await?;
        if topology::count(&control, &names.dead).await?.is_none() {
            return Ok(None);
        }
        let channel = new_channel(&connection).await?;
        Ok(Some(Self {
            connection,
            queue: names.dead.clone(),
            channel,
            control,
            tags: FxHashMap::default(),
            held: BTreeSet::new(),
            windows: Vec::new(),
            twins: Twins::default(),
            ahead: VecDeque::new(),
            ahead_bytes: 0,
            blind: false,
            returned: false,
            front: None,
            touched: Instant::now(),
        }))
    }

    /// How many letters are hidden from others.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// The next letters; fewer than asked for are all that there are. Should this process end now, what it holds returns
    /// in order, because all that was given back before is taken as well.
    pub(super) async fn read(&mut self, max: usize) -> Result<Vec<(LetterId, Message)>, TransportError> {
        let mut letters = self.next(max).await?;
        self.take_returned(max - letters.len()).await?;
        letters.extend(self.show(max - letters.len()));
        Ok(letters)
    }

    async fn next(&mut self, max: usize) -> Result<Vec<(LetterId, Message)>, TransportError> {
        let mut letters = self.fetch(max).await?;
        while letters.len() < max && self.blind {
            // What follows was taken and not kept: it is taken again.
            let front = self.front.clone();
            self.rewind().await?;
            self.skip_behind(front.as_ref()).await?;
            letters.extend(self.fetch(max - letters.len()).await?);
        }
        Ok(letters)
    }

    /// The next letters, up to the first that was not kept.
    async fn fetch(&mut self, max: usize) -> Result<Vec<(LetterId, Message)>, TransportError> {
        while self.ahead.len() < max && !self.blind {
            let missing = max - self.ahead.len();
            // More each time, or a long queue that is read in small pages would have too many consumers.
            let window = FIRST_WINDOW << self.windows.len().min(8);
            if !self.take(missing.max(window).min(WINDOW), missing).await? {
                break;
            }
        }
        Ok(self.show(max))
    }

    /// Takes all that was given back before.
    async fn take_returned(&mut self, needed: usize) -> Result<(), TransportError> {
        while self.returned && self.take(WINDOW, needed).await? {}
        Ok(())
    }

    fn show(&mut self, max: usize) -> Vec<(LetterId, Message)> {
        let shown: Vec<_> = self.ahead.drain(..max.min(self.ahead.len())).collect();
        self.ahead_bytes -= shown.iter().map(|(_, letter)| wire::size(letter)).sum::<usize>();
        if let Some((id, _)) = shown.last() {
            self.front = Some(id.clone());
        }
        shown
    }

    /// Puts the session behind a letter, which need not be there any more.
    pub(super) async fn seek(&mut self, after: &LetterId, order: &Order) -> Result<(), TransportError> {
        if order.knows(after) {
            return self.skip_until(|id| order.is_after(id, after)).await.map(drop);
        }
        if self.skip_behind(Some(after)).await? {
            return Ok(());
        }
        // It is gone, and nobody has seen where it was: names ascend, so they say where it would be.
        self.rewind().await?;
        self.skip_until(|id| id > after).await.map(drop)
    }

    /// Puts the session behind a letter; says whether it is there.
    async fn skip_behind(&mut self, after: Option<&LetterId>) -> Result<bool, TransportError> {
        let Some(after) = after else { return Ok(true) };
        let mut found = false;
        let behind = |id: &LetterId| {
            let behind = found;
            found |= id == after;
            behind
        };
        self.skip_until(behind).await?;
        Ok(found)
    }

    /// Reads up to the first letter that is wanted, which is the next to be shown.
    async fn skip_until(&mut self, mut wanted: impl FnMut(&LetterId) -> bool) -> Result<(), TransportError> {
        loop {
            let letters = self.fetch(WINDOW).await?;
            let index = letters.iter().position(|(id, _)| wanted(id));
            if let Some(index) = index {
                self.unread(letters, index);
                return Ok(());
            }
            if letters.len() < WINDOW {
                return Ok(());
            }
        }
    }

    /// Puts letters that were read back to be shown next, from a place on.
    fn unread(&mut self, mut letters: Vec<(LetterId, Message)>, index: usize) {
        let rest = letters.split_off(index);
        self.front = letters.pop().map(|(id, _)| id);
        self.ahead_bytes += rest.iter().map(|(_, letter)| wire::size(letter)).sum::<usize>();
        let mut ahead = VecDeque::from(rest);
        ahead.append(&mut self.ahead);
        self.ahead = ahead;
    }

    /// Removes those letters that it holds from the queue, and from the set; says how many they were.
    pub(super) async fn remove(&mut self, wanted: &mut FxHashSet<LetterId>) -> Result<u64, TransportError> {
        let mut tags: BTreeSet<u64> = BTreeSet::new();
        wanted.retain(|id| match self.tags.remove(id) {
            Some(tag) => !tags.insert(tag),
            None => true,
        });
        if tags.is_empty() {
            return Ok(0);
        }
        let kept = &self.tags;
        self.ahead.retain(|(id, _)| kept.contains_key(id));
        self.ahead_bytes = self.ahead.iter().map(|(_, letter)| wire::size(letter)).sum();
        self.ack(&tags).await?;
        Ok(tags.len() as u64)
    }

    async fn ack(&mut self, tags: &BTreeSet<u64>) -> Result<(), TransportError> {
        // One ack stands for all up to the first that stays.
        let stays = self.held.iter().find(|tag| !tags.contains(tag)).copied().unwrap_or(u64::MAX);
        if let Some(last) = tags.range(..stays).next_back() {
            answer("removing dead letters", self.channel.basic_ack(*last, BasicAckOptions { multiple: true })).await?;
        }
        let singly: Vec<_> = tags.range(stays..).copied().collect();
        for window in singly.chunks(ACKS) {
            let acks = window.iter().map(|tag| self.channel.basic_ack(*tag, BasicAckOptions::default()));
            answer("removing dead letters", try_join_all(acks)).await?;
        }
        self.held.retain(|tag| !tags.contains(tag));
        // Nothing answers acks; what is asked after them on the same channel is answered after them.
        topology::count(&self.channel, &self.queue).await.map(drop)
    }

    /// Gives everything back and begins at the head again.
    pub(super) async fn rewind(&mut self) -> Result<(), TransportError> {
        (self.ahead, self.ahead_bytes, self.blind) = (VecDeque::new(), 0, true);
        self.take_returned(0).await?;
        self.give_back().await?;
        (self.tags, self.held, self.windows, self.twins) = Default::default();
        (self.blind, self.returned, self.front) = (false, false, None);
        Ok(())
    }

    /// Waits until everything is back: who looks before sees a part of the queue. And until some of it is before more is
    /// given back: where much waits, the broker's own queue of commands makes one return of several.
    async fn give_back(&self) -> Result<(), TransportError> {
        let (groups, mut back) = (self.groups(), self.ready().await?);
        let (first, rest) = groups.split_at(groups.len().min(1));
        let mut waits = true;
        for some in first.chunks(1).chain(rest.chunks(RETURNS)) {
            let options = BasicNackOptions { multiple: true, requeue: true };
            let nacks = some.iter().map(|(last, _)| self.channel.basic_nack(*last, options));
            answer("giving back dead letters", try_join_all(nacks)).await?;
            back += some.iter().map(|(_, letters)| letters).sum::<usize>();
            waits = waits && self.is_back(back).await?;
        }
        Ok(())
    }

    /// What returns at once: the last tag and how many, none from two consumers.
    fn groups(&self) -> Vec<(u64, usize)> {
        let mut first = 0;
        let mut groups = Vec::new();
        for last in &self.windows {
            let window: Vec<_> = self.held.range(first..=*last).copied().collect();
            groups.extend(window.chunks(RETURN_MAX).filter_map(|group| Some((*group.last()?, group.len()))));
            first = last + 1;
        }
        groups
    }

    /// Whether so many are in the queue, within a limit: others may take some of them meanwhile.
    async fn is_back(&self, expected: usize) -> Result<bool, TransportError> {
        let start = Instant::now();
        while self.ready().await? < expected {
            if start.elapsed() > RETURN_LIMIT {
                return Ok(false);
            }
            sleep(RETURN_PAUSE).await;
        }
        Ok(true)
    }

    /// Ends it; everything that it held is with the queue again.
    pub(super) async fn end(mut self) -> Result<(), TransportError> {
        self.rewind().await?;
        answer("closing a connection", self.connection.close(200, "done".into())).await
    }

    /// How many letters nobody has taken.
    pub(super) async fn ready(&self) -> Result<usize, TransportError> {
        let count = topology::certain(&self.control, &self.queue).await?;
        Ok(count.map_or(0, |count| usize::try_from(count.messages).unwrap_or(usize::MAX)))
    }

    /// Takes some from the head, and keeps them if they are needed or few; says whether there were any.
    async fn take(&mut self, count: usize, needed: usize) -> Result<bool, TransportError> {
        // The broker does not say when a queue has ended, so no more are asked for than there are.
        let expected = self.ready().await?.min(count);
        if expected == 0 {
            self.returned = false;
            return Ok(false);
        }
        let deliveries = self.consume(expected).await?;
        let Some(last) = deliveries.last() else { return Ok(false) };
        self.returned = last.redelivered;
        self.windows.push(last.delivery_tag);
        let needed = self.ahead.len() + needed;
        for delivery in deliveries {
            self.keep(delivery, needed);
        }
        Ok(true)
    }

    /// Takes with a consumer that takes no more than so many; their names ascend as the letters do.
    async fn consume(&self, count: usize) -> Result<Vec<Delivery>, TransportError> {
        const OPERATION: &str = "reading dead letters";
        let prefetch = u16::try_from(count).unwrap_or(u16::MAX);
        answer(OPERATION, self.channel.basic_qos(prefetch, BasicQosOptions::default())).await?;
        let name = format!("browse-{:08}", self.windows.len());
        let (queue, options) = (self.queue.as_str().into(), BasicConsumeOptions::default());
        let consuming = self.channel.basic_consume(queue, name.as_str().into(), options, FieldTable::default());
        let mut consumer = answer(OPERATION, consuming).await?;
        let mut deliveries = Vec::with_capacity(count);
        while deliveries.len() < count {
            match timeout(STALL_LIMIT, consumer.next()).await {
                Ok(Some(Ok(delivery))) => deliveries.push(delivery),
                Ok(Some(Err(error))) => return Err(failure(OPERATION, &error)),
                Ok(None) => return Err(TransportError::Unreachable(format!("{OPERATION}: the queue was deleted"))),
                Err(_) => break,
            }
        }
        answer(OPERATION, self.channel.basic_cancel(name.as_str().into(), BasicCancelOptions::default())).await?;
        // What came too late came before the cancelling was answered.
        while let Some(Some(Ok(delivery))) = consumer.next().now_or_never() {
            deliveries.push(delivery);
        }
        Ok(deliveries)
    }

    fn keep(&mut self, delivery: Delivery, needed: usize) {
        let id = self.twins.distinct(letter_id::of(&delivery.properties, &delivery.data));
        self.tags.insert(id.clone(), delivery.delivery_tag);
        self.held.insert(delivery.delivery_tag);
        self.blind |= self.ahead_bytes > AHEAD_BYTES_MAX && self.ahead.len() >= needed;
        if !self.blind {
            let letter = wire::read_letter(&delivery.properties, delivery.data);
            self.ahead_bytes += wire::size(&letter);
            self.ahead.push_back((id, letter));
        }
    }
}

async fn new_channel(connection: &Connection) -> Result<Channel, TransportError> {
    answer("opening a channel", connection.create_channel()).await
}

/// Keeps others from browsing at the same time, which would show each of them a part. The lock ends with the connection.
async fn lock(connection: &Connection, name: &str) -> Result<Channel, TransportError> {
    let start = Instant::now();
    loop {
        let channel = new_channel(connection).await?;
        let options = QueueDeclareOptions::exclusive().auto_delete();
        let declared = channel.queue_declare(name.into(), options, FieldTable::default());
        match answer(&format!("declaring the lock {name}"), declared).await {
            Ok(_) => return Ok(channel),
            Err(TransportError::Refused(words)) if words.contains("RESOURCE_LOCKED") => {
                if start.elapsed() > LOCK_LIMIT {
                    return Err(TransportError::Refused(format!(
                        "somebody else looks at the dead letters at this moment and holds the lock {name}; try again"
                    )));
                }
                sleep(LOCK_PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
}
