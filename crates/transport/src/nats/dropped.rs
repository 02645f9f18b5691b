//! Notices messages that leave the stream before anybody was handed them: a purge, a deletion, or a limit that drops the
//! oldest.
//!
//! The server does not tell; its counts do. What was waiting, and what came since, is waiting still or was handed out. Each
//! worker looks for itself, and what it says is the least that can have been lost.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use super::Shared;
use super::api::{ConsumerInfo, StreamInfo};
use super::consume::Consuming;
use super::fetch::stopped;
use super::topology::{Lane, consumer_info, stream_info};
use crate::TransportError;

/// How often is looked.
const EVERY: Duration = Duration::from_secs(3);

/// What the counts were at one look.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    /// What must be the same for two looks to be compared: another connection, server or consumer may count otherwise.
    by: (u64, Option<String>, Option<String>, String),
    /// The last message's number, before and after the consumer was asked.
    last: (u64, u64),
    /// How many messages the stream has.
    messages: u64,
    /// How many of them were never handed out.
    pending: u64,
    /// How many deliveries there were, those that came again included.
    deliveries: u64,
    /// The last message that was handed out for the first time. Between two looks as many were, at most, as there are numbers
    /// between theirs.
    reached: u64,
    /// Whether others publish to the stream what is not for this consumer.
    filtered: bool,
}

/// Looks every few seconds until the consumer ends.
pub(super) async fn watch(consuming: Arc<Consuming>) {
    let mut stop = consuming.stop.subscribe();
    let mut before = None;
    loop {
        match look(&consuming.shared).await {
            Ok(seen) => {
                if let (Some(before), Some(seen)) = (&before, &seen) {
                    report(&consuming.shared, lost(before, seen));
                }
                before = seen;
            }
            Err(error) => tracing::debug!(%error, "cannot look whether messages were dropped"),
        }
        tokio::select! {
            () = sleep(EVERY) => {}
            () = stopped(&mut stop) => return,
        }
    }
}

fn report(shared: &Shared, count: u64) {
    if count > 0 {
        shared.lost.fetch_add(count, Ordering::Relaxed);
        tracing::error!(stream = %shared.names.stream, count,
            "messages left the stream before they were handed out, by a purge, a deletion or a limit: their events are lost");
    }
}

async fn look(shared: &Shared) -> Result<Option<Seen>, TransportError> {
    let connection = shared.link.connection();
    let name = &shared.names.stream;
    let Some(before) = stream_info(shared, name).await? else { return Ok(None) };
    let Some(consumer) = consumer_info(shared, Lane::Work).await? else { return Ok(None) };
    let Some(after) = stream_info(shared, name).await? else { return Ok(None) };
    Ok(Some(Seen::of(connection, &before, consumer, after)))
}

impl Seen {
    fn of(connection: u64, before: &StreamInfo, consumer: ConsumerInfo, after: StreamInfo) -> Self {
        let leader = |cluster: Option<super::api::Cluster>| cluster.and_then(|cluster| cluster.leader);
        Self {
            by: (connection, leader(after.cluster), leader(consumer.cluster), consumer.created),
            last: (before.state.last_seq, after.state.last_seq),
            messages: after.state.messages,
            pending: consumer.num_pending,
            deliveries: consumer.delivered.consumer_seq,
            reached: consumer.delivered.stream_seq,
            filtered: !consumer.config.filter_subject.is_empty(),
        }
    }
}

/// How many messages at least were neither handed out nor are waiting. Never more than left the stream.
fn lost(before: &Seen, now: &Seen) -> u64 {
    if before.by != now.by {
        return 0;
    }
    let published = if now.filtered { 0 } else { now.last.0.saturating_sub(before.last.1) };
    let Some(deliveries) = now.deliveries.checked_sub(before.deliveries) else { return 0 };
    let handed_out = deliveries.min(now.reached.saturating_sub(before.reached));
    let gone = (before.pending + published).saturating_sub(now.pending.saturating_add(handed_out));
    let left = (before.messages + now.last.1.saturating_sub(before.last.1)).saturating_sub(now.messages);
    gone.min(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(last: u64, messages: u64, pending: u64, deliveries: u64) -> Seen {
        let by = (1, None, None, "t".to_owned());
        let reached = last - pending;
        Seen { by, last: (last, last), messages, pending, deliveries, reached, filtered: false }
    }

    #[test]
    fn what_left_and_was_never_handed_out_is_lost() {
        let before = seen(100, 50, 40, 200);
        let cases = [
            // Nothing happened; all of it was handed out and settled; so was what came since.
            (seen(100, 50, 40, 200), 0),
            (seen(100, 0, 0, 240), 0),
            (seen(130, 0, 0, 270), 0),
            // Some came twice.
            (seen(100, 0, 0, 300), 0),
            // All was removed; all but what was handed out; only the unread.
            (seen(100, 0, 0, 200), 40),
            (seen(100, 0, 0, 230), 10),
            (seen(130, 10, 0, 200), 70),
            // A consumer that only lost its way: nothing left the stream.
            (seen(100, 50, 0, 200), 0),
            // A consumer that was made anew counts from the beginning.
            (seen(100, 0, 0, 5), 0),
        ];
        for (now, expected) in cases {
            assert_eq!(lost(&before, &now), expected, "{now:?}");
        }
    }

    #[test]
    fn what_comes_again_hides_nothing() {
        let before = seen(100, 50, 40, 200);
        assert_eq!(lost(&before, &Seen { messages: 49, pending: 39, deliveries: 208, ..before.clone() }), 1);
    }

    #[test]
    fn looks_at_different_servers_are_not_compared() {
        let before = seen(100, 50, 40, 200);
        let other = Seen { by: (2, None, None, "t".to_owned()), ..seen(100, 0, 0, 200) };
        assert_eq!(lost(&before, &other), 0);
    }

    #[test]
    fn what_others_publish_to_the_stream_is_nothing_that_this_consumer_waits_for() {
        let before = Seen { filtered: true, ..seen(100, 50, 40, 200) };
        assert_eq!(lost(&before, &Seen { filtered: true, ..seen(500, 450, 40, 200) }), 0);
        assert_eq!(lost(&before, &Seen { filtered: true, ..seen(500, 410, 0, 200) }), 40);
    }
}
