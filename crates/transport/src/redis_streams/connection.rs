//! Connects to the server, and again after every cut; says which errors repeating can mend.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::TransportError;

/// How long connecting may take, greeting included.
const CONNECT_LIMIT: Duration = Duration::from_millis(1500);

/// How long an answer may take. With connecting it stays below the five seconds after which a caller expects to know.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// How to reach the server.
#[derive(Clone)]
pub(super) struct Server {
    client: Client,
    answer_limit: Duration,
}

impl Server {
    pub(super) const fn new(client: Client) -> Self {
        Self { client, answer_limit: ANSWER_LIMIT }
    }

    /// The same for calls in which the server itself waits.
    pub(super) fn patient(mut self, wait: Duration) -> Self {
        self.answer_limit += wait;
        self
    }

    /// Opens a connection whose calls are answered within the limit.
    async fn open(&self) -> RedisResult<MultiplexedConnection> {
        self.open_with(Some(self.answer_limit)).await
    }

    /// Opens a connection for calls that block at the server; whoever makes them watches the time.
    pub(super) async fn open_blocking(&self) -> Result<MultiplexedConnection, TransportError> {
        self.open_with(None).await.map_err(|error| failure(&error))
    }

    async fn open_with(&self, answer_limit: Option<Duration>) -> RedisResult<MultiplexedConnection> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_LIMIT)).set_response_timeout(answer_limit);
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }
}

/// A connection that many share; it is made when first used, and again after it broke.
pub(super) struct Link {
    server: Server,
    current: Mutex<Option<MultiplexedConnection>>,
    generation: AtomicU64,
    reached: AtomicBool,
}

impl Link {
    pub(super) fn new(server: Server) -> Self {
        Self { server, current: Mutex::new(None), generation: AtomicU64::new(0), reached: AtomicBool::new(true) }
    }

    /// Sends commands at once and returns an answer for each, in their order.
    pub(super) async fn run(&self, pipeline: &mut Pipeline) -> Result<Vec<RedisResult<Value>>, TransportError> {
        let limit = CONNECT_LIMIT + self.server.answer_limit;
        let answers = match timeout(limit, self.run_unbounded(pipeline)).await {
            Ok(answers) => answers,
            Err(_) => Err(TransportError::Unreachable(format!("no answer within {limit:?}"))),
        };
        self.reached.store(answers.is_ok(), Ordering::Relaxed);
        answers
    }

    /// Whether the last call was answered.
    pub(super) fn is_reached(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }

    async fn run_unbounded(&self, pipeline: &mut Pipeline) -> Result<Vec<RedisResult<Value>>, TransportError> {
        let first = self.run_once(pipeline).await;
        match first {
            // A connection that was cut while nobody used it: every caller would repeat the call, so it is done here.
            Err(Broken { reused: true, error }) if error.is_connection_dropped() => self.run_once(pipeline).await,
            other => other,
        }
        .map_err(|broken| failure(&broken.error))
    }

    async fn run_once(&self, pipeline: &mut Pipeline) -> Result<Vec<RedisResult<Value>>, Broken> {
        let (generation, reused, mut connection) = self.connection().await?;
        let answers = pipeline.ignore_errors().query_async::<Vec<RedisResult<Value>>>(&mut connection).await;
        let broken = match &answers {
            // After a timeout the answers still to come would be taken for those of the next call.
            Err(_) => true,
            // A demoted server stays where it is; its name may lead to the new one.
            Ok(answers) => answers.iter().any(|answer| code(answer) == Some("READONLY")),
        };
        if broken {
            self.forget(generation).await;
        }
        answers.map_err(|error| Broken { reused, error })
    }

    /// Sends one command and returns its answer.
    pub(super) async fn ask(&self, cmd: Cmd) -> Result<Value, TransportError> {
        self.try_ask(cmd).await?.map_err(|error| failure(&error))
    }

    /// The same where an error of the server is an answer like others.
    pub(super) async fn try_ask(&self, cmd: Cmd) -> Result<RedisResult<Value>, TransportError> {
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline.add_command(cmd);
        Ok(self.run(&mut pipeline).await?.pop().unwrap_or(Ok(Value::Nil)))
    }

    async fn connection(&self) -> Result<(u64, bool, MultiplexedConnection), Broken> {
        let mut current = self.current.lock().await;
        let reused = current.is_some();
        let connection = match &*current {
            Some(connection) => connection.clone(),
            None => {
                let opened = self.server.open().await.map_err(|error| Broken { reused, error })?;
                current.insert(opened).clone()
            }
        };
        Ok((self.generation.load(Ordering::Relaxed), reused, connection))
    }

    /// Drops a connection that broke, unless somebody has replaced it already.
    async fn forget(&self, generation: u64) {
        let mut current = self.current.lock().await;
        if self.generation.compare_exchange(generation, generation + 1, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            *current = None;
        }
    }
}

/// A call that got no answer, and whether its connection had served others before.
struct Broken {
    reused: bool,
    error: RedisError,
}

/// The code of an error that the server answered with.
pub(super) fn code(answer: &RedisResult<Value>) -> Option<&str> {
    answer.as_ref().err()?.code()
}

/// The first error among answers.
pub(super) fn all(answers: Vec<RedisResult<Value>>) -> Result<Vec<Value>, TransportError> {
    answers.into_iter().collect::<RedisResult<Vec<_>>>().map_err(|error| failure(&error))
}

/// What an error means for whoever asked.
pub(super) fn failure(error: &RedisError) -> TransportError {
    let words = words(error);
    if passes(error) { TransportError::Unreachable(words) } else { TransportError::Refused(words) }
}

/// Whether the same may go well later although nobody changes anything.
fn passes(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Io | ErrorKind::Parse => true,
        ErrorKind::Server(kind) => matches!(
            kind,
            ServerErrorKind::BusyLoading
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ReadOnly
                | ServerErrorKind::NoScript
        ),
        ErrorKind::Extension => matches!(error.code(), Some("BUSY" | "NOREPLICAS" | "UNBLOCKED")),
        _ => false,
    }
}

/// The server's words as it wrote them, and not as the driver calls them: people look for `READONLY`. Without the arguments
/// that it quotes when it knows a command not at all: they hold event data.
pub(super) fn words(error: &RedisError) -> String {
    let text = match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        _ => error.to_string(),
    };
    text.split(", with args beginning with").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_that_pass_are_told_from_those_that_stay() {
        let cases = [
            ("LOADING Redis is loading the dataset in memory", true),
            ("READONLY You can't write against a read only replica.", true),
            ("BUSY Redis is busy running a script.", true),
            ("NOREPLICAS Not enough good replicas to write.", true),
            ("NOAUTH Authentication required.", false),
            ("WRONGPASS invalid username-password pair", false),
            ("NOPERM User quash has no permissions to run the 'xadd' command", false),
            ("WRONGTYPE Operation against a key holding the wrong kind of value", false),
            ("OOM command not allowed when used memory > 'maxmemory'.", false),
            ("MISCONF Redis is configured to save RDB snapshots", false),
            ("ERR unknown command", false),
        ];
        for (text, passing) in cases {
            let error = answer(text);
            let failure = failure(&error);
            assert_eq!(matches!(failure, TransportError::Unreachable(_)), passing, "{text}");
            assert!(failure.to_string().ends_with(text), "{failure}");
        }
    }

    #[test]
    fn what_the_server_quotes_of_a_command_is_not_repeated() {
        let error =
            answer("ERR unknown command 'XADD', with args beginning with: 'quash.events' '*' 'body' 'private' ");
        assert!(!failure(&error).to_string().contains("private"), "{error}");
    }

    fn answer(text: &str) -> RedisError {
        let value = redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).unwrap();
        value.extract_error().unwrap_err()
    }
}
