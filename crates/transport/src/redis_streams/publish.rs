//! Appends messages to a stream and takes no answer for another.

use redis::{Cmd, Pipeline, Value, cmd};

use super::connection::{Link, all, code, failure, words};
use super::wire::{self, number};
use super::{Durable, Shared};
use crate::{Message, TransportError};

/// How many messages go in one round trip.
const MESSAGES_MAX: usize = 512;

/// How many bytes go in one round trip, so that it ends within the limit of a call.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Publishes, unless the backlog is too long, and waits for replicas where that is asked for.
pub(super) async fn publish(link: &Link, shared: &Shared, messages: &[Message]) -> Result<(), TransportError> {
    for chunk in chunks(messages) {
        refuse_when_full(link, shared).await?;
        append(link, &shared.names.stream, chunk, wait(shared)).await?;
    }
    Ok(())
}

/// Appends messages to a stream; each is there, or this is an error.
pub(super) async fn append_all(link: &Link, stream: &str, messages: &[Message]) -> Result<(), TransportError> {
    for chunk in chunks(messages) {
        append(link, stream, chunk, None).await?;
    }
    Ok(())
}

/// What must have a message before it counts as published.
struct Wait {
    replicas: u32,
    disk: bool,
    cmd: Cmd,
}

/// The command that waits for replicas and disks. It covers what the same connection wrote before it, hence the same
/// pipeline.
fn wait(shared: &Shared) -> Option<Wait> {
    let replicas = shared.config.replicas_to_wait;
    let disk = shared.config.durable == Durable::Waitaof;
    let milliseconds = u64::try_from(shared.config.patience().as_millis()).unwrap_or(u64::MAX);
    let mut cmd = cmd(if disk { "WAITAOF" } else { "WAIT" });
    if disk {
        cmd.arg(1);
    }
    cmd.arg(replicas).arg(milliseconds);
    (disk || replicas > 0).then_some(Wait { replicas, disk, cmd })
}

async fn append(link: &Link, stream: &str, messages: &[Message], wait: Option<Wait>) -> Result<(), TransportError> {
    let mut pipeline = Pipeline::with_capacity(messages.len() + 1);
    for message in messages {
        pipeline.add_command(wire::append(stream, message));
    }
    if let Some(wait) = &wait {
        pipeline.add_command(wait.cmd.clone());
    }
    let mut answers = link.run(&mut pipeline).await?;
    let Some(wait) = wait else { return all(answers).map(drop) };
    let waited = answers.pop().unwrap_or(Ok(Value::Nil));
    all(answers)?;
    match waited {
        Ok(answer) => wait.enough(answer),
        Err(error) if wait.disk && code(&Err(error.clone())) == Some("ERR") => Err(TransportError::Refused(format!(
            "`durable: waitaof` needs Redis 7.2 or newer, or Valkey, with appendonly yes: {}",
            words(&error)
        ))),
        Err(error) => Err(failure(&error)),
    }
}

impl Wait {
    /// Whether enough have the messages: the answer is the number of replicas, or of disks here and at replicas.
    fn enough(&self, answer: Value) -> Result<(), TransportError> {
        let counts = match answer {
            Value::Array(counts) => counts.iter().map(number).collect(),
            count => vec![number(&count)],
        };
        let (disks, replicas) = match (self.disk, &counts[..]) {
            (true, [disks, replicas]) => (*disks, *replicas),
            (true, _) => (0, 0),
            (false, counts) => (1, counts.first().copied().unwrap_or(0)),
        };
        let needed = self.replicas;
        if disks == 0 {
            return Err(TransportError::Unreachable("the messages are not on the server's disk in time".into()));
        }
        if replicas < u64::from(needed) {
            return Err(TransportError::Unreachable(format!("{replicas} of {needed} replicas have the messages")));
        }
        Ok(())
    }
}

async fn refuse_when_full(link: &Link, shared: &Shared) -> Result<(), TransportError> {
    let Some(max) = shared.config.max_length else { return Ok(()) };
    let mut length = cmd("XLEN");
    length.arg(&shared.names.stream);
    match number(&link.ask(length).await?) {
        length if length < max => Ok(()),
        length => Err(TransportError::Refused(format!("the stream has {length} entries, and max_length is {max}"))),
    }
}

/// Cuts messages into what goes in one round trip each: at least one, and no more than the limits.
fn chunks(messages: &[Message]) -> impl Iterator<Item = &[Message]> {
    let mut rest = messages;
    std::iter::from_fn(move || {
        let (chunk, after) = rest.split_at(chunk_len(rest));
        rest = after;
        (!chunk.is_empty()).then_some(chunk)
    })
}

fn chunk_len(messages: &[Message]) -> usize {
    let mut bytes = 0;
    let fitting = messages.iter().take(MESSAGES_MAX).take_while(|message| {
        bytes += wire::size(message);
        bytes <= BYTES_MAX
    });
    fitting.count().max(1).min(messages.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sizes: &[usize], expected: &[usize]) {
        let messages: Vec<_> =
            sizes.iter().map(|size| Message { payload: vec![0; *size].into(), ..Message::default() }).collect();
        assert_eq!(chunks(&messages).map(<[_]>::len).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn published_is_what_enough_have() {
        let number = Value::Int;
        let both = |disks, replicas| Value::Array(vec![number(disks), number(replicas)]);
        let wait = |disk, replicas| Wait { replicas, disk, cmd: cmd("WAIT") };
        let cases = [
            (wait(false, 2), number(2), true),
            (wait(false, 2), number(1), false),
            (wait(true, 0), both(1, 0), true),
            (wait(true, 0), both(0, 0), false),
            (wait(true, 1), both(1, 1), true),
            (wait(true, 1), both(1, 0), false),
            (wait(true, 0), Value::Nil, false),
        ];
        for (wait, answer, expected) in cases {
            assert_eq!(wait.enough(answer.clone()).is_ok(), expected, "{} {} {answer:?}", wait.disk, wait.replicas);
        }
    }

    #[test]
    fn a_round_trip_is_bounded_in_messages_and_bytes() {
        check(&[], &[]);
        check(&[1; 3], &[3]);
        check(&[1; 1025], &[512, 512, 1]);
        check(&[BYTES_MAX / 2; 3], &[1, 1, 1]);
        check(&[BYTES_MAX * 2, 1, 1], &[1, 2]);
    }
}
