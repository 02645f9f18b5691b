//! Connects to the broker, and again after every cut; says which errors repeating can mend.

use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_rs::{Runtime, Tokio};
use futures_util::future::FutureExt;
use futures_util::stream::{BoxStream, StreamExt};
use lapin::options::ConfirmSelectOptions;
use lapin::protocol::{AMQPErrorKind, AMQPHardError};
use lapin::tcp::{AMQPUriTcpExt, RustlsConnector};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{AsyncTcpStream, Channel, Connection, ConnectionProperties, ErrorKind, Event};
use tokio::time::timeout;

use super::guard::{self, Guarded};
use crate::TransportError;

/// How long connecting may take, greeting and login included.
const CONNECT_LIMIT: Duration = Duration::from_secs(4);

/// How long the broker may take to answer what is no publishing.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// How to reach the broker.
#[derive(Clone)]
pub(super) struct Server {
    uri: Arc<AMQPUri>,
    tls: Option<RustlsConnector>,
}

impl Server {
    pub(super) fn new(uri: AMQPUri, tls: Option<RustlsConnector>) -> Self {
        Self { uri: Arc::new(uri), tls }
    }

    /// Host and port, for people.
    pub(super) fn address(&self) -> String {
        let authority = &self.uri.authority;
        if authority.host.contains(':') {
            return format!("[{}]:{}", authority.host, authority.port);
        }
        format!("{}:{}", authority.host, authority.port)
    }

    /// The user who logs in.
    pub(super) fn username(&self) -> &str {
        &self.uri.authority.userinfo.username
    }

    /// The virtual host.
    pub(super) fn vhost(&self) -> &str {
        &self.uri.vhost
    }

    /// Whether what is sent can be read on the way.
    pub(super) fn is_plaintext(&self) -> bool {
        self.tls.is_none()
    }

    /// Whether the way does not leave this machine.
    pub(super) fn is_local(&self) -> bool {
        let host = self.uri.authority.host.as_str();
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// Opens a connection of its own; the purpose is what the broker shows of it. It does not recover: whoever uses it
    /// sees it end, and opens another.
    pub(super) async fn connect(&self, purpose: &str) -> Result<Connection, TransportError> {
        let socket = Socket::default();
        match timeout(CONNECT_LIMIT, self.open(purpose, &socket)).await {
            Ok(Ok(connection)) => {
                socket.keep();
                Ok(connection)
            }
            Ok(Err(error)) => Err(self.not_connected(&error)),
            Err(_) => Err(self.unreachable(format!("no answer within {CONNECT_LIMIT:?}"))),
        }
    }

    async fn open(&self, purpose: &str, socket: &Socket) -> lapin::Result<Connection> {
        let uri = AMQPUri::clone(&self.uri);
        let (tls, socket) = (self.tls.clone(), Arc::clone(&socket.0));
        let runtime = guard::runtime();
        let plain = Runtime::new(Tokio::current());
        let connecting = async move |uri: AMQPUri, _: Runtime<guard::Kit>| {
            let opening = async {
                let address = AMQPUri { scheme: AMQPScheme::AMQP, ..uri.clone() };
                let stream = address.connect_async(&plain).await?;
                if let AsyncTcpStream::Plain(stream) = &stream {
                    Socket::set(&socket, TcpStream::from(stream.get_ref().as_fd().try_clone_to_owned()?))?;
                }
                let stream = match &tls {
                    Some(tls) => stream.into_rustls(tls, &uri.authority.host).await?,
                    None => stream,
                };
                Ok::<_, std::io::Error>(AsyncTcpStream::Plain(Guarded::new(stream)))
            };
            let opened = timeout(CONNECT_LIMIT, opening).await;
            opened.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())).map_err(lapin::Error::from)
        };
        Connection::connector(uri, runtime, connecting, properties(purpose)).await
    }

    fn not_connected(&self, error: &lapin::Error) -> TransportError {
        match failure("connecting", error) {
            TransportError::Refused(_) => {
                TransportError::Refused(format!("{}, virtual host {}: {}", self.address(), self.vhost(), words(error)))
            }
            TransportError::Unreachable(_) | TransportError::TooLarge(_) => self.unreachable(words(error)),
        }
    }

    /// Says that there is no way to the broker, and why.
    pub(super) fn unreachable(&self, why: impl std::fmt::Display) -> TransportError {
        TransportError::Unreachable(format!("{}: {why}", self.address()))
    }
}

fn properties(purpose: &str) -> ConnectionProperties {
    ConnectionProperties::default()
        .with_connection_name(format!("quash {purpose}").into())
        .with_client_property("product".into(), "quash".into())
        .with_client_property("version".into(), env!("CARGO_PKG_VERSION").into())
}

/// The socket of a connection that is being opened. The driver's thread would wait for ever on a broker that accepts a
/// connection and then says nothing; giving up shuts the socket, which ends the thread.
#[derive(Default)]
struct Socket(Arc<Mutex<Progress>>);

#[derive(Default)]
enum Progress {
    #[default]
    Resolving,
    Greeting(TcpStream),
    /// Nobody waits for it any more, or it is somebody's connection.
    Over,
}

impl Socket {
    fn set(progress: &Mutex<Progress>, stream: TcpStream) -> std::io::Result<()> {
        let mut progress = lock(progress);
        if matches!(*progress, Progress::Over) {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        *progress = Progress::Greeting(stream);
        Ok(())
    }

    fn keep(&self) {
        *lock(&self.0) = Progress::Over;
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Progress::Greeting(stream) = std::mem::replace(&mut *lock(&self.0), Progress::Over) {
            _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// A connection that many share, with a channel that confirms; it is made when first used, and again after it broke.
pub(super) struct Link {
    server: Server,
    purpose: &'static str,
    /// Held while connecting, so that many who find it broken make one new one.
    opening: tokio::sync::Mutex<()>,
    current: Mutex<Option<Open>>,
}

#[derive(Clone)]
struct Open {
    connection: Arc<Connection>,
    channel: Arc<Channel>,
    notices: Arc<Mutex<Notices>>,
}

impl Link {
    pub(super) fn new(server: Server, purpose: &'static str) -> Self {
        Self { server, purpose, opening: tokio::sync::Mutex::new(()), current: Mutex::new(None) }
    }

    /// Where it leads.
    pub(super) const fn server(&self) -> &Server {
        &self.server
    }

    /// The channel on which publishing is confirmed. It is the same for all until it breaks.
    pub(super) async fn channel(&self) -> Result<Arc<Channel>, TransportError> {
        Ok(self.open().await?.channel)
    }

    /// A channel on which publishing is confirmed, for whoever asks alone.
    pub(super) async fn confirming_channel(&self) -> Result<Channel, TransportError> {
        let connection = self.open().await?.connection;
        confirming_channel(&connection).await
    }

    /// Forgets the connection, with all that it was asked to write and has not written.
    pub(super) fn disconnect(&self) {
        *lock(&self.current) = None;
    }

    /// A channel for one use: what the broker refuses closes the channel that it was asked on.
    pub(super) async fn throw_away_channel(&self) -> Result<Channel, TransportError> {
        let connection = self.open().await?.connection;
        answer("opening a channel", connection.create_channel()).await
    }

    /// Why the broker takes nothing on this connection at the moment: its memory or its disk is short.
    pub(super) fn blocked(&self) -> Option<String> {
        let open = lock(&self.current).clone()?;
        let reason = lock(&open.notices).reason();
        open.connection.status().blocked().then_some(reason)
    }

    /// The heartbeat that both sides agreed on.
    pub(super) async fn heartbeat(&self) -> Result<Duration, TransportError> {
        let connection = self.open().await?.connection;
        Ok(Duration::from_secs(connection.configuration().heartbeat().into()))
    }

    async fn open(&self) -> Result<Open, TransportError> {
        if let Some(open) = self.living() {
            return Ok(open);
        }
        let _opening = self.opening.lock().await;
        if let Some(open) = self.living() {
            return Ok(open);
        }
        let open = Open::on(self.server.connect(self.purpose).await?).await?;
        *lock(&self.current) = Some(open.clone());
        Ok(open)
    }

    fn living(&self) -> Option<Open> {
        lock(&self.current).clone().filter(Open::lives)
    }
}

impl Open {
    async fn on(connection: Connection) -> Result<Self, TransportError> {
        let notices = Notices { stream: connection.events_listener().boxed(), reason: String::new() };
        let channel = confirming_channel(&connection).await?;
        Ok(Self {
            connection: Arc::new(connection),
            channel: Arc::new(channel),
            notices: Arc::new(Mutex::new(notices)),
        })
    }

    fn lives(&self) -> bool {
        self.connection.status().connected() && self.channel.status().connected()
    }
}

/// Opens a channel on which publishing is confirmed.
pub(super) async fn confirming_channel(connection: &Connection) -> Result<Channel, TransportError> {
    let channel = answer("opening a channel", connection.create_channel()).await?;
    answer("asking for confirms", channel.confirm_select(ConfirmSelectOptions::default())).await?;
    Ok(channel)
}

/// What the broker has said about blocking; read when somebody wants to know.
struct Notices {
    stream: BoxStream<'static, Event>,
    reason: String,
}

impl Notices {
    fn reason(&mut self) -> String {
        while let Some(Some(event)) = self.stream.next().now_or_never() {
            if let Event::ConnectionBlocked(reason) = event {
                self.reason = reason;
            }
        }
        self.reason.clone()
    }
}

/// Waits for an answer of the broker, but not for ever.
pub(super) async fn answer<T>(
    operation: &str,
    asked: impl Future<Output = lapin::Result<T>>,
) -> Result<T, TransportError> {
    match timeout(ANSWER_LIMIT, asked).await {
        Ok(answer) => answer.map_err(|error| failure(operation, &error)),
        Err(_) => Err(TransportError::Unreachable(format!("{operation}: no answer within {ANSWER_LIMIT:?}"))),
    }
}

/// What an error means for whoever asked.
pub(super) fn failure(operation: &str, error: &lapin::Error) -> TransportError {
    let words = format!("{operation}: {}", words(error));
    if passes(error) { TransportError::Unreachable(words) } else { TransportError::Refused(words) }
}

/// Whether the same may go well later although nobody changes anything.
fn passes(error: &lapin::Error) -> bool {
    match error.kind() {
        ErrorKind::ProtocolError(error) => match error.kind() {
            AMQPErrorKind::Soft(_) => false,
            AMQPErrorKind::Hard(error) => {
                !matches!(error, AMQPHardError::NOTALLOWED | AMQPHardError::NOTIMPLEMENTED | AMQPHardError::INVALIDPATH)
            }
        },
        ErrorKind::InvalidProtocolVersion(_)
        | ErrorKind::ParsingError(_)
        | ErrorKind::AuthProviderError(_)
        | ErrorKind::ChannelsLimitReached => false,
        _ => true,
    }
}

/// The broker's words, or what happened on the way to it.
pub(super) fn words(error: &lapin::Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(error) => error.get_message().to_string(),
        ErrorKind::IOError(error) | ErrorKind::RuntimeShutdownError(error) => error.to_string(),
        ErrorKind::InvalidProtocolVersion(_) | ErrorKind::ParsingError(_) => {
            format!("what answers there does not speak AMQP 0-9-1 ({error})")
        }
        ErrorKind::MissingHeartbeatError => "the broker was silent for two heartbeats".into(),
        ErrorKind::InvalidConnectionState(_) | ErrorKind::InvalidChannelState(..) => "the connection was cut".into(),
        _ => error.to_string(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use lapin::protocol::AMQPError;

    use super::*;

    #[test]
    fn errors_that_pass_are_told_from_those_that_stay() {
        let cases = [
            (320, "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'", true),
            (541, "INTERNAL_ERROR", true),
            (501, "FRAME_ERROR - type 2, all octets", true),
            (403, "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN.", false),
            (404, "NOT_FOUND - no queue 'quash.events' in vhost '/'", false),
            (405, "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue", false),
            (406, "PRECONDITION_FAILED - inequivalent arg 'x-queue-type'", false),
            (530, "NOT_ALLOWED - vhost shop not found", false),
        ];
        for (code, text, passing) in cases {
            let error = AMQPError::from_id(code, text.into()).unwrap();
            let failure = failure("declaring", &ErrorKind::ProtocolError(error).into());
            assert_eq!(matches!(failure, TransportError::Unreachable(_)), passing, "{text}");
            assert!(failure.to_string().contains(text), "{failure}");
        }
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset).into();
        assert!(matches!(failure("publishing", &reset), TransportError::Unreachable(_)));
    }

    #[test]
    fn giving_up_ends_a_connection_that_is_greeted_by_nobody() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let socket = Socket::default();
        let progress = Arc::clone(&socket.0);
        let client = TcpStream::connect(address).unwrap();
        Socket::set(&progress, client.try_clone().unwrap()).unwrap();
        drop(socket);
        assert_eq!(std::io::Read::read(&mut &client, &mut [0]).unwrap(), 0);
        assert!(Socket::set(&progress, client).is_err());
    }
}
