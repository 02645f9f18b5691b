//! Makes copies smaller that a broker finds too large: the payload stays as it is, what only people read goes first.

use std::time::{SystemTime, UNIX_EPOCH};

use quash_delivery::headers;
use quash_delivery::record::{Reason, Record};
use quash_delivery::state::{read_replays, shorten};
use quash_transport::{Delivery, Destination, Headers, Message, Replacement, Verdict};

use crate::source::Source;

/// How many bytes of an error stay in the record of a dead letter that must be smaller.
pub(super) const ERROR_BYTES: usize = 200;

/// How small copies are made, one after the other until the broker takes them. The payload is never touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// Without what only people read.
    WithoutHistory,
    /// Nothing waits any more, as that needs a copy as large as the original: what is to do becomes a dead letter.
    GivenUp,
    /// Dead letters without the headers of the publisher.
    WithoutHeaders,
    /// The dead letter is what was published, and says nothing about itself.
    PayloadAlone,
}

impl Size {
    pub(super) const ALL: [Self; 4] = [Self::WithoutHistory, Self::GivenUp, Self::WithoutHeaders, Self::PayloadAlone];

    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::WithoutHistory | Self::GivenUp => "a copy to be tried again would be larger than the broker takes",
            Self::WithoutHeaders => "a copy with its headers is larger than the broker takes, they are left out",
            Self::PayloadAlone => {
                "a copy with any header is larger than the broker takes, the letter is its payload alone"
            }
        }
    }

    pub(super) fn of(self, verdict: &Verdict, delivery: &Delivery, source: &Source) -> Verdict {
        let Verdict::Replace(copies) = shrunk(verdict) else { return verdict.clone() };
        let letter = |copy: Replacement| given_up(copy, self, delivery, source);
        match self {
            Self::WithoutHistory => Verdict::Replace(copies),
            Self::GivenUp | Self::WithoutHeaders => Verdict::Replace(copies.into_iter().map(letter).collect()),
            Self::PayloadAlone => {
                let message = Message { payload: delivery.message.payload.clone(), ..Message::default() };
                Verdict::Replace(vec![Replacement { message, to: Destination::DeadLetters }])
            }
        }
    }
}

/// The dead letter that a copy becomes, with a short record.
fn given_up(copy: Replacement, size: Size, delivery: &Delivery, source: &Source) -> Replacement {
    let Replacement { mut message, to } = copy;
    if to != Destination::DeadLetters {
        short_record(&message, size, delivery, source).put(&mut message.headers);
    }
    if size == Size::WithoutHeaders {
        let kept = message.headers.as_slice().iter().filter(|(name, _)| name.starts_with(headers::OWN));
        let kept: Vec<_> = kept.cloned().collect();
        message.headers = Headers::default();
        kept.into_iter().for_each(|(name, value)| message.headers.set(name, value));
    }
    Replacement { message, to: Destination::DeadLetters }
}

fn short_record(message: &Message, size: Size, delivery: &Delivery, source: &Source) -> Record {
    let number = |name: &str| message.headers.get(name).and_then(|text| text.parse().ok());
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let now_ms = i64::try_from(now_ms).unwrap_or(i64::MAX);
    Record {
        version: Record::VERSION,
        id: message.headers.get(headers::ID).map(shorten),
        source: source.name.clone(),
        broker_id: delivery.broker_id.clone(),
        entity: None,
        reason: Reason::Limit,
        error: size.words().to_owned(),
        target: None,
        cache: None,
        attempts_made: number(headers::ATTEMPT).and_then(|attempt| u32::try_from(attempt).ok()).unwrap_or(1),
        attempts: Vec::new(),
        first_failure_ms: number(headers::FIRST_FAILURE).unwrap_or(now_ms),
        last_failure_ms: now_ms,
        trace: Vec::new(),
        worker: source.worker.clone(),
        quash: env!("CARGO_PKG_VERSION").to_owned(),
        replays: read_replays(&message.headers),
    }
}

/// The same verdict with copies as small as they can be: the payload is never touched, nor what Quash needs to go on.
pub(super) fn shrunk(verdict: &Verdict) -> Verdict {
    match verdict {
        Verdict::Replace(copies) => Verdict::Replace(copies.iter().map(shrunk_copy).collect()),
        other => other.clone(),
    }
}

fn shrunk_copy(copy: &Replacement) -> Replacement {
    let Replacement { mut message, to } = copy.clone();
    message.headers.remove(headers::ATTEMPTS);
    let record = message.headers.get(headers::RECORD).and_then(|text| serde_json::from_str::<Record>(text).ok());
    if let Some(mut record) = record {
        record.attempts.clear();
        record.trace.clear();
        let fits = |end: &usize| record.error.is_char_boundary(*end);
        let end = (0..=ERROR_BYTES).rev().find(fits).unwrap_or(0);
        record.error.truncate(end);
        record.put(&mut message.headers);
    }
    Replacement { message, to }
}

/// About how many bytes the largest copy has.
pub(super) fn largest(verdict: &Verdict) -> usize {
    match verdict {
        Verdict::Replace(copies) => copies.iter().map(|copy| size(&copy.message)).max().unwrap_or(0),
        Verdict::Ack | Verdict::Release => 0,
    }
}

/// About how many bytes a message has: its payload, and its headers with some bytes around each.
pub(crate) fn size(message: &Message) -> usize {
    const AROUND: usize = 4;
    let headers = message.headers.as_slice().iter().map(|(name, value)| name.len() + value.len() + AROUND);
    message.payload.len() + headers.sum::<usize>()
}
