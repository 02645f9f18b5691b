//! Sends the shares of a plan to their lanes, all at once, and gathers what came of them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use quash_core::plan::{Plan, RequestId, Share, TargetId, TargetSet};

use crate::lane::{Lane, LaneOutcome};
use quash_delivery::decide::ShareError;

/// Applies every share on its lane and waits for all of them. Each lane bounds its own wait.
pub async fn fan_out(plan: Plan, lanes: &[Arc<Lane>]) -> Reports {
    let shares = plan.shares.into_iter().map(|share| apply(share, lanes));
    Reports(join_all(shares).await)
}

async fn apply(share: Share, lanes: &[Arc<Lane>]) -> (TargetId, LaneOutcome) {
    let target = share.target;
    let outcome = match lanes.get(usize::from(target.0)) {
        Some(lane) => lane.apply(share).await,
        // Rules and lanes are made from one configuration; should they ever differ, nothing is lost.
        None => LaneOutcome::Unreachable("the target has no lane".to_owned()),
    };
    (target, outcome)
}

/// What came of a plan, by target.
#[derive(Debug, Default)]
pub struct Reports(Vec<(TargetId, LaneOutcome)>);

impl Reports {
    /// The targets that are not done for a request for these. Allocates only when something went wrong.
    #[must_use]
    pub fn errors(&self, request: RequestId, asked: TargetSet) -> Vec<(TargetId, ShareError<&str>)> {
        let asked = self.0.iter().filter(|(target, _)| asked.contains(*target));
        asked.filter_map(|(target, outcome)| Some((*target, error(outcome, request)?))).collect()
    }
}

fn error(outcome: &LaneOutcome, request: RequestId) -> Option<ShareError<&str>> {
    match outcome {
        LaneOutcome::Unreachable(error) => Some(ShareError::Unreachable { error, away: Duration::ZERO }),
        LaneOutcome::Open { error, away } => Some(ShareError::Unreachable { error, away: *away }),
        LaneOutcome::Answered(failed) => {
            let index = failed.binary_search_by_key(&request, |(request, _)| *request).ok()?;
            Some(ShareError::Failed(&failed[index].1))
        }
    }
}
