//! Appends messages to a stream and takes no answer for another.

use redis::{Cmd, Pipeline, Value, cmd};

use super::Shared;
use super::connection::{Link, all};
use super::wire::{self, number};
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

struct Wait {
    replicas: u32,
    cmd: Cmd,
}

/// The command that waits for replicas. It covers what the same connection wrote before it, hence the same pipeline.
fn wait(shared: &Shared) -> Option<Wait> {
    let replicas = shared.config.replicas_to_wait;
    let milliseconds = u64::try_from(shared.config.replica_timeout.as_millis()).unwrap_or(u64::MAX);
    let mut cmd = cmd("WAIT");
    cmd.arg(replicas).arg(milliseconds);
    (replicas > 0).then_some(Wait { replicas, cmd })
}

async fn append(link: &Link, stream: &str, messages: &[Message], wait: Option<Wait>) -> Result<(), TransportError> {
    let mut pipeline = Pipeline::with_capacity(messages.len() + 1);
    for message in messages {
        pipeline.add_command(wire::append(stream, message));
    }
    if let Some(wait) = &wait {
        pipeline.add_command(wait.cmd.clone());
    }
    let answers = all(link.run(&mut pipeline).await?)?;
    match wait {
        Some(wait) => enough(answers.last(), wait.replicas),
        None => Ok(()),
    }
}

fn enough(answer: Option<&Value>, needed: u32) -> Result<(), TransportError> {
    match answer.map_or(0, number) {
        reached if reached >= u64::from(needed) => Ok(()),
        reached => Err(TransportError::Unreachable(format!("{reached} of {needed} replicas have the messages"))),
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
    fn a_round_trip_is_bounded_in_messages_and_bytes() {
        check(&[], &[]);
        check(&[1; 3], &[3]);
        check(&[1; 1025], &[512, 512, 1]);
        check(&[BYTES_MAX / 2; 3], &[1, 1, 1]);
        check(&[BYTES_MAX * 2, 1, 1], &[1, 2]);
    }
}
