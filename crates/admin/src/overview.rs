//! Says how everything is at this moment. What did not answer is unknown, which is nothing, and never zero.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use futures_util::future::join_all;
use quash_delivery::headers;
use quash_delivery::record::Record;
use quash_transport::{Glance, Message, TransportError};
use quash_worker::lane::Lane;
use quash_worker::metrics::CacheMetrics;
use serde::Serialize;

use crate::clock::{now_ms, within};
use crate::desk::{Desk, Target};
use crate::source::Source;

/// How everything is.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Overview {
    pub(crate) version: &'static str,
    pub(crate) now_ms: i64,
    /// The worker in this process; nothing where none runs here.
    pub(crate) worker: Option<WorkerSeen>,
    pub(crate) sources: Vec<SourceSeen>,
    pub(crate) targets: Vec<TargetSeen>,
    pub(crate) caches: Vec<CacheSeen>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct WorkerSeen {
    pub(crate) name: Option<String>,
    pub(crate) draining: bool,
    /// The reload that was refused last: the configuration from before is in force.
    pub(crate) reload_refused: Option<ReloadSeen>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct ReloadSeen {
    pub(crate) at_ms: i64,
    pub(crate) error: String,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct SourceSeen {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) address: Option<String>,
    /// Whether the worker here reaches its broker.
    pub(crate) connected: Option<bool>,
    /// Messages that the worker here has received and not settled.
    pub(crate) in_flight: Option<u64>,
    /// Messages never handed to any worker.
    pub(crate) ready: Option<u64>,
    /// Messages handed to some worker and not settled.
    pub(crate) unsettled: Option<u64>,
    /// Copies that wait for their next try.
    pub(crate) parked: Option<u64>,
    pub(crate) dead_letters: Option<u64>,
    pub(crate) oldest_letter_age_ms: Option<i64>,
    /// Why something of this is not known.
    pub(crate) unanswered: Vec<String>,
    /// How many messages ended how, since the worker here started.
    pub(crate) outcomes: Option<BTreeMap<&'static str, u64>>,
    /// Entities that came and that no rule is on.
    pub(crate) unmatched: Option<Vec<UnmatchedSeen>>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct UnmatchedSeen {
    pub(crate) entity: String,
    /// The declared entity that it may be a slip of.
    pub(crate) meant: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct TargetSeen {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    /// Whether the worker here reaches it, as far as it knows.
    pub(crate) reachable: Option<bool>,
    /// For how long it has not.
    pub(crate) away_ms: Option<u64>,
    pub(crate) error: Option<String>,
    pub(crate) keys_removed: Option<u64>,
    pub(crate) restarts: Option<u64>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct CacheSeen {
    pub(crate) name: String,
    pub(crate) matches: Option<u64>,
    pub(crate) widened: Option<u64>,
}

impl Overview {
    pub(crate) async fn of(desk: &Desk) -> Self {
        let sources = join_all(desk.sources.iter().map(|source| SourceSeen::of(desk, source))).await;
        Self {
            version: env!("CARGO_PKG_VERSION"),
            now_ms: now_ms(),
            worker: WorkerSeen::of(desk),
            sources,
            targets: desk.targets().into_iter().map(TargetSeen::of).collect(),
            caches: caches(desk),
        }
    }
}

impl WorkerSeen {
    fn of(desk: &Desk) -> Option<Self> {
        let view = desk.view.as_ref()?;
        let reload_refused = view.metrics.refused_reload().map(|refused| {
            let at = refused.at.duration_since(UNIX_EPOCH).unwrap_or_default();
            ReloadSeen { at_ms: i64::try_from(at.as_millis()).unwrap_or(i64::MAX), error: refused.error }
        });
        let name = view.sources.first().map(|source| source.worker.clone());
        Some(Self { name, draining: view.stop.is_draining(), reload_refused })
    }
}

impl SourceSeen {
    async fn of(desk: &Desk, source: &Source) -> Self {
        let (backlog, letters) =
            tokio::join!(within(source.transport.backlog()), within(source.transport.dead_letters().glance()));
        let mut unanswered = Vec::new();
        let backlog = answered(backlog, "what waits", &mut unanswered);
        let letters = answered(letters, "dead letters", &mut unanswered);
        let consumed = source.consumed.as_deref().map(|source| &source.metrics);
        // RabbitMQ tells how much is unsettled only to who consumes, and only of that.
        let tells_unsettled = source.kind != "amqp";
        Self {
            name: source.name.clone(),
            kind: source.kind,
            address: source.address.clone(),
            connected: consumed.map(|metrics| metrics.is_connected()),
            in_flight: consumed.map(|metrics| metrics.in_flight()),
            ready: backlog.map(|backlog| backlog.ready),
            unsettled: backlog.filter(|_| tells_unsettled).map(|backlog| backlog.unsettled),
            parked: backlog.map(|backlog| backlog.delayed),
            dead_letters: letters.as_ref().map(|letters| letters.count),
            oldest_letter_age_ms: letters.as_ref().and_then(oldest_age_ms),
            unanswered,
            outcomes: consumed.map(|metrics| {
                metrics.outcomes().into_iter().map(|(outcome, messages)| (outcome.name(), messages)).collect()
            }),
            unmatched: consumed.map(|metrics| unmatched(desk, metrics.undeclared_names())),
        }
    }
}

fn answered<T>(asked: Result<T, TransportError>, what: &str, unanswered: &mut Vec<String>) -> Option<T> {
    asked.map_err(|error| unanswered.push(format!("{what}: {error}"))).ok()
}

fn oldest_age_ms(letters: &Glance) -> Option<i64> {
    let written = |letter: &Message| {
        let record: Record = serde_json::from_str(letter.headers.get(headers::RECORD)?).ok()?;
        Some(record.last_failure_ms)
    };
    letters.oldest.as_ref().and_then(written).map(|failed_ms| now_ms().saturating_sub(failed_ms).max(0))
}

fn unmatched(desk: &Desk, names: Vec<String>) -> Vec<UnmatchedSeen> {
    let rules = desk.rules();
    // A reload may have declared some since.
    let names = names.into_iter().filter(|entity| !rules.is_declared(entity));
    names.map(|entity| UnmatchedSeen { meant: rules.meant_by(&entity).map(str::to_owned), entity }).collect()
}

impl TargetSeen {
    fn of((target, lane): (Target, Option<Arc<Lane>>)) -> Self {
        let away = lane.as_ref().and_then(|lane| lane.away());
        Self {
            name: target.name,
            kind: target.kind,
            reachable: lane.as_ref().map(|_| away.is_none()),
            away_ms: away.as_ref().map(|(_, away)| millis(*away)),
            error: away.map(|(error, _)| error),
            keys_removed: lane.as_ref().map(|lane| lane.metrics().removed()),
            restarts: lane.as_ref().map(|lane| lane.metrics().restarts()),
        }
    }
}

fn caches(desk: &Desk) -> Vec<CacheSeen> {
    let view = desk.view.as_ref().map(|view| view.snapshot());
    let rules = desk.rules();
    let counters = |index: usize| view.as_ref().and_then(|view| view.caches.get(index));
    let caches = rules.caches().iter().enumerate().map(|(index, name)| CacheSeen {
        name: name.clone(),
        matches: counters(index).map(CacheMetrics::matched),
        widened: counters(index).map(CacheMetrics::widened),
    });
    caches.collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
