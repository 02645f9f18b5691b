//! Works out from a configuration which dispatcher does what for which caches, and where events go.

use std::time::Duration;

use quash_config::{ConfigPath, Problem};
use quash_core::resolve::Resolver;
use quash_core::rule::dispatch::{Batch, DispatchConfig, Failures, Inline, Queue, Task, Threadpool, WhenFull};
use quash_core::scope::{CacheId, CacheSet, Scope};

use crate::config::Config;

/// Who does what.
pub(super) struct Layout {
    /// The dispatchers of this process, each with its caches.
    pub(super) groups: Vec<Group>,
    /// Where events go.
    pub(super) home: Home,
    /// Whether every event goes there: a worker may know caches that this process does not know.
    pub(super) always_publishes: bool,
}

/// The queue that events go to.
pub(super) struct Home {
    pub(super) source: String,
    pub(super) timeout: Duration,
    pub(super) batch: Option<Batch>,
}

/// A dispatcher of this process, shared by the caches whose configuration is equal.
pub(super) struct Group {
    pub(super) kind: &'static str,
    pub(super) runs: Runs,
    /// Its caches.
    pub(super) scope: Scope,
    pub(super) attempts: u32,
    pub(super) failures: Failures,
    /// Where failures and later passes go.
    pub(super) source: String,
    pub(super) timeout: Duration,
}

/// Where the work of a group runs.
pub(super) enum Runs {
    Inline,
    Threadpool { workers: usize, capacity: usize, when_full: WhenFull },
    Task { capacity: usize, when_full: WhenFull },
}

impl Layout {
    /// # Errors
    /// What of the dispatchers does not fit the rest, including what the configuration leaves out.
    pub(super) fn of(config: &Config, resolver: &Resolver) -> Result<Self, Vec<Problem>> {
        let default = config.dispatch.clone().unwrap_or_default();
        let sources: Vec<&str> = config.sources.keys().map(String::as_str).collect();
        let problems = DispatchConfig::check(Some(&default), &config.caches, &sources);
        if !problems.is_empty() {
            return Err(problems);
        }
        // Checked: there is one where none is named.
        let source =
            |choice: &DispatchConfig| choice.source().or(sources.first().copied()).unwrap_or_default().to_owned();
        let choice =
            |name: &String| config.caches.get(name).and_then(|cache| cache.dispatch.as_ref()).unwrap_or(&default);
        let choices: Vec<&DispatchConfig> = resolver.caches().iter().map(choice).collect();

        let mut distinct: Vec<&DispatchConfig> = Vec::new();
        for choice in choices.iter().copied().chain([&default]).filter(|choice| choice.is_in_process()) {
            if !distinct.contains(&choice) {
                distinct.push(choice);
            }
        }
        if !cfg!(feature = "in_process") && !distinct.is_empty() {
            let message = "this program is built to publish only, and some cache is dispatched in the process";
            let help = "enable the feature `in_process` of quash-dispatch, or write `dispatch: queue`";
            return Err(vec![Problem::error(ConfigPath::root().key("dispatch"), message).help(help)]);
        }
        let groups = distinct.into_iter().map(|choice| {
            let caches = |same: bool| {
                (0..)
                    .map(CacheId)
                    .zip(&choices)
                    .filter(move |(_, other)| (**other == choice) == same)
                    .map(|(cache, _)| cache)
            };
            // What no cache is named for, a key or a tag, is the default's.
            let scope = if *choice == default {
                Scope { handed_over: caches(false).collect(), ..Scope::default() }
            } else {
                Scope { only: Some(caches(true).collect::<CacheSet>()), ..Scope::default() }
            };
            Group::of(choice, scope, source(choice))
        });
        let groups = groups.collect();
        let queues = || [&default].into_iter().chain(choices.iter().copied());
        let always_publishes = queues().any(|choice| !choice.is_in_process());
        let home = source(&default);
        let queue = queues().find_map(|choice| match choice {
            DispatchConfig::Queue(queue) if source(choice) == home => Some(queue),
            _ => None,
        });
        let (timeout, batch) = match queue {
            Some(Queue { timeout, batch, .. }) => (timeout.0, batch.clone()),
            None => (default.timeout(), None),
        };
        Ok(Self { groups, home: Home { source: home, timeout, batch }, always_publishes })
    }
}

impl Group {
    fn of(choice: &DispatchConfig, scope: Scope, source: String) -> Self {
        let (runs, attempts, failures) = match choice {
            DispatchConfig::Inline(Inline { attempts, failures, .. }) => (Runs::Inline, *attempts, *failures),
            DispatchConfig::Threadpool(Threadpool { workers, capacity, when_full, attempts, failures, .. }) => {
                let (workers, capacity, when_full) = (*workers, *capacity, *when_full);
                (Runs::Threadpool { workers, capacity, when_full }, *attempts, *failures)
            }
            DispatchConfig::Task(Task { capacity, when_full, attempts, failures, .. }) => {
                (Runs::Task { capacity: *capacity, when_full: *when_full }, *attempts, *failures)
            }
            // Not in this process.
            DispatchConfig::Queue(_) => (Runs::Inline, 1, Failures::HandOver),
        };
        Self { kind: choice.kind(), runs, scope, attempts, failures, source, timeout: choice.timeout() }
    }
}
