//! Connects to the server when it is first needed, asks its API, and says which errors repeating can mend.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{
    Client, ConnectErrorKind, ConnectOptions, Event, HeaderMap, Message, Request, RequestErrorKind, ServerAddr,
    ServerError, Subject,
};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::api::{Answer, ApiError, code};
use super::config::Config;
use super::wire;
use crate::TransportError;
use crate::backoff::RetryPolicy;

/// How long connecting to one server may take, greeting included.
const CONNECT_LIMIT: Duration = Duration::from_millis(1500);

/// Where the servers are, and as whom to come.
pub(super) struct Server {
    pub(super) addresses: Vec<ServerAddr>,
    pub(super) config: Config,
}

/// The connection of one transport. The driver mends it after every cut.
pub(super) struct Link {
    server: Server,
    driver: Mutex<Option<Driver>>,
    /// Held while connecting, so that many who find no driver make one.
    opening: tokio::sync::Mutex<()>,
    events: Arc<Events>,
}

/// The driver, which mends its connection by itself.
#[derive(Clone)]
struct Driver {
    client: Client,
    gone: Arc<AtomicBool>,
}

impl Driver {
    fn lives(&self) -> bool {
        !self.gone.load(Ordering::Relaxed)
    }
}

/// Held by what the driver calls back, which it drops when it dies: there are messages at which its own checks fail, and
/// whatever is asked of it afterwards is never answered.
struct Alive(Arc<AtomicBool>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What the driver tells beside answers.
struct Events {
    /// How often the connection was made.
    connected: watch::Sender<u64>,
    /// What the server last forbade, and when.
    forbidden: Mutex<Option<(Instant, String)>>,
    /// What the server said last on the present connection, beside answers.
    said: Mutex<Option<String>>,
    /// How often the connection, or a consumer, was ended from outside.
    interrupted: AtomicU64,
}

impl Events {
    fn note(&self, event: &Event, servers: &str) {
        match event {
            Event::Connected => self.connected.send_modify(|count| *count += 1),
            Event::ServerError(error) => self.note_error(error),
            Event::LameDuckMode => self.say("the server is about to shut down".into()),
            Event::Disconnected => self.note_end(servers),
            _ => {}
        }
        tracing::debug!(%event, "nats");
    }

    /// The driver tells that a connection ended once, and connects again by itself.
    fn note_end(&self, servers: &str) {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner).take();
        let error = said.unwrap_or_else(|| "without a word of the server".to_owned());
        self.interrupted.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(servers, error, "the connection was interrupted, trying again");
    }

    fn say(&self, words: String) {
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = Some(words);
    }

    fn note_error(&self, error: &ServerError) {
        self.say(error.to_string());
        let words = match error {
            ServerError::AuthorizationViolation => "the server does not let this user in any more".to_owned(),
            ServerError::Other(words) if words.to_lowercase().contains("permissions violation") => words.clone(),
            _ => return,
        };
        *self.forbidden.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), words));
    }

    fn forbidden_since(&self, since: Instant) -> Option<String> {
        let forbidden = self.forbidden.lock().unwrap_or_else(PoisonError::into_inner);
        forbidden.as_ref().filter(|(when, _)| *when >= since).map(|(_, words)| words.clone())
    }
}

/// Why a question got no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// Nobody listens where it was asked: a stream or consumer is not there, or the server is not ready.
    NoResponders,
    /// Anything else, as the caller's caller should hear it.
    Other(TransportError),
}

impl Link {
    pub(super) fn new(server: Server) -> Self {
        let events = Events {
            connected: watch::Sender::new(0),
            forbidden: Mutex::new(None),
            said: Mutex::default(),
            interrupted: AtomicU64::new(0),
        };
        let opening = tokio::sync::Mutex::new(());
        Self { server, driver: Mutex::new(None), opening, events: Arc::new(events) }
    }

    /// The connection, made if this is its first use, or if the driver has died.
    pub(super) async fn client(&self) -> Result<Client, TransportError> {
        if let Some(client) = self.living() {
            return Ok(client);
        }
        let _opening = self.opening.lock().await;
        if let Some(client) = self.living() {
            return Ok(client);
        }
        let gone = Arc::default();
        let client = self.connect(Arc::clone(&gone)).await?;
        *self.driver() = Some(Driver { client: client.clone(), gone });
        Ok(client)
    }

    fn living(&self) -> Option<Client> {
        self.driver().as_ref().filter(|driver| driver.lives()).map(|driver| driver.client.clone())
    }

    fn driver(&self) -> MutexGuard<'_, Option<Driver>> {
        self.driver.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the server can be reached, as far as is known.
    pub(super) fn is_connected(&self) -> bool {
        self.living().is_some_and(|client| client.connection_state() == State::Connected)
    }

    /// Which connection there is now. That the first one was made may be told late.
    pub(super) fn connection(&self) -> u64 {
        (*self.events.connected.borrow()).max(1)
    }

    /// Counts the times at which the connection was made.
    pub(super) fn connections(&self) -> watch::Receiver<u64> {
        self.events.connected.subscribe()
    }

    /// How often the connection, or a consumer on it, was ended from outside.
    pub(super) fn interruptions(&self) -> u64 {
        self.events.interrupted.load(Ordering::Relaxed)
    }

    /// Notes that a consumer was ended from outside, of which the log has heard.
    pub(super) fn consumer_ended(&self) {
        self.events.interrupted.fetch_add(1, Ordering::Relaxed);
    }

    /// How many bytes the server takes in one message, headers included.
    pub(super) async fn payload_max(&self) -> Result<usize, TransportError> {
        Ok(self.client().await?.max_payload())
    }

    async fn connect(&self, gone: Arc<AtomicBool>) -> Result<Client, TransportError> {
        let options = self.options(Alive(gone))?;
        // Trying one server after the other takes each its time.
        let limit = CONNECT_LIMIT * u32::try_from(self.server.addresses.len()).unwrap_or(u32::MAX);
        match timeout(limit, options.connect(self.server.addresses.clone())).await {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(error)) => Err(self.connect_failure(error.kind(), &error)),
            Err(_) => Err(self.unreachable(format!("no answer within {limit:?}"))),
        }
    }

    fn connect_failure(&self, kind: ConnectErrorKind, error: &dyn std::error::Error) -> TransportError {
        let cause = || error.source().map_or_else(|| error.to_string(), ToString::to_string);
        match kind {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                TransportError::Refused(format!("{} does not accept the credentials", self.server.names()))
            }
            ConnectErrorKind::Tls => {
                TransportError::Refused(format!("{}: no encrypted connection: {}", self.server.names(), cause()))
            }
            _ => self.unreachable(cause()),
        }
    }

    fn options(&self, alive: Alive) -> Result<ConnectOptions, TransportError> {
        let config = &self.server.config;
        let (events, servers) = (Arc::clone(&self.events), self.server.names());
        let options = ConnectOptions::new()
            .name("quash")
            // Subjects are checked when the configuration is read, or are the server's own.
            .skip_subject_validation(true)
            .connection_timeout(CONNECT_LIMIT)
            .request_timeout(Some(*config.publish_timeout))
            .ping_interval(*config.heartbeat)
            .reconnect_delay_callback(reconnect_delay)
            .event_callback(move |event| {
                let _alive = &alive;
                events.note(&event, &servers);
                async {}
            });
        let options = match &config.inbox_prefix {
            Some(prefix) => options.custom_inbox_prefix(prefix),
            None => options,
        };
        self.with_credentials(self.with_certificates(options))
    }

    fn with_certificates(&self, options: ConnectOptions) -> ConnectOptions {
        let tls = &self.server.config.tls;
        let mut options = options;
        if let Some(file) = &tls.ca_file {
            options = options.add_root_certificates(file.clone()).require_tls(true);
        }
        match (&tls.cert_file, &tls.key_file) {
            (Some(cert), Some(key)) => options.add_client_certificate(cert.clone(), key.clone()).require_tls(true),
            _ => options,
        }
    }

    fn with_credentials(&self, options: ConnectOptions) -> Result<ConnectOptions, TransportError> {
        let config = &self.server.config;
        if let (Some(user), Some(password)) = (&config.username, &config.password) {
            return Ok(options.user_and_password(user.expose().into(), password.expose().into()));
        }
        if let Some(token) = &config.token {
            return Ok(options.token(token.expose().into()));
        }
        if let Some(seed) = &config.nkey {
            return Ok(options.nkey(seed.expose().into()));
        }
        let Some(file) = &config.credentials_file else { return Ok(self.with_user_of_url(options)) };
        let read = std::fs::read_to_string(file).and_then(|text| options.credentials(&text));
        // The driver's own words may quote the file.
        read.map_err(|error| {
            TransportError::Refused(format!("cannot use the credentials in {}: {}", file.display(), error.kind()))
        })
    }

    /// The driver does not look at the user in a URL. One without a password is a token.
    fn with_user_of_url(&self, options: ConnectOptions) -> ConnectOptions {
        let address = self.server.addresses.iter().find(|address| address.has_user_pass());
        let user = address.and_then(ServerAddr::username).map(wire::unescape);
        let password = address.and_then(ServerAddr::password).map(wire::unescape);
        match (user, password) {
            (Some(user), Some(password)) => options.user_and_password(user, password),
            (Some(token), None) => options.token(token),
            _ => options,
        }
    }

    /// Returns when the connection that there is now was lost and made anew: what was said on it may not have been heard,
    /// and no answer will come. Never returns when there is none now.
    pub(super) async fn lost(&self) {
        if self.is_connected() {
            made_anew(&mut self.connections()).await;
        } else {
            std::future::pending().await
        }
    }

    /// Asks and waits for the answer, as long as one can come.
    pub(super) async fn ask(
        &self,
        subject: impl Into<Subject>,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<Message, Unanswered> {
        tokio::select! {
            biased;
            answer = self.ask_patiently(subject, headers, payload) => answer,
            () = self.lost() => Err(Unanswered::Other(self.unreachable("the connection was lost"))),
        }
    }

    /// Asks and waits for the answer, also when the connection is lost meanwhile.
    pub(super) async fn ask_patiently(
        &self,
        subject: impl Into<Subject>,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<Message, Unanswered> {
        let client = self.client().await.map_err(Unanswered::Other)?;
        let asked = Instant::now();
        let mut request = Request::new().payload(payload);
        if let Some(headers) = headers {
            request = request.headers(headers);
        }
        let answer = client.send_request(subject.into(), request).await;
        answer.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => Unanswered::NoResponders,
            RequestErrorKind::TimedOut => Unanswered::Other(self.silence(asked)),
            RequestErrorKind::InvalidSubject | RequestErrorKind::MaxPayloadExceeded => {
                Unanswered::Other(TransportError::Refused(error.to_string()))
            }
            RequestErrorKind::Other => Unanswered::Other(self.unreachable(error.to_string())),
        })
    }

    /// Asks JetStream's API; an error that it answers with is an answer.
    pub(super) async fn api<T: DeserializeOwned>(
        &self,
        subject: &str,
        question: &impl Serialize,
    ) -> Result<Result<T, ApiError>, TransportError> {
        // What is asked here always has a JSON form.
        let question = serde_json::to_vec(question).unwrap_or_default();
        match self.ask(format!("$JS.API.{subject}"), None, question.into()).await {
            Ok(answer) => self.read(&answer.payload),
            Err(Unanswered::NoResponders) => Err(self.no_jetstream()),
            Err(Unanswered::Other(error)) => Err(error),
        }
    }

    /// Reads an answer of JetStream.
    pub(super) fn read<T: DeserializeOwned>(&self, answer: &[u8]) -> Result<Result<T, ApiError>, TransportError> {
        match serde_json::from_slice(answer) {
            Ok(Answer::Good(answer)) => Ok(Ok(answer)),
            Ok(Answer::Error { error }) => Ok(Err(error)),
            Err(error) => Err(self.unreachable(format!("an answer cannot be read: {error}"))),
        }
    }

    fn no_jetstream(&self) -> TransportError {
        let has = self.living().and_then(|client| client.try_server_info()).is_none_or(|info| info.jetstream);
        match has {
            true => self.unreachable("JetStream does not answer (starting, or without a leader)"),
            false => TransportError::Refused(format!("{}: JetStream is not enabled", self.server.names())),
        }
    }

    /// What it means that an answer did not come.
    pub(super) fn silence(&self, asked: Instant) -> TransportError {
        match self.events.forbidden_since(asked) {
            Some(words) => TransportError::Refused(words),
            None if self.is_connected() => {
                self.unreachable(format!("no answer within {:?}", *self.server.config.publish_timeout))
            }
            None => self.unreachable("the connection is lost"),
        }
    }

    /// Names the servers in an error.
    pub(super) fn unreachable(&self, cause: impl std::fmt::Display) -> TransportError {
        TransportError::Unreachable(format!("{}: {cause}", self.server.names()))
    }

    /// What an error of JetStream's API means for whoever asked.
    pub(super) fn failure(&self, doing: &str, error: &ApiError) -> TransportError {
        let words = format!("{doing}: {} ({})", error.description, error.err_code);
        match error {
            // Its code says that the service is not available, and nothing changes by itself.
            ApiError { err_code: code::STORE_FAILED, .. } => TransportError::Refused(words),
            ApiError { err_code: code::MESSAGE_TOO_LARGE, .. } => TransportError::TooLarge(words),
            ApiError { code: 503 | 408, .. } => self.unreachable(words),
            _ => TransportError::Refused(words),
        }
    }
}

impl Server {
    /// Hosts and ports, without users.
    fn names(&self) -> String {
        let names: Vec<_> =
            self.addresses.iter().map(|address| format!("{}:{}", address.host(), address.port())).collect();
        names.join(",")
    }
}

/// Waits until the connection is made once more. That it was made at first may be told late.
pub(super) async fn made_anew(connections: &mut watch::Receiver<u64>) {
    while connections.changed().await.is_ok() && *connections.borrow_and_update() <= 1 {}
}

/// How long to wait before a connection is tried again: from a tenth of a second to five, spread so that many clients do
/// not come at once.
fn reconnect_delay(attempts: usize) -> Duration {
    let most = Duration::from_secs(5);
    let policy = RetryPolicy::try_new(Duration::from_millis(100), 2.0, most, 0.5);
    policy.map_or(most, |policy| policy.delay(u32::try_from(attempts).unwrap_or(u32::MAX)))
}
