//! Says how the keys of a cache are spelt, and how its entries can be removed.

pub mod key_set;

pub mod format;
pub mod template;
pub(crate) mod text;

use std::fmt;

pub use format::{DjangoFormat, KeyFormat, OneOrMany};
pub use key_set::{ArgSet, KeySet, MAX_ARGS};

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

    /// Asks the remover for every entry of the cache, for when the exact past is not known any more.
    fn remove_all(&self, remover: &mut dyn Remover);
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
    /// A generation token.
    ///
    /// # Errors
    /// [`KeyError::TooLong`].
    fn bump(&mut self, tag: &str) -> Result<(), KeyError>;
}

/// What a scheme must do to remove a key set.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Reach {
    /// The kind of action.
    pub by: ReachBy,
    /// The template of what is removed, as `catalog:{author_id}:*`.
    pub template: String,
    /// How many actions it takes.
    pub actions: usize,
    /// Whether more is removed than the key set asks for.
    pub rounds_up: bool,
}

/// The kinds of reach, cheapest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReachBy {
    /// Exact keys, also by enumerating values.
    Keys,
    /// A generation token that readers check.
    Tag,
    /// A prefix.
    Prefix,
    /// Everything that the cache ever wrote.
    WholeCache,
}

impl ReachBy {
    /// What it costs on the target, for people.
    #[must_use]
    pub const fn cost(self) -> &'static str {
        match self {
            Self::Keys => "one command a key",
            Self::Tag => "one command",
            Self::Prefix | Self::WholeCache => "a pass over all keys of the target, shared by the batch",
        }
    }
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
    /// The key is longer than `limits.max_key_bytes`.
    #[error("a key has {bytes} bytes, the limit is {limit} (limits.max_key_bytes)")]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
}
