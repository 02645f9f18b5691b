//! Stops receiving, finishes what is in flight within a limit, and hands the rest back.
//!
//! The first `SIGTERM` or `SIGINT` drains; a second one ends the process at once, with 128 and the signal's number.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// How long the broker gets to take back what was not finished in time.
const GRACE: Duration = Duration::from_secs(2);

/// Begins the stop.
#[derive(Debug)]
pub struct Stopper(watch::Sender<Option<Instant>>);

/// Tells when to stop. Every clone hears of it.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<Option<Instant>>);

/// A stopper and what listens to it.
#[must_use]
pub fn stop() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(None);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    /// Begins to drain; what is in flight may take so long. Calling it again changes nothing.
    pub fn drain(&self, limit: Duration) {
        self.0.send_if_modified(|deadline| {
            let begins = deadline.is_none();
            if begins {
                *deadline = Some(Instant::now() + limit);
            }
            begins
        });
    }

    /// Whether the stop has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.borrow().is_some()
    }
}

impl Stop {
    /// Whether the stop has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Waits until the stop begins. A stopper that is dropped counts as one that stops with no time left.
    pub async fn draining(&self) {
        self.limit().await;
    }

    /// Waits until what is in flight has had its time and has to be handed back.
    pub async fn overdue(&self) {
        sleep_until(self.limit().await).await;
    }

    /// Waits until handing back has had its time too.
    pub async fn over(&self) {
        sleep_until(self.limit().await + GRACE).await;
    }

    async fn limit(&self) -> Instant {
        let mut receiver = self.0.clone();
        match receiver.wait_for(Option::is_some).await {
            Ok(limit) => (*limit).unwrap_or_else(Instant::now),
            Err(_) => Instant::now(),
        }
    }
}

/// The signals that end a worker.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes the signals over from the system's defaults.
    ///
    /// # Errors
    /// When the system does not let go of them.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next of them and returns the exit code of a process that ends by it: 130 or 143.
    pub async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => 130,
            _ = self.terminate.recv() => 143,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_limit_counts() {
        let (stopper, stop) = stop();
        assert!(!stop.is_draining());
        let started = Instant::now();
        stopper.drain(Duration::from_secs(5));
        stopper.drain(Duration::from_secs(50));
        stop.draining().await;
        assert_eq!(started.elapsed(), Duration::ZERO);
        stop.overdue().await;
        assert_eq!(started.elapsed().as_secs(), 5);
        stop.over().await;
        assert_eq!(started.elapsed().as_secs(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_stopper_stops() {
        let (stopper, stop) = stop();
        drop(stopper);
        stop.overdue().await;
    }
}
