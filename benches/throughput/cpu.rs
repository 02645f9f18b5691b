//! Tells who used the processors meanwhile: the client that is measured, and everybody else but this process.

use std::time::Duration;

use quash_e2e::process::{cpu_time, of_ticks};

use crate::Outcome;

/// Processor time since some moment, the same for all.
#[derive(Clone, Copy)]
pub(crate) struct Cpu {
    machine: Duration,
    /// This process, which generates the load and watches.
    own: Duration,
    client: Duration,
}

/// Processor time of one event.
#[derive(Clone, Copy)]
pub(crate) struct PerEvent {
    pub(crate) client: Duration,
    /// The broker, where there is one the cache, and the kernel's own threads.
    pub(crate) others: Duration,
}

impl Cpu {
    /// With a client that is a process of its own and has used so much.
    pub(crate) fn with_client(client: Duration) -> Outcome<Self> {
        Ok(Self { machine: machine()?, own: cpu_time("self"), client })
    }

    /// With this process as the client.
    pub(crate) fn own() -> Outcome<Self> {
        Ok(Self { machine: machine()?, own: Duration::ZERO, client: cpu_time("self") })
    }

    /// What was used from this moment to a later one, for so many events.
    pub(crate) fn per_event(self, later: Self, events: u32) -> PerEvent {
        let client = later.client - self.client;
        let others = (later.machine - self.machine).saturating_sub(client + (later.own - self.own));
        PerEvent { client: client / events.max(1), others: others / events.max(1) }
    }
}

/// What all processors together were busy for: time in programs, in the kernel and in interrupts.
fn machine() -> Outcome<Duration> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let ticks: Vec<u64> = fields.filter_map(|ticks| ticks.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq
    let busy: u64 = [0, 1, 2, 5, 6].iter().filter_map(|index| ticks.get(*index)).sum();
    Ok(of_ticks(busy))
}
