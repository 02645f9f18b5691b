//! Says how the keys of a cache are spelt, and how its entries can be removed.

pub mod key_set;
pub mod reach;

// What schemes are made of.
pub mod args;
pub mod digest;
pub mod entries;
pub mod format;
pub mod format_spec;
pub mod library;
pub mod python;
mod scalar;
pub(crate) mod text;

#[cfg(test)]
pub(crate) mod conformance;

// The schemes: a file each.
pub mod argcache;
pub mod cache_memoize;
pub mod django;
pub mod djblets;
pub mod easy_cache;
pub mod restflow;
pub mod template;

use std::fmt;

pub use args::{Args, Filled};
pub use entries::Entries;
pub use format::{DjangoFormat, KeyFormat, OneOrMany, PrefixedFormat};
pub use key_set::{ArgSet, KeySet, MAX_ARGS};
pub use reach::{Reach, ReachBy};
pub use scalar::Scalar;

use crate::action::Write;
use crate::glob::Glob;

/// How a cache's keys, prefixes and tags are spelt, and which of them can remove a key set.
pub trait Scheme: fmt::Debug + Send + Sync {
    /// The arguments of the cache, in the order of its key sets.
    fn args(&self) -> &[String];

    /// What removing a key set takes in which just these arguments are exact, with at most `max_keys` keys enumerated.
    fn reach(&self, exact: ArgSet, max_keys: usize) -> Reach;

    /// How many actions that takes, before key formats multiply them: [`Reach::actions`] without the rest.
    fn actions(&self, exact: ArgSet, max_keys: usize) -> usize;

    /// Asks the remover for what [`Scheme::reach`] says of the key set. `buffer` is scratch space.
    ///
    /// # Errors
    /// When a value has no safe spelling; the remover may have been asked for a part then.
    fn remove(
        &self,
        key_set: &KeySet<'_>,
        max_keys: usize,
        buffer: &mut String,
        remover: &mut dyn Remover,
    ) -> Result<(), KeyError>;

    /// Asks the remover for every entry of the cache, for when the exact past is not known any more. Asks for nothing where
    /// that is [`ReachBy::Nothing`].
    fn remove_all(&self, remover: &mut dyn Remover);

    /// The key of one entry, and the tags that its readers check; all arguments are exact. `None` where only a library of its
    /// own reads what it wrote.
    fn spell(&self, _key_set: &KeySet<'_>) -> Option<Result<Spelt, KeyError>> {
        None
    }

    /// The text of each argument in the logical key of an entry, by the argument's place. `None` where that cannot be told
    /// without doubt.
    fn read<'k>(&self, _key: &'k str) -> Option<Vec<(usize, &'k str)>> {
        None
    }

    /// What the keys of all entries look like, for people who look for them: nothing is removed by it. What all of them are
    /// removed by, unless the scheme knows better.
    fn entries(&self) -> Entries {
        Entries::of(self)
    }
}

/// How one entry is spelt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spelt {
    /// Its key.
    pub key: String,
    /// The keys of its tags, in the order in which the cache declares them.
    pub tags: Vec<String>,
    /// Which of them the fewest other entries have.
    pub narrowest: Option<usize>,
}

/// Takes what a scheme asks for, in logical keys.
pub trait Remover {
    /// One key.
    ///
    /// # Errors
    /// [`KeyError::TooLong`].
    fn delete(&mut self, key: &str) -> Result<(), KeyError>;
    /// Every key that begins with this; never empty.
    ///
    /// # Errors
    /// [`KeyError::TooLong`].
    fn delete_prefix(&mut self, prefix: &str) -> Result<(), KeyError>;
    /// Every key that matches this as a whole, in the same pass over all keys as prefixes.
    ///
    /// # Errors
    /// [`KeyError::TooLong`].
    fn delete_pattern(&mut self, pattern: &Glob) -> Result<(), KeyError>;
    /// A generation token of readers to whom a missing one means stale.
    ///
    /// # Errors
    /// [`KeyError::TooLong`].
    fn bump(&mut self, tag: &str) -> Result<(), KeyError>;
    /// An ASCII integer: a tag's time, or [`Write::RENEW`] for a generation that may not be made where there is none.
    ///
    /// # Errors
    /// [`KeyError::TooLong`].
    fn set(&mut self, key: &str, write: Write) -> Result<(), KeyError>;
}

/// Why a key set has no safe spelling.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// An empty value would end a prefix early and remove the neighbours' entries.
    #[error("argument {arg} is empty, and a prefix that ends with it would remove what others cached")]
    EmptyInPrefix {
        /// The argument.
        arg: String,
    },
    /// The value's text in a key cannot be known.
    #[error("argument {arg} is {why}")]
    Unspellable {
        /// The argument.
        arg: String,
        /// What it is, and what to do.
        why: &'static str,
    },
    /// Nothing from outside removes these entries.
    #[error("{0}")]
    OutOfReach(String),
    /// The key is one of Quash's own.
    #[error("keys that begin with `{}` are Quash's own", crate::reserved::RESERVED)]
    Reserved,
    /// The key is longer than `limits.max_key_bytes`.
    #[error("a key has {bytes} bytes, the limit is {limit} (limits.max_key_bytes)")]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
}
