//! Holds every metric name and label, and one function per happening that writes its log line and its metric.
//!
//! Handles are looked up once, when configuration is loaded; what runs per batch touches atomics alone.

mod histogram;
mod limiter;
mod operator;
mod process;
mod relay;
mod source;
mod target;
mod text;
mod unconfirmed;
mod verify;

use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use quash_config::{LoadError, LocatedProblem, Severity};
use quash_core::resolve::{Resolution, Widened};
use quash_core::scope::CacheId;

use process::ProcessCollector;

pub use histogram::Histogram;
pub use limiter::Limiter;
pub use operator::OperatorAction;
pub use relay::{RelayMetrics, RelayReading};
pub use source::{EventOutcome, MatchedBy, SourceMetrics};
pub use target::{ActionOutcome, AnswerOutcome, RetryError, TargetMetrics};
pub use unconfirmed::{AtBroker, InHand};
pub use verify::VerifyMetrics;

/// Label sets come from configured names and closed enums only.
type Labels = Vec<(&'static str, String)>;
type Counters = Family<Labels, Counter>;
type Gauges = Family<Labels, Gauge>;
type FloatGauges = Family<Labels, Gauge<f64, AtomicU64>>;
type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

/// Every metric of a worker.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    events_received: Counters,
    events: Counters,
    staleness: Histograms,
    batch_events: Histogram,
    process_duration: Histograms,
    source_lag: Gauges,
    source_connected: Gauges,
    source_lost: Counters,
    source_interruptions: Counters,
    last_event: FloatGauges,
    oldest_unconfirmed: FloatGauges,
    unmatched_events: Counters,
    parked: Gauges,
    parked_age: FloatGauges,
    parked_next_due: FloatGauges,
    unreadable: Counters,
    handed_over: Counters,
    inflight: Gauges,
    cache_matches: Counters,
    widened: Counters,
    actions: Counters,
    action_duration: Histograms,
    keys_removed: Counters,
    keys_visited: Counters,
    retries: Counters,
    lane_open: Gauges,
    restarts: Counters,
    answers: Counters,
    dead_letters_written: Counters,
    dead_letters: Gauges,
    dead_letter_age: FloatGauges,
    relay_lag_bytes: Gauges,
    relay_lag_seconds: FloatGauges,
    relay_rows: Counters,
    relay_transactions: Counters,
    verify: VerifyMetrics,
    last_reload_successful: Gauge,
    refused_reload: Mutex<Option<RefusedReload>>,
    operations: Counters,
    /// What people who are not let in try; more lines of them say nothing new.
    refusal_lines: Limiter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Registers every metric.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            events_received: Counters::default(),
            events: Counters::default(),
            staleness: Histograms::new_with_constructor(Histogram::of_staleness),
            batch_events: Histogram::of_batch_sizes(),
            process_duration: Histograms::new_with_constructor(Histogram::of_durations),
            source_lag: Gauges::default(),
            source_connected: Gauges::default(),
            source_lost: Counters::default(),
            source_interruptions: Counters::default(),
            last_event: FloatGauges::default(),
            oldest_unconfirmed: FloatGauges::default(),
            unmatched_events: Counters::default(),
            parked: Gauges::default(),
            parked_age: FloatGauges::default(),
            parked_next_due: FloatGauges::default(),
            unreadable: Counters::default(),
            handed_over: Counters::default(),
            inflight: Gauges::default(),
            cache_matches: Counters::default(),
            widened: Counters::default(),
            actions: Counters::default(),
            action_duration: Histograms::new_with_constructor(Histogram::of_durations),
            keys_removed: Counters::default(),
            keys_visited: Counters::default(),
            retries: Counters::default(),
            lane_open: Gauges::default(),
            restarts: Counters::default(),
            answers: Counters::default(),
            dead_letters_written: Counters::default(),
            dead_letters: Gauges::default(),
            dead_letter_age: FloatGauges::default(),
            relay_lag_bytes: Gauges::default(),
            relay_lag_seconds: FloatGauges::default(),
            relay_rows: Counters::default(),
            relay_transactions: Counters::default(),
            verify: VerifyMetrics::default(),
            last_reload_successful: Gauge::default(),
            refused_reload: Mutex::default(),
            operations: Counters::default(),
            refusal_lines: Limiter::new(1),
        };
        metrics.last_reload_successful.set(1);
        metrics.register();
        metrics
    }

    /// The names are API. The registry writes `_total` behind counters and `_info` behind the build information.
    fn register(&mut self) {
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        self.registry.register("quash_build", "The version that runs", build);
        self.register_sources();
        self.register_targets();
        self.register_letters();
        self.verify.register(&mut self.registry);
        self.registry.register(
            "quash_config_last_reload_successful",
            "Whether the configuration in the files is the one that runs",
            self.last_reload_successful.clone(),
        );
        self.registry.register_collector(Box::new(ProcessCollector));
    }

    fn register_sources(&mut self) {
        let r = &mut self.registry;
        r.register("quash_events_received", "Messages received from a source", self.events_received.clone());
        r.register("quash_events", "Messages settled, by what became of them", self.events.clone());
        r.register("quash_events_handed_over", "Copies that went to queues that caches name", self.handed_over.clone());
        r.register("quash_staleness_seconds", "Event time to confirmed invalidation", self.staleness.clone());
        r.register("quash_batch_events", "Messages of one batch", self.batch_events.clone());
        r.register("quash_process_duration_seconds", "A batch, received to settled", self.process_duration.clone());
        r.register("quash_source_lag_messages", "Messages never handed to any worker", self.source_lag.clone());
        r.register("quash_source_connected", "Whether the broker can be reached", self.source_connected.clone());
        r.register("quash_source_lost_messages", "Unsettled messages that the broker lost", self.source_lost.clone());
        r.register(
            "quash_source_interruptions",
            "Times that receiving was ended from outside",
            self.source_interruptions.clone(),
        );
        r.register("quash_unreadable_messages", "Messages with unreadable headers", self.unreadable.clone());
        r.register("quash_inflight_events", "Messages received and not settled", self.inflight.clone());
        r.register("quash_last_event_timestamp_seconds", "When the last message was received", self.last_event.clone());
        r.register(
            "quash_oldest_unconfirmed_seconds",
            "How long the oldest event has waited for its invalidation",
            self.oldest_unconfirmed.clone(),
        );
        r.register(
            "quash_unmatched_events",
            "Events of entities that no cache depends on",
            self.unmatched_events.clone(),
        );
        r.register("quash_parked_messages", "Copies that wait at the broker", self.parked.clone());
        r.register(
            "quash_parked_oldest_age_seconds",
            "How long the oldest of them has been parked",
            self.parked_age.clone(),
        );
        r.register(
            "quash_parked_next_due_timestamp_seconds",
            "When the next of them is due",
            self.parked_next_due.clone(),
        );
    }

    fn register_targets(&mut self) {
        let r = &mut self.registry;
        r.register("quash_cache_matches", "Events that made a cache stale", self.cache_matches.clone());
        r.register("quash_widened", "More removed than the event names", self.widened.clone());
        r.register("quash_actions", "Actions sent to a target", self.actions.clone());
        r.register("quash_action_duration_seconds", "A share, sent to answered", self.action_duration.clone());
        r.register("quash_keys_removed", "Keys that existed and are gone", self.keys_removed.clone());
        r.register("quash_scan_keys_visited", "Keys that SCAN passes looked at", self.keys_visited.clone());
        r.register("quash_retries", "Shares that are tried again", self.retries.clone());
        r.register("quash_lane_open", "Whether a target counts as unreachable", self.lane_open.clone());
        r.register("quash_target_restarts", "Restarts and failovers of a target seen", self.restarts.clone());
        r.register("quash_answers", "Answers to publishers who wait", self.answers.clone());
    }

    fn register_letters(&mut self) {
        let r = &mut self.registry;
        r.register("quash_dead_letters", "Dead letters written", self.dead_letters_written.clone());
        r.register("quash_dead_letters", "Dead letters at the broker", self.dead_letters.clone());
        r.register("quash_dead_letter_oldest_age_seconds", "Age of the oldest letter", self.dead_letter_age.clone());
        r.register("quash_operator_actions", "What people did at the HTTP endpoint", self.operations.clone());
        r.register("quash_relay_lag_bytes", "Log that is not confirmed to the slot", self.relay_lag_bytes.clone());
        r.register("quash_relay_lag_seconds", "Age of the last commit relayed", self.relay_lag_seconds.clone());
        r.register("quash_relay_rows", "Changes of rows relayed", self.relay_rows.clone());
        r.register("quash_relay_transactions", "Transactions relayed", self.relay_transactions.clone());
    }

    /// What a scraper reads, in the Prometheus text format 0.0.4.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail, and every metric here has a text form.
        let _ = encode(&mut text, &self.registry);
        text::from_open_metrics(&text)
    }

    /// The handles of a source.
    #[must_use]
    pub fn source(&self, name: &str) -> SourceMetrics {
        SourceMetrics::new(self, name)
    }

    /// The handles of a target.
    #[must_use]
    pub fn target(&self, name: &str) -> TargetMetrics {
        TargetMetrics::new(self, name)
    }

    /// The handles of a relay.
    #[must_use]
    pub fn relay(&self, name: &str) -> RelayMetrics {
        RelayMetrics::new(self, name)
    }

    /// What whoever compares entries with what is true counts.
    #[must_use]
    pub const fn verify(&self) -> &VerifyMetrics {
        &self.verify
    }

    /// The handles of the caches, in the order of the resolver's names.
    #[must_use]
    pub fn caches(&self, names: &[String]) -> Vec<CacheMetrics> {
        names.iter().map(|name| CacheMetrics::new(self, name)).collect()
    }

    /// A target is not configured any more: it has no state to show.
    pub fn target_gone(&self, name: &str) {
        self.lane_open.remove(&labels([("target", name)]));
    }

    /// A reload took these sections into force, and left those until the worker restarts.
    pub fn reloaded(&self, taken: &[&str], left: &[&str]) {
        self.last_reload_successful.set(1);
        self.refuses(None);
        match taken {
            [] => tracing::info!("configuration read again, nothing that a reload takes has changed"),
            taken => tracing::info!(changed = taken.join(", "), "configuration reloaded"),
        }
        if !left.is_empty() {
            tracing::warn!(
                changed = left.join(", "),
                "a change of these sections needs a restart, they stay as they were"
            );
        }
    }

    /// A reload was refused; the configuration from before stays in force.
    pub fn reload_refused(&self, error: &LoadError) {
        const REFUSED: &str = "configuration not reloaded, the one from before stays in force";
        match error {
            LoadError::Invalid(problems) => {
                tracing::error!(problems = problems.errors(), "{REFUSED}");
                problems.iter().for_each(config_problem);
            }
            _ => tracing::error!(%error, "{REFUSED}"),
        }
        // Whoever sees it finds the reason in the log already.
        self.refuses(Some(error.to_string()));
        self.last_reload_successful.set(0);
    }

    /// The reload that was refused last, unless a later one was taken.
    #[must_use]
    pub fn refused_reload(&self) -> Option<RefusedReload> {
        self.refused_reload.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn refuses(&self, error: Option<String>) {
        let refused = error.map(|error| RefusedReload { at: SystemTime::now(), error });
        *self.refused_reload.lock().unwrap_or_else(PoisonError::into_inner) = refused;
    }
}

/// A reload that was refused: the configuration from before is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedReload {
    /// When.
    pub at: SystemTime,
    /// Everything that is wrong, at its place in the files.
    pub error: String,
}

/// Something is wrong or doubtful with the configuration: one record, with its place.
pub fn config_problem(problem: &LocatedProblem) {
    let LocatedProblem { severity, file, line, column, path, message, help, .. } = problem;
    let (file, help) = (file.as_deref(), help.as_deref());
    let at = match (file, line, column) {
        (Some(file), Some(line), Some(column)) => format!("{file}:{line}:{column}: "),
        _ => String::new(),
    };
    match severity {
        Severity::Error => tracing::error!(file, line, column, %path, help, "configuration: {at}{message}"),
        Severity::Warning | Severity::Ok => {
            tracing::warn!(file, line, column, %path, help, "configuration: {at}{message}");
        }
    }
}

/// The counters of one cache.
#[derive(Debug, Clone)]
pub struct CacheMetrics {
    matches: Counter,
    widened: [Counter; 4],
}

impl CacheMetrics {
    fn new(metrics: &Metrics, cache: &str) -> Self {
        let widened =
            |why: Widened| metrics.widened.get_or_create_owned(&labels([("cache", cache), ("why", why.name())]));
        Self {
            matches: metrics.cache_matches.get_or_create_owned(&labels([("cache", cache)])),
            widened: [
                Widened::UnknownColumn,
                Widened::UnknownCondition,
                Widened::TooManyActions,
                Widened::TooManyBytes,
            ]
            .map(widened),
        }
    }

    /// How many events made it stale.
    #[must_use]
    pub fn matched(&self) -> u64 {
        self.matches.get()
    }

    /// How many of them removed more than they name.
    #[must_use]
    pub fn widened(&self) -> u64 {
        self.widened.iter().map(Counter::get).sum()
    }

    /// Counts what a batch matched, over the handles of all caches.
    pub fn resolved(caches: &[Self], counts: &Counts) {
        for (cache, times) in &counts.matches {
            if let Some(cache) = caches.get(cache.index()) {
                cache.matches.inc_by(u64::from(*times));
            }
        }
        for (cache, why) in &counts.widened {
            if let Some(cache) = caches.get(cache.index()) {
                cache.widened[*why as usize].inc();
            }
        }
    }
}

/// What is counted of a batch, once its verdicts are with the broker: what is handled anew because of a panic, or because
/// the worker dies, is not counted twice.
#[derive(Debug, Default)]
pub struct Counts {
    /// How often each cache matched, by its index in the rules.
    matches: Vec<(CacheId, u32)>,
    /// What was widened, by the cache.
    widened: Vec<(CacheId, Widened)>,
    /// Events of entities that no cache depends on.
    pub(crate) undeclared: u64,
}

impl Counts {
    /// Adds those of a part of the batch.
    pub fn add(&mut self, resolution: &mut Resolution) {
        self.matches.append(&mut resolution.cache_matches);
        self.widened.append(&mut resolution.widened);
        self.undeclared += resolution.undeclared_events;
    }

    /// Adds those of another part.
    pub fn extend(&mut self, other: Self) {
        self.matches.extend(other.matches);
        self.widened.extend(other.widened);
        self.undeclared += other.undeclared;
    }
}

fn labels<const N: usize>(pairs: [(&'static str, &str); N]) -> Labels {
    pairs.map(|(name, value)| (name, value.to_owned())).to_vec()
}

/// A gauge that is absent while its value is not known: zero would say that there is nothing.
#[derive(Debug)]
struct Known<G> {
    family: Family<Labels, G>,
    labels: Labels,
}

impl<G: Clone + Default> Known<G> {
    fn new(family: &Family<Labels, G>, labels: &Labels) -> Self {
        Self { family: family.clone(), labels: labels.clone() }
    }

    fn set<T>(&self, set: impl FnOnce(&G) -> T) {
        set(&self.family.get_or_create(&self.labels));
    }

    fn forget(&self) {
        self.family.remove(&self.labels);
    }
}

impl Known<Gauge<f64, AtomicU64>> {
    fn set_or_forget(&self, value: Option<f64>) {
        match value {
            Some(value) => self.set(|gauge| gauge.set(value)),
            None => self.forget(),
        }
    }
}
