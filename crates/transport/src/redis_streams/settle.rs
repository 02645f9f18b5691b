//! Carries out verdicts: many acks in one command, copies and acks of their originals in one step.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use redis::{Cmd, Pipeline, Value, cmd};
use tokio::time::Instant;

use super::consume::Consuming;
use super::scripts::{self, CHUNK, RELEASE, SETTLE};
use super::wire::{self, format_id, list, text};
use crate::{Destination, Replacement, Settler, Tag, TransportError, Verdict};

/// How many bytes of copies one call of a script takes.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Settles the deliveries of one consumer.
pub(super) struct Settling {
    pub(super) consuming: Arc<Consuming>,
}

#[async_trait]
impl Settler for Settling {
    async fn settle(&self, verdicts: &[(Tag, Verdict)]) -> Result<Vec<Tag>, TransportError> {
        let consuming = &*self.consuming;
        let plan = Plan::make(consuming, verdicts);
        let mut pipeline = plan.commands(consuming);
        if !pipeline.is_empty() {
            let answers = scripts::run(&consuming.link, &mut pipeline).await?;
            report_lost(consuming, answers);
        }
        consuming.held.let_go(verdicts.iter().map(|(tag, _)| tag.0));
        if plan.parks() {
            consuming.parked.notify_one();
        }
        Ok(Vec::new())
    }

    fn connected(&self) -> bool {
        self.consuming.is_connected()
    }

    fn problem(&self) -> Option<TransportError> {
        self.consuming.problem()
    }

    fn interruptions(&self) -> u64 {
        self.consuming.shared.interrupted.load(Ordering::Relaxed)
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        self.consuming.end();
    }
}

/// What is to be done about deliveries that are still held.
#[derive(Default)]
struct Plan<'a> {
    /// Acked without a second look: the server heard of them so lately that nobody can have taken them over.
    acked: Vec<u128>,
    /// Replaced by copies (by none, when acked late) if they are still this consumer's.
    replaced: Vec<(u128, &'a [Replacement])>,
    released: Vec<u128>,
}

impl<'a> Plan<'a> {
    fn make(consuming: &Consuming, verdicts: &'a [(Tag, Verdict)]) -> Self {
        let safe = consuming.claim_after() / 2;
        let mut plan = Self::default();
        plan.acked.reserve(verdicts.len());
        let ids = verdicts.iter().map(|(tag, _)| tag.0);
        consuming.held.ages(ids, Instant::now(), |index, age| plan.add(&verdicts[index], age < safe));
        plan
    }

    fn add(&mut self, (tag, verdict): &'a (Tag, Verdict), safe: bool) {
        match verdict {
            Verdict::Ack if safe => self.acked.push(tag.0),
            Verdict::Ack => self.replaced.push((tag.0, &[])),
            Verdict::Replace(copies) => self.replaced.push((tag.0, copies)),
            Verdict::Release => self.released.push(tag.0),
        }
    }

    fn parks(&self) -> bool {
        self.replaced.iter().any(|(_, copies)| copies.iter().any(|copy| matches!(copy.to, Destination::Later(_))))
    }

    fn commands(&self, consuming: &Consuming) -> Pipeline {
        let names = &consuming.shared.names;
        let mut pipeline = Pipeline::new();
        if !self.acked.is_empty() {
            let mut ack = Cmd::with_capacity(3 + self.acked.len(), 64 + 24 * self.acked.len());
            ack.arg("XACK").arg(&names.stream).arg(&names.group);
            add_ids(&mut ack, &self.acked);
            pipeline.add_command(ack);
        }
        for chunk in chunks(&self.replaced) {
            let mut call = SETTLE.call(&[&names.stream, &names.due, &names.parked, &names.dead]);
            call.arg(&names.group).arg(&consuming.name);
            chunk.iter().for_each(|(id, copies)| add_copies(&mut call, *id, copies));
            pipeline.add_command(call);
        }
        for chunk in self.released.chunks(CHUNK) {
            pipeline.add_command(release(consuming, chunk));
        }
        pipeline
    }
}

/// The command that hands entries back.
pub(super) fn release(consuming: &Consuming, ids: &[u128]) -> Cmd {
    let mut call = RELEASE.call(&[&consuming.shared.names.stream]);
    call.arg(&consuming.shared.names.group).arg(&consuming.name);
    add_ids(&mut call, ids);
    call
}

/// Counts entries that could not be handed back because somebody had deleted them.
pub(super) fn report_lost(consuming: &Consuming, answers: Vec<Value>) {
    let lost: Vec<_> = answers.into_iter().filter_map(list).flatten().filter_map(text).collect();
    consuming.shared.report_lost(&lost);
}

/// Adds stream ids as arguments.
pub(super) fn add_ids(cmd: &mut Cmd, ids: &[u128]) {
    for id in ids {
        cmd.arg(format_id(*id));
    }
}

fn add_copies(call: &mut Cmd, id: u128, copies: &[Replacement]) {
    call.arg(format_id(id)).arg(copies.len());
    for copy in copies {
        match copy.to {
            Destination::Later(delay) => call.arg(milliseconds(delay)),
            Destination::DeadLetters => call.arg("-"),
        };
        call.arg(wire::field_count(&copy.message));
        for field in wire::fields(&copy.message) {
            call.arg(field);
        }
    }
}

/// A delay in whole milliseconds, rounded up so that nothing comes early. A century stands for everything longer, as
/// scores of a sorted set are exact only so far.
fn milliseconds(delay: Duration) -> u64 {
    const CENTURY: u128 = 100 * 365 * 24 * 3600 * 1000;
    let whole = delay.as_nanos().div_ceil(1_000_000).min(CENTURY);
    u64::try_from(whole).unwrap_or(u64::MAX)
}

/// Cuts what is to be replaced into calls of a script.
fn chunks<'a, 'b>(replaced: &'b [(u128, &'a [Replacement])]) -> impl Iterator<Item = &'b [(u128, &'a [Replacement])]> {
    let mut rest = replaced;
    std::iter::from_fn(move || {
        let (chunk, after) = rest.split_at(chunk_len(rest));
        rest = after;
        (!chunk.is_empty()).then_some(chunk)
    })
}

fn chunk_len(replaced: &[(u128, &[Replacement])]) -> usize {
    let mut bytes = 0;
    let fitting = replaced.iter().take(CHUNK).take_while(|(_, copies)| {
        bytes += copies.iter().map(|copy| wire::size(&copy.message)).sum::<usize>();
        bytes <= BYTES_MAX
    });
    fitting.count().max(1).min(replaced.len())
}

/// The command that removes consumers which hold nothing.
pub(super) fn retire(consuming: &Consuming, me: &str, silent: Duration) -> Cmd {
    let names = &consuming.shared.names;
    let mut call = scripts::RETIRE.call(&[&names.stream]);
    call.arg(&names.group).arg(me).arg(milliseconds(silent));
    call
}

/// The command that lists entries which this consumer holds, from an id on.
pub(super) fn pending(consuming: &Consuming, from: &str, count: usize) -> Cmd {
    let names = &consuming.shared.names;
    let mut pending = cmd("XPENDING");
    pending.arg(&names.stream).arg(&names.group).arg(from).arg("+").arg(count).arg(&consuming.name);
    pending
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_never_shortened() {
        let cases = [(0, 0), (1, 1), (1_000_000, 1), (1_000_001, 2), (1_500_000_000, 1500)];
        for (nanoseconds, expected) in cases {
            assert_eq!(milliseconds(Duration::from_nanos(nanoseconds)), expected);
        }
        assert_eq!(milliseconds(Duration::MAX), 3_153_600_000_000);
    }
}
