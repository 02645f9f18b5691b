//! Takes in what the driver cannot hand over: it breaks off the connection at a message whose headers it cannot read, and
//! would again at every delivery.
//!
//! So whenever the connection was lost, what was handed out and is not held here is read by its number. What has a flaw is
//! received with what can be read of it, and its ack ends it as any other. What was on its way behind it got lost with the
//! connection and is received as well, rather than after the server's patience; somebody else may do it a second time.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use rustc_hash::FxHashSet;
use tokio::time::{Instant, timeout};

use super::connection::made_anew;
use super::consume::Consuming;
use super::fetch::stopped;
use super::held::Entry;
use super::intake::next_tag;
use super::stored::{self, Stored};
use super::topology::{Lane, consumer_info};
use super::wire;
use crate::{Delivery, Tag, TransportError};

/// How many messages are read at once; each may be as large as the server takes.
const ABREAST: u64 = 8;

/// How many messages are looked at, at most: as many as may be handed out and not settled.
const LOOKS_MAX: usize = 65_536;

/// How many bytes of what got lost on the way are received again at once. The rest comes after the server's patience.
const LOST_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How long fetching waits for a look to end.
const LOOK_LIMIT: Duration = Duration::from_secs(5);

/// Looks after every reconnect, until the consumer ends.
pub(super) async fn watch(consuming: Arc<Consuming>) {
    let mut stop = consuming.stop.subscribe();
    let mut connections = consuming.shared.link.connections();
    // What was found already: a stream that keeps what is settled shows it again.
    let mut found = FxHashSet::default();
    loop {
        tokio::select! {
            () = made_anew(&mut connections) => {}
            () = stopped(&mut stop) => return,
        }
        consuming.looking.send_replace(true);
        for lane in Lane::ALL {
            let looked = tokio::select! {
                looked = look(&consuming, lane, &mut found) => looked,
                () = stopped(&mut stop) => return,
            };
            match looked {
                Err(TransportError::Refused(why)) => {
                    tracing::error!(stream = %consuming.shared.names.stream_of(lane), %why,
                        "cannot look for messages that the driver cannot hand over; if there are any, they break the \
                         connection again and again");
                }
                Err(error) => {
                    tracing::debug!(?lane, %error, "cannot look for messages that the driver cannot hand over")
                }
                Ok(()) => {}
            }
        }
        consuming.looking.send_replace(false);
    }
}

/// Waits while somebody looks: what is fetched meanwhile would break the connection that is looked with.
pub(super) async fn looked(consuming: &Consuming) {
    let mut looking = consuming.looking.subscribe();
    _ = timeout(LOOK_LIMIT, looking.wait_for(|looking| !looking)).await;
}

/// Looks through what a consumer has handed out and not heard of yet.
async fn look(consuming: &Consuming, lane: Lane, found: &mut FxHashSet<(Lane, u64)>) -> Result<(), TransportError> {
    let shared = &consuming.shared;
    let Some(info) = consumer_info(shared, lane).await? else { return Ok(()) };
    if info.num_ack_pending == 0 {
        return Ok(());
    }
    let (stream, filter) = (shared.names.stream_of(lane), info.config.filter_subject.as_str());
    let filter = if filter.is_empty() { ">" } else { filter };
    let (mut next, last) = (info.ack_floor.stream_seq + 1, info.delivered.stream_seq);
    let (mut looks, mut broken, mut lost_bytes) = (0, false, 0);
    while next <= last && looks < LOOKS_MAX {
        // Over a gap of any width in one step; then those beside it, which are mostly there.
        let Some(first) = stored::first_from(shared, stream, next, filter).await? else { break };
        let until = first.sequence.saturating_add(ABREAST - 1).min(last);
        let held = consuming.held.sequences(lane);
        let beside = (first.sequence + 1..=until).filter(|sequence| !held.contains(sequence));
        let beside = try_join_all(beside.map(|sequence| stored::exact(shared, stream, sequence))).await?;
        looks += ABREAST as usize;
        next = until.max(first.sequence) + 1;
        let first = Some(first).filter(|first| first.sequence <= last && !held.contains(&first.sequence));
        for stored in first.into_iter().chain(beside.into_iter().flatten()) {
            let is_flawed = stored.flaw.is_some();
            broken |= is_flawed;
            if is_flawed && found.insert((lane, stored.sequence)) {
                take_in(consuming, lane, stored);
            } else if !is_flawed && broken && lost_bytes < LOST_BYTES_MAX {
                lost_bytes += stored.payload.len();
                take_in(consuming, lane, stored);
            }
        }
    }
    Ok(())
}

/// Receives a message that came by another way than handing out. The server knows it as handed out, by its number.
fn take_in(consuming: &Consuming, lane: Lane, stored: Stored) {
    let names = &consuming.shared.names;
    let (stream, sequence, tag) = (names.stream_of(lane), stored.sequence, next_tag());
    let reply = format!("$JS.ACK.{stream}.{}.1.{sequence}.0.0.0", names.consumer_of(lane));
    let (headers, alone) = (stored.headers(), stored.flaw.is_some());
    let delivery = Delivery {
        tag: Tag(tag),
        broker_id: format!("{stream}:{sequence}"),
        message: wire::message(headers.as_ref(), stored.payload.clone()),
        deliveries: 1,
    };
    let entry = Entry {
        lane,
        reply: reply.into(),
        sequence,
        headers,
        payload: stored.payload,
        since: Instant::now(),
        handed_out: false,
        forsaken: false,
    };
    consuming.held.hold(vec![(tag, entry)]);
    if alone || lane == Lane::Suspects {
        consuming.buffer.add_alone([delivery]);
    } else {
        consuming.buffer.add(lane, vec![delivery], false);
    }
}
