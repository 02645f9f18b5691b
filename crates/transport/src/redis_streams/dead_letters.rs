//! Keeps dead letters in a stream of their own, in the layout of the stream of messages.

use std::sync::Arc;

use async_trait::async_trait;
use redis::{Value, cmd};

use super::connection::Link;
use super::publish::append_all;
use super::wire::{list, message, number, text};
use crate::{DeadLetters, LetterId, Message, TransportError};

/// How many letters one command removes.
const CHUNK: usize = 512;

/// A stream of dead letters.
pub(super) struct DeadStream {
    link: Arc<Link>,
    stream: String,
}

impl DeadStream {
    pub(super) const fn new(link: Arc<Link>, stream: String) -> Self {
        Self { link, stream }
    }
}

#[async_trait]
impl DeadLetters for DeadStream {
    async fn append(&self, letters: &[Message]) -> Result<(), TransportError> {
        append_all(&self.link, &self.stream, letters).await
    }

    async fn scan(&self, after: Option<&LetterId>, max: usize) -> Result<Vec<(LetterId, Message)>, TransportError> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let mut range = cmd("XRANGE");
        range.arg(&self.stream).arg(after.map_or_else(|| "-".into(), |LetterId(id)| format!("({id}")));
        range.arg("+").arg("COUNT").arg(max);
        let letters = list(self.link.ask(range).await?).unwrap_or_default();
        Ok(letters.into_iter().filter_map(letter).collect())
    }

    async fn remove(&self, ids: &[LetterId]) -> Result<u64, TransportError> {
        let mut removed = 0;
        for chunk in ids.chunks(CHUNK) {
            let mut delete = cmd("XDEL");
            delete.arg(&self.stream);
            for LetterId(id) in chunk {
                delete.arg(id);
            }
            removed += number(&self.link.ask(delete).await?);
        }
        Ok(removed)
    }

    async fn len(&self) -> Result<u64, TransportError> {
        let mut length = cmd("XLEN");
        length.arg(&self.stream);
        Ok(number(&self.link.ask(length).await?))
    }
}

fn letter(entry: Value) -> Option<(LetterId, Message)> {
    let mut entry = list(entry)?.into_iter();
    Some((LetterId(text(entry.next()?)?), message(list(entry.next()?)?)))
}
