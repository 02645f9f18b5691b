//! Gathers what was decided about the deliveries of a batch, as verdicts for the broker and as counts for people.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::FutureExt;
use quash_core::answer::AnswerId;
use quash_core::resolve::Resolved;
use quash_transport::message::UNREADABLE;
use quash_transport::{Delivery, Tag, Verdict};

use super::Work;
use crate::answer::{Answers, Asked};
use crate::item::Item;
use crate::metrics::{CacheMetrics, Counts, Matched, RetryError};
use crate::snapshot::Snapshot;
use crate::source::Source;
use quash_delivery::decide::{Case, Decision, Happened, Why, decide};
use quash_delivery::verdict::Scene;

/// What was decided about a batch, not yet known to the broker.
pub(super) struct Handled<'w, 'd> {
    work: Work<'w>,
    now_ms: i64,
    /// What the broker is told.
    pub(super) verdicts: Vec<(Tag, Verdict)>,
    /// The decisions behind the verdicts.
    decisions: Vec<Decided<'d>>,
    /// What the rules matched.
    pub(super) counts: Counts,
    /// What publishers who wait are told.
    pub(super) answers: Answers,
}

struct Decided<'d> {
    delivery: &'d Delivery,
    decision: Decision,
    /// Whether any rule matched.
    matched: Matched,
}

impl<'w, 'd> Handled<'w, 'd> {
    /// Nothing decided yet, and the time at which everything will be.
    pub(super) fn new(work: Work<'w>, deliveries: usize) -> Self {
        let (verdicts, decisions) = (Vec::with_capacity(deliveries), Vec::with_capacity(deliveries));
        let (counts, answers) = (Counts::default(), Answers::default());
        Self { work, now_ms: now_us() / 1000, verdicts, decisions, counts, answers }
    }

    /// Decides about one delivery; `handed_over` names its caches that went to queues of their own, or wait to.
    pub(super) fn decide(&mut self, item: &Item<'d>, happened: Happened<'_>, handed_over: &str) {
        let Item { delivery, state, .. } = *item;
        let Work { source, snapshot, .. } = self.work;
        let policy = &snapshot.policy;
        let decision = decide(Case { state, happened, policy, now_ms: self.now_ms, random: fastrand::f64() });
        let scene = Scene {
            source: &source.name,
            worker: &source.worker,
            format: source.options.format,
            limits: snapshot.limits,
            rules: &snapshot.rules,
            now_ms: self.now_ms,
        };
        self.verdicts.push((delivery.tag, scene.verdict(delivery, &decision, handed_over)));
        if state.pass.is_zero() && is_invalidated(&decision) {
            self.observe_staleness(happened);
        }
        self.decisions.push(Decided { delivery, decision, matched: matched(happened) });
    }

    /// Notes what the publisher is told of the delivery that was decided about last.
    pub(super) fn answer(&mut self, id: AnswerId, item: &Item<'d>, handed_over: &str) {
        let Some(Decided { decision, .. }) = self.decisions.last() else { return };
        let Work { source, snapshot, .. } = self.work;
        let (targets, scope) = (item.state.targets, item.scope());
        self.answers.add(id, &Asked { targets, scope, handed_over, decision, source: &source.name }, &snapshot.rules);
    }

    /// Takes over what was decided about others.
    pub(super) fn extend(&mut self, other: Self) {
        self.verdicts.extend(other.verdicts);
        self.decisions.extend(other.decisions);
        self.counts.extend(other.counts);
        self.answers.extend(other.answers);
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

    fn observe_staleness(&self, happened: Happened<'_>) {
        if let Happened::Resolved { resolved: Resolved::Asked(asked), .. } = happened
            && let Some(time_us) = asked.time_us
            && !asked.targets.is_empty()
        {
            #[expect(clippy::cast_precision_loss, reason = "an age in microseconds is far below 2^53")]
            self.work.source.metrics.invalidated(now_us().saturating_sub(time_us) as f64 / 1e6);
        }
    }
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

const fn matched(happened: Happened<'_>) -> Matched {
    match happened {
        Happened::Resolved { resolved: Resolved::Asked(_), .. } => Matched::Rules,
        Happened::LeftOut => Matched::NotAsked,
        _ => Matched::Nothing,
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

fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
