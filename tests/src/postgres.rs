//! Runs a PostgreSQL with logical decoding, and the programs that come with it, against a folder of its own.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout as Output};

use crate::process::{Process, free_port, program};
use crate::{Home, eventually};

const PATIENCE: Duration = Duration::from_secs(60);

/// What a test needs of a server: logical decoding. Its data may go when the machine does, so nothing is flushed.
const SETTINGS: &str = "
wal_level = logical
max_wal_senders = 4
max_replication_slots = 4
max_prepared_transactions = 4
fsync = off
full_page_writes = off
listen_addresses = '127.0.0.1'
";

/// A PostgreSQL server on a free port, its data and its socket in a folder of its own.
pub struct Postgres {
    server: Process,
    port: u16,
    home: Home,
}

impl Postgres {
    /// Makes a database cluster and starts its server; user `postgres`, no password.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start in time.
    pub async fn start() -> Self {
        let home = Home::new("postgres");
        let owner = server_account();
        let data = initdb(home.path(), owner);
        let port = free_port();
        let settings = format!("{SETTINGS}port = {port}\nunix_socket_directories = '{}'\n", home.path().display());
        configure(&data, &settings);
        let server = launch(home.path(), &data, owner);
        let postgres = Self { server, port, home };
        eventually(PATIENCE, "postgres answers", async || postgres.try_psql("select 1").is_ok()).await;
        postgres
    }

    /// Whether one can be started.
    #[must_use]
    pub fn is_installed() -> bool {
        ["initdb", "postgres", "psql"].iter().all(|name| find(name).is_some())
    }

    /// How clients find it: `-h … -p … -U postgres -d postgres`.
    #[must_use]
    pub fn connection(&self) -> Vec<String> {
        let host = self.home.path().display().to_string();
        ["-h", &host, "-p", &self.port.to_string(), "-U", "postgres", "-d", "postgres"].map(str::to_owned).to_vec()
    }

    /// Its URL; user `postgres`, encrypted where the server can.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Asks it to stop as its service manager does, and waits until it has.
    ///
    /// # Panics
    /// When it does not stop in time.
    pub async fn stop(&mut self, limit: Duration) {
        self.server.signal("INT");
        self.server.exit_code(limit).await;
    }

    /// Ends it as a crash does; it may be started again.
    pub fn kill(&mut self) {
        // An immediate shutdown also ends the server's children, which signal 9 would leave behind for a while.
        self.server.end_by("QUIT");
    }

    /// Brings it back on the same port, with more settings from then on, and waits until it answers.
    ///
    /// # Panics
    /// When it does not answer in time.
    pub async fn restart(&mut self, settings: &str) {
        self.kill();
        configure(&self.home.path().join("data"), settings);
        self.server = launch(self.home.path(), &self.home.path().join("data"), server_account());
        eventually(PATIENCE, "postgres answers again", async || self.try_psql("select 1").is_ok()).await;
    }

    /// Gives it a certificate and its key, which it takes from no file that others own.
    ///
    /// # Panics
    /// When they cannot be copied.
    pub async fn encrypt(&mut self, certificate: &Path, key: &Path) {
        let data = self.home.path().join("data");
        for (from, name) in [(certificate, "server.crt"), (key, "server.key")] {
            let to = data.join(name);
            fs::copy(from, &to).expect("copy a certificate");
            fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).expect("close a file to others");
            if let Some((user, group)) = server_account() {
                chown(&to, Some(user), Some(group)).expect("hand a file to the server's account");
            }
        }
        self.restart("ssl = on\n").await;
    }

    /// Runs SQL and returns what it selects: a line a row, fields separated by `|`.
    ///
    /// # Panics
    /// When the server refuses it.
    pub fn psql(&self, sql: &str) -> String {
        self.try_psql(sql).unwrap_or_else(|error| panic!("psql {sql}: {error}"))
    }

    /// Runs the SQL of a file, which may be longer than an argument.
    ///
    /// # Panics
    /// When the server refuses it.
    pub fn psql_file(&self, file: &Path) {
        self.run_psql(&["-f", &file.display().to_string()])
            .unwrap_or_else(|error| panic!("psql {}: {error}", file.display()));
    }

    /// Starts `pgbench` with these options; `pgbench.log` holds what it prints.
    #[must_use]
    pub fn pgbench(&self, options: &[&str]) -> Process {
        // pgbench takes the database as an argument, not as -d, which means debug to it.
        let connection = self.connection();
        let mut command = Command::new(installed("pgbench"));
        command.args(&connection[..6]).args(options).arg("postgres");
        Process::spawn("pgbench", &self.home.path().join("pgbench.log"), &mut command)
    }

    /// Runs `pgbench` to its end.
    ///
    /// # Panics
    /// When it fails.
    pub async fn pgbench_done(&self, options: &[&str], limit: Duration) {
        let code = self.pgbench(options).exit_code(limit).await;
        assert_eq!(code, 0, "pgbench {options:?}");
    }

    /// Starts a persistent `psql` that answers one query after the other.
    #[must_use]
    pub fn session(&self) -> Session {
        Session::start(&self.connection())
    }

    /// Makes a replication slot for wal2json.
    ///
    /// # Panics
    /// When the plug-in is not installed.
    pub fn create_slot(&self, slot: &str) {
        let made = Command::new(installed("pg_recvlogical"))
            .args(self.connection())
            .args(["--slot", slot, "--create-slot", "-P", "wal2json"])
            .output()
            .expect("start pg_recvlogical");
        assert!(made.status.success(), "create the slot: {}", String::from_utf8_lossy(&made.stderr));
    }

    /// Starts streaming a slot's changes, with these options of wal2json, to the returned pipe.
    #[must_use]
    pub fn stream(&self, slot: &str, options: &[&str]) -> (Process, ChildStdout) {
        let mut command = Command::new(installed("pg_recvlogical"));
        command.args(self.connection()).args(["--slot", slot, "--start", "-f", "-", "--status-interval=1"]);
        for option in options {
            command.args(["-o", option]);
        }
        Process::spawn_piped("pg_recvlogical", &self.home.path().join("recvlogical.log"), &mut command)
    }

    fn try_psql(&self, sql: &str) -> Result<String, String> {
        self.run_psql(&["-c", sql])
    }

    fn run_psql(&self, what: &[&str]) -> Result<String, String> {
        let mut command = Command::new(installed("psql"));
        command.args(self.connection()).args(["-XAtq", "-v", "ON_ERROR_STOP=1"]).args(what);
        let output = command.output().map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A `psql` that stays connected; a light client that needs no driver.
pub struct Session {
    // Held so that it ends with the session.
    _psql: Child,
    input: ChildStdin,
    output: Lines<BufReader<Output>>,
}

impl Session {
    /// What `psql` prints when a query is done; no value of a test looks like it.
    const DONE: &str = "-- done --";

    /// Opens one to the server that is there, as [`Postgres::connection`] says, for who outlives it.
    ///
    /// # Panics
    /// When `psql` cannot be started.
    #[must_use]
    pub fn start(connection: &[String]) -> Self {
        let mut command = tokio::process::Command::new(installed("psql"));
        command.args(connection).args(["-XAtq", "-v", "ON_ERROR_STOP=1"]).kill_on_drop(true);
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut psql = command.spawn().expect("start psql");
        let input = psql.stdin.take().expect("it was just piped");
        let output = BufReader::new(psql.stdout.take().expect("it was just piped")).lines();
        Self { _psql: psql, input, output }
    }

    /// Runs one statement and returns its rows, fields separated by `|`.
    ///
    /// # Panics
    /// When `psql` has ended, as it does after an error.
    pub async fn query(&mut self, sql: &str) -> Vec<String> {
        self.try_query(sql).await.unwrap_or_else(|| panic!("psql ended at `{sql}`"))
    }

    /// The same; `None` when `psql` has ended, as it does when the server is gone.
    ///
    /// # Panics
    /// When `psql` prints what is no text.
    pub async fn try_query(&mut self, sql: &str) -> Option<Vec<String>> {
        self.input.write_all(format!("{sql};\n\\echo {}\n", Self::DONE).as_bytes()).await.ok()?;
        let mut rows = Vec::new();
        loop {
            match self.output.next_line().await.expect("psql prints text")? {
                done if done == Self::DONE => return Some(rows),
                row => rows.push(row),
            }
        }
    }
}

/// The account that the server runs as, where the tests run as root: PostgreSQL refuses to.
fn server_account() -> Option<(u32, u32)> {
    let root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    root.then(|| {
        let accounts = fs::read_to_string("/etc/passwd").expect("a list of accounts");
        let account = accounts.lines().find(|line| line.starts_with("postgres:")).expect("an account postgres");
        let mut ids = account.split(':').skip(2).map(|id| id.parse().expect("a number"));
        (ids.next().expect("a user id"), ids.next().expect("a group id"))
    })
}

fn initdb(home: &Path, owner: Option<(u32, u32)>) -> PathBuf {
    if let Some((user, group)) = owner {
        chown(home, Some(user), Some(group)).expect("hand the folder to the server's account");
    }
    let data = home.join("data");
    let mut command = as_account(installed("initdb"), owner);
    command.args(["-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C", "-D"]).arg(&data);
    let made = command.current_dir(home).output().expect("start initdb");
    assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
    data
}

fn configure(data: &Path, settings: &str) {
    let config = fs::OpenOptions::new().append(true).open(data.join("postgresql.conf"));
    config.expect("a cluster").write_all(settings.as_bytes()).expect("write postgresql.conf");
}

fn launch(home: &Path, data: &Path, owner: Option<(u32, u32)>) -> Process {
    let mut command = as_account(installed("postgres"), owner);
    Process::spawn("postgres", &home.join("postgres.log"), command.current_dir(home).arg("-D").arg(data))
}

fn as_account(program: PathBuf, owner: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    if let Some((user, group)) = owner {
        command.uid(user).gid(group);
    }
    command
}

/// A program of PostgreSQL: the newest in Debian's folders, which are not on the PATH, else that on the PATH.
fn installed(name: &str) -> PathBuf {
    find(name).unwrap_or_else(|| panic!("{name} is installed (./test installs it)"))
}

fn find(name: &str) -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> = versions
        .filter_map(|entry| {
            Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin").join(name)))
        })
        .filter(|(_, path)| path.is_file())
        .collect();
    found.sort();
    let newest = found.pop().map(|(_, path)| path);
    newest.or_else(|| program(name))
}
