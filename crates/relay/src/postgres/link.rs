//! Speaks PostgreSQL's protocol of replication over one connection: start-up, passwords, simple queries, and copying both ways.

use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_postgres::config::{Host, SslMode};

use super::address::Address;
use super::failure::{Failure, Said};
use super::position::Lsn;

/// How long the server may take to answer anything but the stream itself.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Where the protocol says to look for the server's answer whether it encrypts.
const TLS_YES: u8 = b'S';
/// Bytes that are read at once.
const READ_BYTES: usize = 64 * 1024;
/// A buffer that one large row made larger is given back.
const KEPT_BYTES: usize = 1024 * 1024;
/// From 1970-01-01 to 2000-01-01, where PostgreSQL's time begins.
const EPOCH_US: i64 = 946_684_800_000_000;

/// Settings of the session that fix how values are spelt, whatever the server's are, and how soon a relay that is cut off loses its
/// slot to another.
const SETTINGS: &str = "-c DateStyle=ISO -c IntervalStyle=postgres -c TimeZone=UTC -c extra_float_digits=3 \
                        -c bytea_output=hex -c wal_sender_timeout=10s";

/// A connection for replication.
pub(super) struct Link {
    stream: Box<dyn Stream>,
    buffer: BytesMut,
    /// Of the server, as `150018`; 0 where it does not say.
    pub(super) version: u32,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What came of the stream of changes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// A message of the log.
    Log {
        /// The message.
        bytes: Bytes,
        /// How far the server's log goes.
        end: Lsn,
    },
    /// Proof of life: where the server stands in its log, and whether it waits for an answer.
    Alive {
        /// What was sent reaches up to here.
        end: Lsn,
        /// The server wants to hear from us now.
        asks: bool,
    },
    /// The server ends the stream.
    Done,
}

impl Link {
    /// Connects to the first server of the address that takes replication.
    ///
    /// # Errors
    /// Why the last of them did not.
    pub(super) async fn open(address: &Address) -> Result<Self, Failure> {
        let mut last = Failure::Gone("the URL names no host".to_owned());
        for server in servers(address) {
            let limit = address.config.get_connect_timeout().copied().unwrap_or(ANSWER_LIMIT);
            match timeout(limit, Self::open_one(address, &server)).await {
                Ok(Ok(link)) => return Ok(link),
                Ok(Err(failure)) => last = failure,
                Err(_) => last = Failure::Gone(format!("no answer within {limit:?}")),
            }
        }
        Err(last)
    }

    async fn open_one(address: &Address, server: &Server) -> Result<Self, Failure> {
        let stream: Box<dyn Stream> = match server {
            Server::Unix { folder, port } => {
                Box::new(UnixStream::connect(Path::new(folder).join(format!(".s.PGSQL.{port}"))).await?)
            }
            Server::Tcp { at, name, port } => {
                let stream = TcpStream::connect((at.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                encrypted(stream, address, name).await?
            }
        };
        let mut link = Self { stream, buffer: BytesMut::new(), version: 0 };
        link.start_up(address).await?;
        Ok(link)
    }

    async fn start_up(&mut self, address: &Address) -> Result<(), Failure> {
        let config = &address.config;
        // As every client of PostgreSQL: who runs it, where the URL names nobody.
        let user = config.get_user().map_or_else(|| whoami::username().map(Cow::Owned), |user| Ok(Cow::Borrowed(user)));
        let user = &*user
            .map_err(|error| Failure::Wrong(format!("the URL names no user, and nor does the system: {error}")))?;
        let options = config.get_options().map_or_else(|| SETTINGS.to_owned(), |given| format!("{SETTINGS} {given}"));
        let parameters = [
            ("user", user),
            ("database", config.get_dbname().unwrap_or(user)),
            ("replication", "database"),
            ("client_encoding", "UTF8"),
            ("application_name", config.get_application_name().unwrap_or("quash relay")),
            ("options", &options),
        ];
        let mut out = BytesMut::new();
        frontend::startup_message(parameters, &mut out)?;
        self.send(&out).await?;
        let mut scram = None;
        loop {
            let (tag, mut body) = self.frame().await?;
            match tag {
                b'R' => self.authenticate(&mut body, user, config.get_password(), &mut scram).await?,
                b'S' => self.parameter(&body),
                b'Z' => return Ok(()),
                b'E' => return Err(Failure::Said(Said::read(&body))),
                _ => {}
            }
        }
    }

    fn parameter(&mut self, body: &[u8]) {
        let mut parts = body.split(|byte| *byte == 0);
        if parts.next() == Some(b"server_version") {
            let text = parts.next().map(String::from_utf8_lossy).unwrap_or_default();
            let major = text.split(|letter: char| !letter.is_ascii_digit()).next().and_then(|major| major.parse().ok());
            self.version = major.unwrap_or_default();
        }
    }

    async fn authenticate(
        &mut self,
        body: &mut Bytes,
        user: &str,
        password: Option<&[u8]>,
        scram: &mut Option<ScramSha256>,
    ) -> Result<(), Failure> {
        let asked = body.try_get_i32().map_err(|_| Failure::odd("a request for a password that is cut"))?;
        let mut out = BytesMut::new();
        let password =
            || password.ok_or_else(|| Failure::Wrong("the server wants a password, and the URL has none".to_owned()));
        match (asked, scram.as_mut()) {
            (0, _) => return Ok(()),
            (3, _) => frontend::password_message(password()?, &mut out)?,
            (5, _) => {
                let salt = body.first_chunk().ok_or_else(|| Failure::odd("a request for a password that is cut"))?;
                frontend::password_message(md5_hash(user.as_bytes(), password()?, *salt).as_bytes(), &mut out)?;
            }
            (10, _) => {
                if !body.split(|byte| *byte == 0).any(|mechanism| mechanism == SCRAM_SHA_256.as_bytes()) {
                    return Err(Failure::Wrong(
                        "the server wants a mechanism of SASL that is not SCRAM-SHA-256".to_owned(),
                    ));
                }
                let begun = scram.insert(ScramSha256::new(password()?, ChannelBinding::unsupported()));
                frontend::sasl_initial_response(SCRAM_SHA_256, begun.message(), &mut out)?;
            }
            (11, Some(begun)) => {
                begun.update(body)?;
                frontend::sasl_response(begun.message(), &mut out)?;
            }
            (12, Some(begun)) => return Ok(begun.finish(body)?),
            (other, _) => {
                return Err(Failure::Wrong(format!(
                    "the server wants a way to log in that is not known here ({other})"
                )));
            }
        }
        self.send(&out).await
    }

    /// Runs a command and returns its first row, of which all columns are text.
    ///
    /// # Errors
    /// What the server says against it.
    pub(super) async fn query(&mut self, command: &str) -> Result<Vec<Option<String>>, Failure> {
        self.ask(command).await?;
        let (mut row, mut failure) = (Vec::new(), None);
        loop {
            let (tag, body) = self.answer().await?;
            match tag {
                b'D' if row.is_empty() => row = columns(&body),
                b'E' => failure = Some(Failure::Said(Said::read(&body))),
                b'Z' => return failure.map_or(Ok(row), Err),
                _ => {}
            }
        }
    }

    /// Begins to stream a slot from where it was confirmed.
    ///
    /// # Errors
    /// What the server says against it.
    pub(super) async fn start(&mut self, slot: &str, publication: &str) -> Result<(), Failure> {
        // Before 14 messages of applications are not known, and the option is refused.
        let messages = if self.version >= 14 { ", messages 'true'" } else { "" };
        let named = quoted(publication).replace('\'', "''");
        self.ask(&format!(
            "START_REPLICATION SLOT {} LOGICAL 0/0 (proto_version '1', publication_names '{named}'{messages})",
            quoted(slot)
        ))
        .await?;
        loop {
            let (tag, body) = self.answer().await?;
            match tag {
                b'W' => return Ok(()),
                b'E' => return Err(Failure::Said(Said::read(&body))),
                b'Z' => return Err(Failure::odd("no stream")),
                _ => {}
            }
        }
    }

    /// Waits until at least one more frame is whole. May be dropped while waiting.
    ///
    /// # Errors
    /// When the connection is gone, or the server says why it ends.
    pub(super) async fn fill(&mut self) -> Result<(), Failure> {
        while self.missing().is_some() {
            self.read_more().await?;
        }
        Ok(())
    }

    /// The next frame of the stream that is there already.
    ///
    /// # Errors
    /// When the server says why it ends the stream, or says what is no part of one.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, Failure> {
        loop {
            let Some((tag, mut body)) = self.whole() else { return Ok(None) };
            match tag {
                b'd' => {
                    if let Some(frame) = copied(&mut body)? {
                        return Ok(Some(frame));
                    }
                }
                b'c' => return Ok(Some(Frame::Done)),
                b'E' => return Err(Failure::Said(Said::read(&body))),
                b'C' | b'Z' => return Ok(Some(Frame::Done)),
                _ => {}
            }
        }
    }

    /// Tells the server that everything up to here is safe elsewhere, and perhaps asks for an answer.
    ///
    /// # Errors
    /// When the connection is gone.
    pub(super) async fn confirm(&mut self, safe: Lsn, now_us: i64, asks: bool) -> Result<(), Failure> {
        let mut status = Vec::with_capacity(34);
        status.push(b'r');
        for position in [safe.0; 3] {
            status.extend(position.to_be_bytes());
        }
        status.extend((now_us - EPOCH_US).to_be_bytes());
        status.push(u8::from(asks));
        let mut out = BytesMut::new();
        frontend::CopyData::new(status.as_slice())?.write(&mut out);
        self.send(&out).await
    }

    /// Ends the stream, so that the slot is free at once.
    pub(super) async fn close(mut self) {
        let mut out = BytesMut::new();
        frontend::copy_done(&mut out);
        frontend::terminate(&mut out);
        // It ends with the connection in any case.
        drop(self.send(&out).await);
        drop(timeout(Duration::from_secs(1), self.stream.shutdown()).await);
    }

    async fn ask(&mut self, command: &str) -> Result<(), Failure> {
        let mut out = BytesMut::new();
        frontend::query(command, &mut out)?;
        self.send(&out).await
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let sent = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        timeout(ANSWER_LIMIT, sent).await.map_err(|_| Failure::silence())??;
        Ok(())
    }

    async fn answer(&mut self) -> Result<(u8, Bytes), Failure> {
        timeout(ANSWER_LIMIT, self.frame()).await.map_err(|_| Failure::silence())?
    }

    async fn frame(&mut self) -> Result<(u8, Bytes), Failure> {
        loop {
            if let Some(frame) = self.whole() {
                return Ok(frame);
            }
            self.read_more().await?;
        }
    }

    async fn read_more(&mut self) -> Result<(), Failure> {
        let missing = self.missing().unwrap_or_default();
        self.buffer.reserve(missing.max(READ_BYTES));
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(Failure::Gone("the server closed the connection".to_owned())),
            _ => Ok(()),
        }
    }

    /// How many bytes the next frame lacks; `None` when it is whole.
    fn missing(&self) -> Option<usize> {
        let length =
            self.buffer.get(1..5).and_then(|length| length.first_chunk()).map(|length| u32::from_be_bytes(*length));
        let Some(length) = length else { return Some(5 - self.buffer.len()) };
        let whole = 1 + (length as usize).max(4);
        whole.checked_sub(self.buffer.len()).filter(|missing| *missing > 0)
    }

    fn whole(&mut self) -> Option<(u8, Bytes)> {
        if self.missing().is_some() {
            return None;
        }
        let tag = self.buffer.get_u8();
        let length = (self.buffer.get_u32() as usize).max(4) - 4;
        let body = self.buffer.split_to(length).freeze();
        if self.buffer.is_empty() && length > KEPT_BYTES {
            self.buffer = BytesMut::new();
        }
        Some((tag, body))
    }
}

/// What stands in a frame of the stream; `None` where that is of no use.
fn copied(body: &mut Bytes) -> Result<Option<Frame>, Failure> {
    let cut = |_| Failure::odd("a part of the stream that is cut");
    match body.try_get_u8().map_err(cut)? {
        b'w' if body.len() >= 24 => {
            body.advance(8);
            let end = Lsn(body.get_u64());
            body.advance(8);
            Ok(Some(Frame::Log { bytes: std::mem::take(body), end }))
        }
        b'k' => {
            let end = Lsn(body.try_get_u64().map_err(cut)?);
            body.try_get_i64().map_err(cut)?;
            Ok(Some(Frame::Alive { end, asks: body.try_get_u8().map_err(cut)? != 0 }))
        }
        b'w' => Err(Failure::odd("a part of the stream that is cut")),
        _ => Ok(None),
    }
}

/// The columns of a row as text.
fn columns(body: &Bytes) -> Vec<Option<String>> {
    let mut rest = body.clone();
    let count = rest.try_get_u16().unwrap_or_default();
    let mut columns = Vec::new();
    for _ in 0..count {
        let Ok(length) = rest.try_get_i32() else { break };
        let length = usize::try_from(length).ok().filter(|length| *length <= rest.len());
        columns.push(length.map(|length| String::from_utf8_lossy(&rest.split_to(length)).into_owned()));
    }
    columns
}

enum Server {
    Unix { folder: String, port: u16 },
    Tcp { at: String, name: String, port: u16 },
}

/// The servers of an address, in its order.
fn servers(address: &Address) -> Vec<Server> {
    let (config, ports) = (&address.config, address.config.get_ports());
    let port = |at: usize| ports.get(at).or(ports.first()).copied().unwrap_or(5432);
    let server = |(at, host): (usize, &Host)| match host {
        Host::Tcp(name) => {
            let at_address = config.get_hostaddrs().get(at).map_or_else(|| name.clone(), ToString::to_string);
            Server::Tcp { at: at_address, name: name.clone(), port: port(at) }
        }
        Host::Unix(folder) => Server::Unix { folder: folder.display().to_string(), port: port(at) },
    };
    config.get_hosts().iter().enumerate().map(server).collect()
}

/// The connection as `sslmode` wants it.
async fn encrypted(mut stream: TcpStream, address: &Address, name: &str) -> Result<Box<dyn Stream>, Failure> {
    let mode = address.config.get_ssl_mode();
    if mode == SslMode::Disable {
        return Ok(Box::new(stream));
    }
    let mut out = BytesMut::new();
    frontend::ssl_request(&mut out);
    stream.write_all(&out).await?;
    match stream.read_u8().await? {
        TLS_YES => {
            let encrypted = address.tls.encrypt(stream, name).await;
            Ok(Box::new(encrypted.map_err(|error| Failure::of_tls(&error))?))
        }
        _ if mode == SslMode::Prefer => Ok(Box::new(stream)),
        _ => Err(Failure::Wrong("the server does not encrypt, and sslmode asks for it".to_owned())),
    }
}

/// A name in the commands of replication and in SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Gone(error.to_string())
    }
}
