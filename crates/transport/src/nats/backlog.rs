//! Counts what waits.

use std::sync::atomic::Ordering;

use super::Shared;
use super::topology::{Lane, consumer_info, stream_info};
use crate::{Backlog, TransportError};

/// What one consumer has before it.
#[derive(Default, Clone, Copy)]
struct Counts {
    ready: u64,
    unsettled: u64,
}

/// Counts what waits; what does not exist yet is empty.
pub(super) async fn backlog(shared: &Shared) -> Result<Backlog, TransportError> {
    // In the order in which messages move, so that none is overlooked between two questions; only suspects can move both
    // ways.
    let work = counts(shared, Lane::Work).await?;
    let suspects = counts(shared, Lane::Suspects).await?;
    let parked = counts(shared, Lane::Parked).await?;
    let suspects_again = counts(shared, Lane::Suspects).await?;
    let suspects = if suspects.ready + suspects.unsettled == 0 { suspects_again } else { suspects };
    let parked_all = parked.ready + parked.unsettled;
    let due = shared.due_held.load(Ordering::Relaxed).min(parked_all);
    Ok(Backlog {
        ready: work.ready + suspects.ready,
        unsettled: work.unsettled + suspects.unsettled + due,
        delayed: parked_all - due,
        lost: 0,
    })
}

async fn counts(shared: &Shared, lane: Lane) -> Result<Counts, TransportError> {
    if let Some(info) = consumer_info(shared, lane).await? {
        return Ok(Counts { ready: info.num_pending, unsettled: info.num_ack_pending });
    }
    // The consumer will get all of it once there is one.
    match lane {
        Lane::Work => {
            let stream = stream_info(shared, &shared.names.stream).await?;
            Ok(Counts { ready: stream.map_or(0, |stream| stream.state.messages), unsettled: 0 })
        }
        Lane::Parked | Lane::Suspects => Ok(Counts::default()),
    }
}
