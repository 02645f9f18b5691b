//! Acts on targets from within an application: connections of its own runtime, a bound on what runs at once, and a gate
//! before a target that is away.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use quash_core::plan::{Share, TargetId};
use quash_delivery::decide::ShareError;
use quash_store::execute::Bounds;
use quash_store::report::Outcome;
use quash_store::{Store, TargetConfig};
use tokio::runtime::{self, Handle};

/// How long a target that could not be reached is not asked again: one caller in this time finds out, and all others go
/// on without waiting for it.
const SHUT_FOR: Duration = Duration::from_secs(1);

/// Runtimes that have connections at most. Tests make one each; when there are more, all connect anew.
const RUNTIMES_MAX: usize = 1024;

/// All targets, by their ids.
pub(super) struct Targets {
    targets: Vec<Target>,
    /// Connections live on the runtime that made them: a runtime that rests would leave those of the others waiting.
    stores: RwLock<Vec<(runtime::Id, Stores)>>,
}

type Stores = Arc<[Arc<dyn Store>]>;

struct Target {
    config: TargetConfig,
    /// In the place of what is configured.
    given: Option<Arc<dyn Store>>,
    bounds: Bounds,
    gate: Gate,
}

impl Targets {
    pub(super) fn new(targets: impl IntoIterator<Item = (TargetConfig, Option<Arc<dyn Store>>)>) -> Self {
        let target = |(config, given): (TargetConfig, Option<_>)| Target {
            bounds: Bounds::new(&config.options),
            gate: Gate::default(),
            config,
            given,
        };
        Self { targets: targets.into_iter().map(target).collect(), stores: RwLock::default() }
    }

    /// Applies the shares at once, and says which of them are not done, by their index.
    pub(super) async fn execute(&self, shares: &[Share]) -> Vec<(usize, ShareError<String>)> {
        let stores = match self.stores() {
            Ok(stores) => stores,
            Err(error) => return (0..shares.len()).map(|index| (index, unreachable(error.clone()))).collect(),
        };
        // Most events concern one target.
        if let [share] = shares {
            return self.apply(share, &stores).await.map(|error| (0, error)).into_iter().collect();
        }
        let applied = join_all(shares.iter().map(|share| self.apply(share, &stores))).await;
        applied.into_iter().enumerate().filter_map(|(index, error)| Some((index, error?))).collect()
    }

    /// The store of a target, on the runtime that this runs on.
    pub(super) fn store(&self, target: TargetId) -> Result<Arc<dyn Store>, String> {
        let store = self.stores()?.get(usize::from(target.0)).map(Arc::clone);
        store.ok_or_else(|| "the target is not configured".to_owned())
    }

    async fn apply(&self, share: &Share, stores: &Stores) -> Option<ShareError<String>> {
        let index = usize::from(share.target.0);
        let (Some(target), Some(store)) = (self.targets.get(index), stores.get(index)) else {
            // Rules and targets are made from one configuration; should they ever differ, nothing is lost.
            return Some(unreachable("the target is not configured".to_owned()));
        };
        if let Some(error) = target.gate.why_shut() {
            return Some(unreachable(error));
        }
        let undone = target.apply(share, &**store).await;
        match &undone {
            Some(ShareError::Unreachable { error, .. }) => target.gate.shut_because(error),
            Some(ShareError::Failed(_)) | None => target.gate.open(),
        }
        undone
    }

    /// The stores of the runtime that this runs on.
    fn stores(&self) -> Result<Stores, String> {
        let id = Handle::current().id();
        let of = |all: &[(runtime::Id, Stores)]| {
            // Few processes have more than a handful of runtimes.
            all.iter().find(|(known, _)| *known == id).map(|(_, stores)| Arc::clone(stores))
        };
        let known = of(&self.stores.read().unwrap_or_else(PoisonError::into_inner));
        if let Some(stores) = known {
            return Ok(stores);
        }
        let stores = self.targets.iter().map(Target::build).collect::<Result<Stores, _>>()?;
        let mut all = self.stores.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread of the runtime may have been quicker.
        if let Some(stores) = of(&all) {
            return Ok(stores);
        }
        if all.len() >= RUNTIMES_MAX {
            all.clear();
        }
        all.push((id, Arc::clone(&stores)));
        Ok(stores)
    }
}

impl Target {
    fn build(&self) -> Result<Arc<dyn Store>, String> {
        match &self.given {
            Some(store) => Ok(Arc::clone(store)),
            None => self.config.kind.build().map_err(|problem| problem.message),
        }
    }

    async fn apply(&self, share: &Share, store: &dyn Store) -> Option<ShareError<String>> {
        let _turn = self.bounds.turn().await;
        match self.bounds.execute(share, store).await {
            Outcome::Answered { failed, .. } => {
                let (_, failure) = failed.into_iter().next()?;
                Some(ShareError::Failed(format!("{}: {}", failure.action, failure.error)))
            }
            Outcome::Unreachable { error } => Some(unreachable(error)),
        }
    }
}

const fn unreachable(error: String) -> ShareError<String> {
    ShareError::Unreachable { error, away: Duration::ZERO }
}

/// Lets nobody ask a target for a while after it could not be reached.
#[derive(Default)]
struct Gate {
    /// Whether `shut` may say why, so that callers of a target that is well lock nothing.
    is_shut: AtomicBool,
    shut: Mutex<Option<Shut>>,
}

struct Shut {
    until: Instant,
    error: String,
}

impl Gate {
    fn state(&self) -> std::sync::MutexGuard<'_, Option<Shut>> {
        self.shut.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the target must not be asked now. When its time is over, one caller may ask, and the others wait for his answer
    /// as long again.
    fn why_shut(&self) -> Option<String> {
        if !self.is_shut.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.state();
        let shut = state.as_mut()?;
        let now = Instant::now();
        if now >= shut.until {
            shut.until = now + SHUT_FOR;
            return None;
        }
        Some(shut.error.clone())
    }

    fn shut_because(&self, error: &str) {
        let mut state = self.state();
        *state = Some(Shut { until: Instant::now() + SHUT_FOR, error: error.to_owned() });
        self.is_shut.store(true, Ordering::Release);
    }

    fn open(&self) {
        if self.is_shut.load(Ordering::Acquire) {
            let mut state = self.state();
            *state = None;
            self.is_shut.store(false, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_finds_out_and_the_others_do_not_wait() {
        let gate = Gate::default();
        assert_eq!(gate.why_shut(), None);
        gate.shut_because("away");
        assert_eq!(gate.why_shut().as_deref(), Some("away"));
        gate.state().as_mut().unwrap().until = Instant::now();
        assert_eq!(gate.why_shut(), None);
        assert_eq!(gate.why_shut().as_deref(), Some("away"));
        gate.open();
        assert_eq!(gate.why_shut(), None);
    }
}
