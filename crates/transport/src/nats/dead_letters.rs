//! Keeps dead letters in a stream of their own, where each is read and removed by its number, both at the stream's leader:
//! replicas were seen to number differently after a leader had been cut off.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use serde_json::json;

use super::api::{ApiError, Removed, StreamState, code};
use super::publish::store_all;
use super::stored::{self, Stored};
use super::topology::stream_info;
use super::{Shared, wire};
use crate::{DeadLetters, LetterId, Message, TransportError};

/// How many questions are asked at once.
const ABREAST: usize = 64;

/// A stream of dead letters.
pub(super) struct DeadStream {
    shared: Arc<Shared>,
}

impl DeadStream {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    async fn state(&self) -> Result<StreamState, TransportError> {
        let info = stream_info(&self.shared, &self.shared.names.dead_stream).await?;
        Ok(info.map(|info| info.state).unwrap_or_default())
    }

    /// The first letter from this number on.
    async fn first_from(&self, sequence: u64) -> Result<Option<Stored>, TransportError> {
        stored::first_from(&self.shared, &self.shared.names.dead_stream, sequence, &self.shared.names.dead).await
    }

    async fn remove_one(&self, id: &LetterId) -> Result<u64, TransportError> {
        let Ok(sequence) = id.0.parse::<u64>() else { return Ok(0) };
        let stream = &self.shared.names.dead_stream;
        // What is removed need not be overwritten: it was never a secret to whoever can read the disk.
        let question = json!({ "seq": sequence, "no_erase": true });
        match self.shared.link.api::<Removed>(&format!("STREAM.MSG.DELETE.{stream}"), &question).await? {
            Ok(removed) => Ok(u64::from(removed.success)),
            Err(ApiError { err_code: code::SEQUENCE_NOT_FOUND | code::NO_MESSAGE_FOUND, .. }) => Ok(0),
            // The server has no number of its own for a letter beyond the last.
            Err(error) if error.description.contains("no message found") => Ok(0),
            Err(error) => Err(self.shared.link.failure(&format!("remove {sequence} from stream {stream}"), &error)),
        }
    }
}

fn letter(stored: Stored) -> (LetterId, Message) {
    let message = wire::message(stored.headers().as_ref(), stored.payload.clone());
    (LetterId(stored.sequence.to_string()), message)
}

#[async_trait]
impl DeadLetters for DeadStream {
    async fn append(&self, letters: &[Message]) -> Result<(), TransportError> {
        store_all(&self.shared, &self.shared.names.dead, letters).await
    }

    async fn scan(&self, after: Option<&LetterId>, max: usize) -> Result<Vec<(LetterId, Message)>, TransportError> {
        let mut next = match after {
            None => 1,
            Some(LetterId(id)) => id.parse::<u64>().map_or(u64::MAX, |sequence| sequence.saturating_add(1)),
        };
        let last = self.state().await?.last_seq;
        let mut letters = Vec::new();
        while letters.len() < max && next <= last {
            // Over a gap of any width in one step; then those beside it, which are mostly there.
            let Some(first) = self.first_from(next).await? else { break };
            let sequence = first.sequence;
            letters.push(first);
            let beside = (max - letters.len()).min(ABREAST) as u64;
            let until = sequence.saturating_add(beside).min(last);
            let stream = &self.shared.names.dead_stream;
            let asking = (sequence + 1..=until).map(|sequence| stored::exact(&self.shared, stream, sequence));
            letters.extend(try_join_all(asking).await?.into_iter().flatten());
            next = until.saturating_add(1).max(sequence + 1);
        }
        Ok(letters.into_iter().map(letter).collect())
    }

    async fn remove(&self, ids: &[LetterId]) -> Result<u64, TransportError> {
        let mut removed = 0;
        for some in ids.chunks(ABREAST) {
            removed += try_join_all(some.iter().map(|id| self.remove_one(id))).await?.into_iter().sum::<u64>();
        }
        Ok(removed)
    }

    async fn len(&self) -> Result<u64, TransportError> {
        Ok(self.state().await?.messages)
    }
}
