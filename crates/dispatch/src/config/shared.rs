//! Finds what two parts of the configuration share and must not: a queue in a cache's database, a queue that two sources read.

use quash_config::{ConfigPath, Problem, Secret};
use quash_store::{StoreConfig, TargetConfig};

use super::{Config, SourceConfig};

impl Config {
    /// What is shared and must not be, as far as addresses tell.
    pub(super) fn check_shared(&self) -> Vec<Problem> {
        self.queues_among_entries().chain(self.queues_read_twice()).collect()
    }

    /// Whoever removes entries by prefix, empties the database or lets it evict would remove events and dead letters.
    fn queues_among_entries(&self) -> impl Iterator<Item = Problem> {
        self.sources.iter().filter_map(|(name, source)| {
            let queue = database_of(source)?;
            let shares = |(_, target): &(_, &TargetConfig)| databases_of(target).contains(&queue);
            let (target, _) = self.targets.iter().find(shares)?;
            let path = ConfigPath::root().key("sources").key(name).key(source.kind.kind()).key("url");
            let message =
                format!("the queue is in the database of target `{target}`: what empties the cache takes events along");
            Some(
                Problem::error(path, message)
                    .naming_no_value()
                    .help("keep events on a server of their own, which evicts nothing"),
            )
        })
    }

    /// Each event goes to one of the two: neither has all of them.
    fn queues_read_twice(&self) -> impl Iterator<Item = Problem> {
        let sources: Vec<_> =
            self.sources.iter().filter_map(|(name, source)| Some((name, source, source_of(source)?))).collect();
        let twice = sources.iter().enumerate().filter_map(|(index, (name, source, queue))| {
            let (first, ..) = sources[..index].iter().find(|(_, _, other)| other == queue)?;
            let path = ConfigPath::root().key("sources").key(*name).key(source.kind.kind());
            let message = format!("it reads the queue of source `{first}`: each event goes to one of the two");
            Some(
                Problem::warning(path, message)
                    .naming_no_value()
                    .help("one source takes it all: raise its batch or in_flight, or run more workers"),
            )
        });
        twice.collect::<Vec<_>>().into_iter()
    }
}

/// Where a source is, as `host:port`, with nothing secret in it.
///
/// ```
/// use quash_dispatch::config::{Config, address};
///
/// let config = Config::parse("{ version: 1, sources: { events: { memory: {} } } }")?;
/// assert_eq!(address(&config.sources["events"]), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn address(source: &SourceConfig) -> Option<String> {
    let (url, port, _) = reads(source)?;
    let servers = url.expose().split(',').filter_map(|url| Address::read(url, port));
    let servers: Vec<String> = servers.map(|address| address.shown).collect();
    (!servers.is_empty()).then(|| servers.join(", "))
}

/// Whether a source is reached by TLS.
#[must_use]
pub fn is_encrypted(source: &SourceConfig) -> bool {
    let schemes = ["rediss:", "amqps:", "tls:", "wss:"];
    reads(source).is_some_and(|(url, ..)| schemes.iter().any(|tls| url.expose().starts_with(tls)))
}

const REDIS_PORT: u16 = 6379;

/// The URL of a source, the port where it names none, and how the queue behind it is told from its neighbours. Groups of a
/// stream, and durable consumers, get all of the messages each.
fn reads(source: &SourceConfig) -> Option<(&Secret, u16, String)> {
    match &source.kind {
        #[cfg(feature = "amqp")]
        quash_transport::TransportConfig::Amqp(amqp) => {
            let port = if amqp.url.expose().starts_with("amqps") { 5671 } else { 5672 };
            Some((&amqp.url, port, amqp.queue.clone()))
        }
        #[cfg(feature = "nats")]
        quash_transport::TransportConfig::Nats(nats) => {
            Some((&nats.url, 4222, format!("{} {}", nats.stream, nats.consumer)))
        }
        #[cfg(feature = "redis_streams")]
        quash_transport::TransportConfig::RedisStreams(redis) => {
            Some((&redis.url, REDIS_PORT, format!("{} {}", redis.stream, redis.group)))
        }
        _ => None,
    }
}

/// Which queue a source reads, in words that are the same for the same queue.
fn source_of(source: &SourceConfig) -> Option<String> {
    let (url, port, name) = reads(source)?;
    let Address { server, rest, .. } = Address::read(url.expose().split(',').next()?, port)?;
    Some(format!("{} {server} {} {name}", source.kind.kind(), database(&rest)))
}

/// The database of Redis that a source keeps its events in.
fn database_of(source: &SourceConfig) -> Option<String> {
    match &source.kind {
        #[cfg(feature = "redis_streams")]
        quash_transport::TransportConfig::RedisStreams(redis) => database_at(redis.url.expose()),
        _ => None,
    }
}

/// The databases of Redis that a target's entries are in.
fn databases_of(target: &TargetConfig) -> Vec<String> {
    let StoreConfig::Redis(redis) = &target.kind else { return Vec::new() };
    redis.url.iter().chain(&redis.cluster).filter_map(|url| database_at(url.expose())).collect()
}

/// The database that a URL of Redis names; `0` where it names none.
#[must_use]
pub fn database_in(url: &Secret) -> String {
    let address = Address::read(url.expose(), REDIS_PORT);
    address.map_or_else(|| "0".to_owned(), |address| database(&address.rest).to_owned())
}

fn database_at(url: &str) -> Option<String> {
    let Address { server, rest, .. } = Address::read(url, REDIS_PORT)?;
    Some(format!("{server}/{}", database(&rest)))
}

fn database(path: &str) -> &str {
    if path.is_empty() { "0" } else { path }
}

/// What a URL says about the way to a server.
struct Address {
    /// For people.
    shown: String,
    /// The same for the same server, as far as names tell.
    server: String,
    /// What stands behind it: a database, a virtual host.
    rest: String,
}

impl Address {
    /// Reads a URL; `None` where this is none.
    fn read(url: &str, port: u16) -> Option<Self> {
        let (scheme, rest) = url.trim().split_once("://")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        if scheme.contains("unix") {
            let database = query.split('&').find_map(|pair| pair.strip_prefix("db=")).unwrap_or_default();
            return Some(Self { shown: rest.to_owned(), server: rest.to_owned(), rest: database.to_owned() });
        }
        let (authority, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let has_port = |(_, port): &(&str, &str)| port.parse::<u16>().is_ok();
        let (host, port) = match host.rsplit_once(':').filter(has_port) {
            Some((host, port)) => (host, port.to_owned()),
            None => (host, port.to_string()),
        };
        let host = host.to_lowercase();
        let is_here = matches!(host.as_str(), "" | "localhost" | "[::1]") || host.starts_with("127.");
        let server = format!("{}:{port}", if is_here { "127.0.0.1" } else { &host });
        Some(Self { shown: format!("{host}:{port}"), server, rest: rest.trim_end_matches('/').to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use quash_config::{Loader, ProcessEnvironment};

    use super::*;

    /// What is said about a configuration with this target and these sources, as `path: message`.
    fn said(target: &str, sources: &str) -> Vec<String> {
        let yaml = format!("version: 1\ntargets: {{ main: {{ redis: {{ {target} }} }} }}\nsources: {{ {sources} }}\n");
        let problems = match Loader::load_text::<Config>("quash.yaml", &yaml, &ProcessEnvironment) {
            Ok(loaded) => loaded.locate(loaded.warnings.clone()),
            Err(problems) => problems,
        };
        problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
    }

    #[test]
    fn a_queue_in_the_database_of_a_cache_is_refused() {
        let refused = "sources.events.redis_streams.url: the queue is in the database of target `main`: what empties the cache takes events along";
        let cases = [
            ("url: 'redis://cache:6379/1'", "redis://cache/1", true),
            ("url: 'redis://u:p@Cache/0'", "rediss://cache:6379", true),
            ("url: 'redis://localhost:6379'", "redis://127.0.0.1/0", true),
            ("url: 'redis+unix:///run/redis.sock?db=2'", "unix:///run/redis.sock?db=2", true),
            ("cluster: ['redis://a:7000', 'redis://b:7001']", "redis://b:7001", true),
            ("url: 'redis://cache:6379/1'", "redis://cache:6379/0", false),
            ("url: 'redis://cache:6379'", "redis://cache:6380", false),
            ("url: 'redis://cache'", "redis://queue", false),
        ];
        for (target, queue, is_refused) in cases {
            let expect: Vec<&str> = is_refused.then_some(refused).into_iter().collect();
            assert_eq!(
                said(target, &format!("events: {{ redis_streams: {{ url: '{queue}' }} }}")),
                expect,
                "{target} {queue}"
            );
        }
    }

    #[test]
    fn two_sources_on_one_queue_are_doubted() {
        let warning = |kind: &str| {
            format!("sources.b.{kind}: it reads the queue of source `a`: each event goes to one of the two")
        };
        let cases = [
            ("amqp", "url: 'amqp://rabbit/shop'", "url: 'amqp://u:p@rabbit:5672/shop'", true),
            ("amqp", "url: 'amqp://rabbit/shop'", "url: 'amqp://rabbit/other'", false),
            ("amqp", "url: 'amqp://rabbit/shop'", "url: 'amqp://rabbit/shop', queue: slow", false),
            ("nats", "url: 'nats://a:4222,nats://b:4222'", "url: 'nats://a'", true),
            ("nats", "url: 'nats://a'", "url: 'nats://a', consumer: other", false),
            ("redis_streams", "url: 'redis://queue/0'", "url: 'redis://queue'", true),
            ("redis_streams", "url: 'redis://queue'", "url: 'redis://queue', group: other", false),
        ];
        for (kind, a, b, is_warned) in cases {
            let sources = format!("a: {{ {kind}: {{ {a} }} }}, b: {{ {kind}: {{ {b} }} }}");
            let expect: Vec<String> = is_warned.then(|| warning(kind)).into_iter().collect();
            assert_eq!(said("url: 'redis://cache:1'", &sources), expect, "{sources}");
        }
    }

    #[test]
    fn the_address_of_a_source_holds_no_secret() {
        let config =
            |url: &str| Config::parse(&format!("{{ version: 1, sources: {{ events: {{ {url} }} }} }}")).unwrap();
        let cases = [
            ("amqp: { url: 'amqps://u:hush@rabbit/shop' }", "rabbit:5671"),
            ("nats: { url: 'nats://u:hush@a:1,nats://b' }", "a:1, b:4222"),
            ("redis_streams: { url: 'redis://:hush@[::1]:7/1' }", "[::1]:7"),
        ];
        for (source, expect) in cases {
            assert_eq!(address(&config(source).sources["events"]).as_deref(), Some(expect));
        }
    }
}
