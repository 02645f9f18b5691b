//! Asks the application, which loads an entry anew, compares it with what stands in the cache, and tells nothing but that.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use quash_config::Secret;
use ring::hmac;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{Answer, Asked, Truth};
use crate::entry::{Payload, hex};

/// How long the application may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Bytes of an answer at most.
const ANSWER_BYTES: usize = 64 * 1024;
/// The header with the signature of the body: `sha256=` and HMAC-SHA256 in hexadecimal.
const SIGNATURE: &str = "quash-signature";

/// Where the application is asked.
pub(super) struct Callback {
    uri: Uri,
    host: String,
    port: u16,
    tls: Option<Arc<ClientConfig>>,
    secret: hmac::Key,
}

/// What it answers.
#[derive(Deserialize)]
struct Reply {
    /// Whether what stands in the cache is what would be loaded; left out where it is not what was asked about any more.
    same: Option<bool>,
    /// A name for what would be loaded.
    loaded_digest: Option<String>,
}

impl Callback {
    pub(super) fn new(url: &str, secret: &Secret) -> Result<Self, String> {
        let wrong = || "the callback's address is none".to_owned();
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let host = uri.host().ok_or_else(wrong)?.trim_matches(['[', ']']).to_owned();
        let is_https = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let tls = is_https.then(roots).transpose()?;
        Ok(Self { uri, host, port, tls, secret: hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes()) })
    }

    async fn post(&self, body: Vec<u8>) -> Result<Reply, String> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|error| error.to_string())?;
        let Some(tls) = &self.tls else { return self.send(stream, body).await };
        let name = ServerName::try_from(self.host.clone()).map_err(|error| error.to_string())?;
        let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await;
        self.send(stream.map_err(|error| error.to_string())?, body).await
    }

    async fn send(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        body: Vec<u8>,
    ) -> Result<Reply, String> {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        // It ends with the sender.
        let connection = tokio::spawn(connection);
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let host = self.uri.authority().map_or(self.host.as_str(), |authority| authority.as_str());
        let request = Request::post(path)
            .header("host", host)
            .header("content-type", "application/json")
            .header(SIGNATURE, format!("sha256={}", hex(hmac::sign(&self.secret, &body).as_ref())))
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| error.to_string())?;
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
        connection.abort();
        if !status.is_success() {
            return Err(format!("the application answers {status}"));
        }
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        serde_json::from_slice(&body).map_err(|_| "the application answers with what is no answer".to_owned())
    }
}

fn roots() -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err("this system has no certificates that a callback by https could be checked with".to_owned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

#[async_trait]
impl Truth for Callback {
    async fn ask(&self, asked: &Asked<'_>) -> Answer {
        let Asked { cache, target, key, args, payload } = asked;
        let args: serde_json::Map<_, _> =
            args.iter().map(|(name, text)| (name.clone(), text.as_str().into())).collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let body = serde_json::json!({
            "cache": cache,
            "target": target,
            "key": key,
            "args": args,
            "form": if payload.is_absence { "nothing" } else { "value" },
            "digest": crate::entry::sha256(&payload.stored),
            "time": now.as_secs(),
        });
        let answered = timeout(ANSWER_LIMIT, self.post(body.to_string().into_bytes())).await;
        match answered.map_err(|error| error.to_string()).flatten() {
            Ok(Reply { same: Some(true), .. }) => Answer::Same,
            Ok(Reply { same: Some(false), loaded_digest }) => Answer::Other(loaded_digest),
            Ok(Reply { same: None, .. }) => Answer::Unknown("the entry changed meanwhile".to_owned()),
            Err(why) => Answer::Unknown(format!("callback: {why}")),
        }
    }

    fn spoilt(&self, payload: &Payload) -> Option<Vec<u8>> {
        // No format of values begins so: pickle would not mind what stands behind a value.
        (!payload.is_absence).then(|| b"\0quash:canary".to_vec())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Asks an application that answers this, and gives the answer with what it was asked.
    async fn asked(status: &str, reply: &str) -> (Answer, String, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/quash/verify?v=1", listener.local_addr().unwrap());
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{reply}", reply.len());
        let application = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut text = String::new();
            while !text.ends_with('}') {
                let mut part = [0; 1024];
                let length = stream.read(&mut part).await.unwrap();
                text.push_str(std::str::from_utf8(&part[..length]).unwrap());
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            text
        });
        let callback = Callback::new(&url, &Secret::new("hunter2")).unwrap();
        let payload = Payload { is_absence: false, head: Vec::new(), stored: b"pickle".to_vec(), is_plain: false };
        let args = [("id".to_owned(), "42".to_owned())];
        let about = Asked { cache: "product", target: "main", key: "product:42", args: &args, payload: &payload };
        let answer = callback.ask(&about).await;
        let request = application.await.unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        (answer, head.to_owned(), body.to_owned())
    }

    #[tokio::test]
    async fn a_question_is_signed_and_says_which_entry_it_is_about() {
        let (answer, head, body) = asked("200 OK", r#"{"same": true}"#).await;
        assert_eq!(answer, Answer::Same);
        assert!(head.starts_with("POST /quash/verify?v=1 HTTP/1.1"), "{head}");
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"hunter2");
        let signature = format!("quash-signature: sha256={}", hex(hmac::sign(&key, body.as_bytes()).as_ref()));
        assert!(head.contains(&signature), "{head}");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (&body["cache"], &body["key"], &body["args"]["id"]),
            (&"product".into(), &"product:42".into(), &"42".into())
        );
        assert_eq!(body["digest"], crate::entry::sha256(b"pickle"));
        assert!(!head.contains("hunter2"));
    }

    #[tokio::test]
    async fn only_what_is_said_to_differ_differs() {
        let different = asked("200 OK", r#"{"same": false, "loaded_digest": "ab"}"#).await.0;
        assert_eq!(different, Answer::Other(Some("ab".to_owned())));
        for (status, reply) in [("200 OK", "{}"), ("200 OK", "x"), ("500 Oops", r#"{"same": false}"#), ("403 No", "")] {
            assert!(matches!(asked(status, reply).await.0, Answer::Unknown(_)), "{status} {reply}");
        }
    }

    #[tokio::test]
    async fn who_cannot_be_reached_knows_nothing() {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let callback = Callback::new(&format!("http://{port}/"), &Secret::new("x")).unwrap();
        let payload = Payload { is_absence: true, head: Vec::new(), stored: Vec::new(), is_plain: true };
        let about = Asked { cache: "a", target: "b", key: "c", args: &[], payload: &payload };
        assert!(matches!(callback.ask(&about).await, Answer::Unknown(_)));
        assert!(Callback::new("https://", &Secret::new("x")).is_err());
    }
}
