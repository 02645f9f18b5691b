//! Opens an endpoint on a broker that is none, and asks it as browsers and programs do.

use std::sync::Arc;

use quash_dispatch::config::Config;
use quash_transport::{Message, Transport};
use quash_worker::app::compile;
use quash_worker::dead_letter::testing::Broker;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{Desk, Endpoint, Served};

/// One of each role, and one who sees no payloads.
pub(super) const TOKENS: &str = "tokens: { alice: { token: t-alice, role: operator }, bob: { token: t-bob }, eve: { token: t-eve, payloads: hidden } }";

/// An endpoint, and the broker that it looks at.
pub(super) struct Site {
    served: Served,
    pub(super) broker: Arc<Broker>,
}

/// What was answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Site {
    /// One with these letters, and with this under `admin`.
    pub(super) async fn with(admin: &str, letters: impl IntoIterator<Item = Message>) -> Self {
        let broker = Arc::new(Broker::with(letters));
        let served = serve(admin, "memory: {}", Arc::clone(&broker) as _).await;
        Self { served, broker }
    }

    /// One of which everybody on this machine is an operator.
    pub(super) async fn open(letters: impl IntoIterator<Item = Message>) -> Self {
        Self::with("", letters).await
    }

    pub(super) fn host(&self) -> String {
        self.served.address().to_string()
    }

    /// What is answered to a request with these headers.
    pub(super) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        ask(&self.served, method, path, headers, body).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "").await
    }

    /// The JSON at a path.
    pub(super) async fn json(&self, path: &str) -> Value {
        self.get(path).await.json()
    }

    /// What a program is answered that sends JSON.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, &[("Content-Type", "application/json")], &body.to_string()).await
    }

    /// What a browser is answered that sends a form of this site.
    pub(super) async fn send(&self, path: &str, form: &str) -> Answer {
        let origin = format!("http://{}", self.host());
        let headers = [
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Origin", origin.as_str()),
            ("Sec-Fetch-Site", "same-origin"),
        ];
        self.ask("POST", path, &headers, form).await
    }
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }
}

/// An endpoint on any broker.
pub(super) async fn serve(admin: &str, source: &str, broker: Arc<dyn Transport>) -> Served {
    let config = Config::parse(&format!(
        "{{ version: 1, targets: {{ main: {{ memory: {{}} }} }}, sources: {{ events: {{ {source} }} }}, \
         caches: {{ product: {{ key: 'product:{{id}}', depends_on: [ {{ row: shop.Product }} ] }} }}, \
         admin: {{ listen: '127.0.0.1:0', {admin} }} }}"
    ))
    .unwrap();
    let rules = Arc::new(compile(&config).unwrap());
    Endpoint::bind(&config.admin).await.unwrap().unwrap().serve(Desk::alone(&config, rules, vec![broker]))
}

pub(super) async fn ask(served: &Served, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut stream = TcpStream::connect(served.address()).await.unwrap();
    let mut request = format!("{method} {path} HTTP/1.0\r\nContent-Length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| *name == "Host") {
        request += &format!("Host: {}\r\n", served.address());
    }
    headers.iter().for_each(|(name, value)| request += &format!("{name}: {value}\r\n"));
    stream.write_all(format!("{request}\r\n{body}").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}
