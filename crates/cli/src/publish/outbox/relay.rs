//! Moves rows from the outbox to the broker: taken in order, published, and only then removed.

use std::time::Duration;

use quash_transport::backoff::Pace as Backoff;
use quash_transport::{Message, Transport, TransportError};

use super::super::input::Line;
use super::super::stop::Stop;
use super::super::validate::{Judged, Validator};
use super::super::{Tally, Work};
use super::database::{Database, DatabaseError, Row};
use crate::progress::Progress;
use crate::{CliError, output};

/// All that takes part.
pub(super) struct Relay {
    pub(super) database: Database,
    pub(super) work: Work,
    /// How long to wait before an empty table is looked at again.
    pub(super) interval: Duration,
    /// Whether an empty table ends it, and so does anything that is away.
    pub(super) once: bool,
}

/// Why a batch did not get through.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("outbox: {0}")]
    Database(#[from] DatabaseError),
    #[error("source {1}: {0}")]
    Broker(TransportError, String),
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

impl Relay {
    /// Relays until somebody wants to stop, or until the table is empty where that is asked for.
    ///
    /// # Errors
    /// When the database or the broker refuses from the start, and with `once` whenever one of them is away.
    pub(super) async fn run(&mut self) -> Result<Tally, CliError> {
        let (mut tally, mut backoff) = (Tally::default(), Backoff::of_reconnects());
        let (mut went_well, mut complained) = (false, false);
        let mut progress = Progress::new("relaying", None);
        let (stop, drain) = (self.work.stop.clone(), self.work.drain);
        while !stop.is_asked() {
            let moved = tokio::select! {
                moved = self.move_batch(&mut tally, !went_well) => moved,
                () = stop.insisted(drain) => return Err(gave_up()),
            };
            match moved {
                Ok(moved) => {
                    if complained {
                        tracing::info!("the outbox is relayed again");
                    }
                    (went_well, complained) = (true, false);
                    backoff.succeeded();
                    progress.update(tally.published);
                    match moved {
                        0 if self.once => break,
                        0 => self.wait(&stop).await,
                        _ => {}
                    }
                }
                Err(failure) => {
                    if matches!(failure, Failure::Database(_)) {
                        self.database.disconnect();
                    }
                    if self.once || failure.is_refusal() && !went_well {
                        return Err(failure.into());
                    }
                    if !complained {
                        tracing::warn!(error = %failure, "events wait in the outbox; trying again until it goes on");
                        complained = true;
                    }
                    tokio::select! {
                        () = backoff.failed() => {}
                        // Nothing was in hand: what is away keeps nobody here. Whoever never got anywhere is told why.
                        () = stop.asked(1) => if !went_well { return Err(failure.into()) },
                    }
                }
            }
        }
        progress.finish();
        Ok(tally)
    }

    /// Moves the oldest rows, and says how many.
    async fn move_batch(&mut self, tally: &mut Tally, prepare: bool) -> Result<usize, Failure> {
        let Work { source, validator, pace, batch, .. } = &mut self.work;
        let broker = Broker { transport: &*source.transport, name: &source.name };
        if prepare {
            broker.prepare().await?;
        }
        let mut taken = self.database.take(*batch, validator.limits.max_message_bytes + 1).await?;
        let rows = std::mem::take(&mut taken.rows);
        if rows.is_empty() {
            return Ok(0);
        }
        let (count, mut sorted) = (rows.len(), sort(rows, validator));
        if let Some(pace) = pace {
            pace.wait(sorted.messages.len()).await;
        }
        broker.publish(&mut sorted).await?;
        let mut gone: Vec<i64> = sorted.messages.iter().map(|(id, _)| *id).collect();
        gone.extend(&sorted.nothing);
        taken.settle(&gone, &sorted.refused).await?;
        sorted.count(tally);
        Ok(count)
    }

    async fn wait(&self, stop: &Stop) {
        tokio::select! {
            () = self.database.rings() => {}
            () = tokio::time::sleep(self.interval) => {}
            () = stop.asked(1) => {}
        }
    }
}

/// Where the events go.
struct Broker<'a> {
    transport: &'a dyn Transport,
    name: &'a str,
}

impl Broker<'_> {
    async fn prepare(&self) -> Result<(), Failure> {
        self.transport.prepare().await.map_err(|error| self.failure(error))
    }

    /// Publishes what can be published; what is too large for the broker is refused from then on.
    async fn publish(&self, sorted: &mut Sorted) -> Result<(), Failure> {
        let all: Vec<Message> = sorted.messages.iter().map(|(_, message)| message.clone()).collect();
        match self.transport.publish(&all).await {
            Err(TransportError::TooLarge(_)) => self.publish_one_by_one(sorted).await,
            published => published.map_err(|error| self.failure(error)),
        }
    }

    async fn publish_one_by_one(&self, sorted: &mut Sorted) -> Result<(), Failure> {
        let mut published = Vec::with_capacity(sorted.messages.len());
        for (id, message) in std::mem::take(&mut sorted.messages) {
            match self.transport.publish(std::slice::from_ref(&message)).await {
                Ok(()) => published.push((id, message)),
                Err(error @ TransportError::TooLarge(_)) => sorted.refused.push((id, error.to_string())),
                Err(error) => return Err(self.failure(error)),
            }
        }
        sorted.messages = published;
        Ok(())
    }

    fn failure(&self, error: TransportError) -> Failure {
        Failure::Broker(error, self.name.to_owned())
    }
}

/// Decodes rows as the worker would.
fn sort(rows: Vec<Row>, validator: &mut Validator) -> Sorted {
    let mut sorted = Sorted::default();
    for Row { id, body, cut } in rows {
        match validator.judge(Line { number: 0, bytes: body.into_bytes(), cut }) {
            Judged::Event { message, warnings } => {
                warnings.iter().for_each(|warning| tracing::warn!(row = id, "{warning}"));
                sorted.messages.push((id, message));
            }
            Judged::Nothing => sorted.nothing.push(id),
            Judged::Blank => sorted.refused.push((id, "the body is empty".to_owned())),
            // PostgreSQL takes no NUL in text, and people read it on terminals.
            Judged::Unreadable(unreadable) => {
                let error = unreadable.error.to_string();
                sorted.refused.push((id, output::escape_for_terminal(&error).into_owned()));
            }
        }
    }
    sorted
}

impl Sorted {
    fn count(&self, tally: &mut Tally) {
        for (id, why) in &self.refused {
            tracing::warn!(row = id, error = %why, "a row of the outbox can never be published; it stays there, marked");
        }
        tally.published += self.messages.len() as u64;
        tally.nothing += self.nothing.len() as u64;
        tally.refused += self.refused.len() as u64;
    }
}

impl Failure {
    const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Database(DatabaseError::Refused(_))
                | Self::Broker(TransportError::Refused(_) | TransportError::TooLarge(_), _)
        )
    }
}

impl From<Failure> for CliError {
    fn from(failure: Failure) -> Self {
        match failure.is_refusal() {
            true => Self::Refused(failure.to_string()),
            false => Self::Unreachable(failure.to_string()),
        }
    }
}

fn gave_up() -> CliError {
    CliError::Unreachable("gave up with a batch in hand; its rows are still in the outbox".to_owned())
}

#[cfg(test)]
mod tests {
    use quash_core::event::{EventLimits, Format};
    use quash_transport::Headers;

    use super::*;

    #[test]
    fn every_row_is_published_removed_or_refused() {
        let limits = EventLimits { max_message_bytes: 100, ..EventLimits::default() };
        let mut validator =
            Validator { format: Format::Auto, limits, headers: Headers::default(), warnings: None, asked: None };
        let event = r#"{"entity":"a.B","op":"truncate"}"#;
        let bodies = [
            (event, 0),
            (r#"{"action":"C"}"#, 0),
            (" ", 0),
            ("rubbish", 0),
            (r#"{"entity":"a.B","op":"\u0000\u001b[2J"}"#, 0),
            (&"x".repeat(101), 1000),
        ];
        let rows = (1..).zip(bodies).map(|(id, (body, cut))| Row { id, body: body.to_owned(), cut });
        let sorted = sort(rows.collect(), &mut validator);
        assert_eq!(sorted.messages, [(1, Message { payload: event.into(), headers: Headers::default() })]);
        assert_eq!(sorted.nothing, [2]);
        assert_eq!(sorted.refused.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [3, 4, 5, 6]);
        let words: Vec<_> = sorted.refused.iter().map(|(_, words)| words.as_str()).collect();
        assert!(!words.concat().contains(char::is_control), "{words:?}");
        assert!(words[3].contains("1101"), "{}", words[3]);
    }
}
