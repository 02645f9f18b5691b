//! Runs a server as a child process: its log, its signals, its end.

use std::fs::OpenOptions;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use crate::eventually;

/// Runs a command until the other end of its own input closes, as it does when the process that holds it is gone. Signals
/// of the terminal end that process; the guard must outlive it.
const GUARD: &str = r#"
trap '' INT HUP TERM
folder=$1; shift
"$@" </dev/null &
read -r _
kill -9 $!
wait
rm -rf "$folder"
"#;

/// Below `net.ipv4.ip_local_port_range`, which begins at 32768.
const FIRST_PORT: u16 = 12_288;
/// How many there are; a power of two, so that counting goes on where the counter begins again.
const PORTS: u16 = 16_384;
/// How long a signal may take to arrive at every thread.
const SIGNAL_LIMIT: Duration = Duration::from_secs(30);

/// A child process. It is killed when it is dropped.
pub struct Process {
    child: Child,
    name: String,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts a command; what it prints is appended to the log.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn(name: &str, log: &Path, command: &mut Command) -> Self {
        Self::start(name, command.stdin(Stdio::null()).stdout(append_to(log)).stderr(append_to(log)))
    }

    /// Starts a command that ends with this process, however that ends, and whose folder goes then: for what is never
    /// dropped.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn guarded(name: &str, log: &Path, command: &Command, folder: &Path) -> Self {
        let mut guard = Command::new("sh");
        guard.args(["-c", GUARD, "guard"]).arg(folder).arg(command.get_program()).args(command.get_args());
        // Whatever it writes beside its own files goes with its folder.
        guard.current_dir(command.get_current_dir().unwrap_or(folder));
        guard.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Self::start(name, guard.stdin(Stdio::piped()).stdout(append_to(log)).stderr(append_to(log)))
    }

    /// Starts a command whose output somebody else reads; only its errors go to the log.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn_piped(name: &str, log: &Path, command: &mut Command) -> (Self, ChildStdout) {
        let mut process = Self::start(name, command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(append_to(log)));
        let output = process.child.stdout.take().expect("it was just piped");
        (process, output)
    }

    /// Starts a command as it is; its input and output must have been set.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(name: &str, command: &mut Command) -> Self {
        let child = command.spawn().unwrap_or_else(|error| panic!("start {name} ({command:?}): {error}"));
        Self { child, name: name.to_owned(), ended: None }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name: `STOP`, `CONT`, `TERM`, `HUP`.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn signal(&mut self, signal: &str) {
        assert!(self.ended().is_none(), "{} has ended ({:?}) and cannot get SIG{signal}", self.name, self.ended);
        // The shell's own kill: a slim machine has no other.
        let sent = Command::new("sh").args(["-c", &format!("kill -{signal} {}", self.id())]).status();
        assert!(sent.is_ok_and(|status| status.success()), "send SIG{signal} to {}", self.name);
        match signal {
            "STOP" => self.until_threads("stand still", |state| state == 'T'),
            "CONT" => self.until_threads("go on", |state| state != 'T'),
            _ => {}
        }
    }

    /// Waits until this is so for all its threads: a signal is sent before it has arrived, and until then a broker that is to
    /// hang may still answer.
    fn until_threads(&self, what: &str, is_so: impl Fn(char) -> bool) {
        let started = Instant::now();
        while !thread_states(self.id()).into_iter().all(&is_so) {
            assert!(started.elapsed() < SIGNAL_LIMIT, "{} does not {what}", self.name);
            std::thread::yield_now();
        }
    }

    /// Kills it with signal 9 and returns when it is gone.
    pub fn kill9(&mut self) {
        if self.ended().is_none() {
            // A guard has an input, and ends by itself when that closes.
            if self.child.stdin.take().is_none() {
                drop(self.child.kill());
            }
            self.ended = self.child.wait().ok();
        }
    }

    /// Asks it by a signal to end and returns when it is gone; for servers that must end their own children.
    pub fn end_by(&mut self, signal: &str) {
        if self.ended().is_none() {
            self.signal(signal);
            self.ended = self.child.wait().ok();
        }
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.ended = self.ended.or_else(|| self.child.try_wait().ok().flatten());
        self.ended
    }

    /// Waits for its end and returns the exit code; a death by signal is the signal's number, negative.
    ///
    /// # Panics
    /// When it still runs after the limit.
    pub async fn exit_code(&mut self, limit: Duration) -> i32 {
        let what = format!("{} ends", self.name);
        eventually(limit, &what, async || self.ended().is_some()).await;
        code(self.ended.expect("it has just ended"))
    }

    /// Memory that it holds, in KiB.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn resident_kib(&self) -> u64 {
        self.memory_kib("VmRSS:")
    }

    /// The most memory that it ever held, in KiB.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn peak_kib(&self) -> u64 {
        self.memory_kib("VmHWM:")
    }

    fn memory_kib(&self, what: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("a living process");
        let line = status.lines().find(|line| line.starts_with(what)).expect("a process with memory");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("memory in kB")
    }

    /// Processor time that it has used, of its threads that ended too.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn cpu_time(&self) -> Duration {
        cpu_time(&self.id().to_string())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// What each thread of a process does, in the letters of `/proc`: `T` is stopped. None when it has ended.
fn thread_states(process: u32) -> Vec<char> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let stats = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok());
    // The name of the program comes second, in parentheses, and may contain anything.
    stats.filter_map(|stat| stat.rsplit_once(") ")?.1.chars().next()).collect()
}

/// Processor time that a process has used, by its name under `/proc`: its number, or `self`.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn cpu_time(process: &str) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("a living process");
    // The name of the program comes second and may contain anything; `utime` and `stime` are the 12th and 13th after it.
    let (_, after) = stat.rsplit_once(')').expect("a program in parentheses");
    let ticks: u64 = after.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    of_ticks(ticks)
}

/// Processor time as `/proc` counts it: in hundredths of a second, on every Linux that Rust runs on.
#[must_use]
pub const fn of_ticks(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 10)
}

/// The exit code, or the number of the signal that killed it, negative.
#[must_use]
pub fn code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| -signal)).unwrap_or(i32::MIN)
}

/// A port of the loopback interface that nobody listens on and nobody else is given: no port is handed out twice, and the
/// kernel takes the ports of connections from above these. Otherwise a connection, even one that asks whether the server
/// is up, could have the port before a server that takes seconds to boot.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(fastrand::u16(..PORTS)));
    let candidates = std::iter::repeat_with(|| FIRST_PORT + NEXT.fetch_add(1, Ordering::Relaxed) % PORTS);
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    candidates.take(PORTS.into()).find(free).expect("a free port")
}

/// The path of a program, if it is installed.
#[must_use]
pub fn program(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file())
}

fn append_to(log: &Path) -> Stdio {
    let file = OpenOptions::new().create(true).append(true).open(log);
    file.unwrap_or_else(|error| panic!("open {}: {error}", log.display())).into()
}
