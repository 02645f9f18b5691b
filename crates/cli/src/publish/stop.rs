//! Counts how often somebody asked the process to stop.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How often Ctrl-C or SIGTERM came. Once: finish what was read, within a limit. Twice: give up.
#[derive(Clone)]
pub(super) struct Stop(watch::Receiver<u32>);

impl Stop {
    /// Listens to signals from now on.
    pub(super) fn on_signals() -> Self {
        let (count, receiver) = watch::channel(0);
        tokio::spawn(listen(count));
        Self(receiver)
    }

    /// Returns once it was asked this often; never, when nobody can ask any more.
    pub(super) async fn asked(&self, times: u32) {
        if self.0.clone().wait_for(|count| *count >= times).await.is_err() {
            std::future::pending().await
        }
    }

    /// Returns once what is in hand should be given up: it was asked twice, or once and so long ago.
    pub(super) async fn insisted(&self, patience: Duration) {
        let late = async {
            self.asked(1).await;
            tokio::time::sleep(patience).await;
        };
        tokio::select! {
            () = self.asked(2) => {}
            () = late => {}
        }
    }

    /// One that tests ask.
    #[cfg(test)]
    pub(super) const fn of(receiver: watch::Receiver<u32>) -> Self {
        Self(receiver)
    }
}

/// Ends only where signals cannot be had; then there is still the end of the input.
async fn listen(count: watch::Sender<u32>) {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        count.send_modify(|count| *count += 1);
    }
}
