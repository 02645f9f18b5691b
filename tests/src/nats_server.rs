//! Runs a nats-server with JetStream that a test may kill, stop and bring back with what it had stored.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::Home;
use crate::process::{Process, free_port, program};

/// Long enough for a machine that compiles beside the tests.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is asked whether it is there.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// A nats-server on a free port that stores its streams in a folder of its own.
pub struct NatsServer {
    process: Process,
    port: u16,
    home: Home,
}

impl NatsServer {
    /// Starts one that lets everybody in.
    pub async fn start() -> Self {
        Self::with("").await
    }

    /// Starts one with more of its configuration file.
    ///
    /// # Panics
    /// When it does not answer in time.
    pub async fn with(settings: &str) -> Self {
        let home = Home::new("nats");
        let port = free_port();
        let store = home.path().join("store");
        let own = format!("listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: \"{}\" }}\n", store.display());
        home.write("nats.conf", format!("{own}{settings}"));
        let server = Self { process: launch(&home), port, home };
        server.ready().await;
        server
    }

    /// Its address, without a scheme.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its URL, without a user.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    /// Kills it with signal 9.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Asks it to end, and returns when it has written down everything and is gone.
    pub fn end(&mut self) {
        self.process.end_by("TERM");
    }

    /// The folder in which it keeps a stream: what the stream holds is in `msgs`, what its consumers know in `obs`.
    #[must_use]
    pub fn stream_folder(&self, stream: &str) -> PathBuf {
        self.home.path().join("store/jetstream/$G/streams").join(stream)
    }

    /// Brings it back on the same port with what it had stored, and waits until it answers.
    ///
    /// # Panics
    /// When it does not answer in time.
    pub async fn restart(&mut self) {
        self.process.kill9();
        self.process = launch(&self.home);
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

    async fn ready(&self) {
        // The port is opened once the streams have been read. Written out, as who restarts one must be `Send`.
        let address = self.address();
        let answers = async {
            let mut pace = tokio::time::interval(ASK_EVERY);
            while tokio::net::TcpStream::connect(&address).await.is_err() {
                pace.tick().await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, answers).await.is_ok(), "no nats-server answers on port {}", self.port);
    }
}

fn launch(home: &Home) -> Process {
    let server = program("nats-server").expect("nats-server is installed (./test installs it)");
    let mut command = Command::new(server);
    command.arg("--config").arg(home.path().join("nats.conf"));
    Process::spawn("nats-server", &home.path().join("nats.log"), &mut command)
}
