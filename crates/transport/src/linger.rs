//! Says how long a batch that is not full waits for more.

use std::time::Duration;

/// Whether it goes out at once, of the length that it has, given how many deliveries the consumer holds in all.
///
/// The clock ticks in milliseconds, so that no time at all lasts up to one. While others are worked on that makes the next
/// batch larger; when nothing else goes on it would only be late.
pub(super) const fn goes_at_once(linger: Duration, length: usize, held: usize) -> bool {
    linger.is_zero() && held <= length
}
