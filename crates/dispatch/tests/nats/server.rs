//! Starts nats-servers for these tests, and says how to reach them quickly.

use std::sync::Arc;
use std::time::Duration;

use quash_core::config::{Secret, Span};
use quash_dispatch::transport::Transport;
use quash_dispatch::transport::nats::Config;
use quash_e2e::NatsServer;
use tokio::sync::{Mutex, MutexGuard};

/// A server that a test may kill while others use it.
pub(crate) struct Server {
    process: Mutex<NatsServer>,
    url: String,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with("").await
    }

    /// Starts one with more of its configuration file.
    pub(crate) async fn with(settings: &str) -> Self {
        let process = NatsServer::with(settings).await;
        let url = process.url();
        Self { process: Mutex::new(process), url }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) async fn process(&self) -> MutexGuard<'_, NatsServer> {
        self.process.lock().await
    }

    /// With the shortest waits.
    pub(crate) fn config(&self) -> Config {
        quick(&self.url)
    }

    pub(crate) fn transport(&self) -> Arc<dyn Transport> {
        self.config().build().unwrap()
    }

    pub(crate) async fn restart(&self) {
        self.process.lock().await.restart().await;
    }
}

/// A configuration with the shortest waits.
pub(crate) fn quick(url: &str) -> Config {
    let mut config = Config::at(Secret::new(url));
    config.ack_wait = Span(Duration::from_secs(2));
    config.heartbeat = Span(Duration::from_millis(500));
    config
}
