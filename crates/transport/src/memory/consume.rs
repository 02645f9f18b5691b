//! Hands out the messages of an in-process queue and takes verdicts on them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep_until};

use super::Shared;
use super::queue::after;
use crate::{ConsumeOptions, Consumer, Delivery, Receiver, Settled, Settler, Tag, TransportError, Verdict};

/// Starts a consumer.
pub(super) fn start(shared: Arc<Shared>, options: &ConsumeOptions) -> Consumer {
    let number = shared.queue().number();
    let receiver =
        Receiving { shared: Arc::clone(&shared), number, batch: options.batch.max(1), linger: options.linger };
    Consumer { receiver: Box::new(receiver), settler: Arc::new(Settling { shared }) }
}

struct Receiving {
    shared: Arc<Shared>,
    number: u64,
    batch: usize,
    linger: Duration,
}

#[async_trait]
impl Receiver for Receiving {
    async fn receive(&mut self) -> Result<Vec<Delivery>, TransportError> {
        loop {
            self.wait_for(1, None).await;
            // Nothing is taken before the wait is over: a call that is dropped while waiting has taken nothing.
            self.wait_for(self.batch, Some(after(Instant::now(), self.linger))).await;
            let batch = self.shared.queue().take(self.number, self.batch);
            if !batch.is_empty() {
                return Ok(batch);
            }
        }
    }
}

impl Receiving {
    /// Waits until so many messages are ready, but not beyond the limit.
    async fn wait_for(&self, count: usize, limit: Option<Instant>) {
        loop {
            let mut changed = std::pin::pin!(self.shared.changed.notified());
            changed.as_mut().enable();
            let now = Instant::now();
            let next_due = {
                let mut queue = self.shared.queue();
                if queue.ready(now, self.batch) >= count || limit.is_some_and(|limit| now >= limit) {
                    return;
                }
                queue.next_due()
            };
            match [next_due, limit].into_iter().flatten().min() {
                Some(wake) => tokio::select! { () = changed => {}, () = sleep_until(wake) => {} },
                None => changed.await,
            }
        }
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.shared.change(|queue| queue.abandon(self.number));
    }
}

struct Settling {
    shared: Arc<Shared>,
}

#[async_trait]
impl Settler for Settling {
    async fn settle(&self, verdicts: &[(Tag, Verdict)]) -> Result<Settled, TransportError> {
        let now = Instant::now();
        self.shared.change(|queue| verdicts.iter().for_each(|(tag, verdict)| queue.settle(*tag, verdict, now)));
        Ok(Settled::default())
    }
}
