//! Reads where the queue is and how to treat it, and refuses what does not fit together.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lapin::tcp::{RustlsConnector, RustlsConnectorConfig};
use lapin::uri::{AMQPScheme, AMQPUri};
use quash_config::{Problem, Secret, Span};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::Amqp;
use super::connection::Server;
use crate::Transport;
use crate::tls::{Tls, read, wrong};

/// The names of queues are at most 255 bytes long, and what belongs to a queue has a longer name.
const NAME_MAX: usize = 200;

/// The protocol writes it in seconds, in 16 bits; more than some minutes would notice nothing in time.
const HEARTBEAT_MAX: Duration = Duration::from_secs(300);

/// Which queue, and where. RabbitMQ 3.10 or newer.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `amqp://host:5672/vhost`, or `amqps://…` for TLS. Without a virtual host it is `/`; a slash in its name is `%2f`.
    pub url: Secret,
    /// The user, if it is not in the URL.
    #[serde(default)]
    pub username: Option<Secret>,
    /// The password, if it is not in the URL.
    #[serde(default)]
    pub password: Option<Secret>,
    /// Certificates, for `amqps://` URLs.
    #[serde(default)]
    pub tls: Tls,
    /// The queue that publishers write to. Queues whose names begin with it and a dot belong to it.
    #[serde(default = "queue")]
    pub queue: String,
    /// What kind of queue it is.
    #[serde(default)]
    pub queue_type: QueueType,
    /// Declares the queues. With `false` they must be there, and the user needs no right to configure them.
    #[serde(default = "yes")]
    pub declare: bool,
    /// How often each side says that it is alive; one that is silent for twice as long counts as dead. `1s` to `5m`.
    #[serde(default = "heartbeat")]
    pub heartbeat: Span,
    /// How long the broker may take to confirm what is published. It takes none while its memory or disk is short.
    #[serde(default = "publish_timeout")]
    pub publish_timeout: Span,
}

/// What kind of queue holds the messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum QueueType {
    /// Replicated where the broker is a cluster, and written to the disk before it is confirmed.
    #[default]
    Quorum,
    /// On one node; a retry that comes due while the broker is in trouble may be lost.
    Classic,
}

impl QueueType {
    /// As the broker writes it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Quorum => "quorum",
            Self::Classic => "classic",
        }
    }
}

fn queue() -> String {
    "quash.events".into()
}

const fn yes() -> bool {
    true
}

const fn heartbeat() -> Span {
    Span(Duration::from_secs(10))
}

const fn publish_timeout() -> Span {
    Span(Duration::from_secs(30))
}

impl Config {
    /// The defaults, at a URL.
    #[must_use]
    pub fn at(url: Secret) -> Self {
        Self {
            url,
            username: None,
            password: None,
            tls: Tls::default(),
            queue: queue(),
            queue_type: QueueType::default(),
            declare: yes(),
            heartbeat: heartbeat(),
            publish_timeout: publish_timeout(),
        }
    }

    /// Makes a transport that connects when it is first used.
    ///
    /// # Errors
    /// When a value is out of its range, the URL is none of a broker, or the certificates cannot be used.
    pub fn build(&self) -> Result<Arc<dyn Transport>, Problem> {
        self.check()?;
        Ok(Arc::new(Amqp::new(self.clone(), self.server()?)))
    }

    fn check(&self) -> Result<(), Problem> {
        match self.queue.len() {
            0 => return Err(wrong("queue", "a name must not be empty")),
            length if length > NAME_MAX => {
                return Err(wrong("queue", format!("has {length} bytes; at most {NAME_MAX} are allowed")));
            }
            _ => {}
        }
        if self.queue.starts_with("amq.") {
            return Err(wrong("queue", "names that begin with `amq.` belong to the broker"));
        }
        if *self.heartbeat < Duration::from_secs(1) || *self.heartbeat > HEARTBEAT_MAX {
            return Err(wrong("heartbeat", "must be from 1s to 5m"));
        }
        if *self.publish_timeout < Duration::from_millis(100) {
            return Err(wrong("publish_timeout", "must be at least 100ms, or a healthy broker would be too slow"));
        }
        Ok(())
    }

    /// How to reach the broker.
    fn server(&self) -> Result<Server, Problem> {
        let uri = self.uri()?;
        let tls = match uri.scheme {
            AMQPScheme::AMQPS => Some(self.tls_connector()?),
            AMQPScheme::AMQP if self.tls == Tls::default() => None,
            AMQPScheme::AMQP => return Err(wrong("tls", "needs a URL that begins with amqps://")),
        };
        Ok(Server::new(uri, tls))
    }

    fn uri(&self) -> Result<AMQPUri, Problem> {
        // The parser's own words may repeat the URL, which may hold a password.
        let no_url = || wrong("url", "is no URL of a broker").help("write it as amqp://user:password@host:5672/vhost");
        let text = self.url.expose();
        let mut uri = text.parse::<AMQPUri>().map_err(|_| no_url())?;
        // The parser takes an address of version 6 for no host at all, and then for this machine.
        if let Some(address) = literal_address(text) {
            uri.authority.host = address.into();
        }
        // `amqp://host/` would name a virtual host without a name, which nobody has.
        if uri.vhost.is_empty() {
            uri.vhost = "/".into();
        }
        if let Some(username) = &self.username {
            uri.authority.userinfo.username = username.expose().into();
        }
        if let Some(password) = &self.password {
            uri.authority.userinfo.password = password.expose().into();
        }
        // Nobody retries behind the reconnecting of this transport, and the heartbeat is a setting.
        uri.query.connection_timeout = None;
        uri.query.heartbeat = Some(u16::try_from(self.heartbeat.as_secs()).unwrap_or(u16::MAX));
        Ok(uri)
    }

    fn tls_connector(&self) -> Result<RustlsConnector, Problem> {
        let config = match self.tls.ca_file.as_deref() {
            Some(path) => RustlsConnectorConfig::default().with_parsable_certificates(certificates("ca_file", path)?),
            None => RustlsConnectorConfig::new_with_native_certs().map_err(unusable)?,
        };
        match self.tls.client()? {
            None => config.connector_with_no_client_auth(),
            Some((cert, key)) => {
                let key = PrivateKeyDer::from_pem_slice(&read("key_file", key)?)
                    .map_err(|_| wrong("tls", "`key_file` holds no private key in PEM"))?;
                config.connector_with_single_cert(certificates("cert_file", cert)?, key)
            }
        }
        .map_err(unusable)
    }
}

fn unusable(error: impl std::fmt::Display) -> Problem {
    wrong("tls", format!("the certificates cannot be used: {error}"))
}

/// The address of version 6 that stands in brackets in a URL.
fn literal_address(url: &str) -> Option<&str> {
    let authority = url.split_once("://")?.1.split(['/', '?']).next()?;
    authority.rsplit('@').next()?.strip_prefix('[')?.split(']').next()
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let pem = read(key, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(wrong("tls", format!("`{key}` holds no certificate in PEM"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_together_is_refused_at_its_place() {
        let long = format!(r#"{{"url": "amqp://a", "queue": "{}"}}"#, "q".repeat(201));
        let cases = [
            (r#"{"url": "http://example.com"}"#, "url", "no URL"),
            (r#"{"url": "localhost:5672"}"#, "url", "no URL"),
            (r#"{"url": "amqp://a", "queue": ""}"#, "queue", "empty"),
            (r#"{"url": "amqp://a", "queue": "amq.events"}"#, "queue", "belong to the broker"),
            (&long, "queue", "at most 200"),
            (r#"{"url": "amqp://a", "heartbeat": "10ms"}"#, "heartbeat", "from 1s"),
            (r#"{"url": "amqp://a", "heartbeat": "1h"}"#, "heartbeat", "to 5m"),
            (r#"{"url": "amqp://a", "publish_timeout": "1ms"}"#, "publish_timeout", "100ms"),
            (r#"{"url": "amqp://a", "tls": {"ca_file": "/ca"}}"#, "tls", "amqps://"),
            (r#"{"url": "amqps://a", "tls": {"ca_file": "/not/there"}}"#, "tls.ca_file", "/not/there"),
            (r#"{"url": "amqps://a", "tls": {"ca_file": "/dev/null"}}"#, "tls", "no certificate"),
            (r#"{"url": "amqps://a", "tls": {"cert_file": "/c"}}"#, "tls", "belong together"),
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
        let config = Config { password: Some(Secret::new("hunter3")), ..Config::at(Secret::new("ftp://u:hunter2@h")) };
        let problem = config.build().err().unwrap();
        assert!(!format!("{problem:?} {config:?}").contains("hunter"));
        let server = Config::at(Secret::new("amqp://user:hunter2@host/v")).server().unwrap();
        assert_eq!(server.address(), "host:5672");
    }

    #[test]
    fn a_url_is_read_as_it_is_meant() {
        let cases = [
            ("amqp://host", "host:5672", "/"),
            ("amqp://host/", "host:5672", "/"),
            ("amqp://host/%2f", "host:5672", "/"),
            ("amqp://u:p@10.0.0.1:1234/shop", "10.0.0.1:1234", "shop"),
            ("amqp://u:p@[::1]:1234/shop?heartbeat=5", "[::1]:1234", "shop"),
            ("amqps://host/shop", "host:5671", "shop"),
        ];
        for (url, address, vhost) in cases {
            let config = Config::at(Secret::new(url));
            let uri = config.uri().unwrap();
            assert_eq!((uri.vhost.as_str(), uri.query.heartbeat), (vhost, Some(10)), "{url}");
            assert_eq!(Server::new(uri, None).address(), address, "{url}");
        }
    }

    #[test]
    fn a_url_is_enough() {
        let config: Config = serde_json::from_str(r#"{"url": "amqp://127.0.0.1"}"#).unwrap();
        assert_eq!(config, Config::at(Secret::new("amqp://127.0.0.1")));
        assert_eq!(config.queue_type, QueueType::Quorum);
    }
}
