//! Names the message headers that carry Quash's own state; payloads are never changed.

/// How the names of all of these begin.
pub const OWN: &str = "quash-";
/// The event's identifier, when the payload carries none.
pub const ID: &str = "quash-id";
/// Which attempt on the shares it names this copy is, counted from 1.
pub const ATTEMPT: &str = "quash-attempt";
/// The names of the targets still to do, separated by commas; absent is all.
pub const TARGETS: &str = "quash-targets";
/// The names of the caches that this copy is about, separated by commas; absent is all.
pub const CACHES: &str = "quash-caches";
/// The names of the caches that are done in this pass, by whoever published the event; a worker does the others.
pub const CACHES_DONE: &str = "quash-caches-done";
/// The names of the caches that went to the sources that are theirs. On a copy that arrives there: the same as
/// [`CACHES`], and what says that they go no further.
pub const CACHES_HANDED_OVER: &str = "quash-caches-handed-over";
/// Which pass of `again_after` this copy is for, in milliseconds from the first pass; absent is the first.
pub const PASS: &str = "quash-pass";
/// When that pass is due, in milliseconds since the Unix epoch, on a message that has not been parked for it yet: it asks
/// for a pass, and whoever receives it before parks it.
pub const DUE: &str = "quash-due";
/// When the share first failed, in milliseconds since the Unix epoch.
pub const FIRST_FAILURE: &str = "quash-first-failure";
/// The last attempts as a JSON list of [`crate::record::Attempt`], oldest first.
pub const ATTEMPTS: &str = "quash-attempts";
/// How often the message came back from the dead letters.
pub const REPLAYS: &str = "quash-replays";
/// The record of a dead letter, as JSON: [`crate::record::Record`].
pub const RECORD: &str = "quash-dead-letter";
