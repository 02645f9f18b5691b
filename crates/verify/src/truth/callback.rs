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
struct Told {
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

    async fn post(&self, body: Vec<u8>) -> Result<Told, String> {
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
    ) -> Result<Told, String> {
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
        let args: serde_json::Map<_, _> = args.iter().map(|(name, text)| (name.clone(), text.as_str().into())).collect();
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
            Ok(Told { same: Some(true), .. }) => Answer::Same,
            Ok(Told { same: Some(false), loaded_digest }) => Answer::Other(loaded_digest),
            Ok(Told { same: None, .. }) => Answer::Unknown("the entry changed meanwhile".to_owned()),
            Err(why) => Answer::Unknown(format!("callback: {why}")),
        }
    }

    fn spoilt(&self, payload: &Payload) -> Option<Vec<u8>> {
        (!payload.is_absence).then(|| [&payload.stored[..], b"\0quash:canary"].concat())
    }
}
