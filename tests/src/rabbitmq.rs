//! Runs a RabbitMQ node that a test may kill, stop and bring back with what it had stored.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::sync::OnceCell;

use crate::process::{Process, free_port};
use crate::{Home, eventually};

/// A node takes seconds to boot, more on a machine that compiles beside the tests; one that was killed in the middle of much
/// work first reads its logs again, which was seen to take a minute there.
const PATIENCE: Duration = Duration::from_secs(180);
/// Debian's wrappers change to a user of their own; what they wrap runs as anybody.
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";

/// A RabbitMQ node on free ports in a folder of its own, with the user `guest` and no plugin.
pub struct RabbitMq {
    process: Process,
    node: Ctl,
    // Held so that it lives as long as the node.
    _home: Home,
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
        Self::launched(settings, |node, command| Process::spawn("rabbitmq-server", &node.log(), command)).await
    }

    /// The one node that the tests of this process share, because booting one takes seconds. Nobody may harm it, and queues
    /// in it need names of their own. It ends with the process, however that ends.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<RabbitMq> = OnceCell::const_new();
        // A static is never dropped: somebody outside of this process must end the node.
        let guarded =
            |node: &Ctl, command: &mut Command| Process::guarded("rabbitmq-server", &node.log(), command, &node.home);
        SHARED.get_or_init(|| Self::launched("", guarded)).await
    }

    async fn launched(settings: &str, launch: impl FnOnce(&Ctl, &mut Command) -> Process) -> Self {
        let home = Home::new("rabbitmq");
        home.write("rabbitmq.conf", settings);
        home.write("enabled_plugins", "[].");
        let node = Ctl { home: home.path().to_owned(), port: free_port(), distribution_port: free_port() };
        let process = launch(&node, &mut node.server());
        let server = Self { process, node, _home: home };
        server.ready().await;
        server
    }

    /// Its address, without a scheme.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.node.port)
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
        self.process = Process::spawn("rabbitmq-server", &self.node.log(), &mut self.node.server());
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

    /// Runs `rabbitmqctl` with these arguments and returns what it printed. It takes about a second,
    /// and many where others want the processor too.
    ///
    /// # Panics
    /// When it fails.
    pub async fn ctl(&self, arguments: &[&str]) -> String {
        self.node.run(arguments).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// What asks the node, to be kept beside it.
    pub(crate) fn control(&self) -> Ctl {
        self.node.clone()
    }

    async fn ready(&self) {
        let what = format!("RabbitMQ answers on port {}", self.node.port);
        // The port is opened last.
        eventually(PATIENCE, &what, async || tokio::net::TcpStream::connect(self.address()).await.is_ok()).await;
    }
}

/// Where a node is: what every program of RabbitMQ must know to find it.
#[derive(Clone)]
pub(crate) struct Ctl {
    home: PathBuf,
    port: u16,
    distribution_port: u16,
}

impl Ctl {
    /// How many messages the queue of this name and the queues that belong to it hold, whoever has them in hand; dead
    /// letters apart. An error says why the node cannot tell, as while it boots.
    pub(crate) async fn held(&self, queue: &str) -> Result<u64, String> {
        self.sum(&family(queue), "query_messages_total").await
    }

    /// The same, of those that consumers have in hand.
    pub(crate) async fn unsettled(&self, queue: &str) -> Result<u64, String> {
        self.sum(&family(queue), "query_messages_checked_out").await
    }

    /// How many dead letters the queue of this name has, also while somebody browses them.
    pub(crate) async fn dead_letters(&self, queue: &str) -> Result<u64, String> {
        self.sum(&format!("N =:= <<\"{queue}.dead\">>"), "query_messages_total").await
    }

    /// Asks the queues themselves whose name `N` is meant: what the node tells about them otherwise is seconds old.
    async fn sum(&self, meant: &str, query: &str) -> Result<u64, String> {
        // Twice, because a message may move from a queue that is yet to be asked to one that has been asked.
        let expression = format!(
            "Mine = fun(N) -> {meant} end,
             Queues = [Q || Q <- rabbit_amqqueue:list(<<\"/\">>),
                 Mine(element(4, amqqueue:get_name(Q))), amqqueue:get_type(Q) =:= rabbit_quorum_queue],
             One = fun(Q) ->
                 {{ok, {{_, N}}, _}} = ra:local_query(amqqueue:get_pid(Q), fun rabbit_fifo:{query}/1), N end,
             Sum = fun() -> lists:sum([One(Q) || Q <- Queues]) end,
             true = Queues =/= [],
             First = Sum(), max(First, Sum()).\n"
        );
        let answer = self.eval(&expression).await?;
        let sum = answer.strip_prefix("{ok, ").and_then(|rest| rest.strip_suffix('}')).and_then(|sum| sum.parse().ok());
        sum.ok_or_else(|| format!("the node says {answer}"))
    }

    /// Has the node write to its files which queues there are. By itself it does so a while later (3.10.8): a quorum queue that was
    /// declared less than a second before signal 9 was seen without a leader afterwards, and what it had confirmed was out of reach.
    pub(crate) async fn write_down(&self) -> Result<(), String> {
        let written =
            self.eval("[dets:sync(Table) || Table <- dets:all()], ok = mnesia:sync_log(), written.\n").await?;
        if written == "{ok, written}" { Ok(()) } else { Err(format!("the node says {written}")) }
    }

    /// Has the node evaluate an expression of Erlang, in milliseconds: `rabbitmqctl eval` boots a node of its own for
    /// that, which was seen to take 20 s on a machine where others want the processor too.
    async fn eval(&self, expression: &str) -> Result<String, String> {
        let mut command = tokio::process::Command::new("erl_call");
        // It finds the cookie in its home.
        command.args(["-sname", &self.name(), "-e"]).env("HOME", &self.home).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut asking = command.spawn().expect("erl_call is installed with Erlang");
        let written = asking.stdin.take().expect("it was just piped").write_all(expression.as_bytes()).await;
        let (said, error) = texts(&asking.wait_with_output().await.expect("a child that can be waited for"));
        // Without a node it ends with nothing read.
        if written.is_ok() && error.is_empty() { Ok(said) } else { Err(format!("erl_call: {said}{error}")) }
    }

    /// What `rabbitmqctl` prints, or why it fails.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(format!("{PROGRAMS}/rabbitmqctl"));
        self.place(command.arg("--quiet").args(arguments));
        let output = tokio::process::Command::from(command).output().await.expect("rabbitmqctl is installed");
        let (said, error) = texts(&output);
        if output.status.success() { Ok(said) } else { Err(format!("rabbitmqctl {arguments:?}: {said}{error}")) }
    }

    fn name(&self) -> String {
        format!("quash{}@localhost", self.port)
    }

    fn server(&self) -> Command {
        let mut command = Command::new(format!("{PROGRAMS}/rabbitmq-server"));
        self.place(&mut command);
        command
            // The script becomes the node then, so that a signal reaches it and not the script.
            .env("RUNNING_UNDER_SYSTEMD", "true")
            // Schedulers that spin while idle would take the processor from the tests.
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none");
        command
    }

    fn log(&self) -> PathBuf {
        self.home.join("rabbitmq.log")
    }

    /// Says where everything is; without it, the scripts look in the places of the installed service.
    fn place(&self, command: &mut Command) {
        let at = |name: &str| self.home.join(name);
        command
            .env("HOME", &self.home)
            .env("RABBITMQ_NODENAME", self.name())
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", self.port.to_string())
            .env("RABBITMQ_DIST_PORT", self.distribution_port.to_string())
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_CONFIG_FILE", at("rabbitmq"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", at("enabled_plugins"))
            .env("RABBITMQ_FEATURE_FLAGS_FILE", at("feature_flags"))
            .env("RABBITMQ_MNESIA_BASE", at("data"))
            .env("RABBITMQ_LOG_BASE", at("log"))
            .env("RABBITMQ_PID_FILE", at("pid"))
            .current_dir(&self.home);
    }
}

/// What a program said, and what it complained of.
fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// In Erlang, whether `N` is the name of a queue or of one that belongs to it; dead letters apart.
fn family(queue: &str) -> String {
    format!(
        "N =:= <<\"{queue}\">> orelse (lists:prefix(\"{queue}.\", binary_to_list(N)) andalso N =/= <<\"{queue}.dead\">>)"
    )
}
