//! Runs a relay: one session after the other, until somebody wants to stop.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use quash_config::{ConfigPath, Finding, Problem};
use quash_core::explain::Dependence;
use quash_dispatch::config::{Config, RelayKind};
use quash_transport::Transport;
use quash_transport::backoff::Pace;

use crate::error::RelayError;
use crate::outbox;
use crate::postgres::{Address, Failure, Reads, Session, Wanted, inspect};
use crate::status::Status;

/// A session that worked for so long was a good one: what comes next is a new trouble.
const STEADY: Duration = Duration::from_secs(10);

/// A relay that can be run.
pub struct Relay {
    name: String,
    config: Arc<Config>,
    address: Address,
    transport: Arc<dyn Transport>,
    status: Arc<Status>,
}

impl Relay {
    /// The relays that a configuration declares, in the order of their names. Nothing is connected yet.
    ///
    /// # Errors
    /// What of it does not fit together, at its place.
    pub fn all(config: &Arc<Config>) -> Result<Vec<Self>, Vec<Problem>> {
        let (mut relays, mut problems) = (Vec::new(), Vec::new());
        for name in config.relay.keys() {
            match Self::new(name, config) {
                Ok(relay) => relays.push(relay),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(relays) } else { Err(problems) }
    }

    fn new(name: &str, config: &Arc<Config>) -> Result<Self, Problem> {
        let root = ConfigPath::root();
        let declared = &config.relay[name];
        let undeclared = |key: &str| Problem::error(root.key("relay").key(name).key(key), "it is not declared");
        let server = config.servers.get(&declared.server).ok_or_else(|| undeclared("server"))?;
        let url = root.key("servers").key(&declared.server).key("postgres").key("url");
        let address = Address::parse(&server.postgres.url, "quash relay");
        let address = address.map_err(|error| Problem::error(url, error.to_string()).naming_no_value())?;
        let source = config.sources.get(&declared.to).ok_or_else(|| undeclared("to"))?;
        let kind = root.key("sources").key(&declared.to).key(source.kind.kind());
        let transport = source.kind.build().map_err(|problem| problem.below(&kind))?;
        let status = match declared.kind() {
            RelayKind::Log(_) => Status::default(),
            RelayKind::Outbox(_) => Status::of_rows(),
        };
        Ok(Self { name: name.to_owned(), config: Arc::clone(config), address, transport, status: Arc::new(status) })
    }

    /// The configured name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it reads, as configurations name it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.config.relay[&self.name].kind() {
            RelayKind::Log(_) => "postgres",
            RelayKind::Outbox(_) => "outbox",
        }
    }

    /// What is known of it while it runs.
    #[must_use]
    pub const fn status(&self) -> &Arc<Status> {
        &self.status
    }

    /// Inspects the database for `check --connect`, given what depends on what. Changes nothing.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn inspect(&self, dependences: &[Dependence]) -> Result<Vec<Finding>, RelayError> {
        let declared = &self.config.relay[&self.name];
        match declared.kind() {
            RelayKind::Outbox(outbox) => outbox::inspect(&self.address, &outbox.table).await,
            RelayKind::Log(log) => {
                let wanted = Wanted::of(&log, &self.config);
                inspect(&self.address, &wanted, &reads(dependences)).await.map_err(Failure::into_error)
            }
        }
    }

    /// Relays until somebody wants to stop, and then for as long as draining may take until the broker has what was read. Nothing
    /// else ends it: whoever cannot be reached is tried until they can be.
    pub async fn run(self, stop: impl Future<Output = ()> + Send, drain: Duration) {
        let (mut stop, mut pace, mut said) = (pin!(stop), Pace::of_reconnects(), None);
        loop {
            let begun = Instant::now();
            let Err(error) = self.session(stop.as_mut(), drain).await else { return };
            if self.status.is_working() && begun.elapsed() > STEADY {
                (pace, said) = (Pace::of_reconnects(), None);
            }
            self.log(&error, &mut said);
            tokio::select! {
                () = pace.failed() => {}
                () = stop.as_mut() => return,
            }
        }
    }

    async fn session(
        &self,
        stop: Pin<&mut (impl Future<Output = ()> + Send)>,
        drain: Duration,
    ) -> Result<(), RelayError> {
        let declared = &self.config.relay[&self.name];
        let transport = Arc::clone(&self.transport);
        match declared.kind() {
            RelayKind::Log(log) => {
                let to = (declared.to.as_str(), transport);
                let session = Session::new(&self.name, &self.address, &log, &self.config, to, &self.status);
                session.run(stop, drain).await
            }
            RelayKind::Outbox(outbox) => {
                let session = outbox::Session {
                    address: &self.address,
                    declared: outbox,
                    format: self.config.sources[&declared.to].options.format,
                    limits: self.config.limits.event(),
                    source_name: &declared.to,
                    transport,
                    status: &self.status,
                };
                session.run(stop, drain).await
            }
        }
    }

    /// Says once what is in its way.
    fn log(&self, error: &RelayError, said: &mut Option<String>) {
        let words = error.to_string();
        self.status.failed(&words);
        if said.as_ref() == Some(&words) {
            return;
        }
        match error {
            RelayError::Taken(_) => tracing::info!(relay = self.name, "{words}"),
            _ if error.is_temporary() => {
                tracing::warn!(
                    relay = self.name,
                    error = words,
                    "not relayed; the database keeps the changes, trying again"
                );
            }
            _ => tracing::error!(relay = self.name, error = words, "not relayed until this is mended; trying again"),
        }
        *said = Some(words);
    }
}

/// The columns that rules read of rows that are changed or gone: of new rows the log has them all.
fn reads(dependences: &[Dependence]) -> Reads {
    let mut reads = Reads::new();
    for dependence in dependences.iter().filter(|dependence| dependence.ops != "create") {
        let Some(entity) = dependence.from.strip_prefix("row ") else { continue };
        let first = |path: &String| path.split('.').next().unwrap_or_default().to_owned();
        let mut columns: Vec<String> = dependence.columns.iter().chain(&dependence.changed).map(first).collect();
        columns.sort();
        columns.dedup();
        let caches = reads.entry(entity.to_owned()).or_default();
        caches.entry(dependence.to.clone()).or_default().extend(columns);
    }
    reads
}
