//! Counts what waits.

use std::sync::atomic::Ordering;

use futures_util::future::try_join_all;
use lapin::Channel;

use super::Place;
use super::connection::Link;
use super::topology::{self, Names};
use crate::{Backlog, TransportError};

/// Counts what waits; a queue that does not exist yet is empty. The broker does not tell what others hold.
pub(super) async fn backlog(place: &Place) -> Result<Backlog, TransportError> {
    let Names { work, suspects, .. } = &place.names;
    let ready = ready(&place.looking, &[work, suspects]).await?;
    let delayed = counts(&place.looking, &place.rungs).await?;
    Ok(Backlog { ready, unsettled: place.held.load(Ordering::Relaxed), delayed, lost: 0 })
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

/// How many messages wait in these queues, all asked for at once; one that does not answer counts as empty.
async fn counts<T: AsRef<str>>(link: &Link, queues: &[T]) -> Result<u64, TransportError> {
    let channel = link.throw_away_channel().await?;
    let counted = try_join_all(queues.iter().map(|queue| count(link, &channel, queue.as_ref()))).await?;
    topology::close(&channel).await;
    Ok(counted.into_iter().sum())
}

async fn count(link: &Link, channel: &Channel, queue: &str) -> Result<u64, TransportError> {
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
    Ok(u64::from(counted.unwrap_or(0)))
}
