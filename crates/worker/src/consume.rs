//! Takes batches from one source, several in flight, and pauses while no target can be reached.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use quash_transport::backoff::Pace;
use quash_transport::{ConsumeOptions, Consumer, Delivery, Receiver, Settler, TransportError, Verdict};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::drain::Stop;
use crate::handle::handle;
use crate::settle::settle;
use crate::source::Source;
use quash_dispatch::config::SourceOptions;

/// Consumes a source until the worker stops. When it returns, everything that was received is settled or handed back.
pub async fn consume(source: Arc<Source>, stop: Stop, mut changes: watch::Receiver<()>) {
    let Some(Consumer { mut receiver, settler }) = connect(&source, &stop).await else { return };
    let _ = source.settler.set(Arc::clone(&settler));
    let slots = Arc::new(Semaphore::new(source.options.in_flight.clamp(1, Semaphore::MAX_PERMITS)));
    let mut in_flight = JoinSet::new();
    while let Some((slot, batch)) = next(&source, &mut *receiver, &slots, &stop, &mut changes).await {
        in_flight.spawn(handle_in_slot(batch, Arc::clone(&source), Arc::clone(&settler), stop.clone(), slot));
        while let Some(ended) = in_flight.try_join_next() {
            report(&source, ended);
        }
    }
    let finish = async {
        while let Some(ended) = in_flight.join_next().await {
            report(&source, ended);
        }
    };
    // Others can work on what was fetched ahead while the rest of this one's work is finished.
    tokio::join!(receiver.close(), finish);
}

/// Prepares the source and begins to consume, again and again until the broker lets it.
async fn connect(source: &Source, stop: &Stop) -> Option<Consumer> {
    let SourceOptions { batch, linger, .. } = source.options.clone();
    let options = ConsumeOptions { name: source.worker.clone(), batch: batch.max(1), linger: linger.0 };
    let attempt = async || {
        source.transport.prepare().await?;
        source.transport.consume(&options).await
    };
    let mut pace = Pace::of_reconnects();
    loop {
        let tried = tokio::select! {
            tried = attempt() => tried,
            () = stop.draining() => return None,
        };
        match tried {
            Ok(consumer) => {
                source.metrics.connected();
                return Some(consumer);
            }
            Err(error) => wait_after(source, &error, &mut pace, stop).await,
        }
    }
}

/// The next batch with the slot to handle it in; `None` when the worker stops. What is received has its slot already, so
/// that nothing lies about in the process.
async fn next(
    source: &Source,
    receiver: &mut dyn Receiver,
    slots: &Arc<Semaphore>,
    stop: &Stop,
    changes: &mut watch::Receiver<()>,
) -> Option<(OwnedSemaphorePermit, Vec<Delivery>)> {
    let mut pace = Pace::of_reconnects();
    loop {
        let ready = async {
            reachable(source, changes).await;
            Arc::clone(slots).acquire_owned().await
        };
        let slot = tokio::select! {
            // Nobody closes the semaphore.
            slot = ready => slot.ok()?,
            () = stop.draining() => return None,
        };
        // Dropping `receive` while it waits loses nothing: that is its contract.
        let received = tokio::select! {
            received = receiver.receive() => received,
            () = stop.draining() => return None,
        };
        match received {
            Ok(batch) if batch.is_empty() => {}
            Ok(batch) => {
                source.metrics.connected();
                return Some((slot, batch));
            }
            Err(error) => wait_after(source, &error, &mut pace, stop).await,
        }
    }
}

async fn wait_after(source: &Source, error: &TransportError, pace: &mut Pace, stop: &Stop) {
    source.metrics.disconnected(error);
    tokio::select! {
        () = pace.failed() => {}
        () = stop.draining() => {}
    }
}

/// Waits until some target can be reached. While none can, the broker is the buffer.
async fn reachable(source: &Source, changes: &mut watch::Receiver<()>) {
    changes.mark_unchanged();
    if source.snapshot().is_reachable() {
        return;
    }
    source.metrics.paused();
    while !source.snapshot().is_reachable() {
        // Without a sender nothing will ever change: then only a stop ends this wait.
        if changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
    source.metrics.resumed();
}

async fn handle_in_slot(
    batch: Vec<Delivery>,
    source: Arc<Source>,
    settler: Arc<dyn Settler>,
    stop: Stop,
    slot: OwnedSemaphorePermit,
) {
    let started = Instant::now();
    let in_hand = source.metrics.received(&batch);
    let counted = Counted { source: &source, started, deliveries: batch.len() };
    let handled = handle(&batch, &source, &*settler, &stop, &in_hand);
    if let Err(panic) = AssertUnwindSafe(handled).catch_unwind().await {
        // Handling forgives panics in itself: this one is from settling. Unless the deliveries are handed back, this
        // worker would go on holding them.
        let released: Vec<_> = batch.iter().map(|delivery| (delivery.tag, Verdict::Release)).collect();
        settle(&*settler, &batch, &released, &source, &stop).await;
        drop(counted);
        drop(slot);
        std::panic::resume_unwind(panic);
    }
    drop(counted);
    drop(slot);
}

/// Counts a batch out, also when handling it dies.
struct Counted<'a> {
    source: &'a Source,
    started: Instant,
    deliveries: usize,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.source.metrics.left(self.deliveries, self.started.elapsed());
    }
}

fn report(source: &Source, ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        source.metrics.handling_died(&error);
    }
}
