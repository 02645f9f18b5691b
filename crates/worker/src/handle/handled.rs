//! Gathers what was decided about the deliveries of a batch, as verdicts for the broker and as counts for people.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::FutureExt;
use quash_core::answer::AnswerId;
use quash_core::plan::RequestId;
use quash_core::resolve::{Later, Resolved};
use quash_transport::message::UNREADABLE;
use quash_transport::{Delivery, Tag, Verdict};

use super::Work;
use crate::answer::{Answers, Asked};
use crate::item::Item;
use crate::later::{Merged, Passes};
use crate::metrics::{CacheMetrics, Counts, MatchedBy, RetryError};
use crate::snapshot::Snapshot;
use crate::source::Source;
use quash_delivery::decide::{Decision, Outcome, Park, Terms, Why, decide};
use quash_delivery::verdict::Scene;

/// What was decided about a batch, not yet known to the broker.
pub(super) struct Handled<'w, 'd> {
    work: Work<'w>,
    /// What the broker is told.
    pub(super) verdicts: Vec<(Tag, Verdict)>,
    /// The decisions behind the verdicts.
    decisions: Vec<Decided<'d>>,
    /// What the rules matched.
    pub(super) counts: Counts,
    /// What publishers who wait are told.
    pub(super) answers: Answers,
    /// What later passes are to do for several deliveries.
    merged: Merged,
}

struct Decided<'d> {
    delivery: &'d Delivery,
    decision: Decision,
    /// Whether any rule matched.
    matched: MatchedBy,
}

impl<'w, 'd> Handled<'w, 'd> {
    /// Nothing decided yet.
    pub(super) fn new(work: Work<'w>, deliveries: usize) -> Self {
        let (verdicts, decisions) = (Vec::with_capacity(deliveries), Vec::with_capacity(deliveries));
        let (counts, answers, merged) = (Counts::default(), Answers::default(), Merged::default());
        Self { work, verdicts, decisions, counts, answers, merged }
    }

    /// Decides about one delivery; `handed_over` names its caches that went to sources of their own, or wait to.
    pub(super) fn decide(&mut self, item: &Item<'d>, outcome: Outcome<'_>, handed_over: &str) {
        let Item { delivery, state, .. } = *item;
        let Work { source, snapshot, now_ms, .. } = self.work;
        let policy = &snapshot.policy;
        let decision = decide(outcome, &Terms { state, policy, now_ms, random: fastrand::f64() });
        let scene = Scene {
            source: &source.name,
            worker: &source.worker,
            format: source.options.format,
            limits: snapshot.limits,
            rules: &snapshot.rules,
            now_ms,
        };
        self.verdicts.push((delivery.tag, scene.verdict(delivery, &decision, handed_over)));
        if state.pass.is_zero() && is_invalidated(&decision) {
            self.observe_staleness(outcome);
        }
        self.decisions.push(Decided { delivery, decision, matched: matched(outcome) });
    }

    /// Notes what the publisher is told of the delivery that was decided about last.
    pub(super) fn answer(&mut self, id: AnswerId, item: &Item<'d>, handed_over: &str) {
        let Some(Decided { decision, .. }) = self.decisions.last() else { return };
        let Work { source, snapshot, .. } = self.work;
        let (targets, scope) = (item.state.targets, item.scope());
        self.answers.add(id, &Asked { targets, scope, handed_over, decision, source: &source.name }, &snapshot.rules);
    }

    /// Notes what the delivery that was decided about last leaves to later passes, if that can be said for several together.
    pub(super) fn leave<'a>(&self, id: RequestId, later: &'a [Later], item: &Item<'d>, passes: &mut Passes<'a>) {
        let first = later.partition_point(|later| later.request < id);
        let own = &later[first..first + later[first..].partition_point(|later| later.request == id)];
        let park = self.decisions.last().and_then(|decided| next_pass(&decided.decision));
        if let Some((_, park)) = park.filter(|_| !own.is_empty()) {
            passes.add(item.delivery.tag, own, item.state.pass, park.state.targets);
        }
    }

    /// Makes messages of what several deliveries leave to later passes.
    pub(super) fn merge(&mut self, passes: &Passes<'_>) {
        let Snapshot { rules, limits, .. } = self.work.snapshot;
        self.merged.extend(passes.merged(rules, limits, self.work.now_ms));
    }

    /// Publishes these messages and takes out the copies that they stand for: once the broker has them, nothing of the batch
    /// may be settled without. Where it does not take them each delivery keeps its own copy.
    pub(super) async fn put_later(&mut self) {
        let Some(source) = self.work.source.others.get(&self.work.source.name).filter(|_| !self.merged.is_empty())
        else {
            return;
        };
        if !source.publish_passes(&self.merged.messages, &self.work.source.metrics).await {
            return;
        }
        for (Decided { decision, .. }, (tag, verdict)) in self.decisions.iter().zip(&mut self.verdicts) {
            if self.merged.of.contains(tag)
                && let (Some((index, _)), Verdict::Replace(copies)) = (next_pass(decision), &mut *verdict)
            {
                copies.remove(index);
                if copies.is_empty() {
                    *verdict = Verdict::Ack;
                }
            }
        }
    }

    /// Takes over what was decided about others.
    pub(super) fn extend(&mut self, other: Self) {
        self.verdicts.extend(other.verdicts);
        self.decisions.extend(other.decisions);
        self.counts.extend(other.counts);
        self.answers.extend(other.answers);
        self.merged.extend(other.merged);
    }

    /// Counts and logs what the broker has confirmed.
    pub(super) fn count(&self, source: &Source, snapshot: &Snapshot) {
        CacheMetrics::resolved(&snapshot.caches, &self.counts);
        source.metrics.unmatched(self.counts.undeclared);
        for Decided { delivery, decision, matched } in &self.decisions {
            source.metrics.settled(&delivery.broker_id, decision, *matched);
            if let Some(why) = delivery.message.headers.get(UNREADABLE) {
                source.metrics.unreadable(&delivery.broker_id, why);
            }
            if let Decision::Replace { parks, .. } = decision {
                for park in parks {
                    let error = match park.why {
                        Why::Failed => RetryError::Failed,
                        Why::Unreachable => RetryError::Unreachable,
                        Why::NextPass | Why::Unconfigured | Why::NotHandedOver | Why::Panicked => continue,
                    };
                    snapshot.lanes_of(park.state.targets).for_each(|lane| lane.metrics().retried(error));
                }
            }
        }
    }

    fn observe_staleness(&self, outcome: Outcome<'_>) {
        if let Outcome::Resolved { resolved: Resolved::Matched(matched), .. } = outcome
            && let Some(time_us) = matched.time_us
            && !matched.targets.is_empty()
        {
            #[expect(clippy::cast_precision_loss, reason = "an age in microseconds is far below 2^53")]
            self.work.source.metrics.invalidated(now_us().saturating_sub(time_us) as f64 / 1e6);
        }
    }
}

/// The copy for the next pass, with its index among all copies.
fn next_pass(decision: &Decision) -> Option<(usize, &Park)> {
    let Decision::Replace { parks, .. } = decision else { return None };
    parks.iter().enumerate().find(|(_, park)| park.why == Why::NextPass)
}

/// Whether every target is done.
fn is_invalidated(decision: &Decision) -> bool {
    match decision {
        Decision::Ack => true,
        Decision::Replace { parks, letters } => {
            letters.is_empty() && parks.iter().all(|park| park.why == Why::NextPass)
        }
        Decision::Release => false,
    }
}

const fn matched(outcome: Outcome<'_>) -> MatchedBy {
    match outcome {
        Outcome::Resolved { resolved: Resolved::Matched(_), .. } => MatchedBy::Rules,
        Outcome::LeftOut => MatchedBy::NotAsked,
        _ => MatchedBy::Nothing,
    }
}

/// Runs a future and turns a panic in it into its message. What it leaves behind is dropped, or is atomics, or is guarded
/// by locks that forgive.
pub(super) async fn unwinding<T>(future: impl Future<Output = T>) -> Result<T, String> {
    AssertUnwindSafe(future).catch_unwind().await.map_err(|panic| message(&*panic))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("without a message"))
}

pub(super) fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
