//! Defines the store, what a target is made of, and lists its kinds.
//!
//! Stores know keys and no rule.

// Acting on a target, and what came of it.
pub mod execute;
pub mod report;

pub mod memory;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(not(feature = "redis"))]
quash_config::absent! { redis builds dyn crate::Store: "the driver of `redis` targets", "in_process" }
mod probe;
mod survey;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;

use std::time::Duration;

use async_trait::async_trait;
use quash_config::Finding;

pub use self::probe::{Probe, ScanPage, ScanPosition, Stood};
pub use self::survey::{KeyCount, KeyPattern, Survey, starts};

use quash_config::{Span, Tagged};
use quash_core::action::{Action, ActionSet};
use quash_core::answer::AnswerId;
use quash_core::freshness::{HEADER, MAGIC};
use quash_core::glob::Glob;
use quash_core::key::KeyFormat;

quash_config::plugins! {
    /// Every kind of store. Adding one is a file here and a line.
    StoreConfig builds dyn Store {
        /// Redis or Valkey.
        "redis": Redis(redis::Config),
        /// Entries in this process.
        "memory": Memory(memory::Config),
    }
}

/// A target: which store, and how to treat it.
pub type TargetConfig = Tagged<StoreConfig, TargetOptions>;

/// What all kinds of targets share.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct TargetOptions {
    /// How the application spells physical keys on this target.
    pub key_format: KeyFormat,
    /// Shares in flight at once.
    pub concurrency: usize,
    /// Keys and prefixes acted on per second at most; 0 is no limit.
    pub max_actions_per_second: u32,
    /// How long one share may take before the target counts as unreachable; a pass over all keys is not bounded by it as
    /// long as the target keeps answering.
    pub timeout: Span,
    /// How much of the past is applied again after the target restarted or failed over; `0s` switches it off.
    pub replay_window: Span,
}

impl Default for TargetOptions {
    fn default() -> Self {
        Self {
            key_format: KeyFormat::default(),
            concurrency: 4,
            max_actions_per_second: 0,
            timeout: Span(Duration::from_secs(5)),
            replay_window: Span(Duration::from_secs(120)),
        }
    }
}

/// A cache to act on. Implementations are cheap to share and may be called concurrently.
#[async_trait]
pub trait Store: Send + Sync {
    /// Applies the actions and returns when the cache has answered for all of them, one outcome per action in their
    /// order. Removals and writes come first, a removal of a key before a void of it; an entry and its guard go in one step, and a
    /// hold in a guard stands before its entry goes. Prefixes and patterns of one call are acted on by a single pass over
    /// the keys, and publications are sent when everything else is done. May be repeated: every action is idempotent. When
    /// dropped half-way, it is not known which actions happened; nothing is left locked.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`] when the cache cannot be reached or stops answering: nothing is known of any action.
    /// An action that the cache refused is an `Err` in the outcomes and costs none of its neighbours.
    async fn apply(&self, actions: &[Action]) -> Result<Applied, StoreError>;

    /// Asks the cache for its identity. A change between two calls means that it restarted or failed over, and may hold
    /// entries again that were removed before.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`] as above; [`StoreError::Refused`] when the rights do not allow to ask.
    async fn identity(&self) -> Result<Identity, StoreError>;

    /// Inspects the cache for `check --connect`: reachability, rights, eviction policy, persistence. Removes nothing. `needs`
    /// is what rules ask of it: rights that only holds and voids take are tried if they are among these.
    ///
    /// # Errors
    /// As [`Store::identity`].
    async fn inspect(&self, needs: ActionSet) -> Result<Vec<Finding>, StoreError>;

    /// What this kind of cache can do. Configuration is refused where a rule asks for more, and the suite under
    /// `conformance` holds the store to it.
    fn can(&self) -> Can;

    /// Who answers questions about single keys; `None` where this kind of cache cannot.
    fn questions(&self) -> Option<&dyn Questions> {
        None
    }

    /// Who takes samples of the entries; `None` where this kind of cache cannot.
    fn probe(&self) -> Option<&dyn Probe> {
        None
    }

    /// Where answers are said and heard; `None` where this kind of cache cannot, as [`Can::answers`] says.
    fn answers(&self) -> Option<&dyn Answers> {
        None
    }
}

impl dyn Store + '_ {
    /// Who answers questions about single keys.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where this kind of cache cannot.
    pub fn ask(&self) -> Result<&dyn Questions, StoreError> {
        let silent = || StoreError::Refused("this kind of target does not tell which keys it holds".to_owned());
        self.questions().ok_or_else(silent)
    }
}

/// What a kind of cache can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Can {
    /// The kinds of actions that it carries out; it refuses all others, one by one.
    pub actions: ActionSet,
    /// Whether [`Store::identity`] tells that it restarted. Where it does not, nothing is applied again afterwards.
    pub tells_restarts: bool,
    /// Whether its keys are spread over hash slots, so that one step can only act on keys of the same one.
    pub has_slots: bool,
    /// Whether it takes answers to publishers who wait: [`Store::answers`].
    pub answers: bool,
}

impl Can {
    /// Everything.
    pub const ALL: Self = Self { actions: ActionSet::ALL, tells_restarts: true, has_slots: false, answers: true };
}

/// Carries answers from workers to publishers who wait.
#[async_trait]
pub trait Answers: Send + Sync {
    /// Leaves answers, each as text under its identifier, for [`answer::LIFE`](quash_core::answer::LIFE). Returns when the cache
    /// has all of them. May be repeated: they are heard twice then.
    ///
    /// # Errors
    /// As [`Store::identity`]; some of them may be left then.
    async fn say(&self, answers: &[(AnswerId, String)]) -> Result<(), StoreError>;

    /// Takes the oldest answer under an identifier, waiting for it up to the limit; `None` when there was none. An answer that
    /// arrives as the call is dropped may be lost.
    ///
    /// # Errors
    /// As [`Store::identity`].
    async fn hear(&self, id: AnswerId, limit: Duration) -> Result<Option<Vec<u8>>, StoreError>;
}

/// Answers what people ask about the keys of a cache. Removes nothing.
#[async_trait]
pub trait Questions: Send + Sync {
    /// Which of these keys exist, in their order. For `explain --live`; removes nothing.
    ///
    /// # Errors
    /// As [`Store::identity`].
    async fn exist(&self, keys: &[&str]) -> Result<Vec<bool>, StoreError>;

    /// How many keys begin with each of these prefixes, in their order, by one pass over the keys. Removes nothing.
    ///
    /// # Errors
    /// As [`Store::identity`].
    async fn count_prefixes(&self, prefixes: &[&str]) -> Result<Vec<u64>, StoreError>;

    /// How many keys each of these patterns matches, in their order, by one pass over the keys. Removes nothing.
    ///
    /// # Errors
    /// As [`Store::identity`].
    async fn count_patterns(&self, patterns: &[Glob]) -> Result<Vec<u64>, StoreError>;

    /// Looks for logical keys behind their prefixes and behind others, by one pass over the keys that ends after `limit` at the
    /// latest. Removes nothing.
    ///
    /// # Errors
    /// As [`Store::identity`].
    async fn survey(&self, patterns: &[KeyPattern], limit: Duration) -> Result<Survey, StoreError>;

    /// What is under each of these keys, in their order; `None` where nothing is. Reads no value beyond the header of a
    /// frame.
    ///
    /// # Errors
    /// As [`Store::identity`].
    async fn describe(&self, keys: &[&str]) -> Result<Vec<Option<Described>>, StoreError>;
}

/// What a cache tells of one key, as far as it tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Described {
    /// The type of the value in the cache's own word, as `string`.
    pub kind: Option<String>,
    /// Whether it ends by itself.
    pub expires: Option<bool>,
    /// How long it has still to live, in milliseconds, if it ends by itself.
    pub ttl_ms: Option<u64>,
    /// What it is to readers that take leases.
    pub stands: Option<Stands>,
}

/// What stands at a key, to readers that take leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stands {
    /// A value, fresh if its tags are.
    Value,
    /// A value that a change made stale, and that may be served as that while it lives.
    Stale,
    /// A lease: somebody loads.
    Lease,
    /// A hold: nothing may be stored while it lives.
    Hold,
    /// No frame: what somebody else wrote.
    Foreign,
}

impl Stands {
    /// Reads the beginning of what is stored, at least the header of a frame where there is more.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        let Some(header) = bytes.get(..HEADER).filter(|header| header.starts_with(&MAGIC)) else {
            return Self::Foreign;
        };
        match header[MAGIC.len()] {
            b'V' => Self::Value,
            b'S' => Self::Stale,
            b'L' => Self::Lease,
            b'T' => Self::Hold,
            _ => Self::Foreign,
        }
    }
}

/// What came of a call to [`Store::apply`].
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Applied {
    /// One per action, in their order: keys removed, or why the cache refused. Their sum is exact; of deletes that
    /// travelled in one command, it may be another one that counts the key. A guard is a key of its own. A void counts the
    /// entries that may be served stale now, and no others; a hold counts nothing.
    pub outcomes: Vec<Result<u64, Refusal>>,
    /// Keys that a SCAN pass looked at.
    pub keys_visited: u64,
}

/// The cache's words for refusing one action, without credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

/// Who a cache is: its nodes' run ids and roles, comparable between two calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity(pub String);

/// Why a store could not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It cannot be reached, or stopped answering in time.
    #[error("{}", unreachable(.0))]
    Unreachable(String),
    /// It answered with an error to a request that is not an action.
    #[error("the cache refused: {0}")]
    Refused(String),
}

/// Who is not let in reaches the cache all the same.
fn unreachable(why: &str) -> String {
    let denied = ["NOAUTH", "WRONGPASS", "invalid username-password"].iter().any(|word| why.contains(word));
    let what = if denied { "the cache does not let this user in" } else { "cannot reach the cache" };
    format!("{what}: {why}")
}
