//! Reads where the streams are and how to treat them, and refuses what does not fit together.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_nats::ServerAddr;
use quash_config::{ConfigPath, Problem, Secret, Span};

use super::Nats;
use super::connection::{Link, Server};
use super::topology::is_wildcard;
use crate::Transport;
use crate::tls::{Tls, wrong};

/// Which streams, and where. A NATS server with JetStream (2.9 or newer), or a cluster of them.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `nats://host:4222`, or `tls://…`; several servers of one cluster are separated by commas.
    pub url: Secret,
    /// The name of the stream; `<stream>_RETRY` and `<stream>_DEAD` belong to it.
    #[serde(default = "stream")]
    pub stream: String,
    /// The subject of events. One with wildcards can be consumed and not published to.
    #[serde(default = "subject")]
    pub subject: String,
    /// The durable consumer that workers share.
    #[serde(default = "consumer")]
    pub consumer: String,
    /// What the stream keeps.
    #[serde(default)]
    pub retention: Retention,
    /// How many servers keep the streams; 3 in a cluster.
    #[serde(default = "one")]
    pub replicas: u32,
    /// How many bytes the stream of events may have before publishing is refused; nothing unprocessed is ever dropped for
    /// space.
    #[serde(default)]
    pub max_bytes: Option<u64>,
    /// After how long an event is dropped, processed or not.
    #[serde(default)]
    pub max_age: Option<Span>,
    /// How long a worker may be silent before others get what it holds. Work that takes longer is no problem: a living
    /// worker says that it still holds it.
    #[serde(default = "ack_wait")]
    pub ack_wait: Span,
    /// How long to wait for the server's word that it has stored something.
    #[serde(default = "publish_timeout")]
    pub publish_timeout: Span,
    /// How often the server must be heard of; a connection that is silent for three times as long is made anew.
    #[serde(default = "heartbeat")]
    pub heartbeat: Span,
    /// A file with a user's JWT and seed, as `nsc` writes it.
    #[serde(default)]
    pub credentials_file: Option<PathBuf>,
    /// The user, if it is not in the URL.
    #[serde(default)]
    pub username: Option<Secret>,
    /// The password, if it is not in the URL.
    #[serde(default)]
    pub password: Option<Secret>,
    /// A token instead of a user.
    #[serde(default)]
    pub token: Option<Secret>,
    /// The seed of an NKey instead of a user.
    #[serde(default)]
    pub nkey: Option<Secret>,
    /// Certificates; with any of them the connection must be encrypted.
    #[serde(default)]
    pub tls: Tls,
    /// The subject under which answers come back, `_INBOX` unless users must not hear each other's.
    #[serde(default)]
    pub inbox_prefix: Option<String>,
    /// Whether to make streams and consumers that are not there. They are checked in any case.
    #[serde(default = "yes")]
    pub declare: bool,
}

/// What a stream keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Retention {
    /// What nobody has settled; for one consumer.
    #[default]
    WorkQueue,
    /// Everything until it is too old, so that several consumers can have all of it.
    Limits,
}

fn stream() -> String {
    "QUASH".into()
}

fn subject() -> String {
    "quash.events".into()
}

fn consumer() -> String {
    "quash".into()
}

const fn one() -> u32 {
    1
}

const fn yes() -> bool {
    true
}

const fn ack_wait() -> Span {
    Span(Duration::from_secs(30))
}

const fn publish_timeout() -> Span {
    Span(Duration::from_secs(5))
}

const fn heartbeat() -> Span {
    Span(Duration::from_secs(10))
}

impl Config {
    /// The defaults, at a URL.
    #[must_use]
    pub fn at(url: Secret) -> Self {
        Self {
            url,
            stream: stream(),
            subject: subject(),
            consumer: consumer(),
            retention: Retention::WorkQueue,
            replicas: one(),
            max_bytes: None,
            max_age: None,
            ack_wait: ack_wait(),
            publish_timeout: publish_timeout(),
            heartbeat: heartbeat(),
            credentials_file: None,
            username: None,
            password: None,
            token: None,
            nkey: None,
            tls: Tls::default(),
            inbox_prefix: None,
            declare: yes(),
        }
    }

    /// Makes a transport that connects when it is first used.
    ///
    /// # Errors
    /// When the values do not fit together, or a file cannot be read.
    pub fn build(&self) -> Result<Arc<dyn Transport>, Problem> {
        self.check_names()?;
        self.check_limits()?;
        self.check_credentials()?;
        self.check_files()?;
        let link = Link::new(Server { addresses: self.addresses()?, config: self.clone() });
        Ok(Arc::new(Nats::new(self.clone(), link)))
    }

    fn check_names(&self) -> Result<(), Problem> {
        for (key, name) in [("stream", &self.stream), ("consumer", &self.consumer)] {
            if !is_name(name) {
                return Err(wrong(key, "must be a name of letters, digits, `-` and `_`"));
            }
        }
        let inbox = self.inbox_prefix.as_deref().map(|prefix| ("inbox_prefix", prefix));
        for (key, subject) in [("subject", self.subject.as_str())].into_iter().chain(inbox) {
            if !is_subject(subject) {
                return Err(wrong(key, "is no subject: words between dots, without spaces"));
            }
        }
        if self.inbox_prefix.as_deref().is_some_and(is_wildcard) {
            return Err(wrong("inbox_prefix", "must not have wildcards"));
        }
        Ok(())
    }

    fn check_limits(&self) -> Result<(), Problem> {
        if *self.ack_wait < Duration::from_millis(500) {
            return Err(wrong("ack_wait", "must be at least 500ms, or workers get what others work on"));
        }
        if *self.publish_timeout < Duration::from_millis(10) {
            return Err(wrong("publish_timeout", "must be at least 10ms"));
        }
        if *self.heartbeat < Duration::from_millis(200) {
            return Err(wrong("heartbeat", "must be at least 200ms, or a slow server is taken for a dead one"));
        }
        if !(1..=5).contains(&self.replicas) {
            return Err(wrong("replicas", "must be between 1 and 5"));
        }
        if self.max_bytes.is_some_and(|bytes| bytes == 0 || i64::try_from(bytes).is_err()) {
            return Err(wrong("max_bytes", "must be at least 1, or nothing could be published"));
        }
        if self.max_age.is_some_and(|age| *age < Duration::from_secs(1)) {
            return Err(wrong("max_age", "must be at least 1s"));
        }
        if self.retention == Retention::Limits && self.max_age.is_none() {
            return Err(wrong("retention", "`limits` keeps what is settled, so it needs a `max_age`")
                .help("set max_age to how long a consumer may lag behind, or use work_queue"));
        }
        Ok(())
    }

    fn check_credentials(&self) -> Result<(), Problem> {
        if self.username.is_some() != self.password.is_some() {
            return Err(wrong("username", "`username` and `password` belong together"));
        }
        let ways =
            [self.username.is_some(), self.token.is_some(), self.nkey.is_some(), self.credentials_file.is_some()];
        if ways.into_iter().filter(|&way| way).count() > 1 {
            return Err(wrong("url", "use one of `username`, `token`, `nkey` and `credentials_file`"));
        }
        self.tls.client()?;
        Ok(())
    }

    /// Files are read when connecting, as they may change; that they can be read is known now.
    fn check_files(&self) -> Result<(), Problem> {
        if let Some(path) = &self.credentials_file {
            readable(path).map_err(|cause| wrong("credentials_file", cause))?;
        }
        let Tls { ca_file, cert_file, key_file } = &self.tls;
        for (key, path) in [("ca_file", ca_file), ("cert_file", cert_file), ("key_file", key_file)] {
            let checked = path.as_deref().map_or(Ok(()), readable);
            checked.map_err(|cause| Problem::error(ConfigPath::root().key("tls").key(key), cause))?;
        }
        Ok(())
    }

    fn addresses(&self) -> Result<Vec<ServerAddr>, Problem> {
        let addresses = self.url.expose().split(',').map(|url| ServerAddr::from_str(url.trim()));
        // The driver's own words may repeat the URL, which may hold a password.
        addresses
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| wrong("url", "is no URL of a NATS server").help("write it as nats://user:password@host:4222"))
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|char| char.is_ascii_alphanumeric() || char == '-' || char == '_')
}

fn is_subject(subject: &str) -> bool {
    subject
        .split('.')
        .all(|word| !word.is_empty() && !word.contains(|char: char| char.is_whitespace() || char.is_control()))
}

fn readable(path: &Path) -> Result<(), String> {
    std::fs::File::open(path).map(drop).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_together_is_refused_at_its_place() {
        let cases = [
            (r#"{"url": "http://example.com"}"#, "url", "no URL"),
            (r#"{"url": "nats://a:4222,:::"}"#, "url", "no URL"),
            (r#"{"url": "nats://a", "stream": "a.b"}"#, "stream", "letters"),
            (r#"{"url": "nats://a", "consumer": ""}"#, "consumer", "letters"),
            (r#"{"url": "nats://a", "subject": "a..b"}"#, "subject", "no subject"),
            (r#"{"url": "nats://a", "inbox_prefix": "a.>"}"#, "inbox_prefix", "wildcards"),
            (r#"{"url": "nats://a", "ack_wait": "5ms"}"#, "ack_wait", "500ms"),
            (r#"{"url": "nats://a", "heartbeat": "5ms"}"#, "heartbeat", "200ms"),
            (r#"{"url": "nats://a", "replicas": 0}"#, "replicas", "between"),
            (r#"{"url": "nats://a", "max_bytes": 0}"#, "max_bytes", "at least 1"),
            (r#"{"url": "nats://a", "retention": "limits"}"#, "retention", "max_age"),
            (r#"{"url": "nats://a", "username": "u"}"#, "username", "belong together"),
            (r#"{"url": "nats://a", "token": "t", "nkey": "n"}"#, "url", "one of"),
            (r#"{"url": "nats://a", "credentials_file": "/not/there"}"#, "credentials_file", "/not/there"),
            (r#"{"url": "nats://a", "tls": {"ca_file": "/not/there"}}"#, "tls.ca_file", "/not/there"),
            (r#"{"url": "nats://a", "tls": {"cert_file": "/c"}}"#, "tls", "belong together"),
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
        let config = Config::at(Secret::new("http://user:hunter2@host"));
        let problem = config.build().err().unwrap();
        assert!(!format!("{problem:?} {config:?}").contains("hunter2"));
    }

    #[test]
    fn a_url_is_enough() {
        let config: Config = serde_json::from_str(r#"{"url": "nats://127.0.0.1:4222"}"#).unwrap();
        assert_eq!(config, Config::at(Secret::new("nats://127.0.0.1:4222")));
        assert!(config.build().is_ok());
    }
}
