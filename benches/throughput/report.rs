//! Prints what was measured as the tables of `docs/performance.md`.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use quash_e2e::Kind;

use crate::cpu::PerEvent;
use crate::{BATCH, EVENT_BYTES, Outcome};

/// Everything that was found on one broker; rates in events a second.
pub(crate) struct Measured {
    pub(crate) kind: Kind,
    pub(crate) events: u32,
    pub(crate) publish: Rates,
    pub(crate) consume: Rates,
    /// The worker of `consume`, with later passes.
    pub(crate) passes: Vec<f64>,
    /// Of receiving: in each round, the bare driver and the worker.
    pub(crate) cpu: Vec<(PerEvent, PerEvent)>,
    /// Of single events, until the broker confirms and until the bare driver has them.
    pub(crate) arrival: (Latencies, Latencies),
    /// Of single events, until their entry is gone.
    pub(crate) removal: Latencies,
    pub(crate) idle_kib: u64,
    pub(crate) load_kib: u64,
}

/// One figure a round, of the bare driver and of Quash.
#[derive(Default)]
pub(crate) struct Rates {
    pub(crate) bare: Vec<f64>,
    pub(crate) quash: Vec<f64>,
}

/// How long each of many took.
pub(crate) struct Latencies(Vec<Duration>);

/// What the figures depend on.
pub(crate) fn machine() -> Outcome<()> {
    let read = |path: &str| std::fs::read_to_string(Path::new(path)).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    let count = processors.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = read("/proc/sys/kernel/osrelease");
    let model = model.trim_start_matches([' ', '\t', ':']);
    Ok(writeln!(std::io::stdout().lock(), "{count} × {model}, Linux {}", kernel.trim())?)
}

impl Measured {
    /// Prints it.
    pub(crate) fn print(&self) -> Outcome<()> {
        let mut out = std::io::stdout().lock();
        let events = self.events;
        writeln!(out, "\n| {}, {events} events of {EVENT_BYTES} bytes, batches of {BATCH} | measured |", self.name())?;
        writeln!(out, "|---|---|")?;
        self.publish.print(&mut out, ["publish, each confirmed", "publish, each confirmed"])?;
        self.consume.print(&mut out, ["receive and ack", "worker: receive, invalidate, settle"])?;
        writeln!(out, "| Quash, worker with two later passes, events/s | {} |", in_words(&self.passes))?;
        let ratio = 100.0 * median(&self.passes) / median(&self.consume.quash);
        writeln!(out, "| ratio to the worker without | {ratio:.0} % |")?;
        let (bare, worker) = (self.cpu.iter().map(|(bare, _)| *bare), self.cpu.iter().map(|(_, worker)| *worker));
        writeln!(out, "| processor time of an event, bare driver | {} |", in_microseconds(bare))?;
        writeln!(out, "| processor time of an event, worker | {} |", in_microseconds(worker))?;
        let (confirmed, arrived) = &self.arrival;
        writeln!(out, "| idle: publish → confirmed | {} |", confirmed.in_words())?;
        writeln!(out, "| idle: publish → the bare driver has it | {} |", arrived.in_words())?;
        writeln!(out, "| idle worker: publish → entry gone | {} |", self.removal.in_words())?;
        let added = self.removal.millis_at(0.5) - arrived.millis_at(0.5);
        writeln!(out, "| what the worker adds, difference of the medians | {added:.2} ms |")?;
        let mebibytes = |kib: u64| kib as f64 / 1024.0;
        writeln!(out, "| memory, idle | {:.0} MiB |", mebibytes(self.idle_kib))?;
        writeln!(out, "| memory, full load | {:.0} MiB |", mebibytes(self.load_kib))?;
        Ok(())
    }

    fn name(&self) -> &'static str {
        match self.kind {
            Kind::RedisStreams => "Redis Streams",
            Kind::Amqp => "RabbitMQ",
            Kind::Nats => "NATS JetStream",
        }
    }
}

impl Latencies {
    /// In any order.
    pub(crate) fn of(mut latencies: Vec<Duration>) -> Self {
        latencies.sort();
        Self(latencies)
    }

    fn in_words(&self) -> String {
        format!("p50 {:.2} ms, p99 {:.2} ms", self.millis_at(0.5), self.millis_at(0.99))
    }

    fn millis_at(&self, share: f64) -> f64 {
        // An index below the number of samples.
        let index = (self.0.len() as f64 * share) as usize;
        self.0.get(index).map_or(0.0, Duration::as_secs_f64) * 1_000.0
    }
}

impl Rates {
    fn print(&self, out: &mut impl Write, [bare, quash]: [&str; 2]) -> Outcome<()> {
        writeln!(out, "| bare driver, {bare}, events/s | {} |", in_words(&self.bare))?;
        writeln!(out, "| Quash, {quash}, events/s | {} |", in_words(&self.quash))?;
        writeln!(out, "| ratio of the medians | {:.0} % |", 100.0 * median(&self.quash) / median(&self.bare))?;
        Ok(())
    }
}

/// The medians of both parts.
fn in_microseconds(rounds: impl Iterator<Item = PerEvent>) -> String {
    let both = rounds.map(|each| (each.client.as_secs_f64() * 1e6, each.others.as_secs_f64() * 1e6));
    let (client, others): (Vec<_>, Vec<_>) = both.unzip();
    format!("{:.1} µs, the servers {:.1} µs", median(&client), median(&others))
}

fn in_words(rates: &[f64]) -> String {
    let each: Vec<_> = rates.iter().map(|rate| format!("{rate:.0}")).collect();
    format!("{:.0} ({})", median(rates), each.join(", "))
}

fn median(rates: &[f64]) -> f64 {
    let mut sorted = rates.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}
