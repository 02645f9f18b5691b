//! Publishes over bare sockets what no driver would: headers that are wrong in any way that a broker lets through.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Speaks AMQP 0-9-1 as far as publishing goes.
pub struct RawAmqp {
    socket: TcpStream,
}

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;

impl RawAmqp {
    /// Logs in as `guest` and opens a channel that confirms.
    ///
    /// # Panics
    /// When the broker does not let it.
    pub async fn connect(address: &str) -> Self {
        let socket = TcpStream::connect(address).await.expect("the broker listens");
        let mut raw = Self { socket };
        raw.socket.write_all(b"AMQP\x00\x00\x09\x01").await.expect("the broker reads");
        raw.answered(0, 10, 10).await;
        let start_ok = [&[0; 4][..], &short(b"PLAIN"), &long(b"\0guest\0guest"), &short(b"en_US")].concat();
        raw.method(0, 10, 11, &start_ok).await;
        raw.answered(0, 10, 30).await;
        // As many channels as the broker lets, frames of 128 KiB, no heartbeat.
        raw.method(0, 10, 31, &[7, 255, 0, 2, 0, 0, 0, 0]).await;
        raw.method(0, 10, 40, &[&short(b"/")[..], &[0, 0]].concat()).await;
        raw.answered(0, 10, 41).await;
        raw.method(1, 20, 10, &[0]).await;
        raw.answered(1, 20, 11).await;
        raw.method(1, 85, 10, &[0]).await;
        raw.answered(1, 85, 11).await;
        raw
    }

    /// Publishes to a queue and waits for the confirm. The properties are their flags and what follows them.
    ///
    /// # Panics
    /// When the broker does not confirm.
    pub async fn publish(&mut self, queue: &str, properties: &[u8], body: &[u8]) {
        self.try_publish(queue, properties, body).await.unwrap_or_else(|said| panic!("{said}"));
    }

    /// The same.
    ///
    /// # Errors
    /// What the broker says when it does not confirm.
    pub async fn try_publish(&mut self, queue: &str, properties: &[u8], body: &[u8]) -> Result<(), String> {
        let publish = [&[0, 0, 0][..], &short(queue.as_bytes()), &[0]].concat();
        self.method(1, 60, 40, &publish).await;
        let length = (body.len() as u64).to_be_bytes();
        self.frame(HEADER, 1, &[&[0, 60, 0, 0][..], &length, properties].concat()).await;
        self.frame(BODY, 1, body).await;
        self.answer(1, 60, 80).await
    }

    async fn method(&mut self, channel: u16, class: u16, method: u16, arguments: &[u8]) {
        let payload = [&class.to_be_bytes()[..], &method.to_be_bytes(), arguments].concat();
        self.frame(METHOD, channel, &payload).await;
    }

    async fn frame(&mut self, kind: u8, channel: u16, payload: &[u8]) {
        let size = u32::try_from(payload.len()).expect("a frame is short");
        let frame = [&[kind][..], &channel.to_be_bytes(), &size.to_be_bytes(), payload, &[0xce]].concat();
        self.socket.write_all(&frame).await.expect("the broker reads");
    }

    /// Waits for one method, and takes no other.
    async fn answered(&mut self, channel: u16, class: u16, method: u16) {
        self.answer(channel, class, method).await.unwrap_or_else(|said| panic!("{said}"));
    }

    async fn answer(&mut self, channel: u16, class: u16, method: u16) -> Result<(), String> {
        let mut head = [0; 7];
        self.socket.read_exact(&mut head).await.expect("the broker answers");
        let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
        let mut payload = vec![0; size as usize + 1];
        self.socket.read_exact(&mut payload).await.expect("the broker answers");
        let expected = [class.to_be_bytes(), method.to_be_bytes()].concat();
        let is_it = head[0] == METHOD && head[1..3] == channel.to_be_bytes() && payload[..4] == expected[..];
        let said = || format!("expected {class}.{method}, got {}", String::from_utf8_lossy(&payload));
        is_it.then_some(()).ok_or_else(said)
    }
}

/// The flags of a message with a table of headers alone, and that table.
#[must_use]
pub fn amqp_headers(entries: &[u8]) -> Vec<u8> {
    [&[0x20, 0][..], &long(entries)].concat()
}

/// An entry of a table whose value is lists in lists, so many of them.
#[must_use]
pub fn amqp_nested(name: &[u8], depth: usize) -> Vec<u8> {
    let value = (1..depth).fold(Vec::new(), |inner, _| [b"A", &long(&inner)[..]].concat());
    [&short(name)[..], b"A", &long(&value)].concat()
}

/// An entry of a table whose value is a text.
#[must_use]
pub fn amqp_text(name: &[u8], value: &[u8]) -> Vec<u8> {
    [&short(name)[..], b"S", &long(value)].concat()
}

/// A short string as AMQP writes it.
#[must_use]
pub fn short(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).expect("at most 255 octets")][..], text].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).expect("it is short").to_be_bytes()[..], bytes].concat()
}

/// Publishes to NATS with these blocks of headers, byte for byte; done when the server has read all of it.
///
/// # Panics
/// When the server does not take it.
pub async fn publish_raw_nats(address: &str, subject: &str, messages: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) {
    let mut socket = TcpStream::connect(address).await.expect("the server listens");
    let mut said = b"CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\n".to_vec();
    for (block, body) in messages {
        said.extend(format!("HPUB {subject} {} {}\r\n", block.len(), block.len() + body.len()).bytes());
        said.extend([&block[..], &body, b"\r\n"].concat());
    }
    said.extend(b"PING\r\n");
    socket.write_all(&said).await.expect("the server reads");
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains("PONG") {
        let read = socket.read_buf(&mut heard).await.expect("the server answers");
        assert!(read > 0 && !String::from_utf8_lossy(&heard).contains("-ERR"), "{}", String::from_utf8_lossy(&heard));
    }
}

/// Appends entries to a stream with these names and values, byte for byte.
///
/// # Panics
/// When the server does not take one.
pub async fn publish_raw_redis(address: &str, stream: &str, entries: impl IntoIterator<Item = Vec<Vec<u8>>>) {
    let client = redis::Client::open(format!("redis://{address}/0")).expect("an address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("the server listens");
    for fields in entries {
        let mut entry = redis::cmd("XADD");
        entry.arg(stream).arg("*").arg(fields);
        let () = entry.exec_async(&mut connection).await.expect("the server takes it");
    }
}
