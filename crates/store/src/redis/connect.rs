//! Connects to a cache when it is needed, and lets go of connections that can no longer be trusted.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, TlsCertificates};
use tokio::sync::Mutex;

use super::address::{Server, TlsFiles};
use super::link::Link;
use super::node::Node;
use super::reply::{answer, down, fields};
use super::slot::{Range, Slots};
use super::topology::{Standing, topology};
use super::witness::newest;
use crate::StoreError;

/// Knows how to reach a cache and keeps the connections to it.
///
/// A connection is shared by all calls and dropped at its first timeout or fault: the driver itself would keep a socket
/// whose peer is gone, and a late reply could be taken for that of the next command. The next call connects again, at
/// once and only once; whoever stands before the target decides how often to try.
pub(super) struct Connector {
    pub(super) server: Server,
    pub(super) tls: TlsFiles,
    pub(super) connect_timeout: Duration,
    pub(super) response_timeout: Duration,
    pub(super) link: Mutex<Option<Arc<Link>>>,
}

impl Connector {
    /// The connections to the cache, made now when there are none.
    ///
    /// # Errors
    /// When the cache cannot be reached.
    pub(super) async fn link(&self) -> Result<Arc<Link>, StoreError> {
        let mut kept = self.link.lock().await;
        if let Some(link) = &*kept {
            return Ok(Arc::clone(link));
        }
        let link = Arc::new(self.connect().await?);
        *kept = Some(Arc::clone(&link));
        Ok(link)
    }

    /// The connections to the cache as it is now: after a failover, a master that lives on takes writes for ten seconds
    /// and more, until the sentinels make it a replica, and those writes are lost.
    ///
    /// # Errors
    /// As [`Connector::link`].
    pub(super) async fn current(&self) -> Result<Arc<Link>, StoreError> {
        let link = self.link().await?;
        let Server::Sentinel { sentinels, master, cache } = &self.server else { return Ok(link) };
        match self.ask_sentinels(sentinels, master, cache).await {
            Ok(info) if link.nodes.iter().all(|node| node.address != address(info.addr())) => {
                self.lose(&link).await;
                self.link().await
            }
            // Sentinels that are away say nothing against the master that answers.
            _ => Ok(link),
        }
    }

    /// Lets go of connections, unless others have taken their place already.
    pub(super) async fn lose(&self, link: &Arc<Link>) {
        let mut kept = self.link.lock().await;
        kept.take_if(|kept| Arc::ptr_eq(kept, link));
    }

    /// Passes a result on, and lets go of the connections that gave it when they did not work.
    ///
    /// # Errors
    /// Those of the result.
    pub(super) async fn check<T>(&self, link: &Arc<Link>, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if matches!(result, Err(StoreError::Unreachable(_))) {
            self.lose(link).await;
        }
        result
    }

    async fn connect(&self) -> Result<Link, StoreError> {
        match &self.server {
            Server::One(info) => Ok(Link { nodes: vec![self.node(info).await?], slots: None }),
            Server::Sentinel { sentinels, master, cache } => {
                let info = self.ask_sentinels(sentinels, master, cache).await?;
                Ok(Link { nodes: vec![self.node(&info).await?], slots: None })
            }
            Server::Cluster(seeds) => self.connect_cluster(seeds).await,
        }
    }

    async fn ask_sentinels(
        &self,
        sentinels: &[ConnectionInfo],
        master: &str,
        cache: &ConnectionInfo,
    ) -> Result<ConnectionInfo, StoreError> {
        let (host, port) = newest(sentinels.iter().map(|sentinel| self.ask_sentinel(sentinel, master))).await?;
        Ok(at(cache, host, port))
    }

    /// The master that a sentinel names, and the epoch of the failover that made it one.
    async fn ask_sentinel(&self, sentinel: &ConnectionInfo, master: &str) -> Result<(u64, (String, u16)), StoreError> {
        let node = self.node(sentinel).await?;
        let mut question = redis::cmd("SENTINEL");
        question.arg("MASTER").arg(master);
        let reply = node.ask(question).await?;
        let unknown =
            || StoreError::Unreachable(format!("the sentinel at {} knows no master `{master}`", node.address));
        let fields = match answer(reply) {
            Ok(reply) => fields(&reply),
            Err(StoreError::Refused(why)) if why.contains("No such master") => return Err(unknown()),
            Err(error) => return Err(error),
        };
        let number = |name| fields.get(name).and_then(|text| text.parse::<u64>().ok());
        let port = number("port").and_then(|port| u16::try_from(port).ok());
        let named = fields.get("ip").cloned().zip(port).ok_or_else(unknown)?;
        Ok((number("config-epoch").unwrap_or(0), named))
    }

    async fn connect_cluster(&self, seeds: &[ConnectionInfo]) -> Result<Link, StoreError> {
        let (seed, ranges) = newest(seeds.iter().map(|seed| self.ask_seed(seed))).await?;
        let (slots, addresses) = Slots::new(ranges);
        let infos: Vec<_> = addresses.into_iter().map(|(host, port)| at(seed, host, port)).collect();
        let nodes = try_join_all(infos.iter().map(|info| self.node(info))).await?;
        Ok(Link { nodes, slots: Some(slots) })
    }

    /// The masters that a node of a cluster names.
    async fn ask_seed<'s>(
        &self,
        seed: &'s ConnectionInfo,
    ) -> Result<(Standing, (&'s ConnectionInfo, Vec<Range>)), StoreError> {
        let (standing, ranges) = topology(&self.node(seed).await?).await?;
        if ranges.is_empty() {
            return Err(StoreError::Unreachable(format!("the node at {} serves no cluster", address(seed.addr()))));
        }
        Ok((standing, (seed, ranges)))
    }

    /// A connection of its own to the node at this address, for commands that block. Whoever sends them waits no longer than
    /// he wants to.
    ///
    /// # Errors
    /// As [`Connector::link`].
    pub(super) async fn alone(&self, at_address: &str) -> Result<MultiplexedConnection, StoreError> {
        let known = match &self.server {
            Server::One(info) => return self.connection(info, None).await,
            Server::Sentinel { cache, .. } => cache,
            Server::Cluster(seeds) => {
                seeds.first().ok_or_else(|| StoreError::Unreachable("the cluster has no nodes".to_owned()))?
            }
        };
        let (host, port) = at_address.rsplit_once(':').unwrap_or((at_address, ""));
        let port = port.parse().map_err(|_| StoreError::Unreachable(format!("{at_address} is no address")))?;
        self.connection(&at(known, host.to_owned(), port), None).await
    }

    async fn node(&self, info: &ConnectionInfo) -> Result<Node, StoreError> {
        let connection = self.connection(info, Some(self.response_timeout)).await?;
        Ok(Node::new(address(info.addr()), connection))
    }

    async fn connection(
        &self,
        info: &ConnectionInfo,
        response_timeout: Option<Duration>,
    ) -> Result<MultiplexedConnection, StoreError> {
        self.open(info, response_timeout).await.map_err(|error| match error {
            StoreError::Unreachable(why) | StoreError::Refused(why) => {
                StoreError::Unreachable(format!("connecting to {}: {why}", address(info.addr())))
            }
        })
    }

    async fn open(
        &self,
        info: &ConnectionInfo,
        response_timeout: Option<Duration>,
    ) -> Result<MultiplexedConnection, StoreError> {
        let info = info.clone().set_tcp_settings(self.tcp_settings());
        let client = match info.addr() {
            ConnectionAddr::TcpTls { .. } => Client::build_with_tls(info, self.certificates().await?),
            _ => Client::open(info),
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(response_timeout)
            .set_pipeline_buffer_size(1024);
        let client = client.map_err(|error| down(&error))?;
        client.get_multiplexed_async_connection_with_config(&config).await.map_err(|error| down(&error))
    }

    fn tcp_settings(&self) -> TcpSettings {
        let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(15)).with_interval(Duration::from_secs(5));
        let settings = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
        #[cfg(target_os = "linux")]
        let settings = settings.set_user_timeout(self.response_timeout.max(Duration::from_secs(1)));
        settings
    }

    /// Reads the certificates anew for every connection, so that replaced files are taken without a restart.
    async fn certificates(&self) -> Result<TlsCertificates, StoreError> {
        let client_tls = match (&self.tls.cert_file, &self.tls.key_file) {
            (Some(cert), Some(key)) => {
                Some(ClientTlsConfig { client_cert: read(cert).await?, client_key: read(key).await? })
            }
            _ => None,
        };
        let root_cert = match &self.tls.ca_file {
            Some(file) => Some(read(file).await?),
            None => None,
        };
        Ok(TlsCertificates { client_tls, root_cert })
    }
}

async fn read(file: &str) -> Result<Vec<u8>, StoreError> {
    tokio::fs::read(file).await.map_err(|error| StoreError::Unreachable(format!("cannot read {file}: {error}")))
}

/// The same way to connect, to another host.
fn at(info: &ConnectionInfo, host: String, port: u16) -> ConnectionInfo {
    let addr = match info.addr() {
        ConnectionAddr::TcpTls { insecure, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: None }
        }
        _ => ConnectionAddr::Tcp(host, port),
    };
    info.clone().set_addr(addr)
}

fn host_and_port(addr: &ConnectionAddr) -> (String, u16) {
    match addr {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => (host.clone(), *port),
        _ => (String::new(), 0),
    }
}

fn address(addr: &ConnectionAddr) -> String {
    match addr {
        ConnectionAddr::Unix(path) => path.display().to_string(),
        other => {
            let (host, port) = host_and_port(other);
            format!("{host}:{port}")
        }
    }
}
