//! Spells one entry of a cache as its readers ask for it, the very keys that the rules remove, and reads such a key back.

use std::borrow::Cow;

use crate::event::Value;
use crate::key::{KeyError, KeySet, Spelt};
use crate::plan::TargetId;
use crate::resolver::Resolver;
use crate::scope::CacheId;

/// An entry, as its key tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The text of each argument, by its name.
    pub args: Vec<(String, String)>,
    /// The physical keys of its tags, in the order in which the cache declares them.
    pub tags: Vec<String>,
}

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

    /// The entry that a physical key on a target is of. `None` where the cache writes no such key, and where its arguments cannot
    /// be told without doubt.
    #[must_use]
    pub fn entry(&self, cache: CacheId, target: TargetId, key: &str) -> Option<Entry> {
        let cache = self.rules.caches.get(cache.index())?;
        let prefixes = self.prefixes(Some(cache), target).iter();
        prefixes.filter_map(|prefix| Some((prefix, key.strip_prefix(&**prefix)?))).find_map(|(prefix, logical)| {
            let read = cache.scheme.read(logical)?;
            let names = cache.scheme.args();
            let values: Vec<Value<'_>> = read.iter().map(|(_, text)| Value::Text(Cow::Borrowed(*text))).collect();
            let mut key_set = KeySet::all(names.len());
            read.iter().zip(&values).for_each(|((arg, _), value)| key_set.set(*arg, value));
            // What the key does not say could be anything.
            let is_whole = key_set.exact().iter().count() == names.len();
            let spelt = is_whole.then(|| cache.scheme.spell(&key_set)).flatten()?.ok()?;
            let args = read.iter().map(|(arg, text)| (names[*arg].clone(), (*text).to_owned())).collect();
            let tags = spelt.tags.iter().map(|tag| format!("{prefix}{tag}")).collect();
            (spelt.key == logical).then_some(Entry { args, tags })
        })
    }
}
