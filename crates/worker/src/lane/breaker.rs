//! Remembers whether a target counts as unreachable, and wakes those who wait for a change.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use quash_store::StoreError;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Changes;

/// The first wait before a target is asked whether it is back, and the longest.
pub(super) const PACE_MIN: Duration = Duration::from_millis(200);
/// See [`PACE_MIN`]; also how much later than its target a lane closes at most.
pub(super) const PACE_MAX: Duration = Duration::from_secs(5);

pub(super) struct Breaker {
    state: watch::Sender<Option<Opened>>,
    /// The pace at which the next opening starts. It starts over only when a share has proven that the target works:
    /// one that answers the probe and then nothing else must not flap five times a second.
    pace: Mutex<Duration>,
    changes: Changes,
}

#[derive(Debug, Clone)]
struct Opened {
    error: String,
    since: Instant,
}

pub(super) struct Listener(watch::Receiver<Option<Opened>>);

impl Breaker {
    pub(super) fn new(changes: Changes) -> Self {
        Self { state: watch::Sender::new(None), pace: Mutex::new(PACE_MIN), changes }
    }

    pub(super) fn is_open(&self) -> bool {
        self.state.borrow().is_some()
    }

    /// Why it is open and for how long, if it is.
    pub(super) fn opened(&self) -> Option<(String, Duration)> {
        self.state.borrow().as_ref().map(|opened| (opened.error.clone(), opened.since.elapsed()))
    }

    pub(super) fn listen(&self) -> Listener {
        Listener(self.state.subscribe())
    }

    /// Opens, and returns the pace of probing if it was closed.
    pub(super) fn open(&self, error: &str) -> Option<Duration> {
        let opened = self.state.send_if_modified(|state| {
            let closed = state.is_none();
            if closed {
                *state = Some(Opened { error: error.to_owned(), since: Instant::now() });
            }
            closed
        });
        opened.then(|| {
            self.changes.send_replace(());
            let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
            let now = *pace;
            *pace = (now * 2).min(PACE_MAX);
            now
        })
    }

    /// Says better why it is open, if it is.
    pub(super) fn explain(&self, error: &str) {
        self.state.send_if_modified(|state| {
            if let Some(opened) = state {
                opened.error = StoreError::Unreachable(error.to_owned()).to_string();
            }
            false
        });
    }

    /// Closes, and returns how long it was open if it was.
    pub(super) fn close(&self) -> Option<Duration> {
        let open_for = self.state.send_replace(None)?.since.elapsed();
        self.changes.send_replace(());
        Some(open_for)
    }

    /// A share has come through: the next opening begins with the shortest pace.
    pub(super) fn proven(&self) {
        *self.pace.lock().unwrap_or_else(PoisonError::into_inner) = PACE_MIN;
    }
}

impl Listener {
    /// Waits until the breaker is open and returns why and for how long; at once if it is.
    pub(super) async fn wait(&mut self) -> (String, Duration) {
        let opened = self.0.wait_for(Option::is_some).await.ok().map(|opened| (*opened).clone());
        match opened.flatten() {
            Some(opened) => (opened.error, opened.since.elapsed()),
            // The breaker is gone, and with it everybody who could open it.
            None => std::future::pending().await,
        }
    }
}
