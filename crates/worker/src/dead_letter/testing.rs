//! Stands in for a broker in the tests of dead letters, and makes letters for them.

use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use quash_config::Finding;
use quash_transport::{Backlog, ConsumeOptions, Consumer, DeadLetters, LetterId, Message, Transport, TransportError};

use quash_delivery::record::{Attempt, Reason, Record};

use super::Letter;

/// When the tests take place; letters made here failed a minute before.
pub const NOW_MS: i64 = 1_700_000_060_000;

/// A record with everything in it.
pub fn record(reason: Reason) -> Record {
    let attempt = |at_ms| Attempt { at_ms, target: Some("main".to_owned()), error: "OOM at 12 MB".to_owned() };
    Record {
        version: Record::VERSION,
        id: Some("e1".to_owned()),
        source: "events".to_owned(),
        broker_id: "5-0".to_owned(),
        entity: Some("shop.Book".to_owned()),
        reason,
        error: "OOM at 12 MB".to_owned(),
        target: Some("main".to_owned()),
        cache: Some("product".to_owned()),
        attempts_made: 8,
        attempts: vec![attempt(1_699_999_000_000), attempt(1_700_000_000_000)],
        first_failure_ms: 1_699_999_000_000,
        last_failure_ms: 1_700_000_000_000,
        trace: vec!["row shop.Book matched product".to_owned()],
        worker: "w1".to_owned(),
        quash: "0.1.0".to_owned(),
        replays: 0,
    }
}

/// A message with that record.
pub fn message(record: &Record, payload: &str) -> Message {
    let mut message = Message { payload: payload.to_owned().into(), ..Message::default() };
    record.put(&mut message.headers);
    message
}

/// A letter with that record.
pub fn letter(id: &str, record: &Record, payload: &str) -> Letter {
    Letter::read(LetterId(id.to_owned()), message(record, payload))
}

/// A broker that holds its letters in memory, fails when told to, and remembers what was published.
#[derive(Default)]
pub struct Broker {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    letters: Vec<(u64, Message)>,
    last_id: u64,
    published: Vec<Vec<Message>>,
    publishes_left: Option<usize>,
    returning: bool,
}

impl Broker {
    /// A broker with these letters, named from 1 on.
    pub fn with(letters: impl IntoIterator<Item = Message>) -> Self {
        let broker = Self::default();
        letters.into_iter().for_each(|letter| broker.add(letter));
        broker
    }

    /// Adds a letter, as a worker would.
    pub fn add(&self, letter: Message) {
        let mut state = self.state();
        state.last_id += 1;
        let id = state.last_id;
        state.letters.push((id, letter));
    }

    /// Refuses to publish after so many batches.
    pub fn fail_after(self, batches: usize) -> Self {
        self.state().publishes_left = Some(batches);
        self
    }

    /// The same, for a broker that others hold already.
    pub fn break_after(&self, batches: usize) {
        self.state().publishes_left = Some(batches);
    }

    /// Makes every published message come back as a letter at once.
    pub fn returning(self) -> Self {
        self.state().returning = true;
        self
    }

    /// The batches that were published.
    pub fn published(&self) -> Vec<Vec<Message>> {
        self.state().published.clone()
    }

    /// The names of the letters that are there.
    pub fn ids(&self) -> Vec<u64> {
        self.state().letters.iter().map(|(id, _)| *id).collect()
    }

    /// The letters that are there.
    pub fn letters(&self) -> Vec<Message> {
        self.state().letters.iter().map(|(_, message)| message.clone()).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

#[async_trait]
impl Transport for Broker {
    async fn prepare(&self) -> Result<(), TransportError> {
        Ok(())
    }

    async fn publish(&self, messages: &[Message]) -> Result<(), TransportError> {
        let mut state = self.state();
        match state.publishes_left.as_mut() {
            Some(0) => return Err(TransportError::Unreachable("connection refused".to_owned())),
            Some(left) => *left -= 1,
            None => {}
        }
        state.published.push(messages.to_vec());
        let returning = state.returning;
        drop(state);
        if returning {
            messages.iter().for_each(|message| self.add(message.clone()));
        }
        Ok(())
    }

    async fn consume(&self, _options: &ConsumeOptions) -> Result<Consumer, TransportError> {
        Err(TransportError::Refused("dead letters are not consumed".to_owned()))
    }

    fn dead_letters(&self) -> &dyn DeadLetters {
        self
    }

    async fn backlog(&self) -> Result<Backlog, TransportError> {
        Ok(Backlog::default())
    }

    async fn inspect(&self) -> Result<Vec<Finding>, TransportError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl DeadLetters for Broker {
    async fn append(&self, letters: &[Message]) -> Result<(), TransportError> {
        letters.iter().for_each(|letter| self.add(letter.clone()));
        Ok(())
    }

    async fn scan(&self, after: Option<&LetterId>, max: usize) -> Result<Vec<(LetterId, Message)>, TransportError> {
        let after = after.map_or(0, |id| id.0.parse().unwrap());
        let state = self.state();
        let page = state.letters.iter().filter(|(id, _)| *id > after).take(max);
        Ok(page.map(|(id, message)| (LetterId(id.to_string()), message.clone())).collect())
    }

    async fn remove(&self, ids: &[LetterId]) -> Result<u64, TransportError> {
        let mut state = self.state();
        let before = state.letters.len();
        state.letters.retain(|(id, _)| !ids.iter().any(|gone| gone.0 == id.to_string()));
        Ok((before - state.letters.len()) as u64)
    }

    async fn len(&self) -> Result<u64, TransportError> {
        Ok(self.state().letters.len() as u64)
    }
}
