//! Holds what a cache's readers do, and refuses what does not fit together.

use std::time::Duration;

use quash_config::Span;
use quash_core::rule::config::CacheConfig;
use quash_core::rule::freshness;

/// What a cache's readers do, where its declaration does not say it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Options {
    /// How long an entry lives; ten minutes.
    pub ttl: Duration,
    /// After which an entry is loaded anew in the background, while it is served still; not at all. Shorter than `ttl`.
    pub soft_ttl: Option<Duration>,
    /// How long it is remembered that there is no value; a minute.
    pub negative_ttl: Duration,
    /// How long a load may take; ten seconds. What takes longer is not stored.
    pub lease: Duration,
    /// How long to wait for somebody else who loads the same, before loading it as well; 200 ms.
    pub wait: Duration,
    /// What to do with values that are in no frame, as plain writers leave them.
    pub foreign: Foreign,
    /// From how many bytes on a value is compressed by zlib, if it gets shorter by it; not at all. Needs the feature `zlib`.
    pub compress_above: Option<usize>,
    /// Whether entries are encrypted with the keys of the builder. Needs the feature `encryption`.
    pub encrypt: bool,
    /// Bytes of a value, as it is stored, beyond which it is put into several keys; 1 MiB.
    pub chunk_bytes: usize,
    /// Whether loads go on when their caller is gone, so that they are not wasted.
    pub detach: bool,
}

/// What to do with values that are in no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Foreign {
    /// Load, and store nothing.
    #[default]
    Refuse,
    /// Serve them, while the last plain writers are still there. They may be stale.
    Accept,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(600),
            soft_ttl: None,
            negative_ttl: Duration::from_secs(60),
            lease: Duration::from_secs(10),
            wait: Duration::from_millis(200),
            foreign: Foreign::default(),
            compress_above: None,
            encrypt: false,
            chunk_bytes: 1024 * 1024,
            detach: false,
        }
    }
}

impl Options {
    /// These, but for what a cache's declaration says.
    pub(crate) fn declared(&self, config: &CacheConfig) -> Self {
        let or = |span: Option<Span>, default| span.map_or(default, |span| span.0);
        Self {
            ttl: or(config.ttl, self.ttl),
            soft_ttl: config.soft_ttl.map(|span| span.0).or(self.soft_ttl),
            negative_ttl: or(config.negative_ttl, self.negative_ttl),
            lease: or(config.lease, self.lease),
            wait: or(config.wait, self.wait),
            foreign: match config.foreign {
                None => self.foreign,
                Some(freshness::Foreign::Refuse) => Foreign::Refuse,
                Some(freshness::Foreign::Accept) => Foreign::Accept,
            },
            compress_above: self.compress_above,
            encrypt: self.encrypt,
            chunk_bytes: self.chunk_bytes,
            detach: self.detach,
        }
    }

    /// What does not fit together, in words; `tags` is how many the cache has.
    pub(crate) fn problem(&self, tags: usize) -> Option<String> {
        let times = [("ttl", self.ttl), ("negative_ttl", self.negative_ttl), ("lease", self.lease)];
        if let Some((name, _)) = times.iter().find(|(_, time)| time.as_millis() == 0) {
            return Some(format!("`{name}` is at least a millisecond"));
        }
        if self.soft_ttl.is_some_and(|soft| soft >= self.ttl || soft.as_millis() == 0) {
            return Some("`soft_ttl` is at least a millisecond, and shorter than `ttl`".to_owned());
        }
        if self.chunk_bytes == 0 {
            return Some("`chunk_bytes` is at least 1".to_owned());
        }
        if self.compress_above.is_some() && !cfg!(feature = "zlib") {
            return Some("`compress_above` needs the feature `zlib` of this crate".to_owned());
        }
        let max = quash_core::freshness::TAGS_MAX;
        (tags > max).then(|| format!("it has {tags} tags, and an entry can have {max}"))
    }
}
