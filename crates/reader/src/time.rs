//! Measures times in milliseconds, as the server does.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time since the Unix epoch by this machine's clock, which decides about nothing but soft expiry.
pub(crate) fn now_ms() -> u64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// Whole milliseconds.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The milliseconds of a time to live: at least one, at most what 13 digits hold beside the time of now.
pub(crate) fn ms(time: Duration) -> u64 {
    millis(time).clamp(1, 4_000_000_000_000)
}
