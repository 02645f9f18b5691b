//! Says whether the worker can do its work, and if not, what is in its way.

use serde::Serialize;

use super::Admin;

/// The body of `/readyz`.
#[derive(Debug, Serialize)]
pub(super) struct Health {
    /// Whether it receives and can reach a target.
    pub(super) ready: bool,
    /// Whether it stops.
    draining: bool,
    sources: Vec<SourceHealth>,
    lanes: Vec<LaneHealth>,
}

#[derive(Debug, Serialize)]
struct SourceHealth {
    name: String,
    connected: bool,
}

#[derive(Debug, Serialize)]
struct LaneHealth {
    target: String,
    open: bool,
}

impl Health {
    /// A single target that cannot be reached is shown, and is no reason to call the worker unready: it works for the
    /// others.
    pub(super) fn of(admin: &Admin) -> Self {
        let snapshot = admin.rules.load();
        let sources = admin.sources.iter();
        let sources =
            sources.map(|source| SourceHealth { name: source.name.clone(), connected: source.metrics.is_connected() });
        let sources: Vec<_> = sources.collect();
        let lanes = snapshot.rules.targets().iter().zip(&snapshot.lanes);
        let lanes = lanes.map(|(target, lane)| LaneHealth { target: target.clone(), open: lane.is_open() }).collect();
        let draining = admin.stop.is_draining();
        let ready = !draining && sources.iter().all(|source| source.connected) && snapshot.is_reachable();
        Self { ready, draining, sources, lanes }
    }
}
