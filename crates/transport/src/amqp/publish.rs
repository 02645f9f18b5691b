//! Publishes messages and waits until the broker has confirmed each of them.
//!
//! Everything goes through the default exchange to a queue by its name, `mandatory`: without that, the broker confirms
//! what it throws away because no queue takes it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use lapin::{Channel, Confirmation, ErrorKind, PublisherConfirm};
use tokio::time::timeout;

use super::connection::{self, Link};
use super::wire::{self, Extras};
use crate::{Message, TransportError};

/// How many messages wait for their confirms at once.
const WINDOW: usize = 512;

/// How many bytes do.
const WINDOW_BYTES: usize = 4 * 1024 * 1024;

/// How many channels are kept for the next who publish.
const SPARE_MAX: usize = 8;

/// The broker's code for what breaks its rules: here, a message that is too long.
const PRECONDITION_FAILED: u16 = 406;

/// A message on its way to a queue.
#[derive(Debug, Clone)]
pub(super) struct Outgoing<'a> {
    pub(super) queue: &'a str,
    pub(super) message: &'a Message,
    pub(super) extras: Extras,
}

impl<'a> Outgoing<'a> {
    /// A message as it is.
    pub(super) fn plain(queue: &'a str, message: &'a Message) -> Self {
        Self { queue, message, extras: Extras::default() }
    }
}

/// Why the broker did not take a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Untaken {
    /// It is larger than the broker ever takes.
    Oversized,
    /// There is no queue of this name.
    NoQueue(String),
    /// Anything else.
    Failed(TransportError),
}

impl From<Untaken> for TransportError {
    fn from(untaken: Untaken) -> Self {
        match untaken {
            Untaken::Oversized => Self::TooLarge("publishing: a message is larger than the broker takes".into()),
            Untaken::NoQueue(queue) => Self::Refused(format!("publishing: there is no queue {queue}")),
            Untaken::Failed(error) => error,
        }
    }
}

/// What became of a message: the broker has taken responsibility for it, or not.
pub(super) type Outcome = Result<(), Untaken>;

/// Publishes on one connection, each window on a channel that nobody else uses meanwhile: a message that comes back as
/// unroutable is known by nothing but the channel on which it comes.
pub(super) struct Publisher {
    link: Arc<Link>,
    /// How long the broker may take for a window.
    limit: Duration,
    spare: Mutex<Vec<Channel>>,
}

impl Publisher {
    pub(super) fn new(link: Arc<Link>, limit: Duration) -> Self {
        Self { link, limit, spare: Mutex::default() }
    }

    /// Publishes; each message is confirmed, or this is an error.
    pub(super) async fn publish(&self, messages: &[Outgoing<'_>]) -> Result<(), TransportError> {
        for window in windows(messages) {
            for outcome in self.window(window).await {
                outcome?;
            }
        }
        Ok(())
    }

    /// Publishes what can be, and says what became of each.
    pub(super) async fn publish_each(&self, messages: &[Outgoing<'_>]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(messages.len());
        for window in windows(messages) {
            outcomes.extend(self.window(window).await);
            if let Some(Err(Untaken::Failed(error @ TransportError::Unreachable(_)))) = outcomes.last() {
                // The rest would fail in the same way, each window after as long a time.
                let error = error.clone();
                outcomes.resize(messages.len(), Err(Untaken::Failed(error)));
                break;
            }
        }
        outcomes
    }

    async fn window(&self, messages: &[Outgoing<'_>]) -> Vec<Outcome> {
        match timeout(self.limit, self.settle_oversized(messages)).await {
            Ok(outcomes) => outcomes,
            Err(_) => {
                let error = self.too_late();
                vec![Err(Untaken::Failed(error)); messages.len()]
            }
        }
    }

    /// The driver keeps what it could not write; with the connection it forgets that too, so that it does not pile up.
    fn too_late(&self) -> TransportError {
        let why = self.link.blocked().map_or_else(String::new, |reason| {
            format!(": the broker blocks publishers because it is short of resources ({reason})")
        });
        self.spare().clear();
        self.link.disconnect();
        self.link.server().unreachable(format!("publishing: no confirm within {:?}{why}", self.limit))
    }

    /// One message that the broker finds too long closes the channel and takes its neighbours along: those that are left
    /// without an answer then go one by one.
    async fn settle_oversized(&self, messages: &[Outgoing<'_>]) -> Vec<Outcome> {
        let mut outcomes = self.confirmed(messages).await;
        if messages.len() > 1 && outcomes.contains(&Err(Untaken::Oversized)) {
            for (outcome, message) in outcomes.iter_mut().zip(messages) {
                if *outcome == Err(Untaken::Oversized) {
                    *outcome = self.confirmed(std::slice::from_ref(message)).await.pop().unwrap_or(Ok(()));
                }
            }
        }
        outcomes
    }

    async fn confirmed(&self, messages: &[Outgoing<'_>]) -> Vec<Outcome> {
        let channel = match self.channel().await {
            Ok(channel) => channel,
            Err(error) => return vec![Err(Untaken::Failed(error)); messages.len()],
        };
        // Polled together, or each would wait for the one before it to be written.
        let written = join_all(messages.iter().map(|message| publish(&channel, message))).await;
        let mut outcomes = Vec::with_capacity(messages.len());
        let mut unroutable = Vec::new();
        for written in written {
            outcomes.push(match written {
                Ok(confirm) => confirmed(confirm, &mut unroutable).await,
                Err(untaken) => Err(untaken),
            });
        }
        refuse_unroutable(&mut outcomes, messages, &unroutable);
        // Dropped before here, the channel is not used again: an answer to this window could be taken for one to the next.
        self.keep(channel);
        outcomes
    }

    async fn channel(&self) -> Result<Channel, TransportError> {
        loop {
            let spare = self.spare().pop();
            match spare {
                Some(channel) if channel.status().connected() => return Ok(channel),
                Some(_) => {}
                None => return self.link.confirming_channel().await,
            }
        }
    }

    fn keep(&self, channel: Channel) {
        let mut spare = self.spare();
        if channel.status().connected() && spare.len() < SPARE_MAX {
            spare.push(channel);
        }
    }

    fn spare(&self) -> MutexGuard<'_, Vec<Channel>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn publish(channel: &Channel, outgoing: &Outgoing<'_>) -> Result<PublisherConfirm, Untaken> {
    if wire::is_oversized(outgoing.message) {
        return Err(Untaken::Oversized);
    }
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let properties = wire::properties(outgoing.message, &outgoing.extras);
    channel
        .basic_publish(ShortString::default(), outgoing.queue.into(), options, &outgoing.message.payload, properties)
        .await
        .map_err(|error| untaken(&error))
}

async fn confirmed(confirm: PublisherConfirm, unroutable: &mut Vec<ShortString>) -> Outcome {
    let confirmation = confirm.await.map_err(|error| untaken(&error))?;
    let taken = confirmation.is_ack();
    if matches!(confirmation, Confirmation::NotRequested) {
        return Err(refused("publishing: the channel does not confirm".into()));
    }
    if let Some(returned) = confirmation.take_message() {
        unroutable.push(returned.delivery.routing_key);
    }
    // A quorum queue without a leader says so too, hence an error that passes.
    let full = || TransportError::Unreachable("publishing: the queue is full or has no leader at the moment".into());
    if taken { Ok(()) } else { Err(Untaken::Failed(full())) }
}

/// A message that came back may ride on the confirm of another, but its queue is missing for all that go there.
fn refuse_unroutable(outcomes: &mut [Outcome], messages: &[Outgoing<'_>], unroutable: &[ShortString]) {
    for (outcome, message) in outcomes.iter_mut().zip(messages) {
        if unroutable.iter().any(|queue| queue.as_str() == message.queue) {
            *outcome = Err(Untaken::NoQueue(message.queue.to_owned()));
        }
    }
}

fn refused(why: String) -> Untaken {
    Untaken::Failed(TransportError::Refused(why))
}

fn untaken(error: &lapin::Error) -> Untaken {
    match error.kind() {
        ErrorKind::ProtocolError(error) if error.get_id() == PRECONDITION_FAILED => Untaken::Oversized,
        _ => Untaken::Failed(connection::failure("publishing", error)),
    }
}

/// Cuts messages into windows: at least one message each, and no more than the limits.
fn windows<'a, 'b>(messages: &'b [Outgoing<'a>]) -> impl Iterator<Item = &'b [Outgoing<'a>]> {
    let mut rest = messages;
    std::iter::from_fn(move || {
        let (window, after) = rest.split_at(window_len(rest));
        rest = after;
        (!window.is_empty()).then_some(window)
    })
}

fn window_len(messages: &[Outgoing<'_>]) -> usize {
    let mut bytes = 0;
    let fitting = messages.iter().take(WINDOW).take_while(|outgoing| {
        bytes += wire::size(outgoing.message);
        bytes <= WINDOW_BYTES
    });
    fitting.count().max(1).min(messages.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sizes: &[usize], expected: &[usize]) {
        let messages: Vec<_> =
            sizes.iter().map(|size| Message { payload: vec![0; *size].into(), ..Message::default() }).collect();
        let outgoing: Vec<_> = messages.iter().map(|message| Outgoing::plain("q", message)).collect();
        assert_eq!(windows(&outgoing).map(<[_]>::len).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_window_is_bounded_in_messages_and_bytes() {
        check(&[], &[]);
        check(&[1; 3], &[3]);
        check(&[1; 1025], &[512, 512, 1]);
        check(&[WINDOW_BYTES / 2; 3], &[1, 1, 1]);
        check(&[WINDOW_BYTES * 2, 1, 1], &[1, 2]);
    }

    #[test]
    fn a_message_that_came_back_refuses_all_for_its_queue() {
        let message = Message::default();
        let messages = [Outgoing::plain("there", &message), Outgoing::plain("gone", &message)];
        let mut outcomes = vec![Ok(()), Ok(())];
        refuse_unroutable(&mut outcomes, &messages, &["gone".into()]);
        assert_eq!(outcomes[0], Ok(()));
        let error = TransportError::from(outcomes[1].clone().unwrap_err());
        assert_eq!(error, TransportError::Refused("publishing: there is no queue gone".into()));
    }
}
