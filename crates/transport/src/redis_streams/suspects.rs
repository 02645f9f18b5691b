//! Finds entries that nobody works on any more and hands them out again, suspects one by one.

use std::sync::Arc;

use redis::{Pipeline, Value, cmd};
use tokio::sync::mpsc::{Sender, UnboundedReceiver, UnboundedSender};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::connection::all;
use super::consume::{Batch, Consuming, Pending};
use super::scripts::{self, TAKE};
use super::settle::add_ids;
use super::wire::{list, number, parse_id, redelivery, text};
use crate::{Delivery, SUSPECT_AFTER, TransportError};

/// How many entries one look at the abandoned ones covers.
const PAGE: usize = 100;

/// Takes over what consumers leave that have been silent for too long, this one's own included.
pub(super) struct Reclaimer {
    consuming: Arc<Consuming>,
    batches: Sender<Batch>,
    suspects: UnboundedSender<u128>,
}

impl Reclaimer {
    pub(super) const fn new(
        consuming: Arc<Consuming>,
        batches: Sender<Batch>,
        suspects: UnboundedSender<u128>,
    ) -> Self {
        Self { consuming, batches, suspects }
    }

    pub(super) async fn run(self) {
        let mut ticks = interval(self.consuming.claim_after() / 3);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.batches.is_closed() {
            ticks.tick().await;
            // The fetcher meets the same error, and says it where it is heard.
            if let Err(error) = self.round().await {
                tracing::debug!(%error, "looking for abandoned entries failed");
            }
        }
    }

    /// Looks at all pending entries once.
    async fn round(&self) -> Result<(), TransportError> {
        let mut cursor = String::from("0-0");
        loop {
            let page = self.claim(&cursor).await?;
            let counts = self.counts(&page.ids).await?;
            hand_out_again(&self.consuming, counts, &self.batches, &self.suspects).await?;
            cursor = page.next;
            if cursor == "0-0" {
                return Ok(());
            }
        }
    }

    /// Makes abandoned entries ours. That counts as no delivery and fetches no content, so that an entry which ends
    /// processes is not blamed for waiting.
    async fn claim(&self, cursor: &str) -> Result<Page, TransportError> {
        let consuming = &self.consuming;
        let names = &consuming.shared.names;
        let mut claim = cmd("XAUTOCLAIM");
        claim.arg(&names.stream).arg(&names.group).arg(&consuming.name).arg(consuming.claim_after().as_millis() as u64);
        claim.arg(cursor).arg("COUNT").arg(PAGE).arg("JUSTID");
        let mut answer = list(consuming.link.ask(claim).await?).unwrap_or_default().into_iter();
        let next = answer.next().and_then(text).unwrap_or_else(|| "0-0".into());
        let ids = ids(answer.next());
        // Servers before version 7 do not say what somebody deleted; it is noticed when its content is fetched.
        consuming.shared.report_lost(&self::ids(answer.next()));
        let ids = ids.iter().filter_map(|id| parse_id(id)).filter(|id| !consuming.held.contains(*id)).collect();
        Ok(Page { next, ids })
    }

    /// How often each entry was handed out so far; entries that were settled meanwhile are left out.
    async fn counts(&self, ids: &[u128]) -> Result<Vec<Pending>, TransportError> {
        let names = &self.consuming.shared.names;
        let mut pipeline = Pipeline::with_capacity(ids.len());
        for id in ids {
            let mut pending = cmd("XPENDING");
            pending.arg(&names.stream).arg(&names.group);
            add_ids(&mut pending, &[*id, *id]);
            pending.arg(1).arg(&self.consuming.name);
            pipeline.add_command(pending);
        }
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let answers = all(self.consuming.link.run(&mut pipeline).await?)?;
        Ok(answers.into_iter().filter_map(list).flatten().filter_map(Pending::read).collect())
    }
}

/// What one look found.
struct Page {
    next: String,
    ids: Vec<u128>,
}

fn ids(answer: Option<Value>) -> Vec<String> {
    answer.and_then(list).unwrap_or_default().into_iter().filter_map(text).collect()
}

/// Hands out entries that are ours already: in batches, but suspects are left to those who hand them out one by one.
pub(super) async fn hand_out_again(
    consuming: &Consuming,
    entries: Vec<Pending>,
    batches: &Sender<Batch>,
    suspects: &UnboundedSender<u128>,
) -> Result<(), TransportError> {
    let (suspicious, innocent): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|entry| entry.deliveries >= SUSPECT_AFTER);
    for suspect in suspicious {
        // Only a consumer that has ended has nobody to hand them out.
        _ = suspects.send(suspect.id);
    }
    let innocent: Vec<_> = innocent.into_iter().map(|entry| entry.id).collect();
    for chunk in innocent.chunks(consuming.batch) {
        let batch = take(consuming, chunk).await?;
        if !batch.is_empty() && batches.send(Ok(batch)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Fetches entries that are ours and not held yet, and counts that they are handed out.
async fn take(consuming: &Consuming, ids: &[u128]) -> Result<Vec<Delivery>, TransportError> {
    let _alone = consuming.taking.lock().await;
    let ids: Vec<_> = ids.iter().copied().filter(|id| !consuming.held.contains(*id)).collect();
    let (mut taken, mut lost) = (Vec::with_capacity(ids.len()), Vec::new());
    let since = Instant::now();
    for chunk in ids.chunks(scripts::CHUNK) {
        let mut call = TAKE.call(&[&consuming.shared.names.stream]);
        call.arg(&consuming.shared.names.group).arg(&consuming.name);
        add_ids(&mut call, chunk);
        let answers = list(scripts::call(&consuming.link, call).await?).unwrap_or_default();
        taken.extend(answers.into_iter().filter_map(|entry| taken_or_lost(entry, &mut lost)));
    }
    // Not before all went well: what is held and handed to nobody would never be found again.
    consuming.held.hold(&taken, since);
    consuming.shared.report_lost(&lost);
    Ok(taken)
}

fn taken_or_lost(entry: Value, lost: &mut Vec<String>) -> Option<Delivery> {
    let mut entry = list(entry)?.into_iter();
    let (id, count, fields) = (entry.next()?, entry.next()?, entry.next()?);
    if matches!(fields, Value::Nil) {
        lost.extend(text(id));
        return None;
    }
    redelivery(id, fields, u32::try_from(number(&count)).unwrap_or(u32::MAX))
}

/// Hands out entries that may be ending processes: one at a time, the next one when the last is settled, so that only a
/// real culprit is handed out again and again.
pub(super) struct Suspects {
    consuming: Arc<Consuming>,
    waiting: UnboundedReceiver<u128>,
    batches: Sender<Batch>,
}

impl Suspects {
    pub(super) const fn new(
        consuming: Arc<Consuming>,
        waiting: UnboundedReceiver<u128>,
        batches: Sender<Batch>,
    ) -> Self {
        Self { consuming, waiting, batches }
    }

    pub(super) async fn run(mut self) {
        while let Some(id) = self.waiting.recv().await {
            let batch = match take(&self.consuming, &[id]).await {
                Ok(batch) => batch,
                // It is found again once it has been idle for long enough.
                Err(error) => {
                    tracing::debug!(%error, "handing out a suspect failed");
                    continue;
                }
            };
            if !batch.is_empty() && self.batches.send(Ok(batch)).await.is_err() {
                return;
            }
            // One that takes long must not keep the others waiting for ever.
            _ = timeout(self.consuming.claim_after(), self.consuming.held.until_let_go(id)).await;
        }
    }
}
