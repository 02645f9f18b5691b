//! Answers over HTTP: metrics and health, and dead letters as a page for people and as JSON for programs.
//!
//! Both faces call what `quash dlq` and `quash explain` call; nothing is decided here about letters. `routes` is the list of
//! everything that is answered, with who may ask.

// Who comes in.
mod door;
mod session;
mod token;

// What they ask.
mod ask;
mod list;
mod params;
mod refusal;

// What there is to be seen and done.
mod clock;
mod desk;
mod explanation;
mod health;
mod jobs;
mod letter;
mod overview;
mod shelf;
mod source;

// The two faces, and how text stands in a page.
mod api;
mod pages;
mod shown;

// The list of all of it.
mod routes;

// Where it listens.
mod limits;

#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quash_dispatch::config::AdminConfig;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use desk::Desk;
pub use health::Health;
use limits::{Limited, Limits};

/// What is in `admin.listen` when there is no endpoint.
pub const OFF: &str = "off";

/// How long a replay may take to end between two batches when the process stops.
const JOBS_END_WITHIN: Duration = Duration::from_secs(5);

/// An open port that nobody is answered at yet.
pub struct Endpoint {
    listener: TcpListener,
    address: SocketAddr,
}

impl Endpoint {
    /// Opens the port; `None` when it is off.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn bind(config: &AdminConfig) -> io::Result<Option<Self>> {
        let listen = &config.listen;
        if listen == OFF {
            return Ok(None);
        }
        let refused = |error: io::Error| {
            let help = "set admin.listen to another address, or to off";
            io::Error::new(error.kind(), format!("cannot listen on {listen}: {error}; {help}"))
        };
        let listener = TcpListener::bind(listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Some(Self { listener, address }))
    }

    /// Answers in a task until what is returned is stopped or dropped.
    #[must_use]
    pub fn serve(self, desk: Desk) -> Served {
        let Self { listener, address } = self;
        let desk = Arc::new(desk);
        let router = routes::router(&desk);
        tracing::info!(%address, "admin endpoint listens");
        // Serving ends with its task; a connection that fails is the affair of who opened it.
        let task =
            tokio::spawn(async move { drop(axum::serve(Limited::new(listener, Limits::default()), router).await) });
        Served { desk, address, task }
    }
}

/// An endpoint that answers.
pub struct Served {
    desk: Arc<Desk>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Served {
    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends replays and removals between two of their batches. What is asked is answered on.
    pub async fn stop_jobs(&self) {
        self.desk.jobs.stop_all(JOBS_END_WITHIN).await;
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}
