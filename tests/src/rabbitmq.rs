//! Runs a RabbitMQ node that a test may kill, stop and bring back with what it had stored.

use std::process::Command;
use std::time::Duration;

use crate::process::{Process, free_port};
use crate::{Home, eventually};

/// A node takes seconds to boot, more on a machine that compiles beside the tests.
const PATIENCE: Duration = Duration::from_secs(60);
/// Debian's wrappers change to a user of their own; what they wrap runs as anybody.
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";

/// A RabbitMQ node on free ports in a folder of its own, with the user `guest` and no plugin.
pub struct RabbitMq {
    process: Process,
    port: u16,
    distribution_port: u16,
    home: Home,
}

impl RabbitMq {
    /// Starts one with the settings that it comes with.
    pub async fn start() -> Self {
        Self::with("").await
    }

    /// Starts one with these lines of `rabbitmq.conf`.
    ///
    /// # Panics
    /// When it does not answer in time.
    pub async fn with(settings: &str) -> Self {
        let home = Home::new("rabbitmq");
        let (port, distribution_port) = (free_port(), free_port());
        home.write("rabbitmq.conf", settings);
        home.write("enabled_plugins", "[].");
        let process = launch(&home, port, distribution_port);
        let server = Self { process, port, distribution_port, home };
        server.ready().await;
        server
    }

    /// Its address, without a scheme.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The URL of its default virtual host, with the user `guest`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@{}", self.address())
    }

    /// Kills it with signal 9.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Brings it back on the same port with what it had stored, and waits until it answers.
    ///
    /// # Panics
    /// When it does not answer in time.
    pub async fn restart(&mut self) {
        self.process.kill9();
        self.process = launch(&self.home, self.port, self.distribution_port);
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

    /// Runs `rabbitmqctl` with these arguments and returns what it printed. It takes about a second.
    ///
    /// # Panics
    /// When it fails.
    pub async fn ctl(&self, arguments: &[&str]) -> String {
        let output = self.control(arguments).output().await.expect("rabbitmqctl is installed");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, error) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "rabbitmqctl {arguments:?}: {out}{error}");
        out
    }

    async fn ready(&self) {
        let what = format!("RabbitMQ answers on port {}", self.port);
        // The port is opened last.
        eventually(PATIENCE, &what, async || tokio::net::TcpStream::connect(self.address()).await.is_ok()).await;
    }

    fn control(&self, arguments: &[&str]) -> tokio::process::Command {
        let mut command = Command::new(format!("{PROGRAMS}/rabbitmqctl"));
        command.arg("--quiet").args(arguments);
        place(&mut command, &self.home, self.port, self.distribution_port);
        command.into()
    }
}

fn launch(home: &Home, port: u16, distribution_port: u16) -> Process {
    let mut command = Command::new(format!("{PROGRAMS}/rabbitmq-server"));
    place(&mut command, home, port, distribution_port);
    command
        // The script becomes the node then, so that a signal reaches it and not the script.
        .env("RUNNING_UNDER_SYSTEMD", "true")
        // Schedulers that spin while idle would take the processor from the tests.
        .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none");
    Process::spawn("rabbitmq-server", &home.path().join("rabbitmq.log"), &mut command)
}

/// Says where everything is; without it, the scripts look in the places of the installed service.
fn place(command: &mut Command, home: &Home, port: u16, distribution_port: u16) {
    let at = |name: &str| home.path().join(name);
    command
        .env("HOME", home.path())
        .env("RABBITMQ_NODENAME", format!("quash{port}@localhost"))
        .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODE_PORT", port.to_string())
        .env("RABBITMQ_DIST_PORT", distribution_port.to_string())
        .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
        .env("RABBITMQ_CONFIG_FILE", at("rabbitmq"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", at("enabled_plugins"))
        .env("RABBITMQ_FEATURE_FLAGS_FILE", at("feature_flags"))
        .env("RABBITMQ_MNESIA_BASE", at("data"))
        .env("RABBITMQ_LOG_BASE", at("log"))
        .env("RABBITMQ_PID_FILE", at("pid"))
        .current_dir(home.path());
}
