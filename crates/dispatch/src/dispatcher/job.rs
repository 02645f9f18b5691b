//! Brings work that nobody waits for to its end, whatever becomes of the runtime or the thread that it runs on.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::Inner;
use super::layout::Group;
use super::receipt::Ticket;
use super::work::{Next, Work};

/// Accepted work: it is done or handed over, or stays in the ledger.
pub(super) struct Job {
    pub(super) work: Work,
    pub(super) group: Arc<Group>,
    pub(super) ticket: Ticket,
    /// Its room in the dispatcher.
    pub(super) seat: OwnedSemaphorePermit,
}

impl Job {
    pub(super) fn inner(&self) -> Arc<Inner> {
        Arc::clone(self.ticket.inner())
    }

    /// Attempts it once, here.
    pub(super) async fn attempt(&mut self) -> Next {
        let inner = self.inner();
        self.work.attempt(&self.group, inner.scene(), super::now_ms).await
    }

    /// Attempts it as often as it may be, here.
    async fn attempts(&mut self) {
        while let Next::Again(delay) = self.attempt().await {
            tokio::time::sleep(delay).await;
        }
    }

    /// Hands over what is left after the attempts, as often as it takes. Runs on the engine.
    pub(super) async fn finish(self) {
        let inner = self.inner();
        if let Some(remains) = self.work.remains(&self.group, inner.scene(), super::now_ms()) {
            inner.publisher.insist(&remains).await;
        }
        self.ticket.done();
        drop(self.seat);
    }
}

/// Runs a job to its end on the runtime that polls this; what is left goes on on the engine.
pub(super) async fn run(job: Job) {
    let mut rescued = Rescued(Some(job));
    if let Some(job) = &mut rescued.0 {
        job.attempts().await;
    }
    rescued.finish();
}

/// Sees to it that a job goes on when its runtime is shut down, or its thread panics, under it.
pub(super) struct Rescued(pub(super) Option<Job>);

impl Rescued {
    /// Takes the job out: somebody else goes on with it.
    pub(super) fn take(mut self) -> Option<Job> {
        self.0.take()
    }

    /// The attempts are over.
    pub(super) fn finish(self) {
        if let Some(job) = self.take() {
            job.inner().hand.spawn(job.finish());
        }
    }
}

impl Drop for Rescued {
    fn drop(&mut self) {
        let Some(mut job) = self.0.take() else { return };
        let inner = job.inner();
        if std::thread::panicking() {
            // Another attempt might panic again.
            job.work.give_up("the attempt panicked", super::now_ms());
            inner.hand.spawn(job.finish());
        } else {
            inner.hand.spawn(Box::pin(run(job)));
        }
    }
}
