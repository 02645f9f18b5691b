//! The whole flow of a batch on one screen: resolve, fan out, decide, settle.

mod handled;

#[cfg(test)]
mod tests;

use quash_core::plan::RequestId;
use quash_core::resolve::{Request, Resolution, Resolved, Resolver};
use quash_transport::{Delivery, Settler};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

use crate::drain::Stop;
use crate::fan_out::fan_out;
use crate::hand_over::hand_over;
use crate::item::Item;
use crate::later::Passes;
use crate::metrics::InHand;
use crate::settle::settle;
use crate::snapshot::Snapshot;
use crate::source::Source;
use handled::{Handled, now_us, unwinding};
use quash_delivery::decide::{Deferred, Outcome};

/// Handles a batch. When it returns, the broker has heard what becomes of every delivery, or the worker has stopped and
/// the broker hands them out again. The whole batch sees one set of rules.
pub async fn handle(batch: &[Delivery], source: &Source, settler: &dyn Settler, stop: &Stop, in_hand: &InHand) {
    let snapshot = source.snapshot();
    let work = Work { source, snapshot: &snapshot, in_hand, now_ms: now_us() / 1000 };
    let mut handled = tokio::select! {
        handled = work.at_once_or_alone(batch) => handled,
        () = stop.overdue() => work.interrupted(batch),
    };
    handled.put_later().await;
    let settling = settle(settler, batch, &handled.verdicts, source, stop);
    let (settled, ()) = tokio::join!(settling, handled.answers.say(&snapshot.lanes));
    if settled {
        handled.count(source, &snapshot);
    }
}

/// What a batch is handled with.
#[derive(Clone, Copy)]
struct Work<'a> {
    source: &'a Source,
    snapshot: &'a Snapshot,
    in_hand: &'a InHand,
    /// When it was taken in hand, in milliseconds since the Unix epoch.
    now_ms: i64,
}

impl<'w> Work<'w> {
    async fn at_once<'d>(self, batch: &'d [Delivery]) -> Handled<'w, 'd> {
        let (unhandled, todo): (Vec<_>, Vec<_>) =
            batch.iter().map(|delivery| self.item(delivery)).partition(|item| item.unhandled().is_some());
        let mut handled = Handled::new(self, batch.len());
        let mut rest = &todo[..];
        while !rest.is_empty() {
            let done = self.as_many_as_fit(rest, &mut handled).await;
            rest = &rest[done..];
        }
        for item in &unhandled {
            handled.decide(item, item.unhandled().unwrap_or(Outcome::Unconfigured), "");
        }
        handled
    }

    /// Handles the first of these deliveries, as many as one plan may hold and at least one, and says how many they were.
    async fn as_many_as_fit<'d>(self, items: &[Item<'d>], handled: &mut Handled<'w, 'd>) -> usize {
        let elsewhere = self.snapshot.rules.sources_but(&self.source.name);
        let requests: Vec<Request<'_>> =
            items.iter().map(|item| item.request(self.source.options.format, elsewhere)).collect();

        let mut resolution = resolve(&self.snapshot.rules, &requests);
        handled.counts.add(&mut resolution);
        self.waits_since(items, &resolution.outcomes);
        let rules = &*self.snapshot.rules;
        self.source.metrics.undeclared(&resolution.undeclared, |entity| rules.meant_by(entity));
        let (reports, handed_over) = tokio::join!(
            fan_out(resolution.plan, &self.snapshot.lanes),
            hand_over(&resolution.handed_over, items, rules, &self.source.others),
        );

        self.source.metrics.handed_over(handed_over.taken);
        let mut answers = resolution.answers.iter().peekable();
        let mut passes = Passes::default();
        for (item, (id, resolved)) in items.iter().zip((0..).map(RequestId).zip(&resolution.outcomes)) {
            let errors = match resolved {
                Resolved::Matched(matched) => reports.errors(id, matched.targets),
                Resolved::Unmatched { .. } | Resolved::Refused(_) => Vec::new(),
            };
            let deferred: Vec<Deferred<'_>> = item.unconfigured().into_iter().chain(handed_over.deferred(id)).collect();
            let outcome = Outcome::Resolved { resolved, errors: &errors, deferred: &deferred };
            // A letter for what was refused stands for the whole, also for what may not have gone over.
            let gone = if matches!(resolved, Resolved::Refused(_)) { "" } else { handed_over.of(id) };
            handled.decide(item, outcome, gone);
            while let Some((_, answer)) = answers.next_if(|(request, _)| *request == id) {
                handled.answer(*answer, item, gone);
            }
            handled.leave(id, &resolution.later, item, &mut passes);
        }
        handled.merge(&passes);
        resolution.outcomes.len()
    }

    /// After a panic the deliveries are handled again one by one, so that only the one that panics pays for it. Doing the
    /// work of the others twice is harmless.
    async fn at_once_or_alone<'d>(self, batch: &'d [Delivery]) -> Handled<'w, 'd> {
        if let Ok(handled) = unwinding(self.at_once(batch)).await {
            return handled;
        }
        let mut handled = Handled::new(self, batch.len());
        for delivery in batch {
            match unwinding(self.at_once(std::slice::from_ref(delivery))).await {
                Ok(alone) => handled.extend(alone),
                Err(panic) => handled.decide(&self.item(delivery), Outcome::Panicked(&panic), ""),
            }
        }
        handled
    }

    /// Notes since when the oldest of these events waits, now that they are read. Later passes are of what is done.
    fn waits_since(self, items: &[Item<'_>], outcomes: &[Resolved]) {
        let times = items.iter().zip(outcomes).filter_map(|(item, resolved)| match resolved {
            Resolved::Matched(matched) if item.state.pass.is_zero() => matched.time_us,
            _ => None,
        });
        if let Some(oldest_us) = times.min() {
            self.in_hand.is_of(oldest_us.div_euclid(1_000));
        }
    }

    fn interrupted<'d>(self, batch: &'d [Delivery]) -> Handled<'w, 'd> {
        let mut handled = Handled::new(self, batch.len());
        batch.iter().for_each(|delivery| handled.decide(&self.item(delivery), Outcome::Interrupted, ""));
        handled
    }

    fn item(self, delivery: &Delivery) -> Item<'_> {
        Item::read(delivery, &self.source.options, self.snapshot, self.now_ms)
    }
}

/// Resolves a batch. One of many bytes takes long enough to keep other tasks of this thread from answering.
fn resolve(rules: &Resolver, requests: &[Request<'_>]) -> Resolution {
    const LONG: usize = 64 * 1024;
    let bytes: usize = requests.iter().map(|request| request.payload.body.len()).sum();
    let has_other_threads = Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread;
    if bytes > LONG && has_other_threads { block_in_place(|| rules.resolve(requests)) } else { rules.resolve(requests) }
}
