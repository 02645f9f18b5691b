//! The whole flow of a batch on one screen: resolve, fan out, decide, settle.

mod handled;

#[cfg(test)]
mod tests;

use quash_core::event::Accept;
use quash_core::resolve::{Request, Resolution, Resolved};
use quash_core::scope::{QueueSet, Scope};
use quash_dispatch::config::SourceOptions;
use quash_dispatch::transport::{Delivery, Settler};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

use crate::app::{Rules, Snapshot};
use crate::consume::{Source, settle::settle};
use crate::decide::{DELIVERIES_MAX, Happened, Stray, Why};
use crate::drain::Stop;
use crate::fan_out::fan_out;
use crate::hand_over::hand_over;
use crate::metrics::CacheMetrics;
use crate::verdict::payload;
use handled::{Handled, unwinding};
use quash_dispatch::state::{State, read_scope, unconfigured_caches};

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
    /// Whether the source does not accept it.
    is_left_out: bool,
}

impl<'w> Work<'w> {
    async fn at_once<'d>(self, batch: &'d [Delivery]) -> Handled<'w, 'd> {
        let (spared, todo): (Vec<_>, Vec<_>) =
            batch.iter().map(|delivery| self.item(delivery)).partition(|item| item.spared().is_some());
        let mut handled = Handled::new(self, batch.len());
        let mut rest = &todo[..];
        while !rest.is_empty() {
            let done = self.as_many_as_fit(rest, &mut handled).await;
            rest = &rest[done..];
        }
        for item in &spared {
            handled.decide(item, item.spared().unwrap_or(Happened::Unconfigured), "");
        }
        handled
    }

    /// Handles the first of these deliveries, as many as one plan may hold and at least one, and says how many they were.
    async fn as_many_as_fit<'d>(self, items: &[Item<'d>], handled: &mut Handled<'w, 'd>) -> usize {
        let elsewhere = self.snapshot.rules.queues_but(&self.source.name);
        let requests: Vec<Request<'_>> = items.iter().map(|item| self.request(item, elsewhere)).collect();

        let resolution = resolve(&*self.snapshot.rules, &requests);
        CacheMetrics::resolved(&self.snapshot.caches, &resolution);
        let rules = &*self.snapshot.rules;
        let (reports, handed_over) = tokio::join!(
            fan_out(resolution.plan, &self.snapshot.lanes),
            hand_over(&resolution.handed_over, items, rules, &self.source.peers),
        );

        self.source.metrics.handed_over(handed_over.taken);
        for (item, (asker, resolved)) in items.iter().zip((0..).zip(&resolution.outcomes)) {
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
            is_left_out: self.is_left_out(delivery),
        }
    }

    fn is_left_out(self, delivery: &Delivery) -> bool {
        let SourceOptions { accept, format, .. } = &self.source.options;
        *accept != Accept::default() && accept.leaves_out(payload(&delivery.message), *format, &self.snapshot.limits)
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

/// Resolves a batch. One of many bytes takes long enough to keep other tasks of this thread from answering.
fn resolve(rules: &dyn Rules, requests: &[Request<'_>]) -> Resolution {
    const LONG: usize = 64 * 1024;
    let bytes: usize = requests.iter().map(|request| request.payload.body.len()).sum();
    let has_other_threads = Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread;
    if bytes > LONG && has_other_threads { block_in_place(|| rules.resolve(requests)) } else { rules.resolve(requests) }
}

impl Item<'_> {
    /// The caches that wait for a worker that knows them: while a new configuration is rolled out, workers know different
    /// ones.
    fn unconfigured(&self) -> Option<Stray<'_>> {
        let caches = self.unconfigured.as_deref()?;
        Some(Stray { caches, why: Why::Unconfigured, error: "the cache is not configured" })
    }

    /// Why it is not resolved at all, if so.
    fn spared(&self) -> Option<Happened<'static>> {
        if self.delivery.deliveries >= DELIVERIES_MAX {
            Some(Happened::KillsWorkers(self.delivery.deliveries))
        } else if self.is_left_out {
            Some(Happened::LeftOut)
        } else {
            self.state.targets.is_empty().then_some(Happened::Unconfigured)
        }
    }
}
