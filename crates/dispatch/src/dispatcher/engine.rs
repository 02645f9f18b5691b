//! Runs what callers do not wait for, and talks to brokers: one thread with a runtime, for callers of any kind.
//!
//! Callers come from runtimes that rest when nobody uses them, from threads without one, and give up in the middle. A
//! connection that is to live, and a limit that is to hold, need a thread of their own.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Owns the thread. Dropping it ends everything that runs on it, also from within another runtime.
pub(super) struct Engine(Option<Runtime>);

impl Engine {
    pub(super) fn start() -> io::Result<Self> {
        let runtime =
            Builder::new_multi_thread().worker_threads(1).thread_name("quash-dispatch").enable_all().build()?;
        Ok(Self(Some(runtime)))
    }

    pub(super) fn hand(&self) -> Hand {
        #[expect(clippy::expect_used, reason = "only dropping takes the runtime out")]
        Hand(self.0.as_ref().expect("a runtime until dropped").handle().clone())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Puts work on the engine.
#[derive(Clone)]
pub(super) struct Hand(Handle);

impl Hand {
    /// Starts work that goes on whoever waits for it.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(work);
    }

    /// Waits for work, on any executor; it goes on when the wait is dropped. `None` when the engine stopped.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let (tell, answer) = oneshot::channel();
        self.0.spawn(async move { drop(tell.send(work.await)) });
        answer.await.ok()
    }

    /// The same on a thread that may block. `None` when the engine stopped.
    pub(super) fn block_on<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let (tell, answer) = std::sync::mpsc::sync_channel(1);
        self.0.spawn(async move { drop(tell.send(work.await)) });
        answer.recv().ok()
    }

    /// Waits for work within a limit. `None` when it took longer, or the engine stopped; the work is dropped then.
    pub(super) async fn within<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        self.run(async move { timeout(limit, work).await.ok() }).await.flatten()
    }
}
