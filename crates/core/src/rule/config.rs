//! Holds the declaration of caches and their dependencies, as configuration spells it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::dependency::Bounds;
use super::dispatch::DispatchConfig;
use super::freshness::{Foreign, Freshness, Layout};
use crate::event::{EventLimits, Op, Type};
use crate::key::library::Library;
use crate::key::{KeyFormat, OneOrMany, Scalar, argcache, cache_memoize, django, djblets, easy_cache, restflow};
use quash_config::Span;

/// Makes a library of every line of its list: the key that names it in a cache, and where its declaration is read into.
macro_rules! cache_config {
    (
        $(#[$doc:meta])*
        pub struct $name:ident { $( $(#[$field_doc:meta])* pub $field:ident: $type:ty, )+ }
        libraries { $( $(#[$library_doc:meta])* $library:ident: $config:ty, )+ }
    ) => {
        $(#[$doc])*
        pub struct $name {
            $( $(#[$field_doc])* pub $field: $type, )+
            $( $(#[$library_doc])* pub $library: Option<Box<$config>>, )+
        }

        impl $name {
            /// The libraries that the cache names, each with its key; more than one is an error.
            #[must_use]
            pub fn libraries(&self) -> Vec<(&'static str, &dyn Library)> {
                let all = [$( (stringify!($library), self.$library.as_deref().map(|config| config as &dyn Library)) ),+];
                all.into_iter().filter_map(|(key, library)| Some((key, library?))).collect()
            }

            /// The keys of all libraries.
            pub const LIBRARIES: &'static [&'static str] = &[$( stringify!($library) ),+];
        }
    };
}

cache_config! {
    /// A declared cached function: its keys are spelt by exactly one of `key`, `tags` alone, and a library.
    #[derive(Debug, Clone, PartialEq, Default, Deserialize)]
    #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
    #[serde(deny_unknown_fields, default)]
    pub struct CacheConfig {
        /// The targets that hold its entries; all declared targets when left out.
        pub targets: Option<Vec<String>>,
        /// The arguments, when more than those of the key template.
        pub args: Vec<String>,
        /// The key template: `catalog:{author_id}:{page}`, with the filters `lower`, `urlencode`, `md5`, `sha256`.
        pub key: Option<String>,
        /// All values of an argument with a small domain; such an argument is enumerated instead of scanned.
        pub values: BTreeMap<String, Vec<Scalar>>,
        /// What arguments are in the application, where their text depends on it: `{ price: decimal, born: date }`.
        pub types: BTreeMap<String, Type>,
        /// Templates of generation tokens that readers check.
        pub tags: Vec<String>,
        /// How the application spells the physical keys of this cache, where that is not what its targets say.
        pub key_format: Option<KeyFormat>,
        /// What readers do so that a load that was under way during a change is not stored behind it.
        pub freshness: Freshness,
        /// How long readers may serve an old value while one of them loads, where `freshness` is `lease`.
        pub stale: Option<Span>,
        /// How long nothing may be stored behind a change, where `freshness` is `lease`: longer than what readers load
        /// from lags behind.
        pub hold: Option<Span>,
        /// Where leases and holds stand; `framed` when left out.
        pub layout: Option<Layout>,
        /// How long readers store an entry.
        pub ttl: Option<Span>,
        /// When a reader refreshes an entry that is fresh still.
        pub soft_ttl: Option<Span>,
        /// How long readers store that there is no value.
        pub negative_ttl: Option<Span>,
        /// How long a load may take; 10 s when left out.
        pub lease: Option<Span>,
        /// How long a reader waits for another that loads the same entry; 200 ms when left out.
        pub wait: Option<Span>,
        /// What readers do with a value that is in no frame; `refuse` when left out.
        pub foreign: Option<Foreign>,
        /// Later passes that close the stale-set race for plain readers, counted from the first pass.
        pub again_after: Vec<Span>,
        /// Where its work runs; what the configuration says for all caches when left out.
        pub dispatch: Option<DispatchConfig>,
        /// A channel on which each invalidation is told to processes with a local copy.
        pub publish: Option<String>,
        /// What an unknown column means for its dependencies that do not say it; as the configuration says when left out.
        pub on_unknown: Option<OnUnknown>,
        /// What makes it stale.
        pub depends_on: Vec<DependencyConfig>,
    }

    // Every library whose keys can be removed. Adding one is a file under `key/` and a line.
    libraries {
        /// Keys that ArgCache wrote.
        argcache: argcache::Config,
        /// Keys that django-cache-memoize wrote.
        cache_memoize: cache_memoize::Config,
        /// Fragments of templates that Django's tag `cache` wrote.
        django_fragment: django::Fragment,
        /// Pages that Django's cache middleware or `cache_page` wrote.
        django_page: django::Page,
        /// Keys that djblets.cache wrote.
        djblets: djblets::Config,
        /// Keys and tags that easy-cache wrote.
        easy_cache: easy_cache::Config,
        /// Keys that drf-restflow wrote.
        restflow: restflow::Config,
    }
}

impl CacheConfig {
    /// The source that it names as its own: workers on other sources hand it over.
    #[must_use]
    pub fn source(&self) -> Option<&str> {
        match &self.dispatch {
            Some(DispatchConfig::Queue(queue)) => queue.source.as_deref(),
            _ => None,
        }
    }
}

/// What is known of an entity beside its events.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct EntityConfig {
    /// Other names under which changes of its rows come, such as its partitions: `public.orders_*`, with `*` for any text.
    pub also: Vec<String>,
    /// The columns of its primary key, for changes that do not say it.
    pub key: Vec<String>,
    /// What PostgreSQL logs of its old rows; `default` when left out.
    pub replica_identity: Option<ReplicaIdentity>,
}

/// What PostgreSQL logs of an old row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ReplicaIdentity {
    /// Its key; the other columns are unknown.
    #[default]
    Default,
    /// All of it.
    Full,
}

/// What makes a cache stale. Exactly one of `row`, `m2m`, `cache`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct DependencyConfig {
    /// A row of this entity.
    pub row: Option<String>,
    /// A relation of an entity: `shop.Book.tags`.
    pub m2m: Option<String>,
    /// Another declared cache.
    pub cache: Option<String>,
    /// The operations that count; all when left out.
    pub ops: Vec<Op>,
    /// An update counts only if one of these columns changed.
    pub changed: Vec<String>,
    /// A CEL condition over `before`, `after`, `key`, `op`, `entity`, `changed`, `from` and `to`.
    pub when: Option<String>,
    /// Where the arguments come from; a list gives one key set each. Columns of the same name when left out.
    pub map: Option<OneOrMany<BTreeMap<String, Mapped>>>,
    /// What an unknown column means; as the cache says when left out, and `widen` where nothing says it.
    pub on_unknown: Option<OnUnknown>,
    /// What a null in a mapped argument means; `skip` when left out.
    pub nulls: Option<Nulls>,
}

/// Where an argument comes from.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Mapped {
    /// A path into the row (`author.country.id`), or `"*"` for any.
    Path(String),
    /// A constant.
    Constant(Constant),
}

/// A constant argument: `{ value: 3 }`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Constant {
    /// The value.
    pub value: Scalar,
}

/// What an unknown column in a mapped argument means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnUnknown {
    /// The argument becomes any.
    #[default]
    Widen,
    /// The image with the unknown column is left out, if it is the before image.
    AfterOnly,
    /// The event becomes a dead letter.
    DeadLetter,
}

/// What a null in a mapped argument means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Nulls {
    /// No entry depends on the image.
    #[default]
    Skip,
    /// The argument is null, spelt `null` in a native key.
    Keep,
}

/// Bounds that protect the worker and the targets.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of one message.
    pub max_message_bytes: usize,
    /// Levels of nested objects and lists in a message.
    pub max_depth: usize,
    /// Events in one message.
    pub max_events: usize,
    /// Bytes of one physical key.
    pub max_key_bytes: usize,
    /// Actions that one event may ask for; past it the plan widens, it never drops work.
    pub max_actions_per_event: usize,
    /// Bytes that the keys of one message may take, and about twice that those of a batch, which is split past it; past it
    /// the plan widens, it never drops work.
    pub max_plan_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let event = EventLimits::default();
        Self {
            max_message_bytes: event.max_message_bytes,
            max_depth: event.max_depth,
            max_events: event.max_events,
            max_key_bytes: 4096,
            max_actions_per_event: 10_000,
            max_plan_bytes: 16 * 1024 * 1024,
        }
    }
}

impl Limits {
    /// Those of the key sets of one event.
    pub(crate) const fn key_sets(&self) -> Bounds {
        Bounds { sets: self.max_actions_per_event, bytes: self.max_plan_bytes }
    }

    /// Those that decoding enforces.
    #[must_use]
    pub const fn event(&self) -> EventLimits {
        EventLimits {
            max_message_bytes: self.max_message_bytes,
            max_depth: self.max_depth,
            max_events: self.max_events,
        }
    }
}
