//! Builds readers from the configuration that workers run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use quash_config::ProcessEnvironment;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cache::Cache;
use crate::config::{CacheInfo, ConfigError, Declared};
use crate::flight::Flights;
use crate::health::Health;
use crate::local::Local;
use crate::observe::Observer;
use crate::options::Options;
use crate::packing::ValueEncryption;
use crate::reader::{Reader, Shared};
use crate::redis::RedisStore;
use crate::store::Store;
use crate::value::{Codec, Json};

/// The declared caches, as an application reads them. Cheap to clone.
#[derive(Clone)]
pub struct Caches(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    declared: Arc<Declared>,
    caches: BTreeMap<String, Arc<CacheInfo>>,
}

/// Builds [`Caches`].
#[must_use = "a builder does nothing until it builds"]
pub struct Builder {
    paths: Vec<PathBuf>,
    text: Option<String>,
    target: Option<String>,
    store: Option<Arc<dyn Store>>,
    client: Option<::redis::Client>,
    #[cfg(feature = "moka")]
    l1: Option<crate::l1::L1>,
    encryption: Option<ValueEncryption>,
    observer: Arc<dyn Observer>,
    defaults: Options,
    options: BTreeMap<String, Options>,
}

impl Caches {
    /// Begins with nothing.
    pub fn builder() -> Builder {
        Builder {
            paths: Vec::new(),
            text: None,
            target: None,
            store: None,
            client: None,
            #[cfg(feature = "moka")]
            l1: None,
            encryption: None,
            observer: Arc::new(()),
            defaults: Options::default(),
            options: BTreeMap::new(),
        }
    }

    /// The cache of this name, whose values are JSON.
    ///
    /// # Errors
    /// [`ConfigError::Unknown`], and [`ConfigError::Options`] for caches that have no `key` of their own, are on other targets, or
    /// whose `layout` is `plain`.
    pub fn cache<V>(&self, name: &str) -> Result<Cache<V>, ConfigError>
    where
        V: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        self.cache_with(name, Json)
    }

    /// The cache of this name, whose values are as this codec says.
    ///
    /// # Errors
    /// As [`Caches::cache`].
    pub fn cache_with<V>(&self, name: &str, codec: impl Codec<V>) -> Result<Cache<V>, ConfigError> {
        let info = self.0.caches.get(name).ok_or_else(|| self.0.declared.refuse(name))?;
        let (shared, info) = (Arc::clone(&self.0.shared), Arc::clone(info));
        Ok(Cache(Arc::new(Reader { shared, info, codec: Arc::new(codec), warned: AtomicBool::new(false) })))
    }
}

impl Builder {
    /// Adds a file or directory of the configuration that workers run. What it says of brokers and of the workers themselves is
    /// not looked at.
    pub fn config(mut self, path: impl Into<PathBuf>) -> Self {
        self.paths.push(path.into());
        self
    }

    /// The configuration's text, instead of files.
    pub fn config_text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// Which of the configuration's targets is read from; needed if there are several.
    pub fn target(mut self, name: impl Into<String>) -> Self {
        self.target = Some(name.into());
        self
    }

    /// The server of this client, as a [`RedisStore`].
    pub fn redis(mut self, client: ::redis::Client) -> Self {
        self.client = Some(client.clone());
        self.store(Arc::new(RedisStore::new(client)))
    }

    /// Keeps entries in this process too.
    #[cfg(feature = "moka")]
    pub fn l1(mut self, l1: crate::l1::L1) -> Self {
        self.l1 = Some(l1);
        self
    }

    /// Where the entries are.
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// The keys of entries that are encrypted: those of caches whose options say so, and any that are read.
    #[cfg(feature = "encryption")]
    pub fn encryption(mut self, keys: ValueEncryption) -> Self {
        self.encryption = Some(keys);
        self
    }

    /// Who is told what happens.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// What readers do in caches for which neither the configuration nor [`Builder::options`] says something else.
    pub fn defaults(mut self, options: Options) -> Self {
        self.defaults = options;
        self
    }

    /// What readers of one cache do, where the configuration does not say it.
    pub fn options(mut self, cache: impl Into<String>, options: Options) -> Self {
        self.options.insert(cache.into(), options);
        self
    }

    /// Reads the configuration, and builds. The server is asked when something is read.
    ///
    /// # Errors
    /// When the configuration cannot be read or is wrong, or does not fit to what was said here.
    pub fn build(self) -> Result<Caches, ConfigError> {
        let target = self.target.as_deref();
        let declared = match &self.text {
            Some(text) => Declared::parse(text, target, &ProcessEnvironment)?,
            None => Declared::load(&self.paths, target, &ProcessEnvironment)?,
        };
        let declared = Arc::new(declared);
        let caches = declared.caches(&self.defaults, &self.options)?;
        let local = self.local(&declared, &caches)?;
        let store = self.store.ok_or(ConfigError::NoStore)?;
        let encrypts = self.options.values().chain([&self.defaults]).any(|options| options.encrypt);
        if encrypts && self.encryption.is_none() {
            return Err(ConfigError::NoKeys);
        }
        let encryption = self.encryption;
        let (flights, health) = (Arc::new(Flights::default()), Health::default());
        let shared = Arc::new(Shared { store, observer: self.observer, flights, health, local, encryption });
        Ok(Caches(Arc::new(Inner { shared, declared, caches })))
    }

    #[cfg(feature = "moka")]
    fn local(&self, declared: &Declared, caches: &BTreeMap<String, Arc<CacheInfo>>) -> Result<Local, ConfigError> {
        let Some(l1) = &self.l1 else { return Ok(Local::default()) };
        let client = l1.client.as_ref().or(self.client.as_ref()).ok_or(ConfigError::NoStore)?;
        let copies = Arc::new(crate::l1::Copies::new(l1.entries, l1.ttl));
        Ok(Local::new(copies, client.clone(), declared.prefixes(caches)))
    }

    #[cfg(not(feature = "moka"))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "as where copies are built in")]
    fn local(&self, _: &Declared, _: &BTreeMap<String, Arc<CacheInfo>>) -> Result<Local, ConfigError> {
        Ok(Local)
    }
}
