//! Takes lines as they come and publishes them in batches until the input or the user's patience ends.

use std::io::Write;
use std::time::Duration;

use quash_transport::{Message, TransportError};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Tally;
use super::deliver::Delivery;
use super::input::{Line, Lines};
use super::stop::Stop;
use super::validate::{Judged, Unreadable, Validator};
use crate::CliError;
use crate::output::{count, escape_for_terminal, thousands};

/// How long the first line of a batch waits for more: short beside the way to the broker and back, and enough for a
/// producer that writes a transaction line by line.
const LINGER: Duration = Duration::from_millis(10);
/// How long what already stands in the pipe is still read after somebody wants to stop. A producer may have told its
/// database that these lines are safe.
const DRAIN: Duration = Duration::from_secs(1);
/// Bytes of the lines of one batch, the last one aside: a producer may write many long ones at once.
const BATCH_BYTES: usize = 16 * 1024 * 1024;

/// All that takes part.
pub(super) struct Flow<P, W> {
    pub(super) lines: Lines,
    pub(super) validator: Validator,
    pub(super) delivery: Delivery<P>,
    pub(super) stop: Stop,
    pub(super) pace: Option<Pace>,
    /// Lines of one batch at most; at least 1.
    pub(super) batch: usize,
    /// Whether the first line that is wrong ends it.
    pub(super) strict: bool,
    /// Where lines that are wrong are reported.
    pub(super) complaints: W,
}

/// Lines read together, and whether they are the last.
#[derive(Default)]
struct Collected {
    lines: Vec<Line>,
    ended: bool,
}

/// What came of waiting for a line.
enum Next {
    Line(Line),
    Silence,
    Stop,
    End,
}

impl<P: AsyncFn(&[Message]) -> Result<(), TransportError>, W: Write> Flow<P, W> {
    /// Publishes until the input ends or somebody wants to stop.
    ///
    /// # Errors
    /// When the input cannot be read or the broker refuses.
    pub(super) async fn run(&mut self) -> Result<Tally, CliError> {
        let mut tally = Tally::default();
        let mut drained_by = None;
        loop {
            let collected = self.collect(&mut drained_by).await?;
            let (numbers, messages) = self.judge(collected.lines, &mut tally).into_iter().unzip();
            self.publish(numbers, messages, &mut tally).await?;
            if collected.ended || self.strict && tally.refused > 0 {
                return Ok(tally);
            }
        }
    }

    /// Waits for a line, then for as many as come within [`LINGER`].
    async fn collect(&mut self, drained_by: &mut Option<Instant>) -> Result<Collected, CliError> {
        let mut collected = Collected::default();
        let mut patience = drained_by.map(|_| Instant::now() + LINGER);
        let mut bytes = 0;
        while collected.lines.len() < self.batch && bytes < BATCH_BYTES {
            match self.next(patience, drained_by.is_some()).await? {
                Next::Line(line) => {
                    bytes += line.bytes.len();
                    collected.lines.push(line);
                    patience = patience.or_else(|| Some(Instant::now() + LINGER));
                }
                Next::Stop => {
                    *drained_by = Some(Instant::now() + DRAIN);
                    patience = Some(Instant::now() + LINGER);
                }
                Next::Silence => break,
                Next::End => {
                    collected.ended = true;
                    break;
                }
            }
        }
        // While draining, silence means that the pipe is empty.
        collected.ended |= drained_by.is_some_and(|by| collected.lines.is_empty() || Instant::now() >= by);
        Ok(collected)
    }

    /// The next line. One that is there already is taken even when patience has ended.
    async fn next(&mut self, patience: Option<Instant>, draining: bool) -> Result<Next, CliError> {
        let line = async {
            match patience {
                Some(until) => timeout_at(until, self.lines.next()).await.ok(),
                None => Some(self.lines.next().await),
            }
        };
        tokio::select! {
            line = line => match line {
                Some(Ok(Some(line))) => Ok(Next::Line(line)),
                Some(Ok(None)) => Ok(Next::End),
                Some(Err(error)) => Err(CliError::Io(format!("cannot read the input: {error}"))),
                None => Ok(Next::Silence),
            },
            () = self.stop.asked(1), if !draining => Ok(Next::Stop),
        }
    }

    /// What is to be published, with the numbers of its lines.
    fn judge(&mut self, lines: Vec<Line>, tally: &mut Tally) -> Vec<(u64, Message)> {
        let mut messages = Vec::with_capacity(lines.len());
        for line in lines {
            let number = line.number;
            match self.validator.judge(line) {
                Judged::Event { message, warnings } => {
                    warnings.iter().for_each(|warning| self.complain(number, warning));
                    if self.strict && !warnings.is_empty() {
                        tally.refused += 1;
                        break;
                    }
                    messages.push((number, message));
                }
                Judged::Nothing => tally.nothing += 1,
                Judged::Blank => {}
                Judged::Unreadable(Unreadable { error, excerpt, message: Some(message) }) if !self.strict => {
                    tally.unreadable += 1;
                    self.complain(number, &format!("{error}; it becomes a dead letter: {excerpt}"));
                    messages.push((number, message));
                }
                Judged::Unreadable(Unreadable { error, excerpt, .. }) => {
                    tally.refused += 1;
                    self.complain(number, &format!("{error}; it is left out: {excerpt}"));
                    if self.strict {
                        break;
                    }
                }
            }
        }
        messages
    }

    fn complain(&mut self, line: u64, words: &str) {
        // Nobody may be reading stderr; that is no reason to stop.
        let _ = writeln!(self.complaints, "line {line}: {}", escape_for_terminal(words));
    }

    async fn publish(&mut self, lines: Vec<u64>, messages: Vec<Message>, tally: &mut Tally) -> Result<(), CliError> {
        if messages.is_empty() {
            return Ok(());
        }
        if let Some(pace) = &mut self.pace {
            pace.wait(messages.len()).await;
        }
        let sent = self.delivery.send(&messages, &mut self.complaints).await;
        let too_large = sent.map_err(|error| gave_up(error, messages.len() as u64, tally.published))?;
        for (index, why) in &too_large {
            self.complain(lines[*index], &format!("{why}; it is left out"));
        }
        tally.refused += too_large.len() as u64;
        tally.published += (messages.len() - too_large.len()) as u64;
        Ok(())
    }
}

/// What was not done, and what was.
fn gave_up(error: TransportError, unsent: u64, published: u64) -> CliError {
    let unsent = count(unsent, "event", "events");
    let words =
        format!("{error}; gave up with {unsent} read and not known to be published, {} before", thousands(published));
    match error {
        TransportError::Unreachable(_) => CliError::Unreachable(words),
        _ => CliError::Refused(words),
    }
}

/// Keeps the number of events a second.
pub(super) struct Pace {
    per_event: Duration,
    next: Option<Instant>,
}

impl Pace {
    /// This many events a second; at least 1.
    pub(super) fn new(rate: u32) -> Self {
        Self { per_event: Duration::from_secs(1) / rate.max(1), next: None }
    }

    /// Returns when so many events may be published.
    pub(super) async fn wait(&mut self, events: usize) {
        if let Some(next) = self.next {
            sleep_until(next).await;
        }
        let events = u32::try_from(events).unwrap_or(u32::MAX);
        self.next = Some(Instant::now() + self.per_event * events);
    }
}

#[cfg(test)]
mod tests;
