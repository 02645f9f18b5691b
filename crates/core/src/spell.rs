//! Spells one entry of a cache as its readers ask for it: the very keys that the rules remove.

use crate::key::{KeyError, KeySet, Spelt};
use crate::plan::TargetId;
use crate::resolver::Resolver;
use crate::scope::CacheId;

impl Resolver {
    /// The physical key of one entry on a target, and those of its tags. All arguments are exact in the key set. Where the key
    /// format has several prefixes, because a deployment rolls over, it is the first.
    ///
    /// `None` where there is no such cache, or only a library of its own reads what it wrote.
    ///
    /// # Errors
    /// When a value has no spelling that is known, or the key would be longer than `limits.max_key_bytes`.
    #[must_use]
    pub fn spell(&self, cache: CacheId, target: TargetId, key_set: &KeySet<'_>) -> Option<Result<Spelt, KeyError>> {
        let cache = self.rules.caches.get(cache.index())?;
        let prefix = self.prefixes(Some(cache), target).first()?;
        let limit = self.limits.max_key_bytes;
        let physical = |key: String| match prefix.len() + key.len() {
            bytes if bytes > limit => Err(KeyError::TooLong { bytes, limit }),
            _ => Ok(format!("{prefix}{key}")),
        };
        let spelt = cache.scheme.spell(key_set)?.and_then(|Spelt { key, tags, narrowest }| {
            let tags = tags.into_iter().map(physical).collect::<Result<_, _>>()?;
            Ok(Spelt { key: physical(key)?, tags, narrowest })
        });
        Some(spelt)
    }

    /// The names of a cache's arguments, in the order of its key sets; none where there is no such cache.
    #[must_use]
    pub fn args(&self, cache: CacheId) -> &[String] {
        self.rules.caches.get(cache.index()).map_or(&[], |cache| cache.scheme.args())
    }
}
