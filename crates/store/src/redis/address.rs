//! Reads how a cache is reached from its configuration: one server, sentinels, or a cluster.

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

use super::Config;
use quash_config::{ConfigPath, Problem, Secret};

/// Where a cache is.
#[derive(Debug)]
pub(super) enum Server {
    /// At one address.
    One(ConnectionInfo),
    /// Where sentinels say that the master is.
    Sentinel {
        /// The sentinels, in the order they are asked.
        sentinels: Vec<ConnectionInfo>,
        /// The name that they know the master by.
        master: String,
        /// How to connect to it; its host is not used.
        cache: ConnectionInfo,
    },
    /// On the masters of a cluster, which any of these nodes knows.
    Cluster(Vec<ConnectionInfo>),
}

/// Sentinels, and which master they are asked for.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SentinelConfig {
    /// The sentinels, as `redis://host:26379`; a user and a password in them are those of the sentinels.
    pub urls: Vec<Secret>,
    /// The name that they know the master by.
    pub master: String,
    /// The database of the master.
    #[serde(default)]
    pub db: u32,
}

/// The files of a TLS connection; they are read anew for every connection.
#[derive(Debug, Clone, PartialEq, Default, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct TlsFiles {
    /// The certificate authority of the server, PEM; without it, the authorities of the system are trusted.
    pub ca_file: Option<String>,
    /// Our certificate, PEM, for servers that ask for one.
    pub cert_file: Option<String>,
    /// The key of our certificate, PEM.
    pub key_file: Option<String>,
}

impl Server {
    /// Reads where the cache is.
    ///
    /// # Errors
    /// When not exactly one of `url`, `cluster` and `sentinel` is there, or the values do not fit together.
    pub(super) fn read(config: &Config) -> Result<Self, Problem> {
        let server = match (&config.url, config.cluster.as_slice(), &config.sentinel) {
            (Some(url), [], None) => Self::One(read(config, url, &key("url"))?),
            (None, [_, ..], None) => Self::Cluster(read_nodes(config)?),
            (None, [], Some(sentinel)) => read_sentinel(config, sentinel)?,
            (None, [], None) => {
                return Err(Problem::error(key(""), "one of `url`, `cluster` and `sentinel` is missing"));
            }
            _ => return Err(Problem::error(key(""), "only one of `url`, `cluster` and `sentinel` can be given")),
        };
        check_tls(config, &server)?;
        Ok(server)
    }

    fn infos(&self) -> impl Iterator<Item = &ConnectionInfo> {
        match self {
            Self::One(info) => std::slice::from_ref(info).iter(),
            Self::Sentinel { sentinels: infos, .. } | Self::Cluster(infos) => infos.iter(),
        }
    }
}

fn key(name: &str) -> ConfigPath {
    if name.is_empty() { ConfigPath::root() } else { ConfigPath::root().key(name) }
}

fn read_nodes(config: &Config) -> Result<Vec<ConnectionInfo>, Problem> {
    let mut nodes = Vec::with_capacity(config.cluster.len());
    for (index, url) in config.cluster.iter().enumerate() {
        let path = key("cluster").index(index);
        let info = read(config, url, &path)?;
        if matches!(info.addr(), ConnectionAddr::Unix(_)) {
            return Err(Problem::error(path, "a cluster cannot be reached over a socket file"));
        }
        if info.redis_settings().db() != 0 {
            return Err(Problem::error(path, "a cluster has no databases but 0"));
        }
        nodes.push(info);
    }
    Ok(nodes)
}

fn read_sentinel(config: &Config, sentinel: &SentinelConfig) -> Result<Server, Problem> {
    let urls = key("sentinel").key("urls");
    let parse_at = |(index, url): (usize, &Secret)| parse(url, &urls.index(index));
    let sentinels = sentinel.urls.iter().enumerate().map(parse_at).collect::<Result<Vec<_>, _>>()?;
    let Some(first) = sentinels.first() else {
        return Err(Problem::error(urls, "at least one sentinel is needed"));
    };
    let settings = redis::RedisConnectionInfo::default().set_db(i64::from(sentinel.db));
    let cache = with_credentials(config, first.clone().set_redis_settings(settings));
    Ok(Server::Sentinel { sentinels, master: sentinel.master.clone(), cache })
}

/// Reads an address of the cache itself.
fn read(config: &Config, url: &Secret, path: &ConfigPath) -> Result<ConnectionInfo, Problem> {
    let info = parse(url, path)?;
    let twice = |name: &str| {
        Problem::error(path.clone(), format!("the address and `{name}` both give a {name}; leave one of them out"))
    };
    if config.username.is_some() && info.redis_settings().username().is_some() {
        return Err(twice("username"));
    }
    if config.password.is_some() && info.redis_settings().password().is_some() {
        return Err(twice("password"));
    }
    Ok(with_credentials(config, info))
}

fn with_credentials(config: &Config, info: ConnectionInfo) -> ConnectionInfo {
    let mut settings = info.redis_settings().clone();
    if let Some(username) = &config.username {
        settings = settings.set_username(username);
    }
    if let Some(password) = &config.password {
        settings = settings.set_password(password.expose());
    }
    info.set_redis_settings(settings)
}

/// The driver's own words for a wrong address could repeat it, password and all: they are left out.
fn parse(url: &Secret, path: &ConfigPath) -> Result<ConnectionInfo, Problem> {
    url.expose().into_connection_info().map_err(|_| {
        Problem::error(path.clone(), "this is no address of a Redis server")
            .help("write redis://host:6379/0, rediss:// for TLS, or redis+unix:///path/to.sock?db=0; escape special characters of a password as %XX")
    })
}

fn check_tls(config: &Config, server: &Server) -> Result<(), Problem> {
    let tls = key("tls");
    if config.tls.cert_file.is_some() != config.tls.key_file.is_some() {
        return Err(Problem::error(tls, "`cert_file` and `key_file` belong together"));
    }
    let plain = server.infos().any(|info| !matches!(info.addr(), ConnectionAddr::TcpTls { .. }));
    if *config.tls != TlsFiles::default() && plain {
        return Err(Problem::error(tls, "the address does not use TLS").help("write rediss:// in front of the host"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str) -> Result<String, String> {
        let config: Config = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let server = Server::read(&config).map_err(|problem| format!("{}: {}", problem.path, problem.message))?;
        Ok(match server {
            Server::One(info) => format!("{} db {}", info.addr(), info.redis_settings().db()),
            Server::Cluster(nodes) => nodes.iter().map(|info| info.addr().to_string()).collect::<Vec<_>>().join(" "),
            Server::Sentinel { sentinels, master, cache } => {
                let settings = cache.redis_settings();
                let user = settings.username().unwrap_or("nobody");
                format!("{master} of {} as {user} db {}", sentinels[0].addr(), settings.db())
            }
        })
    }

    #[test]
    fn a_cache_is_one_server_or_sentinels_or_a_cluster() {
        let cases = [
            (r#"{"url": "redis://h:1/2"}"#, Ok("h:1 db 2")),
            (r#"{"url": "valkeys://h", "tls": {"ca_file": "ca.pem"}}"#, Ok("h:6379 db 0")),
            (r#"{"url": "redis+unix:///run/r.sock?db=3"}"#, Ok("/run/r.sock db 3")),
            (r#"{"cluster": ["redis://a:1", "redis://b:2"]}"#, Ok("a:1 b:2")),
            (
                r#"{"sentinel": {"urls": ["redis://s:26379"], "master": "m", "db": 4}, "username": "u"}"#,
                Ok("m of s:26379 as u db 4"),
            ),
            ("{}", Err(": one of `url`, `cluster` and `sentinel` is missing")),
            (
                r#"{"url": "redis://h", "cluster": ["redis://a"]}"#,
                Err(": only one of `url`, `cluster` and `sentinel` can be given"),
            ),
            (r#"{"url": "http://u:hunter2@h"}"#, Err("url: this is no address of a Redis server")),
            (r#"{"cluster": ["redis://a", "redis://a:x"]}"#, Err("cluster[1]: this is no address of a Redis server")),
            (r#"{"cluster": ["redis://a/1"]}"#, Err("cluster[0]: a cluster has no databases but 0")),
            (r#"{"cluster": ["unix:///a"]}"#, Err("cluster[0]: a cluster cannot be reached over a socket file")),
            (r#"{"sentinel": {"urls": [], "master": "m"}}"#, Err("sentinel.urls: at least one sentinel is needed")),
            (
                r#"{"url": "redis://u:p@h", "password": "q"}"#,
                Err("url: the address and `password` both give a password; leave one of them out"),
            ),
            (
                r#"{"url": "rediss://h", "tls": {"cert_file": "c"}}"#,
                Err("tls: `cert_file` and `key_file` belong together"),
            ),
            (r#"{"url": "redis://h", "tls": {"ca_file": "c"}}"#, Err("tls: the address does not use TLS")),
        ];
        for (json, expected) in cases {
            assert_eq!(check(json), expected.map(str::to_owned).map_err(str::to_owned), "{json}");
        }
    }

    #[test]
    fn no_problem_and_no_print_shows_a_password() {
        let config: Config = serde_json::from_str(r#"{"url": "http://u:hunter2@h", "password": "hunter2"}"#).unwrap();
        let problem = Server::read(&config).unwrap_err();
        assert!(!format!("{problem:?}{config:?}").contains("hunter2"));
    }
}
