//! Stands between a client and a server and breaks the network in one line: pass, cut, black hole, delay.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// What the proxy does with the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Hands them on.
    Pass,
    /// Closes every connection, and every new one at once.
    Cut,
    /// Keeps connections open and hands nothing on until the mode changes: a machine that hangs.
    BlackHole,
    /// Hands each piece on after a while.
    Delay(Duration),
}

/// A TCP proxy in front of one server. It ends when it is dropped.
pub struct ChaosProxy {
    address: SocketAddr,
    state: watch::Sender<State>,
    accepting: JoinHandle<()>,
}

/// What the connections look at. Cuts are counted, so that one that is over at once is still seen by all of them.
#[derive(Debug, Clone, Copy)]
struct State {
    mode: Mode,
    cuts: u64,
}

impl ChaosProxy {
    /// Starts one that passes everything on to `host:port`.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let (state, watched) = watch::channel(State { mode: Mode::Pass, cuts: 0 });
        let accepting = tokio::spawn(accept(listener, server.to_owned(), watched));
        Self { address, state, accepting }
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Changes what becomes of the bytes, also on connections that are open.
    pub fn set(&self, mode: Mode) {
        self.state.send_modify(|state| {
            state.mode = mode;
            state.cuts += u64::from(mode == Mode::Cut);
        });
    }

    /// Cuts every open connection once; new ones are treated as before.
    pub fn cut_once(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }
}

impl Drop for ChaosProxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut_once();
    }
}

async fn accept(listener: TcpListener, server: String, state: watch::Receiver<State>) {
    while let Ok((client, _)) = listener.accept().await {
        if state.borrow().mode != Mode::Cut {
            tokio::spawn(connect(client, server.clone(), state.clone()));
        }
    }
}

/// Carries both directions until one side closes or the connection is cut.
async fn connect(client: TcpStream, server: String, mut state: watch::Receiver<State>) {
    let born = state.borrow().cuts;
    let Ok(server) = TcpStream::connect(server).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = carry(from_client, to_server, state.clone()) => {}
        () = carry(from_server, to_client, state.clone()) => {}
        _ = state.wait_for(|state| state.cuts > born) => {}
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<State>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let mode = state.borrow().mode;
        if let Mode::Delay(by) = mode {
            // Over early when the mode changes.
            drop(timeout(by, state.wait_for(|state| state.mode != mode)).await);
        }
        if state.wait_for(|state| state.mode != Mode::BlackHole).await.is_err() {
            return;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
