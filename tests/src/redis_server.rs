//! Runs a redis-server that a test may kill, stop and bring back with what it had saved.

use std::process::Command;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, AsyncConnectionConfig};

use crate::process::{Process, free_port, program};
use crate::{Home, eventually};

/// Long enough for a machine that compiles beside the tests.
const PATIENCE: Duration = Duration::from_secs(20);

/// A redis-server on a free port in a folder of its own.
pub struct RedisServer {
    process: Process,
    port: u16,
    options: Vec<String>,
    home: Home,
}

impl RedisServer {
    /// Starts one that saves nothing, as a cache does.
    pub async fn start() -> Self {
        Self::with(&["--save", "", "--appendonly", "no"]).await
    }

    /// Starts one that keeps what it confirmed over a kill, as a queue must.
    pub async fn durable() -> Self {
        Self::with(&[
            "--save",
            "",
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
            "--maxmemory-policy",
            "noeviction",
        ])
        .await
    }

    /// Starts one with these options.
    ///
    /// # Panics
    /// When it does not answer in time.
    pub async fn with(options: &[&str]) -> Self {
        let home = Home::new("redis");
        let (port, options) = (free_port(), options.iter().map(ToString::to_string).collect::<Vec<_>>());
        let server = Self { process: launch(&home, port, &options), port, options, home };
        server.ready().await;
        server
    }

    /// Whether one can be started.
    #[must_use]
    pub fn is_installed() -> bool {
        program("redis-server").is_some()
    }

    /// Its address, without a scheme.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The URL of one of its databases.
    #[must_use]
    pub fn url(&self, database: u8) -> String {
        format!("redis://{}/{database}", self.address())
    }

    /// A connection to database 0 that waits as long as it takes.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn connect(&self) -> MultiplexedConnection {
        self.try_connect().await.unwrap_or_else(|error| panic!("connect to redis on port {}: {error}", self.port))
    }

    /// Kills it with signal 9.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Brings it back on the same port with what it had saved, and waits until it answers.
    ///
    /// # Panics
    /// When it does not answer in time.
    pub async fn restart(&mut self) {
        self.process.kill9();
        self.process = launch(&self.home, self.port, &self.options);
        self.ready().await;
    }

    /// Stops it half-way, as a machine that hangs: connections stay open and nothing answers.
    pub fn stop(&mut self) {
        self.process.signal("STOP");
    }

    /// Lets it go on.
    pub fn cont(&mut self) {
        self.process.signal("CONT");
    }

    /// How often a command was called since it started.
    pub async fn calls(&self, command: &str) -> u64 {
        let stats: String =
            redis::cmd("INFO").arg("commandstats").query_async(&mut self.connect().await).await.unwrap();
        let line = format!("cmdstat_{command}:calls=");
        let calls = stats.lines().find_map(|stat| stat.strip_prefix(&line));
        calls.and_then(|rest| rest.split(',').next()).map_or(0, |count| count.parse().expect("a count"))
    }

    /// How many of these keys are there.
    pub async fn count(&self, keys: &[String]) -> usize {
        if keys.is_empty() {
            return 0;
        }
        self.connect().await.exists(keys).await.unwrap()
    }

    /// Sets every key to a value.
    pub async fn fill(&self, keys: &[String]) {
        let mut connection = self.connect().await;
        for chunk in keys.chunks(1000) {
            let pairs: Vec<_> = chunk.iter().map(|key| (key, "stale")).collect();
            let () = connection.mset(&pairs).await.unwrap();
        }
    }

    async fn ready(&self) {
        let what = format!("redis-server answers on port {}", self.port);
        eventually(PATIENCE, &what, async || self.try_connect().await.is_ok()).await;
    }

    async fn try_connect(&self) -> redis::RedisResult<MultiplexedConnection> {
        let client = redis::Client::open(self.url(0))?;
        let patient = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
        let mut connection = client.get_multiplexed_async_connection_with_config(&patient).await?;
        // It accepts connections before it has loaded what it saved.
        let () = connection.ping().await?;
        Ok(connection)
    }
}

fn launch(home: &Home, port: u16, options: &[String]) -> Process {
    let server = program("redis-server").expect("redis-server is installed (./test installs it)");
    let mut command = Command::new(server);
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"]).arg(home.path()).args(options);
    Process::spawn("redis-server", &home.path().join("redis.log"), &mut command)
}
