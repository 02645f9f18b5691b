//! Takes samples of a target's entries, compares them with what is true, and looks at those that differed again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use quash_core::glob::Matcher;
use quash_core::plan::TargetId;
use quash_core::resolve::Resolver;
use quash_core::scope::CacheId;
use quash_core::spell::Entry;
use quash_dispatch::config::{Config, VerifyConfig};
use quash_store::{Probe, Stood, Store, StoreError};
use tokio::time::{Instant, sleep_until};

use crate::budget::{Budget, STEP_MAX};
use crate::canary::{self, Canary};
use crate::entry::{BYTES_MAX, Look, Payload, Readers, look};
use crate::suspects::{Suspect, Suspects};
use crate::tally::{Outcome, Violation};
use crate::truth::{self, Answer, Asked, Truth};
use crate::walk::Walk;

/// How long a step waits at most where nothing is to be done, so that whoever stops it need not wait.
const STEP_LIMIT: Duration = Duration::from_millis(200);

/// Why entries cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The configuration does not say enough, or names what cannot be used.
    #[error("{0}")]
    Configuration(String),
    /// The target did not answer.
    #[error("target {target}: {error}")]
    Store {
        /// The target.
        target: String,
        /// Its words.
        error: StoreError,
    },
}

/// Hears what comes of samples.
pub trait Watch: Send + Sync {
    /// This came of one, for one of the times.
    fn sampled(&self, cache: &str, target: &str, within: Duration, outcome: Outcome);
    /// An entry was stale.
    fn violated(&self, violation: &Violation);
    /// The entry that was made stale on purpose was found, or was not.
    fn canary(&self, cache: &str, target: &str, found: bool);
    /// So many samples were not taken, because the budget or the number of suspects allows no more.
    fn skipped(&self, cache: &str, target: &str);
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reached {
    /// Samples taken.
    pub samples: u64,
    /// How often all keys were walked over.
    pub rounds: u64,
    /// Whether nothing waits to be looked at again, no canary either.
    pub is_settled: bool,
}

/// Compares the entries of one target.
pub struct Verifier {
    target: String,
    id: TargetId,
    store: Arc<dyn Store>,
    rules: Arc<Resolver>,
    caches: Vec<Compared>,
    within: Vec<Duration>,
    budget: Budget,
    walk: Walk,
    suspects: Suspects,
    samples: u64,
}

/// A cache whose entries are compared.
struct Compared {
    name: String,
    id: CacheId,
    keys: Vec<Matcher>,
    readers: Readers,
    truth: Arc<dyn Truth>,
    canary: Canary,
}

/// A key that is looked at.
struct Sample {
    cache: usize,
    key: String,
    args: Vec<(String, String)>,
    tags: Vec<String>,
}

/// What was seen of it.
struct Seen {
    sample: Sample,
    ttl_ms: Option<u64>,
    look: Result<(Payload, Answer), Outcome>,
}

impl Verifier {
    /// One for each target with a cache of which it is declared what is true; of these caches alone, if any are named.
    ///
    /// # Errors
    /// [`VerifyError::Configuration`].
    pub fn all(
        config: &Config,
        rules: &Arc<Resolver>,
        only: &[String],
        how: &VerifyConfig,
    ) -> Result<Vec<Self>, VerifyError> {
        let wrong = VerifyError::Configuration;
        let truths = truth::all(config).map_err(wrong)?;
        if let Some(name) = only.iter().find(|name| !truths.contains_key(*name)) {
            return Err(wrong(match config.caches.contains_key(name) {
                true => format!("cache {name} does not say what is true: declare its `truth`"),
                false => format!("no cache is called `{name}`"),
            }));
        }
        if truths.is_empty() {
            return Err(wrong("no cache says what is true: declare the `truth` of one".to_owned()));
        }
        let wanted = |name: &str| only.is_empty() || only.iter().any(|one| one == name);
        let mut verifiers = Vec::new();
        for (name, target) in &config.targets {
            let caches = compared(config, rules, name, &truths, wanted, *how.canary);
            if caches.is_empty() {
                continue;
            }
            let store = target.kind.build().map_err(|problem| wrong(format!("target {name}: {}", problem.message)))?;
            let id = rules.target(name).ok_or_else(|| wrong(format!("no target is called `{name}`")))?;
            let within = how.within.iter().map(|span| **span).collect();
            verifiers.push(Self::new(name, id, store, Arc::clone(rules), caches, within, how.budget));
        }
        Ok(verifiers)
    }

    fn new(
        target: &str,
        id: TargetId,
        store: Arc<dyn Store>,
        rules: Arc<Resolver>,
        caches: Vec<Compared>,
        within: Vec<Duration>,
        budget: u32,
    ) -> Self {
        let (budget, target) = (Budget::new(budget, Instant::now()), target.to_owned());
        let (walk, suspects) = (Walk::default(), Suspects::default());
        Self { target, id, store, rules, caches, within, budget, walk, suspects, samples: 0 }
    }

    /// The target.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The store, for notes.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Reached {
        let is_settled = self.suspects.next().is_none() && self.caches.iter().all(|cache| !cache.canary.is_out());
        Reached { samples: self.samples, rounds: self.walk.rounds, is_settled }
    }

    /// Does what is due, as far as the budget allows, and waits a little where nothing is. Takes so many new samples at most.
    ///
    /// # Errors
    /// [`VerifyError::Store`] when the target does not answer: nothing is counted then of what was asked.
    pub async fn step(&mut self, most: u64, watch: &dyn Watch) -> Result<(), VerifyError> {
        let now = Instant::now();
        for cache in &mut self.caches {
            if cache.canary.is_missed(now) {
                watch.canary(&cache.name, &self.target, false);
            }
        }
        let most = usize::try_from(most).unwrap_or(STEP_MAX).min(STEP_MAX);
        let wait = match self.budget.allowed(now) {
            Ok(allowed) => {
                let due = self.suspects.due(now, allowed);
                if !due.is_empty() {
                    return self.look_again(due, watch).await;
                }
                if most > 0 {
                    return self.sample(allowed.min(most), watch).await;
                }
                STEP_LIMIT
            }
            Err(wait) => wait,
        };
        let until = self.suspects.next().filter(|_| most == 0).unwrap_or(now + wait);
        sleep_until(until.clamp(now, now + STEP_LIMIT)).await;
        Ok(())
    }

    async fn sample(&mut self, most: usize, watch: &dyn Watch) -> Result<(), VerifyError> {
        if let Some(position) = self.walk.wants() {
            let page = probe(&*self.store)?.page(position).await.map_err(|error| self.failed(error))?;
            let caches = &self.caches;
            self.walk.take(page, |key| cache_of(caches, key).is_some());
        }
        let keys = self.walk.next(most);
        // A page without a key of these caches costs as much as one.
        self.budget.spend(keys.len().max(1));
        let samples: Vec<Sample> = keys.into_iter().filter_map(|key| self.sample_of(key, watch)).collect();
        for seen in self.see(samples).await? {
            self.samples += 1;
            self.judge(seen, watch).await?;
        }
        Ok(())
    }

    /// The entry of a key. What its key does not tell without doubt is undecided.
    fn sample_of(&mut self, key: String, watch: &dyn Watch) -> Option<Sample> {
        let cache = cache_of(&self.caches, &key)?;
        let Some(Entry { args, tags }) = self.rules.entry(self.caches[cache].id, self.id, &key) else {
            self.samples += 1;
            self.count(cache, 0, Outcome::Undecided, watch);
            return None;
        };
        Some(Sample { cache, key, args, tags })
    }

    /// Reads entries and asks what is true of them, all at once.
    async fn see(&mut self, samples: Vec<Sample>) -> Result<Vec<Seen>, VerifyError> {
        if samples.is_empty() {
            return Ok(Vec::new());
        }
        let begun = Instant::now();
        let names: Vec<&str> = samples
            .iter()
            .flat_map(|sample| std::iter::once(&sample.key).chain(&sample.tags))
            .map(String::as_str)
            .collect();
        let read = probe(&*self.store)?.read(&names, BYTES_MAX).await.map_err(|error| self.failed(error))?;
        self.budget.answered(begun.elapsed());
        let mut read = read.into_iter();
        let looks = samples.into_iter().map(|sample| {
            let stood = read.next().flatten();
            let tags: Vec<Option<Stood>> = read.by_ref().take(sample.tags.len()).collect();
            let looked = look(stood.as_ref(), &tags, self.caches[sample.cache].readers);
            (sample, stood.and_then(|stood| stood.ttl_ms), looked)
        });
        let asked = looks.map(|(sample, ttl_ms, looked)| self.ask(sample, ttl_ms, looked)).collect::<Vec<_>>();
        Ok(join_all(asked).await)
    }

    async fn ask(&self, sample: Sample, ttl_ms: Option<u64>, looked: Look) -> Seen {
        let payload = match looked {
            Look::Nothing(outcome) => return Seen { sample, ttl_ms, look: Err(outcome) },
            Look::Served(payload) => payload,
        };
        let Compared { name, truth, .. } = &self.caches[sample.cache];
        let asked =
            Asked { cache: name, target: &self.target, key: &sample.key, args: &sample.args, payload: &payload };
        let answer = truth.ask(&asked).await;
        if let Answer::Unknown(why) = &answer {
            tracing::debug!(cache = name, target = self.target, why, "it is not known what is true");
        }
        Seen { sample, ttl_ms, look: Ok((payload, answer)) }
    }

    /// Says what came of a first look.
    async fn judge(&mut self, seen: Seen, watch: &dyn Watch) -> Result<(), VerifyError> {
        let Seen { sample, look, .. } = seen;
        let cache = sample.cache;
        match look {
            Err(outcome) => self.count(cache, 0, outcome, watch),
            Ok((_, Answer::Unreadable)) => self.count(cache, 0, Outcome::Unreadable, watch),
            Ok((_, Answer::Unknown(_))) => self.count(cache, 0, Outcome::Undecided, watch),
            Ok((payload, Answer::Other(_))) => {
                if !self.suspects.push(suspect(sample, &payload, false), &self.within) {
                    watch.skipped(&self.caches[cache].name, &self.target);
                }
            }
            Ok((payload, Answer::Same)) => {
                self.count(cache, 0, Outcome::Fresh, watch);
                if self.caches[cache].canary.is_due(Instant::now()) {
                    self.plant(sample, &payload).await?;
                }
            }
        }
        Ok(())
    }

    /// Looks again at what differed.
    async fn look_again(&mut self, due: Vec<Suspect>, watch: &dyn Watch) -> Result<(), VerifyError> {
        self.budget.spend(due.len());
        let samples = due.iter().map(|suspect| Sample {
            cache: suspect.cache,
            key: suspect.key.clone(),
            args: suspect.args.clone(),
            tags: suspect.tags.clone(),
        });
        let seen = match self.see(samples.collect()).await {
            Ok(seen) => seen,
            Err(error) => {
                // They differed once; what became of them is not known.
                due.iter()
                    .filter(|suspect| !suspect.is_canary)
                    .for_each(|suspect| self.count(suspect.cache, suspect.next, Outcome::Undecided, watch));
                return Err(error);
            }
        };
        for (suspect, seen) in due.into_iter().zip(seen) {
            self.settle(suspect, seen, watch);
        }
        Ok(())
    }

    /// Says what came of a second look: stale is what stands there still, or again, and is not true now either.
    fn settle(&mut self, suspect: Suspect, seen: Seen, watch: &dyn Watch) {
        let outcome = match &seen.look {
            Ok((payload, Answer::Other(_))) if payload.digest() == suspect.digest => Outcome::Stale,
            Ok((_, Answer::Unknown(_) | Answer::Unreadable)) => Outcome::Undecided,
            // What differed is gone. What took its place is another sample's to tell.
            _ => Outcome::Fresh,
        };
        if suspect.is_canary {
            if outcome == Outcome::Stale && self.caches[suspect.cache].canary.found() {
                watch.canary(&self.caches[suspect.cache].name, &self.target, true);
            }
            return;
        }
        if outcome != Outcome::Stale {
            return self.count(suspect.cache, suspect.next, outcome, watch);
        }
        let (name, within) = (&self.caches[suspect.cache].name, self.within[suspect.next]);
        watch.sampled(name, &self.target, within, Outcome::Stale);
        let truth = match seen.look {
            Ok((_, Answer::Other(truth))) => truth,
            _ => None,
        };
        watch.violated(&Violation {
            cache: name.clone(),
            target: self.target.clone(),
            key: suspect.key.clone(),
            within_ms: millis(within),
            stale_ms: millis(suspect.since.elapsed()),
            ttl_ms: seen.ttl_ms,
            entry: suspect.digest.clone(),
            truth,
        });
        let name = name.clone();
        if !self.suspects.push(Suspect { next: suspect.next + 1, ..suspect }, &self.within) {
            watch.skipped(&name, &self.target);
        }
    }

    /// Writes an entry of Quash's own that differs from what is true as much as can be, and looks at it like at any other.
    async fn plant(&mut self, sample: Sample, payload: &Payload) -> Result<(), VerifyError> {
        let (cache, now) = (sample.cache, Instant::now());
        let Some(stored) = self.caches[cache].truth.spoilt(payload) else { return Ok(()) };
        let key = format!("{}{}", canary::KEY, self.caches[cache].name);
        let within = self.within.first().copied().unwrap_or_default();
        let life = within + canary::PATIENCE * 2;
        let bytes = [&payload.head[..], &stored].concat();
        let noted = probe(&*self.store)?.note(&key, &bytes, life, false).await;
        noted.map_err(|error| self.failed(error))?;
        self.caches[cache].canary.planted(now, within);
        for seen in self.see(vec![Sample { key, ..sample }]).await? {
            if let Ok((payload, Answer::Other(_))) = &seen.look {
                self.suspects.push(suspect(seen.sample, payload, true), &self.within[..1]);
            } else {
                tracing::debug!(cache = self.caches[cache].name, "the entry made stale on purpose does not differ");
            }
        }
        Ok(())
    }

    /// Counts an outcome for one of the times and all after it.
    fn count(&self, cache: usize, from: usize, outcome: Outcome, watch: &dyn Watch) {
        let name = &self.caches[cache].name;
        self.within[from..].iter().for_each(|within| watch.sampled(name, &self.target, *within, outcome));
    }

    fn failed(&self, error: StoreError) -> VerifyError {
        VerifyError::Store { target: self.target.clone(), error }
    }
}

/// Who takes samples of a target; each kind that is built here has one.
fn probe(store: &dyn Store) -> Result<&dyn Probe, VerifyError> {
    let silent = || VerifyError::Configuration("this kind of target does not show its entries".to_owned());
    store.probe().ok_or_else(silent)
}

fn suspect(sample: Sample, payload: &Payload, is_canary: bool) -> Suspect {
    let Sample { cache, key, args, tags } = sample;
    let (digest, since) = (payload.digest(), Instant::now());
    Suspect { cache, key, args, tags, digest, since, next: 0, is_canary }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The first cache that writes such a key.
fn cache_of(caches: &[Compared], key: &str) -> Option<usize> {
    caches.iter().position(|cache| cache.keys.iter().any(|keys| keys.matches(key.as_bytes())))
}

fn compared(
    config: &Config,
    rules: &Resolver,
    target: &str,
    truths: &BTreeMap<String, Arc<dyn Truth>>,
    wanted: impl Fn(&str) -> bool,
    canary: Duration,
) -> Vec<Compared> {
    let here = rules.locations().into_iter().filter(|location| location.target == target && wanted(&location.cache));
    let caches = here.filter_map(|location| {
        let truth = Arc::clone(truths.get(&location.cache)?);
        let foreign = config.caches[&location.cache].foreign.unwrap_or_default();
        let readers = Readers { freshness: location.freshness, layout: location.layout, foreign };
        let behind =
            |head: &str| location.entries.keys.iter().map(|key| key.behind(head).matcher()).collect::<Vec<_>>();
        let keys = location.prefixes.iter().flat_map(|head| behind(head)).collect();
        let (id, canary) = (rules.cache(&location.cache)?, Canary::new(canary, Instant::now()));
        Some(Compared { name: location.cache, id, keys, readers, truth, canary })
    });
    caches.collect()
}

#[cfg(test)]
mod tests;
