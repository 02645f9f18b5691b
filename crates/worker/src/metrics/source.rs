//! Counts and logs what happens to the messages of one source.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use quash_core::undeclared::Undeclared;
use quash_transport::{Ages, Backlog, Delivery, TransportError};

use super::unconfirmed::{Unconfirmed, milliseconds};
use super::{AtBroker, Histogram, InHand, Known, Limiter, Metrics, labels};
use crate::hint;
use quash_delivery::decide::{Decision, Park, Why};
use quash_delivery::record::Reason;
use quash_delivery::state::read_first_failure;

/// Lines a second about dead letters of one source; more of them say nothing new.
const LETTER_LINES: u32 = 10;

/// The metrics of one source.
#[derive(Debug)]
pub struct SourceMetrics {
    source: String,
    received: Counter,
    outcomes: [Counter; EventOutcome::ALL.len()],
    staleness: Histogram,
    batch_events: Histogram,
    process_duration: Histogram,
    lag: Known<Gauge>,
    connected: Gauge,
    /// What mends what keeps this worker from the broker; empty where nothing does, or nobody knows.
    cure: Mutex<&'static str>,
    lost: Counter,
    interruptions: Counter,
    last_event: Known<Gauge<f64, AtomicU64>>,
    unconfirmed: Arc<Unconfirmed>,
    oldest_unconfirmed: Known<Gauge<f64, AtomicU64>>,
    unmatched_events: Counter,
    parked: Known<Gauge>,
    oldest_parked: Known<Gauge<f64, AtomicU64>>,
    next_due: Known<Gauge<f64, AtomicU64>>,
    unreadable: Counter,
    handed_over: Counter,
    inflight: Gauge,
    letters_written: [Counter; Reason::ALL.len()],
    letters: Known<Gauge>,
    oldest_letter: Known<Gauge<f64, AtomicU64>>,
    /// How many batches wait because the broker does not take their verdicts.
    unsettled: AtomicUsize,
    retries_panic: Counter,
    letter_lines: Limiter,
    broker_lines: Limiter,
    /// The entities that were named in the log.
    undeclared: Mutex<Undeclared>,
}

/// What became of a message. A closed set: these names are API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventOutcome {
    /// Invalidated on every target; a later pass may be parked.
    Done,
    /// Nothing declared depends on it.
    Unmatched,
    /// The source does not accept it.
    LeftOut,
    /// A share of it is tried again later.
    Parked,
    /// A share of it is a dead letter.
    DeadLetter,
    /// It went back to the broker because the worker stops.
    Released,
}

/// Whether rules matched a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchedBy {
    /// Some rule did.
    Rules,
    /// None did.
    Nothing,
    /// The source does not accept the message, so that none was asked.
    NotAsked,
}

impl EventOutcome {
    /// Every outcome, in the order of the documentation.
    pub const ALL: [Self; 6] =
        [Self::Done, Self::Unmatched, Self::LeftOut, Self::Parked, Self::DeadLetter, Self::Released];

    /// The name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Unmatched => "unmatched",
            Self::LeftOut => "left_out",
            Self::Parked => "parked",
            Self::DeadLetter => "dead_letter",
            Self::Released => "released",
        }
    }

    /// The outcome of a decision; the worst share counts.
    #[must_use]
    pub fn of(decision: &Decision, matched: MatchedBy) -> Self {
        match decision {
            Decision::Ack => match matched {
                MatchedBy::Rules => Self::Done,
                MatchedBy::Nothing => Self::Unmatched,
                MatchedBy::NotAsked => Self::LeftOut,
            },
            Decision::Release => Self::Released,
            Decision::Replace { letters, .. } if !letters.is_empty() => Self::DeadLetter,
            Decision::Replace { parks, .. } if parks.iter().all(|park| park.why == Why::NextPass) => Self::Done,
            Decision::Replace { .. } => Self::Parked,
        }
    }
}

impl SourceMetrics {
    pub(super) fn new(metrics: &Metrics, source: &str) -> Self {
        let only = labels([("source", source)]);
        let outcome = |outcome: EventOutcome| labels([("source", source), ("outcome", outcome.name())]);
        let reason = |reason: Reason| labels([("source", source), ("reason", reason.name())]);
        Self {
            source: source.to_owned(),
            received: metrics.events_received.get_or_create_owned(&only),
            outcomes: EventOutcome::ALL.map(|kind| metrics.events.get_or_create_owned(&outcome(kind))),
            staleness: metrics.staleness.get_or_create_owned(&only),
            batch_events: metrics.batch_events.clone(),
            process_duration: metrics.process_duration.get_or_create_owned(&only),
            lag: Known::new(&metrics.source_lag, &only),
            connected: metrics.source_connected.get_or_create_owned(&only),
            cure: Mutex::default(),
            lost: metrics.source_lost.get_or_create_owned(&only),
            interruptions: metrics.source_interruptions.get_or_create_owned(&only),
            last_event: Known::new(&metrics.last_event, &only),
            unconfirmed: Arc::default(),
            oldest_unconfirmed: Known::new(&metrics.oldest_unconfirmed, &only),
            unmatched_events: metrics.unmatched_events.get_or_create_owned(&only),
            parked: Known::new(&metrics.parked, &only),
            oldest_parked: Known::new(&metrics.parked_age, &only),
            next_due: Known::new(&metrics.parked_next_due, &only),
            unreadable: metrics.unreadable.get_or_create_owned(&only),
            handed_over: metrics.handed_over.get_or_create_owned(&only),
            inflight: metrics.inflight.get_or_create_owned(&only),
            letters_written: Reason::ALL.map(|kind| metrics.dead_letters_written.get_or_create_owned(&reason(kind))),
            letters: Known::new(&metrics.dead_letters, &only),
            oldest_letter: Known::new(&metrics.dead_letter_age, &only),
            unsettled: AtomicUsize::new(0),
            retries_panic: metrics.retries.get_or_create_owned(&labels([("target", ""), ("error", "panic")])),
            letter_lines: Limiter::new(LETTER_LINES),
            broker_lines: Limiter::new(1),
            undeclared: Mutex::default(),
        }
    }

    /// A batch was received, and is in hand as long as what is returned lives.
    pub fn received(&self, batch: &[Delivery]) -> InHand {
        let events = batch.len();
        self.received.inc_by(events as u64);
        self.inflight.inc_by(i64::try_from(events).unwrap_or(i64::MAX));
        #[expect(clippy::cast_precision_loss, reason = "a batch is far below 2^53")]
        self.batch_events.observe(events as f64);
        let now = SystemTime::now();
        self.last_event.set(|gauge| gauge.set(seconds(now)));
        let failed = batch.iter().filter_map(|delivery| read_first_failure(&delivery.message.headers));
        self.unconfirmed.take(failed.chain([milliseconds(now)]).min().unwrap_or_default())
    }

    /// A batch left the worker's hands, settled or not.
    pub fn left(&self, events: usize, took: Duration) {
        self.inflight.dec_by(i64::try_from(events).unwrap_or(i64::MAX));
        self.process_duration.observe(took.as_secs_f64());
    }

    /// All entries of an event are gone, so many seconds after it was committed.
    pub fn invalidated(&self, staleness: f64) {
        self.staleness.observe(staleness);
    }

    /// The broker has confirmed what became of a message.
    pub fn settled(&self, broker_id: &str, decision: &Decision, matched: MatchedBy) {
        self.outcomes[EventOutcome::of(decision, matched) as usize].inc();
        let Decision::Replace { parks, letters } = decision else { return };
        parks.iter().for_each(|park| self.parked(park));
        for park in parks.iter().filter(|park| park.why == Why::Panicked) {
            self.retries_panic.inc();
            let error = park.failures.first().map_or("", |(_, error)| error.as_str());
            if let Some(suppressed) = self.letter_lines.allow() {
                tracing::error!(source = %self.source, %broker_id, %error, suppressed, "handling a message panicked, it is tried again");
            }
        }
        for park in parks.iter().filter(|park| matches!(park.why, Why::Unconfigured | Why::NotHandedOver)) {
            self.deferred(broker_id, park);
        }
        for letter in letters {
            self.letters_written[letter.reason as usize].inc();
            if let Some(suppressed) = self.letter_lines.allow() {
                let (reason, error) = (letter.reason.name(), &letter.error);
                tracing::warn!(source = %self.source, %broker_id, reason, %error, suppressed, "dead letter");
            }
        }
    }

    /// A share that is not done waits for its delay. Until it comes back nobody has it in hand.
    fn parked(&self, park: &Park) {
        if let Some(since_ms) = park.state.first_failure_ms {
            let back = SystemTime::now().checked_add(park.delay).map_or(i64::MAX, milliseconds);
            self.unconfirmed.park(back, since_ms);
        }
    }

    fn deferred(&self, broker_id: &str, park: &Park) {
        let Some(suppressed) = self.letter_lines.allow() else { return };
        let caches = park.caches.as_deref().unwrap_or_default();
        match (park.why, &park.caches) {
            (Why::NotHandedOver, _) => {
                tracing::warn!(source = %self.source, %broker_id, caches, suppressed, "a share cannot be handed over to its queue, it waits");
            }
            (_, Some(_)) => {
                tracing::warn!(source = %self.source, %broker_id, caches, suppressed, "a share names caches that are not configured here, it waits for them");
            }
            (_, None) => {
                tracing::warn!(source = %self.source, %broker_id, suppressed, "a share names a target that is not configured here, it waits for it");
            }
        }
    }

    /// The broker has confirmed messages with so many events of entities that no cache depends on.
    pub fn unmatched(&self, events: u64) {
        self.unmatched_events.inc_by(events);
    }

    /// Events came of entities that no cache depends on: each is named once, and as a warning where it is near a declared
    /// one. Beyond a hundred names there are no more lines.
    pub fn undeclared<'r>(&self, undeclared: &Undeclared, meant_by: impl Fn(&str) -> Option<&'r str>) {
        for entity in undeclared.names() {
            if !self.undeclared.lock().unwrap_or_else(PoisonError::into_inner).add(entity) {
                continue;
            }
            match meant_by(entity) {
                Some(meant) => {
                    tracing::warn!(source = %self.source, entity, "no cache depends on this entity, did you mean `{meant}`?");
                }
                None => tracing::info!(source = %self.source, entity, "no cache depends on this entity"),
            }
        }
    }

    /// The entities that came and that no cache depends on, so many as are kept.
    #[must_use]
    pub fn undeclared_names(&self) -> Vec<String> {
        let undeclared = self.undeclared.lock().unwrap_or_else(PoisonError::into_inner);
        undeclared.names().map(str::to_owned).collect()
    }

    /// How many messages ended how since this process started.
    #[must_use]
    pub fn outcomes(&self) -> [(EventOutcome, u64); EventOutcome::ALL.len()] {
        EventOutcome::ALL.map(|outcome| (outcome, self.outcomes[outcome as usize].get()))
    }

    /// How many messages are received and not settled.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        u64::try_from(self.inflight.get()).unwrap_or(0)
    }

    /// A message is a dead letter because its headers could not be read as they were published.
    pub fn unreadable(&self, broker_id: &str, why: &str) {
        self.unreadable.inc();
        if let Some(suppressed) = self.letter_lines.allow() {
            tracing::error!(source = %self.source, %broker_id, %why, suppressed,
                "a message has headers that cannot be read as they were published, it is a dead letter");
        }
    }

    /// Copies of events went to another source, because caches name it as theirs.
    pub fn handed_over(&self, copies: usize) {
        self.handed_over.inc_by(copies as u64);
    }

    /// The broker does not take the later passes of a batch together; each event leaves its own until it does.
    pub fn passes_are_apart(&self, error: &TransportError) {
        tracing::warn!(source = %self.source, error = %error,
            "later passes cannot be put into the source together; each event waits for its own, which costs more");
    }

    /// Nothing is known to be wrong with the broker, unless it refuses to settle.
    pub fn connected(&self) {
        if self.unsettled.load(Ordering::Relaxed) == 0 && self.connected.set(1) == 0 {
            tracing::info!(source = %self.source, "source connected");
        }
    }

    /// The broker cannot be reached, or refuses to let this worker consume; it is tried again.
    pub fn disconnected(&self, error: &TransportError) {
        let error = self.cut_off(error);
        if let Some(suppressed) = self.broker_lines.allow() {
            tracing::warn!(source = %self.source, error, suppressed, "source not connected, trying again");
        }
    }

    /// Notes that the broker does not do its part, and returns the error with what mends it.
    fn cut_off(&self, error: &TransportError) -> String {
        let error = error.to_string();
        *self.cure.lock().unwrap_or_else(PoisonError::into_inner) = hint::mend(&error);
        self.connected.set(0);
        hint::whole(&error)
    }

    /// What mends what keeps this worker from its broker, where something does and that is known.
    #[must_use]
    pub fn cure(&self) -> Option<&'static str> {
        let cure = *self.cure.lock().unwrap_or_else(PoisonError::into_inner);
        (!self.is_connected() && !cure.is_empty()).then_some(cure)
    }

    /// Whether nothing is known to be wrong with the broker.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connected.get() == 1
    }

    /// The broker did not take verdicts; they are told again. As long as what is returned lives, the source counts as not
    /// connected: batches that it does not let go take the place of those that could come.
    pub fn not_settled(&self, error: &TransportError, deliveries: usize) -> NotSettled<'_> {
        self.unsettled.fetch_add(1, Ordering::Relaxed);
        let error = self.cut_off(error);
        if let Some(suppressed) = self.broker_lines.allow() {
            tracing::warn!(source = %self.source, error, deliveries, suppressed, "cannot settle, trying again");
        }
        NotSettled(self)
    }

    /// A delivery became a dead letter with less than it should have: a whole copy is larger than the broker takes.
    pub fn shortened(&self, broker_id: &str, why: &str) {
        self.letters_written[Reason::Limit as usize].inc();
        tracing::error!(source = %self.source, broker_id, why, "a message is a dead letter: there is no room for more");
    }

    /// A delivery that cannot be settled, because even its payload alone is larger than the broker takes: the broker hands
    /// it out again.
    pub fn oversized(&self, broker_id: &str, bytes: usize) {
        tracing::error!(source = %self.source, broker_id, bytes,
            "cannot settle: the copy is larger than the broker takes; the message stays with the broker, raise its limit");
    }

    /// The worker stopped before the broker took verdicts: the broker hands the deliveries out again.
    pub fn given_back_unsettled(&self, deliveries: usize) {
        tracing::warn!(source = %self.source, deliveries, "stopped before the broker took the verdicts; it hands the messages out again");
    }

    /// Handling ended in a way that nobody foresaw: the deliveries stay with the broker.
    pub fn handling_died(&self, error: &dyn std::fmt::Display) {
        tracing::error!(source = %self.source, %error, "handling a batch died, the broker hands it out again");
    }

    /// Receiving stopped because no target can be reached.
    pub fn paused(&self) {
        tracing::warn!(source = %self.source, "no target can be reached, receiving pauses");
    }

    /// Receiving goes on.
    pub fn resumed(&self) {
        tracing::info!(source = %self.source, "a target can be reached again, receiving goes on");
    }

    /// How much is waiting at the broker, and since when where it tells.
    pub fn backlog(&self, backlog: &Backlog, ages: Option<&Ages>) {
        self.lag.set(|gauge| gauge.set(i64::try_from(backlog.ready).unwrap_or(i64::MAX)));
        self.parked.set(|gauge| gauge.set(i64::try_from(backlog.delayed).unwrap_or(i64::MAX)));
        let now = SystemTime::now();
        let parked = ages.and_then(|ages| ages.oldest_delayed.as_ref()).map(|dated| age(dated.since, now));
        self.oldest_parked.set_or_forget(parked.or((backlog.delayed == 0).then_some(0.0)));
        self.next_due.set_or_forget(ages.and_then(|ages| ages.next_due).map(seconds));
        self.unconfirmed.at_broker(AtBroker::of(backlog, ages));
        self.set_oldest_unconfirmed();
        let known = self.lost.get();
        if backlog.lost > known {
            let lost = backlog.lost - known;
            self.lost.inc_by(lost);
            tracing::error!(source = %self.source, lost, "the broker no longer had messages that were not settled: they are lost");
        }
    }

    /// It is not known how much is waiting.
    pub fn backlog_unknown(&self) {
        self.lag.forget();
        self.parked.forget();
        self.oldest_parked.forget();
        self.next_due.forget();
        self.unconfirmed.at_broker(AtBroker::Unknown);
        self.set_oldest_unconfirmed();
    }

    /// Shows how old the oldest unconfirmed event is now. Before each scrape: it grows while nothing happens.
    pub fn set_oldest_unconfirmed(&self) {
        self.oldest_unconfirmed.set_or_forget(self.unconfirmed.age(milliseconds(SystemTime::now())));
    }

    /// How often receiving was ended from outside since the process started; the log has heard of each.
    pub fn interrupted(&self, times: u64) {
        self.interruptions.inc_by(times.saturating_sub(self.interruptions.get()));
    }

    /// How many dead letters there are, and how old the oldest is, in seconds, where that is known.
    pub fn dead_letters(&self, letters: u64, oldest_age: Option<f64>) {
        self.letters.set(|gauge| gauge.set(i64::try_from(letters).unwrap_or(i64::MAX)));
        self.oldest_letter.set_or_forget(oldest_age.map(|age| age.max(0.0)));
    }

    /// It is not known how many dead letters there are.
    pub fn dead_letters_unknown(&self) {
        self.letters.forget();
        self.oldest_letter.forget();
    }
}

/// Verdicts that the broker does not take.
#[derive(Debug)]
pub struct NotSettled<'a>(&'a SourceMetrics);

impl Drop for NotSettled<'_> {
    fn drop(&mut self) {
        self.0.unsettled.fetch_sub(1, Ordering::Relaxed);
    }
}

fn age(since: SystemTime, now: SystemTime) -> f64 {
    now.duration_since(since).unwrap_or_default().as_secs_f64()
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
