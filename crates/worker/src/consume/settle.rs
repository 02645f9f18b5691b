//! Tells the broker verdicts until it has heard them.

use quash_dispatch::transport::backoff::Pace;
use quash_dispatch::transport::{Settler, Tag, Verdict};

use super::Source;
use crate::drain::Stop;

/// Settles, again and again until the broker has answered: repeating it is harmless, and forgetting it would leave the
/// deliveries to nobody. False when the worker had to stop before; the broker then hands the deliveries out again.
pub async fn settle(settler: &dyn Settler, verdicts: &[(Tag, Verdict)], source: &Source, stop: &Stop) -> bool {
    tokio::select! {
        () = until_heard(settler, verdicts, source) => true,
        () = stop.over() => {
            source.metrics.given_back_unsettled(verdicts.len());
            false
        }
    }
}

async fn until_heard(settler: &dyn Settler, verdicts: &[(Tag, Verdict)], source: &Source) {
    let mut pace = Pace::of_reconnects();
    loop {
        match settler.settle(verdicts).await {
            Ok(oversized) => return source.metrics.oversized(oversized.len()),
            Err(error) => source.metrics.not_settled(&error, verdicts.len()),
        }
        pace.failed().await;
    }
}
