//! Names the message headers that carry Quash's own state; payloads are never changed.

/// The event's identifier, when the payload carries none.
pub const ID: &str = "quash-id";
/// Which attempt on the shares it names this copy is, counted from 1.
pub const ATTEMPT: &str = "quash-attempt";
/// The names of the targets still to do, separated by commas; absent is all.
pub const TARGETS: &str = "quash-targets";
/// Which pass of `again_after` this copy is for, in milliseconds from the first pass; absent is the first.
pub const PASS: &str = "quash-pass";
/// When the share first failed, in milliseconds since the Unix epoch.
pub const FIRST_FAILURE: &str = "quash-first-failure";
/// The last attempts as a JSON list of [`crate::record::Attempt`], oldest first.
pub const ATTEMPTS: &str = "quash-attempts";
/// How often the message came back from the dead letters.
pub const REPLAYS: &str = "quash-replays";
/// The record of a dead letter, as JSON: [`crate::record::Record`].
pub const RECORD: &str = "quash-dead-letter";
