//! Serves metrics and health over HTTP.

mod health;
mod limits;
mod token;

#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::drain::Stop;
use crate::metrics::Metrics;
use crate::snapshot::Snapshot;
use crate::source::Source;
pub use health::Health;
use limits::{Limited, Limits};
use quash_dispatch::config::AdminConfig;
use token::Token;

/// What is in `admin.listen` when there is no endpoint.
pub const OFF: &str = "off";

/// What the endpoint tells about.
pub struct Admin {
    token: Option<Token>,
    metrics: Arc<Metrics>,
    sources: Vec<Arc<Source>>,
    rules: Arc<ArcSwap<Snapshot>>,
    stop: Stop,
}

impl Admin {
    /// Gathers what the endpoint tells about.
    #[must_use]
    pub fn new(
        config: &AdminConfig,
        metrics: Arc<Metrics>,
        sources: Vec<Arc<Source>>,
        rules: Arc<ArcSwap<Snapshot>>,
        stop: Stop,
    ) -> Self {
        Self { token: config.token.as_ref().map(Token::new), metrics, sources, rules, stop }
    }
}

/// Opens the endpoint and serves it in a task; `None` when it is off.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn listen(listen: &str, admin: Admin, tasks: &mut JoinSet<()>) -> io::Result<Option<SocketAddr>> {
    if listen == OFF {
        return Ok(None);
    }
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    tracing::info!(%address, "admin endpoint listens");
    let router = router(Arc::new(admin));
    // Serving ends with its task; a connection that fails is the affair of who opened it.
    tasks.spawn(async move { drop(axum::serve(Limited::new(listener, Limits::default()), router).await) });
    Ok(Some(address))
}

fn router(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route("/readyz", get(readyz))
        .route_layer(from_fn_with_state(Arc::clone(&admin), authorised))
        .route("/livez", get(async || "ok\n"))
        .with_state(admin)
}

/// Liveness alone is told to everybody: whoever restarts the worker needs no secret for that.
async fn authorised(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
    match &admin.token {
        Some(token) if !given.is_some_and(|given| token.is(given)) => {
            (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], "a bearer token is needed\n")
                .into_response()
        }
        _ => next.run(request).await,
    }
}

/// The token of an `Authorization` header. Names of schemes are read in any case (RFC 9110, 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii_start())
}

async fn index() -> &'static str {
    "quash\n\n/metrics  for Prometheus\n/readyz   whether the worker can do its work\n/livez    whether the process answers\n"
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    admin.rules.load().lanes.iter().for_each(|lane| lane.metrics().lane(lane.is_open()));
    admin.sources.iter().for_each(|source| source.metrics.set_oldest_unconfirmed());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], admin.metrics.encode()).into_response()
}

async fn readyz(State(admin): State<Arc<Admin>>) -> Response {
    let health = Health::of(&admin);
    let status = if health.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    // Names, truth values and lists of them always have a JSON form.
    let body = serde_json::to_string(&health).unwrap_or_default();
    (status, [(header::CONTENT_TYPE, "application/json")], body + "\n").into_response()
}
