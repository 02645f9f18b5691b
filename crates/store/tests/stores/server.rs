//! Starts real servers on free ports in temporary folders, and ends them when they are dropped.

use std::future::Future;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use quash_e2e::process::free_port;
use tempfile::TempDir;

/// How long anything may take to come true.
const LIMIT: Duration = Duration::from_secs(15);

/// A running server.
pub(crate) struct Server {
    program: &'static str,
    config: String,
    child: Child,
    folder: TempDir,
    /// Where it listens on 127.0.0.1.
    pub(crate) port: u16,
}

impl Server {
    /// Starts a redis-server that keeps nothing, with these lines in its configuration.
    pub(crate) async fn start(lines: &[&str]) -> Self {
        Self::start_at(free_port(), lines).await
    }

    /// The same at this port; the lines come last, and may say that it is for TLS.
    pub(crate) async fn start_at(port: u16, lines: &[&str]) -> Self {
        let config =
            format!("bind 127.0.0.1\nport {port}\nsave \"\"\nrepl-diskless-sync-delay 0\n{}\n", lines.join("\n"));
        Self::run("redis-server", config, port).await
    }

    /// Starts a sentinel that watches a master by the name `cache`.
    pub(crate) async fn sentinel(master: &Self) -> Self {
        Self::sentinel_since(master, 0).await
    }

    /// The same; it holds that the master is one since the failover of this number.
    pub(crate) async fn sentinel_since(master: &Self, epoch: u64) -> Self {
        let port = free_port();
        let config = format!(
            "bind 127.0.0.1\nport {port}\nsentinel monitor cache 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds cache 500\nsentinel failover-timeout cache 3000\n\
             sentinel config-epoch cache {epoch}\n",
            master.port
        );
        Self::run("redis-sentinel", config, port).await
    }

    async fn run(program: &'static str, config: String, port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = spawn(program, &config, folder.path());
        let server = Self { program, config, child, folder, port };
        server.wait().await;
        server
    }

    /// Where a file of the server is.
    pub(crate) fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Kills the server at once.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again where it was.
    pub(crate) async fn restart(&mut self) {
        self.child = spawn(self.program, &self.config, self.folder.path());
        self.wait().await;
    }

    /// The address of a database, for whoever needs no password.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Sends a command as the administrator.
    pub(crate) async fn admin(&self, words: &[&str]) -> redis::Value {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut connection).await.unwrap()
    }

    async fn wait(&self) {
        let port = self.port;
        eventually("the server listens", || async move {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
        })
        .await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Asks again until it is true.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    quash_e2e::eventually(LIMIT, what, async || ask().await).await;
}

fn spawn(program: &str, config: &str, folder: &Path) -> Child {
    let file = folder.join("server.conf");
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new(program);
    command.arg(&file).current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap_or_else(|error| panic!("{program} must be installed for this test: {error}"))
}
