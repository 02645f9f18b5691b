//! Sets deliveries aside that are not to be received here: suspects, and what comes back before it is due.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::consume::Consuming;
use super::publish::{Outgoing, Untaken};
use super::retry;
use super::session::{Number, Session};
use super::wire::{self, Extras, Received};
use crate::backoff::Pace;
use crate::{Delivery, TransportError};

/// How many go at once.
const CHUNK: usize = 512;

/// A delivery to set aside.
pub(super) struct Aside {
    pub(super) at: Number,
    pub(super) received: Received,
    pub(super) to: Where,
}

/// Where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Where {
    /// To the suspects, who come one at a time.
    Suspects,
    /// Back to the delay queues for so long.
    Parked(Duration),
}

/// Sets aside what comes, in its order, until the connection that it came on is over.
pub(super) async fn run(consuming: Arc<Consuming>, session: Arc<Session>, mut coming: mpsc::UnboundedReceiver<Aside>) {
    let mut chunk = Vec::new();
    let mut pace = Pace::of_reconnects();
    while coming.recv_many(&mut chunk, CHUNK).await > 0 {
        while !chunk.is_empty() && !session.is_over() {
            chunk = set_aside(&consuming, &session, chunk).await;
            if chunk.is_empty() {
                pace.succeeded();
            } else {
                pace.failed().await;
            }
        }
        chunk.clear();
    }
}

/// Publishes at the new place, then acks; returns what the broker did not take.
async fn set_aside(consuming: &Consuming, session: &Session, chunk: Vec<Aside>) -> Vec<Aside> {
    let outgoing: Vec<_> = chunk.iter().map(|aside| outgoing(consuming, aside)).collect();
    let outcomes = consuming.shared.publish_each(&outgoing).await;
    let mut done = Vec::with_capacity(chunk.len());
    let mut rest = Vec::new();
    for (aside, outcome) in chunk.into_iter().zip(outcomes) {
        match outcome {
            Ok(()) => done.push(aside.at),
            // It has grown by what travels beside it. Better in company than never.
            Err(Untaken::Oversized) => consuming.buffer.add_suspects([delivery(session, aside)]),
            Err(other) => {
                report(&other.into());
                rest.push(aside);
            }
        }
    }
    session.ack(&done).await;
    rest
}

fn report(error: &TransportError) {
    tracing::debug!(%error, "a message is set aside later");
}

fn outgoing<'a>(consuming: &'a Consuming, aside: &'a Aside) -> Outgoing<'a> {
    let shared = &consuming.shared;
    let message = &aside.received.message;
    let handed_out = aside.received.handed_out;
    match aside.to {
        Where::Suspects => {
            Outgoing { queue: &shared.names.suspects, message, extras: Extras { handed_out, ..Extras::default() } }
        }
        Where::Parked(rest) => parked(shared, message, retry::wait(rest, wire::now_ms())),
    }
}

/// A message on its way to the queue where it waits.
pub(super) fn parked<'a>(
    shared: &'a super::Shared,
    message: &'a crate::Message,
    wait: Option<retry::Wait>,
) -> Outgoing<'a> {
    let Some(wait) = wait else { return Outgoing::plain(&shared.names.work, message) };
    let queue = shared.rungs.get(wait.rung).unwrap_or(&shared.names.work);
    let extras = Extras { expiration: Some(wait.expiration), due: wait.due, ..Extras::default() };
    Outgoing { queue, message, extras }
}

fn delivery(session: &Session, aside: Aside) -> Delivery {
    Delivery {
        tag: session.tag(aside.at),
        broker_id: aside.at.number.to_string(),
        message: aside.received.message,
        deliveries: aside.received.handed_out.saturating_add(1),
    }
}
