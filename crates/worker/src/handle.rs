//! The whole flow of a batch on one screen: resolve, fan out, decide, settle.

mod handled;

#[cfg(test)]
mod tests;

use quash_core::resolve::{Request, Resolved};
use quash_core::scope::{QueueSet, Scope};
use quash_dispatch::transport::{Delivery, Settler};

use crate::app::Snapshot;
use crate::consume::{Source, settle::settle};
use crate::decide::{DELIVERIES_MAX, Happened, Stray, Why};
use crate::drain::Stop;
use crate::fan_out::fan_out;
use crate::hand_over::hand_over;
use crate::metrics::CacheMetrics;
use crate::verdict::payload;
use handled::{Handled, unwinding};
use quash_dispatch::state::{State, read_scope, unconfigured_caches};
use quash_dispatch::transport::message::UNREADABLE;

/// Handles a batch. When it returns, the broker has heard what becomes of every delivery, or the worker has stopped and
/// the broker hands them out again. The whole batch sees one set of rules.
pub async fn handle(batch: &[Delivery], source: &Source, settler: &dyn Settler, stop: &Stop) {
    let snapshot = source.snapshot();
    let work = Work { source, snapshot: &snapshot };
    let handled = tokio::select! {
        handled = work.at_once_or_alone(batch) => handled,
        () = stop.overdue() => work.interrupted(batch),
    };
    if settle(settler, batch, &handled.verdicts, source, stop).await {
        handled.count(source, &snapshot);
    }
}

/// What a batch is handled with.
#[derive(Clone, Copy)]
struct Work<'a> {
    source: &'a Source,
    snapshot: &'a Snapshot,
}

/// A delivery with what it has behind it.
pub(crate) struct Item<'d> {
    pub(crate) delivery: &'d Delivery,
    pub(crate) state: State,
    /// Which caches it is about, where not all of them.
    scope: Option<Scope>,
    /// The caches that it names and that are not configured here, separated by commas.
    unconfigured: Option<String>,
}

impl<'w> Work<'w> {
    async fn at_once<'d>(self, batch: &'d [Delivery]) -> Handled<'w, 'd> {
        let (spared, todo): (Vec<_>, Vec<_>) =
            batch.iter().map(|delivery| self.item(delivery)).partition(|item| item.spared().is_some());
        let elsewhere = self.snapshot.rules.queues_but(&self.source.name);
        let requests: Vec<Request<'_>> = todo.iter().map(|item| self.request(item, elsewhere)).collect();

        let resolution = self.snapshot.rules.resolve(&requests);
        CacheMetrics::resolved(&self.snapshot.caches, &resolution);
        let rules = &*self.snapshot.rules;
        let (reports, handed_over) = tokio::join!(
            fan_out(resolution.plan, &self.snapshot.lanes),
            hand_over(&resolution.handed_over, &todo, rules, &self.source.peers),
        );

        self.source.metrics.handed_over(handed_over.taken);
        let mut handled = Handled::new(self, batch.len());
        for (item, (asker, resolved)) in todo.iter().zip((0..).zip(&resolution.outcomes)) {
            let troubles = match resolved {
                Resolved::Asked(asked) => reports.troubles(asker, asked.targets),
                Resolved::Unmatched { .. } | Resolved::Refused(_) => Vec::new(),
            };
            let strays: Vec<Stray<'_>> = item.unconfigured().into_iter().chain(handed_over.strays(asker)).collect();
            let happened = Happened::Resolved { resolved, troubles: &troubles, strays: &strays };
            // A letter for what was refused stands for the whole, also for what may not have gone over.
            let gone = if matches!(resolved, Resolved::Refused(_)) { "" } else { handed_over.of(asker) };
            handled.decide(item, happened, gone);
        }
        for item in &spared {
            handled.decide(item, item.spared().unwrap_or(Happened::Unconfigured), "");
        }
        handled
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
                Err(panic) => handled.decide(&self.item(delivery), Happened::Panicked(&panic), ""),
            }
        }
        handled
    }

    fn interrupted<'d>(self, batch: &'d [Delivery]) -> Handled<'w, 'd> {
        let mut handled = Handled::new(self, batch.len());
        batch.iter().for_each(|delivery| handled.decide(&self.item(delivery), Happened::Interrupted, ""));
        handled
    }

    fn item(self, delivery: &Delivery) -> Item<'_> {
        let (headers, rules) = (&delivery.message.headers, &self.snapshot.rules);
        Item {
            delivery,
            state: State::read(headers, |name| rules.target(name)),
            scope: read_scope(headers, |name| rules.cache(name)),
            unconfigured: unconfigured_caches(headers, |name| rules.cache(name)),
        }
    }

    fn request<'i>(self, item: &'i Item<'_>, elsewhere: QueueSet) -> Request<'i> {
        Request {
            targets: item.state.targets,
            pass: item.state.pass,
            scope: item.scope.as_ref(),
            elsewhere,
            ..Request::fresh(payload(&item.delivery.message), self.source.options.format)
        }
    }
}

impl Item<'_> {
    /// The caches that wait for a worker that knows them: while a new configuration is rolled out, workers know different
    /// ones.
    fn unconfigured(&self) -> Option<Stray<'_>> {
        let caches = self.unconfigured.as_deref()?;
        Some(Stray { caches, why: Why::Unconfigured, error: "the cache is not configured" })
    }

    /// Why it is not resolved at all, if so.
    fn spared(&self) -> Option<Happened<'_>> {
        if self.delivery.deliveries >= DELIVERIES_MAX {
            Some(Happened::KillsWorkers(self.delivery.deliveries))
        } else if let Some(why) = self.delivery.message.headers.get(UNREADABLE) {
            Some(Happened::Unreadable(why))
        } else {
            self.state.targets.is_empty().then_some(Happened::Unconfigured)
        }
    }
}
