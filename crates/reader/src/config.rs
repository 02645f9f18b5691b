//! Reads from the workers' own configuration how the keys of each cache are spelt.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use quash_config::{Environment, LoadError, Loader};
use quash_core::declarations::Declarations;
use quash_core::event::Type;
use quash_core::key::KeySet;
use quash_core::plan::TargetId;
use quash_core::resolve::Resolver;
use quash_core::rule::config::CacheConfig;
use quash_core::rule::freshness::{Freshness, Layout};
use quash_core::scope::CacheId;

use crate::error::Error;
use crate::key::{KeyArgs, Part};
use crate::options::Options;

/// Why readers cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The configuration cannot be read, or is wrong.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// What readers do does not fit together, or this crate does not read the cache.
    #[error("cache {cache}: {why}")]
    Options {
        /// The cache.
        cache: String,
        /// What does not fit.
        why: String,
    },
    /// There is no cache of this name.
    #[error("no cache is called `{name}`{}", nearest.as_ref().map(|near| format!(": did you mean `{near}`?")).unwrap_or_default())]
    Unknown {
        /// The name.
        name: String,
        /// One that is spelt nearly so.
        nearest: Option<String>,
    },
    /// It is not known which of the configuration's targets is read from.
    #[error("the configuration has the targets {known}: say which of them is read from")]
    Target {
        /// Their names.
        known: String,
    },
    /// Nothing says where the entries are.
    #[error("there is no store to read from: name a client of Redis, or a store")]
    NoStore,
}

/// The caches of a configuration, as readers of one target see them.
pub(crate) struct Declared {
    resolver: Resolver,
    target: TargetId,
    declarations: Declarations,
}

/// One cache, as its readers see it.
pub(crate) struct CacheInfo {
    pub(crate) name: String,
    pub(crate) options: Options,
    /// Whether its readers take no leases, and the worker renews a tag at every change.
    pub(crate) by_tags_alone: bool,
    declared: Arc<Declared>,
    id: CacheId,
    template: String,
    args: Vec<(String, Option<Type>)>,
}

/// One entry: its key on the server, and those of its tags.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Spot {
    pub(crate) key: Arc<str>,
    pub(crate) tags: Vec<String>,
    pub(crate) narrowest: Option<usize>,
}

impl Declared {
    pub(crate) fn load(
        paths: &[PathBuf],
        target: Option<&str>,
        environment: &dyn Environment,
    ) -> Result<Self, ConfigError> {
        Self::new(Loader::load::<Declarations>(paths, environment)?.root, target)
    }

    pub(crate) fn parse(text: &str, target: Option<&str>, environment: &dyn Environment) -> Result<Self, ConfigError> {
        let loaded = Loader::load_text::<Declarations>("quash.yaml", text, environment).map_err(LoadError::Invalid)?;
        Self::new(loaded.root, target)
    }

    fn new(declarations: Declarations, target: Option<&str>) -> Result<Self, ConfigError> {
        let names: Vec<&str> = declarations.targets.keys().map(String::as_str).collect();
        let unsaid = || ConfigError::Target { known: names.join(", ") };
        let target = match (target, names.as_slice()) {
            (Some(name), _) => name,
            (None, [only]) => only,
            (None, _) => return Err(unsaid()),
        };
        // A configuration with errors was not loaded.
        let resolver = declarations.compile().0.ok_or_else(unsaid)?;
        let target = resolver.target(target).ok_or_else(unsaid)?;
        Ok(Self { resolver, target, declarations })
    }

    /// The caches that can be read, with what they declare; where they leave something out, with these options.
    pub(crate) fn caches(
        self: &Arc<Self>,
        defaults: &Options,
        own: &BTreeMap<String, Options>,
    ) -> Result<BTreeMap<String, Arc<CacheInfo>>, ConfigError> {
        if let Some(name) = own.keys().find(|name| !self.declarations.caches.contains_key(*name)) {
            return Err(self.unknown(name));
        }
        let readable = |name: &&String| self.unreadable(name).is_none();
        let names = self.declarations.caches.keys().filter(readable);
        names.map(|name| Ok((name.clone(), Arc::new(self.cache(name, own.get(name).unwrap_or(defaults))?)))).collect()
    }

    fn cache(self: &Arc<Self>, name: &str, defaults: &Options) -> Result<CacheInfo, ConfigError> {
        let (Some(config), Some(id)) = (self.declarations.caches.get(name), self.resolver.cache(name)) else {
            return Err(self.unknown(name));
        };
        let options = defaults.declared(config);
        if let Some(why) = options.problem(config.tags.len()) {
            return Err(ConfigError::Options { cache: name.to_owned(), why });
        }
        let args = self.resolver.args(id).iter().map(|arg| (arg.clone(), config.types.get(arg).copied())).collect();
        let template = config.key.clone().unwrap_or_default();
        let by_tags_alone = config.freshness == Freshness::Generation;
        Ok(CacheInfo { name: name.to_owned(), options, by_tags_alone, declared: Arc::clone(self), id, template, args })
    }

    /// What the keys of these caches and of their tags begin with on the server.
    #[cfg(feature = "moka")]
    pub(crate) fn prefixes(&self, caches: &BTreeMap<String, Arc<CacheInfo>>) -> Vec<String> {
        let target = &self.resolver.targets()[usize::from(self.target.0)];
        let here = self.resolver.locations();
        let here = here.iter().filter(|location| location.target == *target && caches.contains_key(&location.cache));
        let begins = here.flat_map(|location| {
            let patterns = location.entries.keys.iter().chain(&location.entries.tags);
            let prefix = location.prefixes.first().map_or("", |prefix| prefix);
            patterns.map(move |pattern| format!("{prefix}{}", String::from_utf8_lossy(pattern.matcher().root())))
        });
        begins.collect()
    }

    /// Why no reader of this crate reads a cache.
    pub(crate) fn unreadable(&self, name: &str) -> Option<&'static str> {
        let config = self.declarations.caches.get(name)?;
        let is_here = |target: &String| self.resolver.target(target) == Some(self.target);
        match config {
            CacheConfig { targets: Some(targets), .. } if !targets.iter().any(is_here) => {
                Some("it is not on the target that is read from")
            }
            CacheConfig { key: None, .. } => Some("its keys are a library's own, or it has none: it has no `key`"),
            CacheConfig { layout: Some(Layout::Plain), .. } => {
                Some("its values are in no frame (`layout: plain`), which this crate does not write")
            }
            _ => None,
        }
    }

    /// Why there is no cache of this name to be read.
    pub(crate) fn refuse(&self, name: &str) -> ConfigError {
        match self.unreadable(name) {
            Some(why) => ConfigError::Options { cache: name.to_owned(), why: why.to_owned() },
            None => self.unknown(name),
        }
    }

    fn unknown(&self, name: &str) -> ConfigError {
        let known = self.declarations.caches.keys().map(String::as_str);
        ConfigError::Unknown { name: name.to_owned(), nearest: quash_config::nearest(name, known).map(str::to_owned) }
    }
}

impl Spot {
    /// The key, and then the tags.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&*self.key).chain(self.tags.iter().map(String::as_str))
    }
}

impl CacheInfo {
    /// The entry of these arguments.
    pub(crate) fn spot(&self, args: &impl KeyArgs) -> Result<Spot, Error> {
        let parts = args.parts();
        self.check(&parts)?;
        let mut key_set = KeySet::all(parts.len());
        parts.iter().enumerate().for_each(|(arg, part)| key_set.set(arg, &part.0));
        let spelt = self.declared.resolver.spell(self.id, self.declared.target, &key_set);
        match spelt {
            Some(Ok(spelt)) => Ok(Spot { key: spelt.key.into(), tags: spelt.tags, narrowest: spelt.narrowest }),
            Some(Err(error)) => Err(self.wrong(error.to_string())),
            None => Err(self.wrong("only a library of its own reads this cache".to_owned())),
        }
    }

    fn check(&self, parts: &[Part<'_>]) -> Result<(), Error> {
        let names = || self.args.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        if parts.len() != self.args.len() {
            return Err(self.wrong(format!("takes {} arguments ({}), not {}", self.args.len(), names(), parts.len())));
        }
        let misfit =
            parts.iter().zip(&self.args).find(|(part, (_, declared))| declared.is_some_and(|kind| !part.fits(kind)));
        match misfit {
            Some((part, (name, Some(declared)))) => {
                let declared = format!("{declared:?}").to_lowercase();
                Err(self.wrong(format!("argument {name} is of the type {declared}, not {}", part.kind())))
            }
            _ => Ok(()),
        }
    }

    fn wrong(&self, why: String) -> Error {
        Error::Key { cache: self.name.clone(), template: self.template.clone(), why }
    }
}
