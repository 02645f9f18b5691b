//! Runs work on threads of its own, each with a runtime and connections of its own.

use std::io;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Mutex, mpsc};

use super::job::{Job, Rescued};
use super::work::Next;

/// Threads that take jobs from one line. They end when the pool is dropped.
pub(super) struct Threadpool {
    line: mpsc::UnboundedSender<Job>,
}

type Line = Arc<Mutex<mpsc::UnboundedReceiver<Job>>>;

impl Threadpool {
    /// # Errors
    /// When the system gives no more threads.
    pub(super) fn start(workers: usize) -> io::Result<Self> {
        // The line is as long as there are seats.
        let (line, waiting) = mpsc::unbounded_channel();
        let waiting = Arc::new(Mutex::new(waiting));
        for number in 0..workers {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let (waiting, again) = (Arc::clone(&waiting), line.downgrade());
            let thread = std::thread::Builder::new().name(format!("quash-pool-{number}"));
            thread.spawn(move || work(&runtime, &waiting, &again))?;
        }
        Ok(Self { line })
    }

    pub(super) fn push(&self, job: Job) {
        push(&self.line, job);
    }
}

fn push(line: &mpsc::UnboundedSender<Job>, job: Job) {
    if let Err(mpsc::error::SendError(job)) = line.send(job) {
        // The pool is gone: whoever shuts down counts what was not done.
        drop(job);
    }
}

fn work(runtime: &Runtime, waiting: &Line, line: &mpsc::WeakUnboundedSender<Job>) {
    runtime.block_on(async {
        loop {
            let next = waiting.lock().await.recv().await;
            let Some(job) = next else { return };
            // A panic costs its job, which is handed over, and not the thread.
            let _ = std::panic::AssertUnwindSafe(attempt(job, line)).catch_unwind().await;
        }
    });
}

/// Attempts a job once. It waits for its next attempt elsewhere, so that a target that is away holds up no other.
async fn attempt(job: Job, line: &mpsc::WeakUnboundedSender<Job>) {
    let mut rescued = Rescued(Some(job));
    let next = match &mut rescued.0 {
        Some(job) => job.attempt().await,
        None => return,
    };
    match next {
        Next::Ended => rescued.finish(),
        Next::Again(delay) => {
            let (Some(job), line) = (rescued.take(), line.clone()) else { return };
            job.inner().hand.spawn(async move {
                tokio::time::sleep(delay).await;
                if let Some(line) = line.upgrade() {
                    push(&line, job);
                }
            });
        }
    }
}
