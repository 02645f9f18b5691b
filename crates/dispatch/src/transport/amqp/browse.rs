//! Browses a queue: takes messages from its head without acking them, so that they return to it in their order.
//!
//! The protocol knows no looking without taking. What one session holds is hidden from others, hence the lock, and
//! sessions are short.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use futures_util::future::{join_all, try_join_all};
use lapin::message::BasicGetMessage;
use lapin::options::{BasicAckOptions, BasicGetOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection};
use rustc_hash::{FxHashMap, FxHashSet};
use tokio::time::sleep;

use super::connection::{Server, answer};
use super::letter_id::{self, Order, Twins};
use super::message;
use super::topology::{self, Names};
use crate::transport::{LetterId, Message, TransportError};

/// How many messages are asked for, or acked, at once.
const WINDOW: usize = 256;

/// How long to wait for somebody else's session to end.
const LOCK_LIMIT: Duration = Duration::from_secs(5);

/// How often to look whether it has.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// How long messages may take to return to the queue.
const RETURN_LIMIT: Duration = Duration::from_secs(3);

/// How often to look whether they have.
const RETURN_PAUSE: Duration = Duration::from_millis(2);

/// A look at the queue of dead letters, from its head to wherever it has got. Dropping it lets everything return.
pub(super) struct Session {
    connection: Connection,
    queue: String,
    /// Where it takes messages. Closing it returns them.
    channel: Channel,
    /// Where it asks for counts.
    control: Channel,
    /// The delivery tag of each letter that it holds.
    tags: FxHashMap<LetterId, u64>,
    /// The same tags in the order of the queue.
    held: BTreeSet<u64>,
    twins: Twins,
    /// Taken and not shown yet.
    ahead: VecDeque<(LetterId, Message)>,
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
            twins: Twins::default(),
            ahead: VecDeque::new(),
            front: None,
            touched: Instant::now(),
        }))
    }

    /// How many letters are hidden from others.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// The next letters; fewer than asked for are all that there are.
    pub(super) async fn read(&mut self, max: usize) -> Result<Vec<(LetterId, Message)>, TransportError> {
        let mut letters: Vec<_> = self.ahead.drain(..max.min(self.ahead.len())).collect();
        // One first: it says how many there are, and asking an empty queue is not free.
        let mut window = 1;
        while letters.len() < max {
            let got = self.take(window.min(max - letters.len())).await?;
            let ended = !matches!(got.last(), Some(Some(_)));
            for message in got.into_iter().flatten() {
                window = usize::try_from(message.message_count).unwrap_or(WINDOW).clamp(1, WINDOW);
                letters.push(self.keep(message));
            }
            if ended {
                break;
            }
        }
        Ok(letters)
    }

    /// Puts the session behind a letter, which need not be there any more.
    pub(super) async fn seek(&mut self, after: &LetterId, order: &Order) -> Result<(), TransportError> {
        if order.knows(after) {
            return self.skip_until(|id| order.is_after(id, after)).await.map(drop);
        }
        let mut found = false;
        let behind = |id: &LetterId| {
            let behind = found;
            found |= id == after;
            behind
        };
        if self.skip_until(behind).await? || found {
            return Ok(());
        }
        // It is gone, and nobody has seen where it was: names ascend, so they say where it would be.
        self.rewind().await?;
        self.skip_until(|id| id > after).await.map(drop)
    }

    /// Reads up to the first letter that is wanted, which is the next to be shown; says whether there is one.
    async fn skip_until(&mut self, mut wanted: impl FnMut(&LetterId) -> bool) -> Result<bool, TransportError> {
        loop {
            let mut letters = VecDeque::from(self.read(WINDOW).await?);
            let read = letters.len();
            while letters.front().is_some_and(|(id, _)| !wanted(id)) {
                letters.pop_front();
            }
            if !letters.is_empty() {
                letters.append(&mut self.ahead);
                self.ahead = letters;
                return Ok(true);
            }
            if read < WINDOW {
                return Ok(false);
            }
        }
    }

    /// Removes those letters that it holds from the queue, and from the set; says how many they were.
    pub(super) async fn remove(&mut self, wanted: &mut FxHashSet<&LetterId>) -> Result<u64, TransportError> {
        let mut tags: BTreeSet<u64> = BTreeSet::new();
        wanted.retain(|id| match self.tags.remove(*id) {
            Some(tag) => !tags.insert(tag),
            None => true,
        });
        if tags.is_empty() {
            return Ok(0);
        }
        let removed = tags.len();
        self.ahead.retain(|(id, _)| self.tags.contains_key(id));
        self.ack(&tags).await?;
        Ok(removed as u64)
    }

    async fn ack(&mut self, tags: &BTreeSet<u64>) -> Result<(), TransportError> {
        // One ack stands for all up to the first that stays.
        let stays = self.held.iter().find(|tag| !tags.contains(tag)).copied().unwrap_or(u64::MAX);
        if let Some(last) = tags.range(..stays).next_back() {
            answer("removing dead letters", self.channel.basic_ack(*last, BasicAckOptions { multiple: true })).await?;
        }
        let singly: Vec<_> = tags.range(stays..).copied().collect();
        for window in singly.chunks(WINDOW) {
            let acks = window.iter().map(|tag| self.channel.basic_ack(*tag, BasicAckOptions::default()));
            answer("removing dead letters", try_join_all(acks)).await?;
        }
        self.held.retain(|tag| !tags.contains(tag));
        // Nothing answers acks; what is asked after them on the same channel is answered after them.
        topology::count(&self.channel, &self.queue).await.map(drop)
    }

    /// Lets everything return and begins at the head again.
    pub(super) async fn rewind(&mut self) -> Result<(), TransportError> {
        if self.held.is_empty() {
            return Ok(());
        }
        self.give_back().await?;
        self.channel = new_channel(&self.connection).await?;
        Ok(())
    }

    /// Ends it; everything that it held is with the queue again, as far as the broker can be reached.
    pub(super) async fn end(mut self) -> Result<(), TransportError> {
        self.give_back().await?;
        answer("closing a connection", self.connection.close(200, "done".into())).await
    }

    async fn give_back(&mut self) -> Result<(), TransportError> {
        let returning = self.held.len();
        let ready = self.ready().await?;
        topology::close(&self.channel).await;
        (self.tags, self.held, self.twins) = Default::default();
        (self.ahead, self.front) = (VecDeque::new(), None);
        // They return a moment after the channel is closed; who looks before sees a part of the queue.
        let start = Instant::now();
        while self.ready().await? < ready + returning && start.elapsed() < RETURN_LIMIT {
            sleep(RETURN_PAUSE).await;
        }
        Ok(())
    }

    async fn ready(&self) -> Result<usize, TransportError> {
        let count = topology::count(&self.control, &self.queue).await?;
        Ok(count.map_or(0, |count| usize::try_from(count).unwrap_or(usize::MAX)))
    }

    async fn take(&self, count: usize) -> Result<Vec<Option<BasicGetMessage>>, TransportError> {
        let get = || self.channel.basic_get(self.queue.as_str().into(), BasicGetOptions::default());
        let got = answer("reading dead letters", async { Ok(join_all((0..count).map(|_| get())).await) }).await?;
        let got: lapin::Result<Vec<_>> = got.into_iter().collect();
        got.map_err(|error| super::connection::failure("reading dead letters", &error))
    }

    fn keep(&mut self, message: BasicGetMessage) -> (LetterId, Message) {
        let delivery = message.delivery;
        let id = self.twins.distinct(letter_id::of(&delivery.properties, &delivery.data));
        self.tags.insert(id.clone(), delivery.delivery_tag);
        self.held.insert(delivery.delivery_tag);
        (id, message::read_letter(&delivery.properties, delivery.data))
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
