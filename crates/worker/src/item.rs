//! Reads what a delivery has behind it, and what of it is still to do.

use std::time::Duration;

use quash_core::event::{Accept, Format};
use quash_core::resolve::{Remaining, Request};
use quash_core::scope::{Scope, SourceSet};
use quash_delivery::state::{State, read_early, read_scope, unconfigured_caches};
use quash_dispatch::config::SourceOptions;
use quash_transport::Delivery;
use quash_transport::message::UNREADABLE;

use quash_delivery::decide::{DELIVERIES_MAX, Deferred, Outcome, Why};
use quash_delivery::verdict::payload;

use crate::later;
use crate::snapshot::Snapshot;

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
    /// How long it has still to wait for the pass that it asks for.
    early: Option<Duration>,
    /// Whether its later passes may travel with those of others: the source has to read and to accept direct commands.
    merges: bool,
}

impl<'d> Item<'d> {
    /// Reads the headers of a delivery, at this time in milliseconds since the Unix epoch.
    pub(crate) fn read(delivery: &'d Delivery, options: &SourceOptions, snapshot: &Snapshot, now_ms: i64) -> Self {
        let SourceOptions { accept, format, .. } = options;
        let (headers, rules) = (&delivery.message.headers, &snapshot.rules);
        let state = State::read(headers, |name| rules.target(name));
        Self {
            delivery,
            state,
            early: (!state.pass.is_zero()).then(|| read_early(headers, state.pass, now_ms)).flatten(),
            scope: read_scope(headers, |name| rules.cache(name)),
            unconfigured: unconfigured_caches(headers, |name| rules.cache(name)),
            merges: merges(options, snapshot),
            is_left_out: *accept != Accept::default()
                && accept.leaves_out(payload(&delivery.message), *format, &snapshot.limits),
        }
    }

    /// What of it is asked for here; caches that name one of the sources `elsewhere` are reported instead.
    pub(crate) fn request(&self, format: Format, elsewhere: SourceSet) -> Request<'_> {
        let State { targets, pass, .. } = self.state;
        let counts = self.state.is_fresh();
        let remaining = Remaining { targets, pass, scope: self.scope.as_ref(), elsewhere, counts, merges: self.merges };
        Request { payload: payload(&self.delivery.message), format, remaining }
    }

    /// Which caches it is about, where not all of them.
    pub(crate) const fn scope(&self) -> Option<&Scope> {
        self.scope.as_ref()
    }

    /// The caches that wait for a worker that knows them: while a new configuration is rolled out, workers know different
    /// ones.
    pub(crate) fn unconfigured(&self) -> Option<Deferred<'_>> {
        let caches = self.unconfigured.as_deref()?;
        Some(Deferred { caches, why: Why::Unconfigured, error: "the cache is not configured" })
    }

    /// Why it is not resolved at all, if so.
    pub(crate) fn unhandled(&self) -> Option<Outcome<'_>> {
        if self.delivery.deliveries >= DELIVERIES_MAX {
            Some(Outcome::KillsWorkers(self.delivery.deliveries))
        } else if let Some(why) = self.delivery.message.headers.get(UNREADABLE) {
            Some(Outcome::Unreadable(why))
        } else if self.is_left_out {
            Some(Outcome::LeftOut)
        } else if let Some(delay) = self.early {
            Some(Outcome::Early(delay))
        } else {
            self.state.targets.is_empty().then_some(Outcome::Unconfigured)
        }
    }
}

/// Whether a source takes commands that this worker puts there.
fn merges(options: &SourceOptions, snapshot: &Snapshot) -> bool {
    matches!(options.format, Format::Auto | Format::Json)
        && options.accept == Accept::default()
        && snapshot.limits.max_depth >= later::DEPTH
}
