//! Says since when messages wait, as far as gauges need to know and a broker tells cheaply.

use std::time::SystemTime;

use super::Headers;

/// Since when messages wait. What the broker does not tell is `None`, and so is what is not there.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use quash_transport::{Ages, Message};
/// # let transport = quash_transport::memory::Config { name: "ages".into() }.build().map_err(|e| e.message)?;
/// assert_eq!(transport.ages().await?, Ages::default());
/// transport.publish(&[Message::default()]).await?;
/// assert!(transport.ages().await?.oldest.is_some());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ages {
    /// The oldest message that is ready or unsettled.
    pub oldest: Option<Dated>,
    /// The oldest of the copies that wait for their delay.
    pub oldest_delayed: Option<Dated>,
    /// When the next of these copies is due.
    pub next_due: Option<SystemTime>,
}

/// A message that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dated {
    /// When the broker took it; where the broker does not say, since when a consumer of this transport has had it.
    pub since: SystemTime,
    /// Its headers.
    pub headers: Headers,
}

/// A moment in milliseconds since the Unix epoch. Numbers that cannot be one, as publishers may choose them, are none.
#[cfg(any(feature = "nats", feature = "redis_streams"))]
pub(super) fn moment(unix_ms: u64) -> Option<SystemTime> {
    /// The year 2001: less is a count, or a test's.
    const EARLIEST: u64 = 1_000_000_000_000;
    let since = std::time::Duration::from_millis(unix_ms);
    (unix_ms >= EARLIEST).then(|| SystemTime::UNIX_EPOCH.checked_add(since)).flatten()
}
