//! Acts on Redis and Valkey: standalone, Sentinel and Cluster.
//!
//! All three are the same here: a list of masters, each with one shared connection, and a rule which of them serves a
//! key (see `link`). The driver's own cluster client is not used: it repeats and redirects a pipeline as a whole, and
//! only its last error would be known, not which action it was for.

mod address;
mod answers;
mod apply;
mod connect;
mod frames;
mod inspect;
mod link;
mod node;
mod order;
mod pattern;
mod probe;
mod question;
mod reply;
mod rest;
mod scan;
mod slot;
mod topology;
mod wanted;
mod witness;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;

use self::address::Server;
pub use self::address::{SentinelConfig, TlsFiles};
use self::answers::Ears;
use self::connect::Connector;
use self::wanted::Wanted;
use super::{Applied, Described, Identity, KeyPattern, ScanPage, ScanPosition, Stood, StoreError, Survey};
use quash_config::Finding;
use quash_config::{ConfigPath, Problem, Secret, Span};
use quash_core::action::{Action, ActionSet};
use quash_core::glob::Glob;

/// How to reach the cache: one of `url`, `cluster` and `sentinel`.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// One server: `redis://host:6379/0`, `rediss://` for TLS, `redis+unix:///path`; `valkey` works for `redis`.
    pub url: Option<Secret>,
    /// Some nodes of a cluster; they tell the others.
    pub cluster: Vec<Secret>,
    /// Sentinels that know where the master is.
    pub sentinel: Option<Box<SentinelConfig>>,
    /// The ACL user, where the address does not give one.
    pub username: Option<String>,
    /// The password, where the address does not give one.
    pub password: Option<Secret>,
    /// Certificates for TLS.
    pub tls: Box<TlsFiles>,
    /// How long connecting may take.
    pub connect_timeout: Span,
    /// How long the cache may take to answer one write of commands before the connection counts as dead.
    pub response_timeout: Span,
    /// How long a pass over the keys rests after each step, as a multiple of what the step took: 0 never rests, 1 leaves
    /// the cache half of the time to others.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 100.0)))]
    pub scan_pace: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: None,
            cluster: Vec::new(),
            sentinel: None,
            username: None,
            password: None,
            tls: Box::default(),
            connect_timeout: Span(Duration::from_secs(1)),
            response_timeout: Span(Duration::from_secs(2)),
            scan_pace: 0.25,
        }
    }
}

impl Config {
    /// Makes a store that connects when it is first used.
    ///
    /// # Errors
    /// When the values do not fit together.
    pub fn build(&self) -> Result<Arc<dyn super::Store>, Problem> {
        let server = Server::read(self)?;
        let positive = [("connect_timeout", self.connect_timeout), ("response_timeout", self.response_timeout)];
        if let Some((name, _)) = positive.iter().find(|(_, span)| span.is_zero()) {
            return Err(Problem::error(ConfigPath::root().key(*name), "this must be longer than nothing"));
        }
        if !(0.0..=100.0).contains(&self.scan_pace) {
            return Err(Problem::error(ConfigPath::root().key("scan_pace"), "this must be from 0 to 100"));
        }
        // Fails when somebody has installed one before, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        let (connect_timeout, response_timeout) = (*self.connect_timeout, *self.response_timeout);
        let connector = Connector {
            server,
            tls: TlsFiles::clone(&self.tls),
            connect_timeout,
            response_timeout,
            link: Mutex::new(None),
        };
        Ok(Arc::new(Redis { connector, scan_pace: self.scan_pace, ears: Ears::default() }))
    }
}

/// A Redis or Valkey cache.
struct Redis {
    connector: Connector,
    scan_pace: f64,
    ears: Ears,
}

#[async_trait]
impl super::Store for Redis {
    async fn apply(&self, actions: &[Action]) -> Result<Applied, StoreError> {
        if actions.is_empty() {
            return Ok(Applied::default());
        }
        apply::apply(&self.connector, actions, self.scan_pace).await
    }

    async fn identity(&self) -> Result<Identity, StoreError> {
        let link = self.connector.current().await?;
        let identity = question::identity(&link).await;
        self.connector.check(&link, identity).await
    }

    async fn inspect(&self, needs: ActionSet) -> Result<Vec<Finding>, StoreError> {
        let link = self.connector.link().await?;
        let findings = inspect::inspect(&link, needs).await;
        self.connector.check(&link, findings).await
    }

    fn can(&self) -> super::Can {
        super::Can { has_slots: matches!(self.connector.server, Server::Cluster(_)), ..super::Can::ALL }
    }

    fn questions(&self) -> Option<&dyn super::Questions> {
        Some(self)
    }

    fn probe(&self) -> Option<&dyn super::Probe> {
        Some(self)
    }

    fn answers(&self) -> Option<&dyn super::Answers> {
        Some(self)
    }
}

#[async_trait]
impl super::Probe for Redis {
    async fn page(&self, from: ScanPosition) -> Result<ScanPage, StoreError> {
        let link = self.connector.link().await?;
        let page = probe::page(&link, from).await;
        self.connector.check(&link, page).await
    }

    async fn read(&self, keys: &[&str], bytes_max: usize) -> Result<Vec<Option<Stood>>, StoreError> {
        let link = self.connector.link().await?;
        let read = probe::read(&link, keys, bytes_max).await;
        self.connector.check(&link, read).await
    }

    async fn note(&self, key: &str, bytes: &[u8], life: Duration, only_new: bool) -> Result<bool, StoreError> {
        super::probe::is_own(key)?;
        let link = self.connector.link().await?;
        let noted = probe::note(&link, key, bytes, life, only_new).await;
        self.connector.check(&link, noted).await
    }
}

#[async_trait]
impl super::Questions for Redis {
    async fn exist(&self, keys: &[&str]) -> Result<Vec<bool>, StoreError> {
        let link = self.connector.link().await?;
        let exist = question::exist(&link, keys).await;
        self.connector.check(&link, exist).await
    }

    async fn count_prefixes(&self, prefixes: &[&str]) -> Result<Vec<u64>, StoreError> {
        let link = self.connector.link().await?;
        let wanted = Wanted::new(prefixes.iter().copied().enumerate(), []);
        let counts = scan::count(&link, &wanted, prefixes.len(), self.scan_pace).await;
        self.connector.check(&link, counts).await
    }

    async fn count_patterns(&self, patterns: &[Glob]) -> Result<Vec<u64>, StoreError> {
        let link = self.connector.link().await?;
        let wanted = Wanted::new([], patterns.iter().enumerate());
        let counts = scan::count(&link, &wanted, patterns.len(), self.scan_pace).await;
        self.connector.check(&link, counts).await
    }

    async fn survey(&self, patterns: &[KeyPattern], limit: Duration) -> Result<Survey, StoreError> {
        let link = self.connector.link().await?;
        let survey = scan::survey(&link, patterns, self.scan_pace, limit).await;
        self.connector.check(&link, survey).await
    }

    async fn describe(&self, keys: &[&str]) -> Result<Vec<Option<Described>>, StoreError> {
        let link = self.connector.link().await?;
        let described = question::describe(&link, keys).await;
        self.connector.check(&link, described).await
    }
}
