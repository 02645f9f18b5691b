//! Loads, and stores what was loaded if it may be.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, try_join_all};
use quash_core::freshness::{Chunks, Codec as Compression, Entry, Filled, Form, Tag, Token};
use tokio::time::Instant;

use crate::config::{CacheInfo, Spot};
use crate::error::{BoxError, Error};
use crate::flight::Flights;
use crate::health::Health;
use crate::local::Local;
use crate::observe::{Event, Observer, Refused};
use crate::options::Options;
use crate::packing::{Packed, ValueEncryption, pack, unpack};
use crate::store::{Store, StoreError};
use crate::time::{millis, now_ms};
use crate::turn::{Claim, Right, Turn};
use crate::value::{Codec, Load, Loaded, Outcome, Source};

/// A loader, which is asked again only if a cache with versions refuses what it gave.
pub(crate) type Loader<V> = Box<dyn FnMut(Load<V>) -> BoxFuture<'static, Result<Loaded<V>, BoxError>> + Send>;

/// How often a load is asked at most, where what it gives is too old.
const ATTEMPTS_MAX: u32 = 3;
/// How much longer than their entry chunks live.
const CHUNKS_STAY: Duration = Duration::from_secs(60);

/// What all readers of a process share.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) flights: Arc<Flights>,
    pub(crate) health: Health,
    pub(crate) local: Local,
    pub(crate) encryption: Option<ValueEncryption>,
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
        let (entry, ttl) = match self.entry(spot, loaded, &claim.tags) {
            Ok(entry) => entry,
            Err(error) => {
                tracing::warn!(cache = self.info.name, %error, "what was loaded cannot be encoded, and is not stored");
                self.on(Event::Refused(Refused::Unencodable));
                return None;
            }
        };
        let entry = match self.in_chunks(spot, entry, ttl).await {
            Ok(entry) => entry,
            Err(error) => {
                self.fail(&error);
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

    /// What is to be stored, and how long it lives.
    fn entry(&self, spot: &Spot, loaded: &Loaded<V>, tags: &[Tag]) -> Result<(Made, Duration), BoxError> {
        let options = self.options();
        let (form, payload, ttl) = match &loaded.value {
            Some(value) => (Form::Value, self.codec.encode(value)?, options.ttl),
            None => (Form::Nothing, Vec::new(), options.negative_ttl),
        };
        let ttl = loaded.ttl.unwrap_or(ttl);
        let soft = options.soft_ttl.filter(|soft| form == Form::Value && *soft < ttl);
        let fresh_until_ms = soft.map_or(0, |soft| now_ms().saturating_add(millis(soft)));
        let keys = self.shared.encryption.as_ref().filter(|_| options.encrypt);
        let packed = pack(&spot.key, form, payload, options.compress_above, keys)?;
        let chunks = match packed.bytes.len() > options.chunk_bytes {
            true => Some(chunks(&packed.bytes, options.chunk_bytes)?),
            false => None,
        };
        let list = chunks.as_ref().map(Chunks::payload);
        let Packed { codec, encryption, bytes } = packed;
        let (form, payload) = list.as_ref().map_or((form, &bytes[..]), |list| (Form::Chunks, &list[..]));
        let entry = Entry { codec, form, encryption, fresh_until_ms, tags: tags.into(), payload };
        Ok((Made { entry: entry.encode(loaded.version)?, chunks: chunks.map(|chunks| (chunks, bytes)) }, ttl))
    }

    /// The entry, once its chunks are there: they live a little longer, so that none ends before it.
    async fn in_chunks(&self, spot: &Spot, made: Made, ttl: Duration) -> Result<Vec<u8>, StoreError> {
        if let Some((chunks, bytes)) = &made.chunks {
            let keys = chunks.keys(&spot.key);
            let parts = keys.iter().zip(bytes.chunks(self.options().chunk_bytes));
            let ttl = ttl.saturating_add(CHUNKS_STAY);
            try_join_all(parts.map(|(key, part)| self.store().set(key, part, ttl))).await?;
        }
        Ok(made.entry)
    }

    /// The value of an entry; `None` inside is that there is none.
    pub(crate) async fn value_of(&self, spot: &Spot, entry: &Entry<'_>) -> Result<Option<Arc<V>>, BoxError> {
        let Entry { codec, form, encryption, .. } = *entry;
        if codec == Compression::Plain && encryption.is_none() && form != Form::Chunks {
            return self.decode(form, entry.payload);
        }
        let bytes = match form {
            Form::Chunks => {
                let chunks = Chunks::read(entry.payload).ok_or("what should name its chunks does not")?;
                let keys = chunks.keys(&spot.key);
                let found = self.store().get(&keys.iter().map(String::as_str).collect::<Vec<_>>()).await?;
                chunks.join(&found).ok_or("a chunk of it is missing")?
            }
            _ => entry.payload.to_vec(),
        };
        let form = if form == Form::Chunks { Form::Value } else { form };
        let packed = Packed { codec, encryption, bytes };
        let unpacked = unpack(&spot.key, form, &packed, self.shared.encryption.as_ref())?;
        self.decode(form, unpacked.as_deref().unwrap_or(&packed.bytes))
    }

    fn decode(&self, form: Form, payload: &[u8]) -> Result<Option<Arc<V>>, BoxError> {
        match form {
            Form::Nothing => Ok(None),
            _ => self.codec.decode(payload).map(|value| Some(Arc::new(value))),
        }
    }
}

/// An entry to store, and what belongs into chunks.
struct Made {
    entry: Vec<u8>,
    chunks: Option<(Chunks, Vec<u8>)>,
}

fn chunks(bytes: &[u8], chunk_bytes: usize) -> Result<Chunks, BoxError> {
    let name = Token::from_random(fastrand::u64(..));
    Chunks::of(bytes, chunk_bytes, name).ok_or_else(|| "it is too large to be stored, even in chunks".into())
}
