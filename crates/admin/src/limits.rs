//! Bounds what connections to the endpoint cost: how many there are, and how long each may be slow.
//!
//! Descriptors that half-open requests hold are missing where the worker connects to its brokers again.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// What connections may cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// How many there are at once: probes and scrapers need a handful. Others wait in the system's queue.
    pub(super) connections: usize,
    /// How long a request may take to come as a whole.
    pub(super) request: Duration,
    /// How long a connection may stay for the next request, longer than scrapers pause.
    pub(super) idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 64, request: Duration::from_secs(5), idle: Duration::from_secs(75) }
    }
}

/// A listener that keeps the limits.
pub(super) struct Limited {
    listener: TcpListener,
    limits: Limits,
    slots: Arc<Semaphore>,
}

impl Limited {
    pub(super) fn new(listener: TcpListener, limits: Limits) -> Self {
        Self { listener, limits, slots: Arc::new(Semaphore::new(limits.connections)) }
    }
}

impl axum::serve::Listener for Limited {
    type Io = Patient;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Patient, SocketAddr) {
        // Nobody closes the semaphore.
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok();
        let (stream, address) = axum::serve::Listener::accept(&mut self.listener).await;
        let until = Box::pin(sleep(self.limits.request));
        (Patient { stream, until, idle: self.limits.idle, _slot: slot }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends when it was slow for too long.
pub(super) struct Patient {
    stream: TcpStream,
    until: Pin<Box<Sleep>>,
    idle: Duration,
    _slot: Option<OwnedSemaphorePermit>,
}

impl Patient {
    /// What is not ready stays so until it is too late.
    fn in_time<T>(&mut self, context: &mut Context<'_>, ready: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if ready.is_pending() && self.until.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        ready
    }

    /// An answer goes out: there may be another request.
    fn answered(&mut self) {
        self.until.as_mut().reset(Instant::now() + self.idle);
    }
}

impl AsyncRead for Patient {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Also one that sends a byte now and then must come to an end.
        if self.until.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if written.is_ready() {
            self.answered();
        }
        self.in_time(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.in_time(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.stream).poll_shutdown(context);
        self.in_time(context, ended)
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;

    /// Longer than anything here takes.
    const LIMIT: Duration = Duration::from_secs(20);

    async fn serving(limits: Limits) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(async || "ok"));
        tokio::spawn(async move { axum::serve(Limited::new(listener, limits), router).await });
        address
    }

    async fn ask(stream: &mut TcpStream) -> String {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut answer = vec![0; 12];
        timeout(LIMIT, stream.read_exact(&mut answer)).await.expect("an answer in time").unwrap();
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn requests_that_never_end_make_room_for_others() {
        let limits = Limits { connections: 4, request: Duration::from_millis(200), idle: LIMIT };
        let address = serving(limits).await;
        let mut half_open = Vec::new();
        for _ in 0..12 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nX-Slow: ").await.unwrap();
            half_open.push(stream);
        }
        assert_eq!(ask(&mut TcpStream::connect(address).await.unwrap()).await, "HTTP/1.1 200");
        for stream in &mut half_open {
            let mut rest = Vec::new();
            let ended = timeout(LIMIT, stream.read_to_end(&mut rest)).await.expect("it is ended");
            assert!(ended.is_err() || !rest.starts_with(b"HTTP/1.1 200"));
        }
    }

    #[tokio::test]
    async fn a_connection_may_stay_for_the_next_request() {
        let limits = Limits { connections: 1, request: LIMIT, idle: LIMIT };
        let mut stream = TcpStream::connect(serving(limits).await).await.unwrap();
        assert_eq!(ask(&mut stream).await, "HTTP/1.1 200");
        let mut rest = vec![0; 512];
        let read = timeout(LIMIT, stream.read(&mut rest)).await.unwrap().unwrap();
        assert!(rest[..read].ends_with(b"ok"));
        assert_eq!(ask(&mut stream).await, "HTTP/1.1 200");
    }
}
