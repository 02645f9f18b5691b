//! Says whether the worker can do its work, and if not, what is in its way.

use std::fmt;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::desk::Desk;
use quash_worker::hint;

/// The body of `/readyz`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Health {
    /// Whether it receives and can reach a target.
    ready: bool,
    /// Whether it stops.
    draining: bool,
    sources: Vec<SourceHealth>,
    lanes: Vec<LaneHealth>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SourceHealth {
    name: String,
    connected: bool,
    /// What mends it, where that is known. Never the words of a server: everybody may ask for this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cure: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct LaneHealth {
    target: String,
    open: bool,
    /// As of a source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cure: Option<String>,
}

impl Health {
    /// A single target that cannot be reached is shown, and is no reason to call the worker unready: it works for the
    /// others. Where no worker runs here, answering is all there is to do.
    fn of(desk: &Desk) -> Self {
        let Some(view) = &desk.view else {
            return Self { ready: true, draining: false, sources: Vec::new(), lanes: Vec::new() };
        };
        let snapshot = view.snapshot();
        let sources = view.sources.iter();
        let sources = sources.map(|source| SourceHealth {
            name: source.name.clone(),
            connected: source.metrics.is_connected(),
            cure: source.metrics.cure().map(str::to_owned),
        });
        let sources: Vec<_> = sources.collect();
        let lanes = snapshot.rules.targets().iter().zip(&snapshot.lanes);
        let lanes = lanes.map(|(target, lane)| {
            let away = lane.away();
            let cure = away.as_ref().map(|(error, _)| hint::mend(error)).filter(|cure| !cure.is_empty());
            LaneHealth { target: target.clone(), open: away.is_some(), cure: cure.map(str::to_owned) }
        });
        let lanes: Vec<_> = lanes.collect();
        let draining = view.stop.is_draining();
        let ready = !draining && sources.iter().all(|source| source.connected) && snapshot.is_reachable();
        Self { ready, draining, sources, lanes }
    }
}

/// Answers 200 when the worker can do its work, and else 503.
pub(crate) async fn readyz(State(desk): State<Arc<Desk>>) -> Response {
    let health = Health::of(&desk);
    let status = if health.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    // Names, truth values and lists of them always have a JSON form.
    let body = serde_json::to_string(&health).unwrap_or_default();
    (status, [(header::CONTENT_TYPE, "application/json")], body + "\n").into_response()
}

/// Every metric, for Prometheus.
pub(crate) async fn metrics(State(desk): State<Arc<Desk>>) -> Response {
    if let Some(view) = &desk.view {
        view.sources.iter().for_each(|source| source.metrics.set_oldest_unconfirmed());
        view.snapshot().lanes.iter().for_each(|lane| lane.metrics().lane(lane.is_open()));
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], desk.metrics.encode()).into_response()
}

impl Health {
    /// Whether a target cannot be reached. The worker may be ready all the same.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        self.lanes.iter().any(|lane| lane.open)
    }
}

/// `draining, source events is connected, target main cannot be reached`.
impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let draining = self.draining.then(|| "draining".to_owned());
        let sources = self.sources.iter().map(|source| {
            let is = if source.connected { "is connected" } else { "is not connected" };
            format!("source {} {is}{}", source.name, behind(source.cure.as_deref()))
        });
        let lanes = self.lanes.iter().map(|lane| {
            let is = if lane.open { "cannot be reached" } else { "can be reached" };
            format!("target {} {is}{}", lane.target, behind(lane.cure.as_deref()))
        });
        f.write_str(&draining.into_iter().chain(sources).chain(lanes).collect::<Vec<_>>().join(", "))
    }
}

/// What mends it, in brackets behind what is wrong.
fn behind(cure: Option<&str>) -> String {
    cure.map_or_else(String::new, |cure| format!(" ({cure})"))
}
