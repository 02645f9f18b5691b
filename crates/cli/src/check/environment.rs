//! Asks every target and every source whether it is as its promises need.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join_all, join3};
use quash_config::{Finding, Secret, Severity};
use quash_core::action::ActionSet;
use quash_core::explain::Dependence;
use quash_core::location::Location;
use quash_core::resolve::Resolver;
use quash_relay::{Relay, RelayError};
use quash_store::{Store, StoreConfig, StoreError, TargetConfig};
use quash_transport::TransportError;
use serde::Serialize;

use super::entries::entries;
use super::one_server::one_server;
use crate::hint;
use crate::output::{Paint, escape_for_terminal};
use quash_dispatch::config::{Config, SourceConfig, address, is_encrypted};

/// How long an inspection may take: longer than any driver's own limit for connecting.
const INSPECTION_MAX: Duration = Duration::from_secs(20);

/// What was found at one target or source.
#[derive(Debug, Serialize)]
pub(super) struct Inspected {
    /// `target`, `source` or `relay`.
    role: &'static str,
    name: String,
    /// The kind of plug-in, as `redis`.
    kind: &'static str,
    findings: Vec<Finding>,
    /// Why it could not be asked.
    unreachable: Option<String>,
}

/// How a finding ended, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Ok,
    Warning,
    Error,
    Unreachable,
}

/// Asks all of them at the same time.
pub(super) async fn inspect(config: &Config, resolver: &Resolver, relays: &[Relay]) -> Vec<Inspected> {
    let (locations, dependences) = (&resolver.locations(), &resolver.graph());
    let asked = config.targets.iter().map(|(name, target)| target_is(name, target, resolver.needs(name), locations));
    let targets = join_all(asked);
    let sources = join_all(config.sources.iter().map(|(name, source)| source_is(name, source)));
    let relays = inspect_relays(relays, dependences);
    let (targets, mut sources, relays) = join3(targets, sources, relays).await;
    for (name, finding) in one_server(config).await {
        sources
            .iter_mut()
            .filter(|source| source.name == name)
            .for_each(|source| source.findings.push(finding.clone()));
    }
    targets.into_iter().chain(sources).chain(relays).collect()
}

/// The databases that relays read.
async fn inspect_relays(relays: &[Relay], dependences: &[Dependence]) -> Vec<Inspected> {
    let inspected = relays.iter().map(async |relay| {
        let asked = within_limit(async { relay.inspect(dependences).await.map_err(Failure::from) }).await;
        Inspected::new("relay", relay.name(), "postgres", asked)
    });
    join_all(inspected).await
}

async fn target_is(name: &str, target: &TargetConfig, needs: ActionSet, locations: &[Location]) -> Inspected {
    let asking = async |store: Arc<dyn Store>| {
        let mut findings = store.inspect(needs).await?;
        findings.extend(entries(&*store, name, locations).await?);
        Ok::<_, StoreError>(findings)
    };
    let asked = match target.kind.build() {
        Ok(store) => within_limit(async { asking(store).await.map_err(Failure::from) }).await,
        Err(problem) => Err(Failure::Refused(problem.message)),
    };
    let asked = asked.map_err(|failure| failure.plain(is_target_encrypted(target)));
    Inspected::new("target", name, target.kind.kind(), asked)
}

fn is_target_encrypted(target: &TargetConfig) -> bool {
    let StoreConfig::Redis(redis) = &target.kind else { return false };
    let is_encrypted = |url: &Secret| url.expose().starts_with("rediss:") || url.expose().starts_with("valkeys:");
    redis.url.iter().chain(&redis.cluster).any(is_encrypted)
}

async fn source_is(name: &str, source: &SourceConfig) -> Inspected {
    let asked = match source.kind.build() {
        Ok(transport) => within_limit(async { transport.inspect().await.map_err(Failure::from) }).await,
        Err(problem) => Err(Failure::Refused(problem.message)),
    };
    let asked = asked.map_err(|failure| failure.at(address(source)).plain(is_encrypted(source)));
    Inspected::new("source", name, source.kind.kind(), asked)
}

async fn within_limit(asking: impl Future<Output = Result<Vec<Finding>, Failure>>) -> Result<Vec<Finding>, Failure> {
    let late = || Failure::Unreachable(format!("no answer in {} seconds", INSPECTION_MAX.as_secs()));
    tokio::time::timeout(INSPECTION_MAX, asking).await.unwrap_or_else(|_| Err(late()))
}

/// Why an inspection came to no end.
enum Failure {
    Unreachable(String),
    Refused(String),
}

impl Failure {
    /// The same with the address, where it does not say it.
    fn at(self, address: Option<String>) -> Self {
        let say = |what: String| match &address {
            Some(address) if !what.contains(address.as_str()) => format!("{address}: {what}"),
            _ => what,
        };
        match self {
            Self::Unreachable(what) => Self::Unreachable(say(what)),
            Self::Refused(what) => Self::Refused(say(what)),
        }
    }
}

impl Failure {
    /// The same in plain words.
    fn plain(self, encrypted: bool) -> Self {
        match self {
            Self::Unreachable(what) => Self::Unreachable(hint::plain_of(&what, encrypted)),
            Self::Refused(what) => Self::Refused(hint::plain(&what)),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unreachable(_) => Self::Unreachable(error.to_string()),
            _ => Self::Refused(error.to_string()),
        }
    }
}

impl From<RelayError> for Failure {
    fn from(error: RelayError) -> Self {
        match error {
            RelayError::Unreachable(_) => Self::Unreachable(error.to_string()),
            _ => Self::Refused(error.to_string()),
        }
    }
}

impl From<TransportError> for Failure {
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::Unreachable(_) => Self::Unreachable(error.to_string()),
            _ => Self::Refused(error.to_string()),
        }
    }
}

impl Inspected {
    fn new(role: &'static str, name: &str, kind: &'static str, asked: Result<Vec<Finding>, Failure>) -> Self {
        let (findings, unreachable) = match asked {
            Ok(findings) => (findings, None),
            Err(Failure::Unreachable(error)) => (Vec::new(), Some(error)),
            Err(Failure::Refused(what)) => {
                let mend = hint::mend(&what);
                (vec![Finding::error(what, mend)], None)
            }
        };
        Self { role, name: name.to_owned(), kind, findings, unreachable }
    }

    /// How many findings ended so.
    pub(super) fn count(&self, outcome: Outcome) -> usize {
        let findings = self.findings.iter().filter(|finding| outcome_of(finding) == outcome).count();
        findings + usize::from(self.unreachable.is_some() && outcome == Outcome::Unreachable)
    }

    /// Why it could not be reached, with its name.
    pub(super) fn unreachable(&self) -> Option<String> {
        let error = self.unreachable.as_ref()?;
        Some(format!("{} {}: {error}", self.role, self.name))
    }

    /// Its findings, one a line, with what mends them.
    pub(super) fn text(&self, paint: Paint) -> String {
        let heading = format!("{} {} ({})", self.role, escape_for_terminal(&self.name), self.kind);
        let mut out = format!("{}\n", paint.bold(&heading));
        if let Some(error) = &self.unreachable {
            out += &format!("  {} {}\n", paint.red("✗"), escape_for_terminal(error));
            let mend = hint::mend(error);
            if !mend.is_empty() {
                out += &format!("    {} {mend}\n", paint.dim("mend:"));
            }
        }
        for finding in &self.findings {
            let mark = match outcome_of(finding) {
                Outcome::Ok => paint.green("✓"),
                Outcome::Warning => paint.yellow("!"),
                Outcome::Error | Outcome::Unreachable => paint.red("✗"),
            };
            out += &format!("  {mark} {}\n", escape_for_terminal(&finding.what));
            if !finding.mend.is_empty() {
                out += &format!("    {} {}\n", paint.dim("mend:"), escape_for_terminal(&finding.mend));
            }
        }
        out
    }
}

fn outcome_of(finding: &Finding) -> Outcome {
    match finding.severity {
        Severity::Ok => Outcome::Ok,
        Severity::Warning => Outcome::Warning,
        Severity::Error => Outcome::Error,
    }
}

#[cfg(test)]
impl Inspected {
    /// A target with one finding that ended so.
    pub(super) fn example(name: &str, outcome: Outcome) -> Self {
        let asked = match outcome {
            Outcome::Ok => Ok(vec![Finding::ok("policy")]),
            Outcome::Warning => Ok(vec![Finding::warning("policy", "set it")]),
            Outcome::Error => Ok(vec![Finding::error("policy", "set it")]),
            Outcome::Unreachable => Err(Failure::Unreachable("connection refused".to_owned())),
        };
        Self::new("target", name, "redis", asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_come_with_what_mends_them() {
        let text = |outcome| Inspected::example("main", outcome).text(Paint(false));
        assert_eq!(text(Outcome::Warning), "target main (redis)\n  ! policy\n    mend: set it\n");
        assert_eq!(text(Outcome::Unreachable), "target main (redis)\n  ✗ connection refused\n");
    }
}
