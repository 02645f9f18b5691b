//! Loads, and stores what was loaded if it may be.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use quash_core::freshness::{Codec as Compression, Entry, Filled, Form, Tag};
use tokio::time::Instant;

use crate::config::{CacheInfo, Spot};
use crate::error::{BoxError, Error};
use crate::flight::Flights;
use crate::health::Health;
use crate::local::Local;
use crate::observe::{Event, Observer, Refused};
use crate::options::Options;
use crate::store::{Store, StoreError};
use crate::time::{millis, now_ms};
use crate::turn::{Claim, Right, Turn};
use crate::value::{Codec, Load, Loaded, Outcome, Source};

/// A loader, which is asked again only if a cache with versions refuses what it gave.
pub(crate) type Loader<V> = Box<dyn FnMut(Load<V>) -> BoxFuture<'static, Result<Loaded<V>, BoxError>> + Send>;

/// How often a load is asked at most, where what it gives is too old.
const ATTEMPTS_MAX: u32 = 3;

/// What all readers of a process share.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) flights: Arc<Flights>,
    pub(crate) health: Health,
    pub(crate) local: Local,
}

/// Reads one cache.
pub(crate) struct Reader<V> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) info: Arc<CacheInfo>,
    pub(crate) codec: Arc<dyn Codec<V>>,
    /// Whether it was said that loads take long.
    pub(crate) warned: AtomicBool,
}

impl<V: Send + Sync + 'static> Reader<V> {
    pub(crate) fn options(&self) -> &Options {
        &self.info.options
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.shared.store
    }

    pub(crate) fn on(&self, event: Event) {
        self.shared.observer.on(&self.info.name, event);
    }

    /// The cache could not be asked: it is left alone for a while.
    pub(crate) fn fail(&self, error: &StoreError) {
        if self.shared.health.fail() {
            tracing::warn!(cache = self.info.name, %error, "the cache cannot be asked; loading without it");
        }
        self.on(Event::RedisFailed);
    }

    /// Loads, stores what came of it if it may be, and tells who waits.
    pub(crate) async fn load_and_store(
        self: Arc<Self>,
        spot: Arc<Spot>,
        turn: Turn<V>,
        mut load: Loader<V>,
    ) -> Result<Outcome<V>, Error> {
        let Turn { mut claim, pilot, stale, .. } = turn;
        let loaded = self.load(&spot, &mut claim, stale, &mut load).await;
        if loaded.is_err() {
            self.on(Event::LoadFailed);
        }
        let outcome = loaded.map(|value| Outcome { value, from: Source::Loaded, age: None });
        if let Some(pilot) = pilot {
            pilot.land(&outcome);
        }
        outcome
    }

    async fn load(
        &self,
        spot: &Spot,
        claim: &mut Claim,
        stale: Option<Arc<V>>,
        load: &mut Loader<V>,
    ) -> Result<Option<Arc<V>>, Error> {
        let (mut min_version, mut attempt) = (claim.bar, 1);
        loop {
            let begun = Instant::now();
            let given = Load { key: Arc::clone(&spot.key), stale: stale.clone(), min_version, attempt };
            let loaded = load(given).await.map_err(|error| Error::Load(error.into()))?;
            match self.keep(spot, claim, &loaded, begun.elapsed()).await {
                Some(bar) if attempt < ATTEMPTS_MAX => (min_version, attempt) = (bar, attempt + 1),
                _ => return Ok(loaded.value.map(Arc::new)),
            }
        }
    }

    /// Stores what was loaded, if it may be. The version that it must know, if it was too old: the lease stands then.
    pub(crate) async fn keep(&self, spot: &Spot, claim: &mut Claim, loaded: &Loaded<V>, took: Duration) -> Option<u64> {
        if matches!(claim.right, Right::None) {
            return None;
        }
        let (entry, ttl) = match self.entry(loaded, &claim.tags) {
            Ok(entry) => entry,
            Err(error) => {
                tracing::warn!(cache = self.info.name, %error, "what was loaded cannot be encoded, and is not stored");
                self.on(Event::Refused(Refused::Unencodable));
                return None;
            }
        };
        let filled = match claim.right.token() {
            Some(token) => self.store().fill(&spot.key, token, loaded.version, ttl, &entry).await,
            None => self.store().set(&spot.key, &entry, ttl).await.map(|()| Filled::Stored),
        };
        let filled = filled.inspect_err(|error| self.fail(error)).ok()?;
        self.warn_if_slow(took);
        self.on(match filled {
            Filled::Stored => Event::Stored,
            Filled::Gone if took >= self.options().lease => Event::Refused(Refused::Slow),
            Filled::Gone => Event::Refused(Refused::Voided),
            Filled::TooOld { .. } => Event::Refused(Refused::TooOld),
        });
        if let Filled::TooOld { bar } = filled {
            return Some(bar);
        }
        claim.right.end();
        self.shared.local.touch(&spot.key);
        None
    }

    fn warn_if_slow(&self, took: Duration) {
        let lease = self.options().lease;
        if took > lease / 2 && !self.warned.swap(true, Ordering::Relaxed) {
            let (cache, took) = (&self.info.name, took.as_secs_f32());
            tracing::warn!(cache, took, "a load took more than half of the lease, past which nothing is stored");
        }
    }

    /// The bytes to store, and how long they live.
    fn entry(&self, loaded: &Loaded<V>, tags: &[Tag]) -> Result<(Vec<u8>, Duration), BoxError> {
        let options = self.options();
        let (form, payload, ttl) = match &loaded.value {
            Some(value) => (Form::Value, self.codec.encode(value)?, options.ttl),
            None => (Form::Nothing, Vec::new(), options.negative_ttl),
        };
        let ttl = loaded.ttl.unwrap_or(ttl);
        let soft = options.soft_ttl.filter(|soft| form == Form::Value && *soft < ttl);
        let fresh_until_ms = soft.map_or(0, |soft| now_ms().saturating_add(millis(soft)));
        let (codec, encryption, tags) = (Compression::Plain, None, tags.into());
        let entry = Entry { codec, form, encryption, fresh_until_ms, tags, payload: &payload };
        Ok((entry.encode(loaded.version)?, ttl))
    }

    /// The value of an entry; `None` inside is that there is none.
    pub(crate) fn decode(&self, entry: &Entry<'_>) -> Result<Option<Arc<V>>, BoxError> {
        if entry.codec != Compression::Plain || entry.encryption.is_some() {
            return Err("it is compressed or encrypted".into());
        }
        match entry.form {
            Form::Value => self.codec.decode(entry.payload).map(|value| Some(Arc::new(value))),
            Form::Nothing => Ok(None),
            Form::Chunks => Err("it is in chunks".into()),
        }
    }
}
