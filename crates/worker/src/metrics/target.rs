//! Counts and logs what happens on the way to one target.

use std::collections::BTreeSet;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use quash_core::action::Action;
use quash_core::plan::RequestId;
use quash_store::report::ActionFailure;

use super::{Histogram, Limiter, Metrics, labels};
use crate::hint;

/// The kinds of actions, in the order of their counters.
const KINDS: [&str; 10] = Action::KINDS;

/// The metrics of one target.
#[derive(Debug)]
pub struct TargetMetrics {
    target: String,
    actions: [[Counter; ActionOutcome::ALL.len()]; KINDS.len()],
    duration: Histogram,
    keys_removed: Counter,
    keys_visited: Counter,
    retries: [Counter; RetryError::ALL.len()],
    lane_open: Gauge,
    restarts: Counter,
    answers: [Counter; AnswerOutcome::ALL.len()],
    refusal_lines: Limiter,
    answer_lines: Limiter,
}

/// What came of an action. A closed set: these names are API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionOutcome {
    /// The target did it.
    Done,
    /// The target answered with an error.
    Failed,
    /// The target stopped answering: it may have done it.
    Unknown,
}

impl ActionOutcome {
    /// Every outcome, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::Done, Self::Failed, Self::Unknown];

    /// The name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// Why a share is tried again. A closed set: these names are API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryError {
    /// The target answered with an error.
    Failed,
    /// The target could not be reached.
    Unreachable,
}

impl RetryError {
    /// Every error, in the order of the documentation.
    pub const ALL: [Self; 2] = [Self::Failed, Self::Unreachable];

    /// The name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Unreachable => "unreachable",
        }
    }
}

/// What came of an answer to a publisher who waits. A closed set: these names are API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerOutcome {
    /// The target has it.
    Said,
    /// The target did not take it: the publisher's time runs out.
    Failed,
}

impl AnswerOutcome {
    /// Every outcome, in the order of the documentation.
    pub const ALL: [Self; 2] = [Self::Said, Self::Failed];

    /// The name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Said => "said",
            Self::Failed => "failed",
        }
    }
}

impl TargetMetrics {
    pub(super) fn new(metrics: &Metrics, target: &str) -> Self {
        let only = labels([("target", target)]);
        let action = |kind: &str, outcome: ActionOutcome| {
            let labels = labels([("target", target), ("action", kind), ("outcome", outcome.name())]);
            metrics.actions.get_or_create_owned(&labels)
        };
        let retry = |error: RetryError| {
            metrics.retries.get_or_create_owned(&labels([("target", target), ("error", error.name())]))
        };
        let answer = |outcome: AnswerOutcome| {
            metrics.answers.get_or_create_owned(&labels([("target", target), ("outcome", outcome.name())]))
        };
        let lane_open = metrics.lane_open.get_or_create_owned(&only);
        lane_open.set(0);
        Self {
            target: target.to_owned(),
            actions: KINDS.map(|kind| ActionOutcome::ALL.map(|outcome| action(kind, outcome))),
            duration: metrics.action_duration.get_or_create_owned(&only),
            keys_removed: metrics.keys_removed.get_or_create_owned(&only),
            keys_visited: metrics.keys_visited.get_or_create_owned(&only),
            retries: RetryError::ALL.map(retry),
            lane_open,
            restarts: metrics.restarts.get_or_create_owned(&only),
            answers: AnswerOutcome::ALL.map(answer),
            refusal_lines: Limiter::new(1),
            answer_lines: Limiter::new(1),
        }
    }

    /// How many keys existed and are gone, since this process started.
    #[must_use]
    pub fn removed(&self) -> u64 {
        self.keys_removed.get()
    }

    /// How many restarts and failovers were seen.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.restarts.get()
    }

    /// The target answered for a share.
    pub fn answered(&self, actions: &[Action], failed: &[(RequestId, ActionFailure)], removed: u64, visited: u64) {
        let mut counts = tally(actions);
        for kind in failed_kinds(failed) {
            counts[kind] = counts[kind].saturating_sub(1);
            self.actions[kind][ActionOutcome::Failed as usize].inc();
        }
        self.count(counts, ActionOutcome::Done);
        self.keys_removed.inc_by(removed);
        self.keys_visited.inc_by(visited);
        if let Some((_, failure)) = failed.first() {
            self.refused(failure, failed.len());
        }
    }

    /// The target stopped answering during a share.
    pub fn unanswered(&self, actions: &[Action]) {
        self.count(tally(actions), ActionOutcome::Unknown);
    }

    /// A share took so long, answered or not.
    pub fn took(&self, duration: Duration) {
        self.duration.observe(duration.as_secs_f64());
    }

    /// A share of a delivery is tried again.
    pub fn retried(&self, error: RetryError) {
        self.retries[error as usize].inc();
    }

    /// So many answers were said to publishers who wait, or could not be, for this reason.
    pub fn answered_publishers(&self, answers: usize, said: Result<(), String>) {
        let outcome = if said.is_ok() { AnswerOutcome::Said } else { AnswerOutcome::Failed };
        self.answers[outcome as usize].inc_by(answers as u64);
        if let Err(error) = said
            && let Some(suppressed) = self.answer_lines.allow()
        {
            tracing::warn!(target = %self.target, %error, answers, suppressed, "publishers who wait are not answered");
        }
    }

    /// Shows how the lane is. Before each scrape, because a lane that a reload replaced may have spoken last.
    pub fn lane(&self, open: bool) {
        self.lane_open.set(i64::from(open));
    }

    /// The lane opened.
    pub fn opened(&self, error: &str) {
        self.lane_open.set(1);
        let error = hint::whole(error);
        tracing::warn!(target = %self.target, error, "target cannot be reached, its lane is open");
    }

    /// The lane closed.
    pub fn closed(&self, open_for: Duration) {
        self.lane_open.set(0);
        tracing::info!(target = %self.target, open_for_ms = u64::try_from(open_for.as_millis()).unwrap_or(u64::MAX), "target can be reached again, its lane is closed");
    }

    /// The target restarted or failed over; these actions are applied again.
    pub fn restarted(&self, actions: usize, everything: bool) {
        self.restarts.inc();
        tracing::warn!(target = %self.target, actions, everything, "target restarted or failed over, recent actions are applied again");
    }

    /// The target does not say who it is, so that a restart cannot be noticed.
    pub fn identity_refused(&self, error: &str) {
        tracing::warn!(target = %self.target, %error, "target does not say who it is: restarts go unnoticed, nothing is applied again");
    }

    fn refused(&self, failure: &ActionFailure, deliveries: usize) {
        if let Some(suppressed) = self.refusal_lines.allow() {
            let ActionFailure { action, error } = failure;
            let error = hint::whole(error);
            tracing::warn!(target = %self.target, %action, error, deliveries, suppressed, "target refused an action");
        }
    }

    fn count(&self, counts: [u64; KINDS.len()], outcome: ActionOutcome) {
        for (kind, count) in counts.into_iter().enumerate().filter(|(_, count)| *count > 0) {
            self.actions[kind][outcome as usize].inc_by(count);
        }
    }
}

fn tally(actions: &[Action]) -> [u64; KINDS.len()] {
    let mut counts = [0; KINDS.len()];
    actions.iter().for_each(|action| counts[action.kind_index()] += 1);
    counts
}

/// The kind of each failed action; deliveries that asked for the same action count once.
fn failed_kinds(failed: &[(RequestId, ActionFailure)]) -> impl Iterator<Item = usize> {
    let distinct: BTreeSet<&str> = failed.iter().map(|(_, failure)| failure.action.as_str()).collect();
    distinct.into_iter().filter_map(|action| {
        let kind = action.split(' ').next()?;
        KINDS.iter().position(|known| *known == kind)
    })
}
