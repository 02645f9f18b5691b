//! What applications read with: a cache, an entry of it, and how one call may differ.

use std::sync::Arc;
use std::time::Duration;

use quash_core::freshness::Tag;

use crate::config::Spot;
use crate::error::{BoxError, Error};
use crate::key::KeyArgs;
use crate::reader::{Loader, Reader};
use crate::step::Call;
use crate::value::{Load, Loaded, Outcome};

/// One declared cache, whose values are of one type. Cheap to clone, and to be kept.
pub struct Cache<V>(pub(crate) Arc<Reader<V>>);

impl<V> Clone for Cache<V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<V: Send + Sync + 'static> Cache<V> {
    /// The entry of these arguments, in the order of the cache. Arguments that do not fit are an error when it is used.
    pub fn key(&self, args: impl KeyArgs) -> Key<'_, V> {
        Key { reader: &self.0, spot: self.0.info.spot(&args).map(Arc::new), call: Call::of(self.0.options()) }
    }

    /// The name of the cache.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.info.name
    }
}

/// One entry, and how one call differs from others.
#[must_use = "an entry does nothing until it is asked for"]
pub struct Key<'c, V> {
    reader: &'c Arc<Reader<V>>,
    spot: Result<Arc<Spot>, Error>,
    call: Call,
}

impl<V: Send + Sync + 'static> Key<'_, V> {
    /// Whether an entry may be served that a change made stale, while it is loaded in the background; only in caches with
    /// `stale` there are any. It may when not said.
    pub fn stale_ok(mut self, stale_ok: bool) -> Self {
        self.call.stale_ok = stale_ok;
        self
    }

    /// How long to wait for somebody else who loads the same, before loading it as well; as the cache says when not said.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.call.wait = wait;
        self
    }

    /// Whether the load goes on when this call is dropped, as when a client hangs up; as the cache says when not said.
    pub fn detach(mut self, detach: bool) -> Self {
        self.call.detach = detach;
        self
    }

    /// The key on the server.
    ///
    /// # Errors
    /// [`Error::Key`].
    pub fn name(&self) -> Result<&str, Error> {
        self.spot.as_ref().map(|spot| &*spot.key).map_err(Clone::clone)
    }

    /// The value, loaded if it is not cached.
    ///
    /// The load must read the source itself, in no transaction that began before: what another cache holds, or an older
    /// snapshot, may be stale. It is asked again only in caches with versions, when what it gave was too old.
    ///
    /// # Errors
    /// [`Error::Key`], [`Error::Load`], and [`Error::Absent`] if there is nothing; never that the cache failed.
    pub async fn get_or_load<F, R, L, E>(self, load: F) -> Result<Arc<V>, Error>
    where
        F: FnMut(Load<V>) -> R + Send + 'static,
        R: Future<Output = Result<L, E>> + Send + 'static,
        L: Into<Loaded<V>>,
        E: Into<BoxError>,
    {
        self.get_or_load_with(load).await?.value.ok_or(Error::Absent)
    }

    /// The same, where that there is nothing is an answer too.
    ///
    /// # Errors
    /// [`Error::Key`] and [`Error::Load`].
    pub async fn find_or_load<F, R, L, E>(self, load: F) -> Result<Option<Arc<V>>, Error>
    where
        F: FnMut(Load<V>) -> R + Send + 'static,
        R: Future<Output = Result<L, E>> + Send + 'static,
        L: Into<Loaded<V>>,
        E: Into<BoxError>,
    {
        Ok(self.get_or_load_with(load).await?.value)
    }

    /// The same, with where it is from: for a header `Cache-Status`.
    ///
    /// # Errors
    /// [`Error::Key`] and [`Error::Load`].
    pub async fn get_or_load_with<F, R, L, E>(self, load: F) -> Result<Outcome<V>, Error>
    where
        F: FnMut(Load<V>) -> R + Send + 'static,
        R: Future<Output = Result<L, E>> + Send + 'static,
        L: Into<Loaded<V>>,
        E: Into<BoxError>,
    {
        let spot = self.spot?;
        self.reader.serve(&spot, self.call, boxed(load)).await
    }

    /// Loads the value anew and stores it, whatever is cached.
    ///
    /// # Errors
    /// As [`Key::get_or_load`].
    pub async fn refresh<F, R, L, E>(mut self, load: F) -> Result<Arc<V>, Error>
    where
        F: FnMut(Load<V>) -> R + Send + 'static,
        R: Future<Output = Result<L, E>> + Send + 'static,
        L: Into<Loaded<V>>,
        E: Into<BoxError>,
    {
        self.call.force = true;
        self.get_or_load(load).await
    }

    /// Removes the entry, and voids the loads of it that are under way: whoever changed something and committed that reads his
    /// own change from here on. The event is published all the same, for the other caches and targets.
    ///
    /// In a cache of `generation` this renews the narrowest tag, so that a few neighbours go as well.
    ///
    /// # Errors
    /// [`Error::Key`] and [`Error::Store`].
    pub async fn remove(self) -> Result<(), Error> {
        let spot = self.spot?;
        self.reader.remove(&spot).await
    }
}

impl<V: Send + Sync + 'static> Reader<V> {
    async fn remove(&self, spot: &Spot) -> Result<(), Error> {
        let by_tag = spot.narrowest.filter(|_| self.info.by_tags_alone);
        if let Some(tag) = by_tag.and_then(|tag| spot.tags.get(tag)) {
            let renewed = self.store().renew_tag(tag, Tag::from_random(fastrand::u64(..))).await;
            self.shared.local.touch(tag);
            renewed.map_err(|error| Error::Store(Arc::new(error)))?;
        }
        let removed = self.store().remove(&spot.key).await;
        self.shared.local.touch(&spot.key);
        self.shared.flights.detach(&spot.key);
        removed.map_err(|error| Error::Store(Arc::new(error)))
    }
}

fn boxed<V, F, R, L, E>(mut load: F) -> Loader<V>
where
    F: FnMut(Load<V>) -> R + Send + 'static,
    R: Future<Output = Result<L, E>> + Send + 'static,
    L: Into<Loaded<V>>,
    E: Into<BoxError>,
{
    Box::new(move |given| {
        let loading = load(given);
        Box::pin(async move { loading.await.map(Into::into).map_err(Into::into) })
    })
}
