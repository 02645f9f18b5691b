//! Reads where the stream is and how to treat it, and refuses what does not fit together.

use std::sync::Arc;
use std::time::Duration;

use quash_config::{Problem, Secret, Span};
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{Client, ClientTlsConfig, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, TlsCertificates};

use super::RedisStreams;
use super::connection::Server;
use crate::Transport;
use crate::tls::{Tls, read, wrong};

/// Which stream, and where. One Redis or Valkey server (6.2 or newer), not a cluster, and never the cache itself.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `redis://host:6379/0`, `rediss://…` for TLS, or `unix:///path`.
    pub url: Secret,
    /// The key of the stream. Keys that begin with it and a dot belong to it.
    #[serde(default = "stream")]
    pub stream: String,
    /// The consumer group; every group gets every message.
    #[serde(default = "group")]
    pub group: String,
    /// How long a worker may be silent before another takes over what it holds. Work that takes longer is no problem: a
    /// living worker says that it still holds it.
    #[serde(default = "claim_after")]
    pub claim_after: Span,
    /// How many entries the stream may have before publishing is refused; nothing unprocessed is ever trimmed.
    #[serde(default)]
    pub max_length: Option<u64>,
    /// The ACL user, if it is not in the URL.
    #[serde(default)]
    pub username: Option<Secret>,
    /// The password, if it is not in the URL.
    #[serde(default)]
    pub password: Option<Secret>,
    /// Certificates, for `rediss://` URLs.
    #[serde(default)]
    pub tls: Tls,
    /// How many replicas must have a published message before it counts as published.
    #[serde(default)]
    pub replicas_to_wait: u32,
    /// How long to wait for them.
    #[serde(default = "replica_timeout")]
    pub replica_timeout: Span,
    /// How long settled entries stay in the stream, to be looked at.
    #[serde(default = "no_time")]
    pub keep: Span,
    /// Starts although the server may evict the stream when its memory is full. That loses events in silence.
    #[serde(default)]
    pub allow_eviction: bool,
    /// Lets `check --connect` pass although the server answers before it has written down what it took. A server whose process
    /// dies then loses events that nobody publishes again.
    #[serde(default)]
    pub allow_loss: bool,
}

fn stream() -> String {
    "quash.events".into()
}

fn group() -> String {
    "quash".into()
}

const fn claim_after() -> Span {
    Span(Duration::from_secs(30))
}

const fn no_time() -> Span {
    Span(Duration::ZERO)
}

const fn replica_timeout() -> Span {
    Span(Duration::from_secs(1))
}

impl Config {
    /// The defaults, at a URL.
    #[must_use]
    pub fn at(url: Secret) -> Self {
        Self {
            url,
            stream: stream(),
            group: group(),
            claim_after: claim_after(),
            max_length: None,
            username: None,
            password: None,
            tls: Tls::default(),
            replicas_to_wait: 0,
            replica_timeout: replica_timeout(),
            keep: no_time(),
            allow_eviction: false,
            allow_loss: false,
        }
    }

    /// Makes a transport that connects when it is first used.
    ///
    /// # Errors
    /// When the values do not fit together, or a certificate cannot be read.
    pub fn build(&self) -> Result<Arc<dyn Transport>, Problem> {
        self.check_values()?;
        let server = Server::new(self.client()?);
        Ok(Arc::new(RedisStreams::new(self.clone(), server)))
    }

    fn check_values(&self) -> Result<(), Problem> {
        for (key, name) in [("stream", &self.stream), ("group", &self.group)] {
            if name.is_empty() {
                return Err(wrong(key, "a name must not be empty"));
            }
        }
        if *self.claim_after < Duration::from_millis(100) {
            return Err(wrong(
                "claim_after",
                "must be at least 100ms, or workers take from each other what they work on",
            ));
        }
        if *self.replica_timeout < Duration::from_millis(1) {
            return Err(wrong("replica_timeout", "must be at least 1ms: zero would wait for ever"));
        }
        if self.max_length == Some(0) {
            return Err(wrong("max_length", "must be at least 1, or nothing could be published"));
        }
        Ok(())
    }

    fn client(&self) -> Result<Client, Problem> {
        let info = self.connection()?;
        let encrypted = matches!(info.addr(), redis::ConnectionAddr::TcpTls { .. });
        if self.tls == Tls::default() {
            return Client::open(info).map_err(|_| wrong("url", "cannot be used"));
        }
        if !encrypted {
            return Err(wrong("tls", "needs a URL that begins with rediss://"));
        }
        Client::build_with_tls(info, self.certificates()?)
            .map_err(|error| wrong("tls", format!("the certificates cannot be used: {error}")))
    }

    fn connection(&self) -> Result<ConnectionInfo, Problem> {
        if several_hosts(self.url.expose()) {
            return Err(wrong("url", "Cluster and Sentinel are not supported for the queue")
                .help("name one server; the queue needs no more than one"));
        }
        // The driver's own words may repeat the URL, which may hold a password.
        let info = self.url.expose().into_connection_info().map_err(|_| {
            wrong("url", "is no URL of a Redis server").help("write it as redis://user:password@host:6379/0")
        })?;
        // Replies are read as the older protocol writes them, whatever the URL asks for.
        let mut redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2).set_skip_set_lib_name();
        if let Some(username) = &self.username {
            redis = redis.set_username(username.expose());
        }
        if let Some(password) = &self.password {
            redis = redis.set_password(password.expose());
        }
        Ok(info.set_redis_settings(redis).set_tcp_settings(tcp()))
    }

    fn certificates(&self) -> Result<TlsCertificates, Problem> {
        let client_tls = match self.tls.client()? {
            Some((cert, key)) => {
                Some(ClientTlsConfig { client_cert: read("cert_file", cert)?, client_key: read("key_file", key)? })
            }
            None => None,
        };
        let root_cert = self.tls.ca_file.as_deref().map(|path| read("ca_file", path)).transpose()?;
        Ok(TlsCertificates { client_tls, root_cert })
    }
}

/// A peer that died without a word is noticed by the system after some ten seconds, whatever a call waits for.
fn tcp() -> TcpSettings {
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(5)).with_interval(Duration::from_secs(2));
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(Duration::from_secs(5));
    settings
}

fn several_hosts(url: &str) -> bool {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let hosts = rest.rsplit('@').next().unwrap_or(rest).split('/').next().unwrap_or_default();
    hosts.contains(',') || scheme.contains("cluster") || scheme.contains("sentinel")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_together_is_refused_at_its_place() {
        let cases = [
            (r#"{"url": "http://example.com"}"#, "url", "no URL"),
            (r#"{"url": "redis://a:6379,b:6379"}"#, "url", "Cluster"),
            (r#"{"url": "redis+sentinel://a:6379"}"#, "url", "Sentinel"),
            (r#"{"url": "redis://a", "stream": ""}"#, "stream", "empty"),
            (r#"{"url": "redis://a", "claim_after": "5ms"}"#, "claim_after", "100ms"),
            (r#"{"url": "redis://a", "max_length": 0}"#, "max_length", "at least 1"),
            (r#"{"url": "redis://a", "tls": {"ca_file": "/ca"}}"#, "tls", "rediss://"),
            (r#"{"url": "rediss://a", "tls": {"ca_file": "/not/there"}}"#, "tls.ca_file", "/not/there"),
            (r#"{"url": "rediss://a", "tls": {"cert_file": "/c"}}"#, "tls", "belong together"),
        ];
        for (text, shared, words) in cases {
            let config: Config = serde_json::from_str(text).unwrap();
            let problem = config.build().err().unwrap_or_else(|| panic!("accepted: {text}"));
            assert_eq!(problem.path.to_string(), shared, "{text}");
            assert!(problem.message.contains(words), "{text}: {}", problem.message);
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let config = Config::at(Secret::new("ftp://user:hunter2@host"));
        let problem = config.build().err().unwrap();
        assert!(!format!("{problem:?} {config:?}").contains("hunter2"));
    }

    #[test]
    fn a_url_is_enough() {
        let config: Config = serde_json::from_str(r#"{"url": "redis://127.0.0.1:6380/0"}"#).unwrap();
        assert_eq!(config, Config::at(Secret::new("redis://127.0.0.1:6380/0")));
        assert!(config.build().is_ok());
    }
}
