//! Runs the built `quash` from outside: its commands, and workers that a test may kill.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::process::{Process, code, free_port};
use crate::{Home, eventually, http};

/// Long enough for a debug build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The binary with a configuration: every command of it is one call.
pub struct Quash {
    home: Home,
    config: PathBuf,
    environment: Vec<(String, String)>,
}

impl Quash {
    /// The binary with this configuration, written to a file of its own.
    #[must_use]
    pub fn with(config: &str) -> Self {
        let home = Home::new("quash");
        let config = home.write("quash.yaml", config);
        Self { home, config, environment: Vec::new() }
    }

    /// The same with a variable in its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> &std::path::Path {
        &self.config
    }

    /// The folder that its files are in.
    #[must_use]
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Runs a command to its end.
    pub async fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, Vec::new()).await
    }

    /// Runs a command that reads this from standard input.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn run_with(&self, args: &[&str], input: impl Into<Vec<u8>>) -> Ran {
        finish(self.command(args), &input.into()).await
    }

    /// A command that has not started yet, for a pipe between processes.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(args).env("QUASH_CONFIG", &self.config).env("NO_COLOR", "1").current_dir(self.home.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Publishes lines of JSON.
    ///
    /// # Panics
    /// When the command fails.
    pub async fn publish(&self, events: &[Value]) {
        let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
        self.run_with(&["publish", "-f", "-"], lines).await.done();
    }

    /// The dead letters, oldest first, as `dlq ls -o json` prints them.
    ///
    /// # Panics
    /// When the command fails, or prints something else.
    pub async fn dead_letters(&self) -> Vec<Value> {
        let ls = self.run(&["dlq", "ls", "--limit", "0", "-o", "json"]).await.done().json();
        ls["letters"].as_array().unwrap_or_else(|| panic!("no letters in {ls}")).clone()
    }

    /// Starts a worker and waits until it is ready.
    pub async fn worker(&self, name: &str) -> Worker {
        let mut worker = self.start_worker(name);
        worker.ready().await;
        worker
    }

    /// Starts a worker that may never become ready.
    #[must_use]
    pub fn start_worker(&self, name: &str) -> Worker {
        self.start_worker_with(name, &[])
    }

    /// The same with more arguments for `run`.
    #[must_use]
    pub fn start_worker_with(&self, name: &str, arguments: &[&str]) -> Worker {
        self.start(name, "run", arguments)
    }

    /// Starts `quash relay`.
    #[must_use]
    pub fn start_relay(&self, name: &str) -> Worker {
        self.start(name, "relay", &[])
    }

    fn start(&self, name: &str, command: &str, arguments: &[&str]) -> Worker {
        let admin = format!("127.0.0.1:{}", free_port());
        let own = format!("worker: {{ name: {name} }}\nadmin: {{ listen: \"{admin}\" }}\n");
        let own = self.home.write(&format!("{name}.worker.yaml"), own);
        let config = format!("{},{}", self.config.display(), own.display());
        let mut command = self.command(&[command, "--log-format", "human"]);
        command.args(arguments);
        command.env("QUASH_CONFIG", config);
        let log = self.home.path().join(format!("{name}.log"));
        let process = Process::spawn(name, &log, &mut command);
        Worker { process, admin, log, command }
    }
}

/// A running `quash run` or `quash relay`. It is killed when it is dropped.
pub struct Worker {
    process: Process,
    admin: String,
    log: PathBuf,
    command: Command,
}

impl Worker {
    /// Waits until it consumes.
    ///
    /// # Panics
    /// When it ends instead.
    pub async fn ready(&mut self) {
        eventually(PATIENCE, "the worker is ready", async || {
            assert!(self.lives(), "the worker ended: {}", self.log());
            http::get(&self.admin, "/readyz").await.is_ok_and(|answer| answer.status == 200)
        })
        .await;
    }

    /// Kills it with signal 9.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Starts it again under the same name.
    pub fn restart(&mut self) {
        self.process.kill9();
        self.process = Process::spawn("the worker", &self.log, &mut self.command);
    }

    /// Sends it a signal by name.
    pub fn signal(&mut self, signal: &str) {
        self.process.signal(signal);
    }

    /// Asks it to stop and returns its exit code.
    pub async fn terminate(&mut self) -> i32 {
        self.process.signal("TERM");
        self.exit_code().await
    }

    /// Waits until it ends and returns its exit code.
    pub async fn exit_code(&mut self) -> i32 {
        self.process.exit_code(PATIENCE).await
    }

    /// Whether it still runs.
    pub fn lives(&mut self) -> bool {
        self.process.ended().is_none()
    }

    /// Memory that it holds, in KiB.
    #[must_use]
    pub fn resident_kib(&self) -> u64 {
        self.process.resident_kib()
    }

    /// The most memory that it ever held, in KiB.
    #[must_use]
    pub fn peak_kib(&self) -> u64 {
        self.process.peak_kib()
    }

    /// Processor time that it has used.
    #[must_use]
    pub fn cpu_time(&self) -> Duration {
        self.process.cpu_time()
    }

    /// Where its metrics and its health are.
    #[must_use]
    pub fn admin(&self) -> &str {
        &self.admin
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The page of metrics.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn metrics(&self) -> String {
        http::get(&self.admin, "/metrics").await.expect("the worker answers").body
    }

    /// The sum of a metric over all series that carry these labels (`target="cache"`); 0 when there is none.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let page = self.metrics().await;
        let series =
            page.lines().filter_map(|line| line.strip_prefix(name)).filter(|rest| rest.starts_with(['{', ' ']));
        let meant = series.filter(|rest| labels.iter().all(|label| rest.contains(label)));
        meant.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    /// The exit code.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it logged or complained about.
    pub stderr: String,
}

impl Ran {
    /// The same, if it succeeded.
    ///
    /// # Panics
    /// When it did not.
    pub fn done(self) -> Self {
        self.ended_with(0)
    }

    /// The same, if it ended with this code.
    ///
    /// # Panics
    /// When it did not.
    pub fn ended_with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// Everything that it printed, as one JSON value.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in {}", self.stdout))
    }
}

/// The built binary: beside the running test, or where `QUASH_BIN` says.
///
/// # Panics
/// When it has not been built.
#[must_use]
pub fn binary() -> PathBuf {
    let built = || Some(std::env::current_exe().ok()?.parent()?.parent()?.join("quash"));
    let path = std::env::var_os("QUASH_BIN").map(PathBuf::from).or_else(built).unwrap_or_default();
    assert!(path.is_file(), "no binary at {}: cargo build -p quash-cli builds it", path.display());
    path
}

async fn finish(command: Command, input: &[u8]) -> Ran {
    let mut command = tokio::process::Command::from(command);
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = piped.spawn().unwrap_or_else(|error| panic!("start {command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("it was just piped");
    let feed = async move {
        // A command that ends without reading all of it is no failure here: its exit code tells.
        drop(stdin.write_all(input).await);
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    let output = output.expect("the command ends");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ran { code: code(output.status), stdout: text(output.stdout), stderr: text(output.stderr) }
}
