//! Keeps dead letters in a stream of their own, where each is read and removed by its number.

use std::sync::Arc;

use async_nats::header::{NATS_SEQUENCE, NATS_SUBJECT};
use async_trait::async_trait;
use futures_util::future::try_join_all;
use serde_json::json;

use super::api::{ApiError, Removed, StreamState, code};
use super::connection::Unanswered;
use super::publish::store_all;
use super::topology::{missing_stream, stream_info};
use super::{Place, entry};
use crate::{DeadLetters, LetterId, Message, TransportError};

/// How many questions are asked at once.
const ABREAST: usize = 64;

/// A stream of dead letters.
pub(super) struct DeadStream {
    place: Arc<Place>,
}

impl DeadStream {
    pub(super) const fn new(place: Arc<Place>) -> Self {
        Self { place }
    }

    async fn state(&self) -> Result<StreamState, TransportError> {
        let info = stream_info(&self.place, &self.place.names.dead_stream).await?;
        Ok(info.map(|info| info.state).unwrap_or_default())
    }

    /// The letter of this number, if it is there.
    async fn exact(&self, sequence: u64) -> Result<Option<(u64, Message)>, TransportError> {
        self.get(&json!({ "seq": sequence })).await
    }

    /// The first letter from this number on.
    async fn first_from(&self, sequence: u64) -> Result<Option<(u64, Message)>, TransportError> {
        self.get(&json!({ "seq": sequence, "next_by_subj": self.place.names.dead })).await
    }

    async fn get(&self, question: &serde_json::Value) -> Result<Option<(u64, Message)>, TransportError> {
        let stream = &self.place.names.dead_stream;
        let question = question.to_string().into();
        let answer = match self.place.link.ask(format!("$JS.API.DIRECT.GET.{stream}"), None, question).await {
            Ok(answer) => answer,
            Err(Unanswered::Other(error)) => return Err(error),
            Err(Unanswered::NoResponders) => return Err(self.silent().await),
        };
        let headers = answer.headers.as_ref();
        let sequence = headers.and_then(|headers| headers.get(NATS_SEQUENCE)?.as_str().parse().ok());
        match (answer.status.map(|status| status.as_u16()), sequence) {
            (None, Some(sequence)) if headers.is_some_and(|headers| headers.get(NATS_SUBJECT).is_some()) => {
                Ok(Some((sequence, entry::message(headers, answer.payload))))
            }
            (Some(404), _) => Ok(None),
            (status, _) => {
                let words = answer.description.unwrap_or_default();
                Err(self.place.link.unreachable(format!("read stream {stream}: {} {words}", status.unwrap_or(0))))
            }
        }
    }

    /// Why nobody answers for the stream.
    async fn silent(&self) -> TransportError {
        let stream = &self.place.names.dead_stream;
        match stream_info(&self.place, stream).await {
            Ok(None) => missing_stream(stream),
            Ok(Some(info)) if !info.config.allow_direct => TransportError::Refused(format!(
                "stream {stream}: allow_direct is false, true is needed: mend with `nats stream edit {stream} --allow-direct`"
            )),
            Ok(Some(_)) => self.place.link.unreachable(format!("stream {stream} does not answer yet")),
            Err(error) => error,
        }
    }

    async fn remove_one(&self, id: &LetterId) -> Result<u64, TransportError> {
        let Ok(sequence) = id.0.parse::<u64>() else { return Ok(0) };
        let stream = &self.place.names.dead_stream;
        // What is removed need not be overwritten: it was never a secret to whoever can read the disk.
        let question = json!({ "seq": sequence, "no_erase": true });
        match self.place.link.api::<Removed>(&format!("STREAM.MSG.DELETE.{stream}"), &question).await? {
            Ok(removed) => Ok(u64::from(removed.success)),
            Err(ApiError { err_code: code::SEQUENCE_NOT_FOUND | code::NO_MESSAGE_FOUND, .. }) => Ok(0),
            // The server has no number of its own for a letter beyond the last.
            Err(error) if error.description.contains("no message found") => Ok(0),
            Err(error) => Err(self.place.link.failure(&format!("remove {sequence} from stream {stream}"), &error)),
        }
    }
}

#[async_trait]
impl DeadLetters for DeadStream {
    async fn append(&self, letters: &[Message]) -> Result<(), TransportError> {
        store_all(&self.place, &self.place.names.dead, letters).await
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
            let Some((sequence, letter)) = self.first_from(next).await? else { break };
            letters.push((sequence, letter));
            let beside = (max - letters.len()).min(ABREAST) as u64;
            let until = sequence.saturating_add(beside).min(last);
            let asking = (sequence + 1..=until).map(|sequence| self.exact(sequence));
            letters.extend(try_join_all(asking).await?.into_iter().flatten());
            next = until.saturating_add(1).max(sequence + 1);
        }
        Ok(letters.into_iter().map(|(sequence, letter)| (LetterId(sequence.to_string()), letter)).collect())
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
