//! Says what JetStream's API takes and answers, as far as it is used here.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// An error that the server answered with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct ApiError {
    /// As in HTTP.
    pub(super) code: u16,
    /// What it is about; see [`code`].
    #[serde(default)]
    pub(super) err_code: u32,
    #[serde(default)]
    pub(super) description: String,
}

/// The numbers of errors that mean something here.
pub(super) mod code {
    pub(in super::super) const CONSUMER_NOT_FOUND: u32 = 10014;
    pub(in super::super) const NO_MESSAGE_FOUND: u32 = 10037;
    pub(in super::super) const SEQUENCE_NOT_FOUND: u32 = 10043;
    pub(in super::super) const MESSAGE_TOO_LARGE: u32 = 10054;
    pub(in super::super) const STREAM_NAME_EXIST: u32 = 10058;
    pub(in super::super) const STREAM_NOT_FOUND: u32 = 10059;
    pub(in super::super) const SUBJECT_OVERLAP: u32 = 10065;
    pub(in super::super) const STORE_FAILED: u32 = 10077;
    pub(in super::super) const WORK_QUEUE_UNFILTERED: u32 = 10099;
    pub(in super::super) const WORK_QUEUE_NOT_UNIQUE: u32 = 10100;
}

/// An answer: an error, or what was asked for.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Answer<T> {
    Error { error: ApiError },
    Good(T),
}

/// The answer to a publish.
#[derive(Debug, Deserialize)]
pub(super) struct PubAck {
    /// The stream that has the message.
    #[serde(rename = "stream")]
    pub(super) _stream: String,
}

/// What a stream is and holds.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct StreamInfo {
    pub(super) config: StreamConfig,
    pub(super) state: StreamState,
    #[serde(default)]
    pub(super) cluster: Option<Cluster>,
}

/// Where a stream or consumer is kept, if that is a cluster.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Cluster {
    /// The server that answers for it.
    #[serde(default)]
    pub(super) leader: Option<String>,
}

/// How a stream is set up. Numbers below zero are no limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StreamConfig {
    pub(super) name: String,
    #[serde(default)]
    pub(super) subjects: Vec<String>,
    pub(super) retention: String,
    pub(super) storage: String,
    pub(super) discard: String,
    pub(super) num_replicas: u32,
    pub(super) max_msgs: i64,
    pub(super) max_bytes: i64,
    #[serde(default = "no_limit")]
    pub(super) max_msgs_per_subject: i64,
    #[serde(default = "no_limit")]
    pub(super) max_msg_size: i64,
    /// In nanoseconds; zero is no limit.
    pub(super) max_age: u64,
    #[serde(default)]
    pub(super) duplicate_window: u64,
    #[serde(default)]
    pub(super) allow_direct: bool,
    #[serde(default)]
    pub(super) no_ack: bool,
}

const fn no_limit() -> i64 {
    -1
}

/// What a stream holds.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct StreamState {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
    /// How many messages each of the subjects has that were asked for.
    #[serde(default)]
    pub(super) subjects: Option<HashMap<String, u64>>,
}

/// What a consumer is and has before it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ConsumerInfo {
    /// When it was made: another time is another consumer of the same name.
    pub(super) created: String,
    pub(super) config: ConsumerConfig,
    /// The last that was handed out for the first time.
    #[serde(default)]
    pub(super) delivered: Delivered,
    /// Up to here all is settled.
    #[serde(default)]
    pub(super) ack_floor: Delivered,
    /// Never handed out.
    pub(super) num_pending: u64,
    /// Handed out and not settled.
    pub(super) num_ack_pending: u64,
    #[serde(default)]
    pub(super) cluster: Option<Cluster>,
}

/// How far a consumer has come.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Delivered {
    /// The number of a message in its stream.
    pub(super) stream_seq: u64,
    /// How many deliveries there were up to it, those that came again included.
    #[serde(default)]
    pub(super) consumer_seq: u64,
}

/// How a consumer is set up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ConsumerConfig {
    #[serde(default)]
    pub(super) durable_name: String,
    pub(super) deliver_policy: String,
    pub(super) ack_policy: String,
    pub(super) replay_policy: String,
    /// In nanoseconds.
    #[serde(default)]
    pub(super) ack_wait: u64,
    #[serde(default = "no_limit")]
    pub(super) max_deliver: i64,
    #[serde(default)]
    pub(super) max_ack_pending: i64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) filter_subject: String,
    /// Where it pushes to; empty when it is pulled from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) deliver_subject: String,
    /// Waits of its own after each delivery, which would stand for `ack_wait`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) backoff: Vec<u64>,
}

/// A request for messages.
#[derive(Serialize)]
pub(super) struct Next {
    pub(super) batch: usize,
    /// The request ends before a message that does not fit any more.
    pub(super) max_bytes: usize,
    /// In nanoseconds.
    pub(super) expires: u64,
    pub(super) idle_heartbeat: u64,
}

/// Whether something was removed.
#[derive(Deserialize)]
pub(super) struct Removed {
    pub(super) success: bool,
}

/// A duration as the API counts.
pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).min(i64::MAX.unsigned_abs())
}
