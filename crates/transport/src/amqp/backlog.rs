//! Counts what waits.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use futures_util::future::try_join_all;
use lapin::Channel;

use super::Shared;
use super::connection::Link;
use super::topology::{self, Names};
use crate::{Backlog, TransportError};

/// Counts what waits; a queue that does not exist yet is empty. The broker does not tell what others hold.
pub(super) async fn backlog(shared: &Shared) -> Result<Backlog, TransportError> {
    let Names { work, suspects, .. } = &shared.names;
    let ready = ready(&shared.looking, &[work, suspects]).await?;
    let delayed = delayed(shared).await?;
    Ok(Backlog { ready, unsettled: shared.held.load(Ordering::Relaxed), delayed, lost: 0 })
}

/// How many messages wait in these queues, for certain.
async fn ready(link: &Link, queues: &[&String]) -> Result<u64, TransportError> {
    let mut ready = 0;
    for queue in queues {
        // One that is missing closes the channel.
        let channel = link.throw_away_channel().await?;
        ready += topology::certain(&channel, queue).await?.map_or(0, |count| u64::from(count.messages));
        topology::close(&channel).await;
    }
    Ok(ready)
}

/// How many messages wait for their delay, all queues asked at once. To be certain of an empty one costs the broker a step
/// that it writes down, so that is done only where something was there before: nothing is parked in a queue that does not
/// answer.
async fn delayed(shared: &Shared) -> Result<u64, TransportError> {
    let before = shared.delayed.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let link = &shared.looking;
    let channel = link.throw_away_channel().await?;
    let asked = shared.rungs.iter().zip(before).map(|(queue, before)| count(link, &channel, queue, before));
    let counted = try_join_all(asked).await?;
    topology::close(&channel).await;
    *shared.delayed.lock().unwrap_or_else(PoisonError::into_inner) = counted.iter().copied().map(Some).collect();
    Ok(counted.into_iter().map(u64::from).sum())
}

async fn count(link: &Link, channel: &Channel, queue: &str, before: Option<u32>) -> Result<u32, TransportError> {
    let counted = match topology::count(channel, queue).await {
        // One queue that is missing closes the channel for all that are asked for with it.
        Err(_) | Ok(None) => {
            let own = link.throw_away_channel().await?;
            let counted = topology::count(&own, queue).await;
            topology::close(&own).await;
            counted?
        }
        Ok(counted) => counted,
    };
    match counted {
        Some(0) if before != Some(0) => {
            let own = link.throw_away_channel().await?;
            let certain = topology::certain(&own, queue).await?;
            topology::close(&own).await;
            Ok(certain.map_or(0, |count| count.messages))
        }
        counted => Ok(counted.unwrap_or(0)),
    }
}
