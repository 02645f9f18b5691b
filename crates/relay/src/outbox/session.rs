//! Moves rows from the outbox to the broker: taken in order, published, and only then removed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use quash_core::event::{DecodeError, EventLimits, Format, Payload, decode};
use quash_dispatch::config::OutboxRelay;
use quash_transport::{Message, Transport, TransportError};
use tokio::time::timeout;

use super::database::{Database, Row, Taken};
use crate::error::RelayError;
use crate::postgres::Address;
use crate::publisher::answered;
use crate::status::Status;

/// Where to read, and where to write.
pub(crate) struct Session<'s> {
    pub(crate) address: &'s Address,
    pub(crate) declared: &'s OutboxRelay,
    /// What a worker of the source decodes with.
    pub(crate) format: Format,
    pub(crate) limits: EventLimits,
    pub(crate) source_name: &'s str,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) status: &'s Status,
}

/// What becomes of the rows of a batch.
#[derive(Debug, Default, PartialEq)]
struct Sorted {
    /// To be published.
    messages: Vec<(i64, Message)>,
    /// With nothing to invalidate in them.
    nothing: Vec<i64>,
    /// No events, with the reason.
    refused: Vec<(i64, String)>,
}

impl Session<'_> {
    /// Works until somebody wants to stop, and then until what it has in hand is settled, or the drain is over.
    ///
    /// # Errors
    /// Whatever kept it from going on. Rows that it had in hand are free by then, and still there.
    pub(crate) async fn run(
        &self,
        mut stop: Pin<&mut (impl Future<Output = ()> + Send)>,
        drain: Duration,
    ) -> Result<(), RelayError> {
        let mut database = tokio::select! {
            begun = self.begin() => begun?,
            () = stop.as_mut() => return Ok(()),
        };
        self.status.works();
        loop {
            let moved = {
                let mut moving = Box::pin(self.move_batch(&mut database));
                tokio::select! {
                    moved = &mut moving => moved?,
                    () = stop.as_mut() => return self.finish(timeout(drain, moving).await.ok()),
                }
            };
            if moved == 0 {
                tokio::select! {
                    () = database.rings() => {}
                    () = tokio::time::sleep(self.declared.interval.0) => {}
                    () = stop.as_mut() => return Ok(()),
                }
            }
        }
    }

    /// Says what became of the batch that was in hand when somebody wanted to stop: nothing of it is lost, whatever it was.
    fn finish(&self, moved: Option<Result<usize, RelayError>>) -> Result<(), RelayError> {
        match moved {
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                tracing::warn!(%error, "gave up with a batch in hand; its rows are still in the outbox")
            }
            None => tracing::warn!("gave up with a batch in hand; its rows are still in the outbox"),
        }
        Ok(())
    }

    async fn begin(&self) -> Result<Database<'_>, RelayError> {
        // Without a broker there is no reason to hold a connection.
        answered(self.transport.prepare()).await.map_err(|error| self.broker(error))?;
        Database::open(self.address, &self.declared.table).await
    }

    /// Moves the oldest rows, and says how many.
    async fn move_batch(&self, database: &mut Database<'_>) -> Result<usize, RelayError> {
        let mut taken = database.take(self.declared.batch, self.limits.max_message_bytes + 1).await?;
        let rows = std::mem::take(&mut taken.rows);
        self.status.waiting(rows.iter().map(|row| row.written_us).min());
        if rows.is_empty() {
            return Ok(0);
        }
        let (count, mut sorted) = (rows.len(), sort(rows, self.format, &self.limits));
        self.publish(&mut sorted).await.map_err(|error| self.broker(error))?;
        self.settle(taken, &sorted).await?;
        Ok(count)
    }

    async fn settle(&self, taken: Taken<'_>, sorted: &Sorted) -> Result<(), RelayError> {
        let mut gone: Vec<i64> = sorted.messages.iter().map(|(id, _)| *id).collect();
        gone.extend(&sorted.nothing);
        taken.settle(&gone, &sorted.refused).await?;
        for (id, error) in &sorted.refused {
            tracing::warn!(row = id, error, "a row of the outbox can never be published; it stays there, marked");
        }
        self.status.counted(sorted.messages.len() as u64, 0);
        Ok(())
    }

    /// Publishes what can be published; what is too large for the broker is refused from then on.
    async fn publish(&self, sorted: &mut Sorted) -> Result<(), TransportError> {
        let all: Vec<Message> = sorted.messages.iter().map(|(_, message)| message.clone()).collect();
        match answered(self.transport.publish(&all)).await {
            Err(TransportError::TooLarge(_)) => self.publish_one_by_one(sorted).await,
            published => published,
        }
    }

    async fn publish_one_by_one(&self, sorted: &mut Sorted) -> Result<(), TransportError> {
        let mut published = Vec::with_capacity(sorted.messages.len());
        for (id, message) in std::mem::take(&mut sorted.messages) {
            match answered(self.transport.publish(std::slice::from_ref(&message))).await {
                Ok(()) => published.push((id, message)),
                Err(error @ TransportError::TooLarge(_)) => sorted.refused.push((id, error.to_string())),
                Err(error) => return Err(error),
            }
        }
        sorted.messages = published;
        Ok(())
    }

    fn broker(&self, error: TransportError) -> RelayError {
        RelayError::Broker { source_name: self.source_name.to_owned(), error }
    }
}

/// Decodes rows as the worker would.
fn sort(rows: Vec<Row>, format: Format, limits: &EventLimits) -> Sorted {
    let mut sorted = Sorted::default();
    for Row { id, body, cut, .. } in rows {
        if body.trim_ascii().is_empty() && cut == 0 {
            sorted.refused.push((id, "the body is empty".to_owned()));
            continue;
        }
        match changes(&body, format, limits) {
            Ok(0) => sorted.nothing.push(id),
            Ok(_) => sorted.messages.push((id, Message { payload: body.into(), ..Message::default() })),
            Err(error) => sorted.refused.push((id, words(error, cut))),
        }
    }
    sorted
}

/// How many changes a body has.
fn changes(body: &str, format: Format, limits: &EventLimits) -> Result<usize, DecodeError> {
    let mut changes = Vec::new();
    decode(Payload { body: body.as_bytes(), headers: &[] }, format, limits, &mut changes)?;
    Ok(changes.len())
}

/// Why a row is none, as it is written into the table: PostgreSQL takes no NUL in text, and people read it on terminals.
fn words(error: DecodeError, cut: usize) -> String {
    let error = match error {
        // The body was cut on reading; what counts is how long it is.
        DecodeError::Limit { what, actual, limit, setting } if cut > 0 => {
            DecodeError::Limit { what, actual: actual + cut, limit, setting }
        }
        error => error,
    };
    let escaped =
        |letter: char| if letter.is_control() { letter.escape_unicode().collect() } else { String::from(letter) };
    error.to_string().chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_published_removed_or_refused() {
        let limits = EventLimits { max_message_bytes: 100, ..EventLimits::default() };
        let event = r#"{"entity":"a.B","op":"truncate"}"#;
        let bodies = [
            (event, 0),
            (r#"{"action":"C"}"#, 0),
            (" ", 0),
            ("rubbish", 0),
            (r#"{"entity":"a.B","op":"\u0000\u001b[2J"}"#, 0),
            (&"x".repeat(101), 1000),
        ];
        let rows = (1..).zip(bodies).map(|(id, (body, cut))| Row { id, body: body.to_owned(), cut, written_us: 0 });
        let sorted = sort(rows.collect(), Format::Auto, &limits);
        assert_eq!(sorted.messages, [(1, Message { payload: event.into(), ..Message::default() })]);
        assert_eq!(sorted.nothing, [2]);
        assert_eq!(sorted.refused.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [3, 4, 5, 6]);
        let words: Vec<_> = sorted.refused.iter().map(|(_, words)| words.as_str()).collect();
        assert!(!words.concat().contains(char::is_control), "{words:?}");
        assert!(words[3].contains("1101"), "{}", words[3]);
    }
}
