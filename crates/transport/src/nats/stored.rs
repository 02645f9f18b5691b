//! Reads messages by their numbers from where they are stored: the one place that every change goes to, and in a form that
//! needs no parser of the driver.

use async_nats::HeaderMap;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::Shared;
use super::api::{ApiError, code};
use super::block;
use crate::TransportError;

/// A message as a stream has it.
#[derive(Debug)]
pub(super) struct Stored {
    /// Its number.
    pub(super) sequence: u64,
    pub(super) payload: Bytes,
    /// When it was stored, in the server's words.
    pub(super) time: String,
    block: Vec<u8>,
    /// Why the driver could not hand it over, if so.
    pub(super) flaw: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    message: RawMessage,
}

#[derive(Deserialize)]
struct RawMessage {
    subject: String,
    seq: u64,
    #[serde(default)]
    hdrs: String,
    #[serde(default)]
    data: String,
    #[serde(default)]
    time: String,
}

impl Stored {
    fn of(answer: &RawMessage) -> Option<Self> {
        let block = block::decoded(&answer.hdrs)?;
        // The server writes a replacement character for what is no UTF-8 in a subject.
        let subject = answer.subject.contains(char::REPLACEMENT_CHARACTER);
        let flaw = if subject { Some("the subject is not UTF-8".to_owned()) } else { block::flaw(&block) };
        let payload = block::decoded(&answer.data)?.into();
        Some(Self { sequence: answer.seq, payload, time: answer.time.clone(), block, flaw })
    }

    /// Its headers as far as they can be read, with why that is not all.
    pub(super) fn headers(&self) -> Option<HeaderMap> {
        block::read(&self.block, self.flaw.as_deref())
    }
}

/// The message of this number, if it is there.
pub(super) async fn exact(shared: &Shared, stream: &str, sequence: u64) -> Result<Option<Stored>, TransportError> {
    get(shared, stream, &json!({ "seq": sequence })).await
}

/// The first message from this number on whose subject this pattern covers.
pub(super) async fn first_from(
    shared: &Shared,
    stream: &str,
    sequence: u64,
    subject: &str,
) -> Result<Option<Stored>, TransportError> {
    get(shared, stream, &json!({ "seq": sequence.max(1), "next_by_subj": subject })).await
}

async fn get(shared: &Shared, stream: &str, question: &serde_json::Value) -> Result<Option<Stored>, TransportError> {
    match shared.link.api::<Answer>(&format!("STREAM.MSG.GET.{stream}"), question).await? {
        Ok(Answer { message }) => match Stored::of(&message) {
            Some(stored) => Ok(Some(stored)),
            None => Err(shared.link.unreachable(format!("message {} of stream {stream} cannot be read", message.seq))),
        },
        Err(ApiError { err_code: code::NO_MESSAGE_FOUND | code::SEQUENCE_NOT_FOUND, .. }) => Ok(None),
        // Not every server has a number of its own for it.
        Err(error) if error.code == 404 && error.err_code != code::STREAM_NOT_FOUND => Ok(None),
        Err(ApiError { err_code: code::STREAM_NOT_FOUND, .. }) => Err(super::topology::missing_stream(stream)),
        Err(error) => Err(shared.link.failure(&format!("read stream {stream}"), &error)),
    }
}
