//! Removes a fixed set of dead letters for good.

use quash_transport::{DeadLetters, TransportError};
use tokio::sync::watch;

use super::select::Selection;

/// Letters removed by one request to the broker.
const BATCH: usize = 256;

/// How far a removal came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Discarded {
    /// Letters that are gone by this.
    pub discarded: u64,
    /// Letters that somebody else had removed before.
    pub gone: u64,
    /// Letters of the set that were not tried, since it was stopped.
    pub left: u64,
}

/// Removes the letters of a set, batch by batch, until it is done or `stop` says so.
///
/// # Errors
/// When the broker cannot be reached or refuses; `so_far` then holds what was done.
pub async fn discard(
    letters: &dyn DeadLetters,
    selection: &Selection,
    stop: &watch::Receiver<bool>,
    so_far: &mut Discarded,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<(), TransportError> {
    so_far.left = selection.chosen.len() as u64;
    for batch in selection.chosen.chunks(BATCH) {
        if *stop.borrow() {
            break;
        }
        let removed = letters.remove(batch).await?;
        so_far.discarded += removed;
        so_far.gone += (batch.len() as u64).saturating_sub(removed);
        so_far.left -= batch.len() as u64;
        progress(so_far.discarded + so_far.gone);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use quash_transport::LetterId;

    use quash_delivery::record::Reason;

    use super::super::testing;
    use super::*;

    fn selection(ids: impl Iterator<Item = u64>) -> Selection {
        Selection { chosen: ids.map(|id| LetterId(id.to_string())).collect(), ..Selection::default() }
    }

    fn broker(count: usize) -> testing::Broker {
        testing::Broker::with((0..count).map(|_| testing::message(&testing::record(Reason::Rule), "{}")))
    }

    #[tokio::test]
    async fn only_the_set_is_removed() {
        let (broker, (_stop, stopped)) = (broker(600), watch::channel(false));
        let mut so_far = Discarded::default();
        discard(&broker, &selection((1..=600).filter(|id| id % 2 == 0)), &stopped, &mut so_far, &mut |_| ())
            .await
            .unwrap();
        assert_eq!(so_far, Discarded { discarded: 300, gone: 0, left: 0 });
        assert_eq!(broker.ids(), (1..=600).filter(|id| id % 2 == 1).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_removal_can_be_stopped_between_batches() {
        let (broker, (stop, stopped)) = (broker(600), watch::channel(false));
        let mut so_far = Discarded::default();
        let mut stop_at_once = |_| stop.send(true).unwrap();
        discard(&broker, &selection(1..=600), &stopped, &mut so_far, &mut stop_at_once).await.unwrap();
        assert_eq!(so_far, Discarded { discarded: 256, gone: 0, left: 344 });
        assert_eq!(broker.ids().len(), 344);
    }
}
