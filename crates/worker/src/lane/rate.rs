//! Paces actions with a token bucket.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Lets so many actions a second through, and up to one second's worth at once. A share that is bigger than that goes
/// as a whole, and those behind it wait for what it took: shares are never torn.
pub(super) struct Rate {
    per_second: f64,
    bucket: Mutex<Bucket>,
}

struct Bucket {
    /// Negative while shares wait for what others took before them.
    tokens: f64,
    filled: Instant,
}

impl Rate {
    /// A rate in actions a second; 0 is no limit.
    pub(super) fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second);
        Self { per_second, bucket: Mutex::new(Bucket { tokens: per_second, filled: Instant::now() }) }
    }

    /// Waits until these actions may be sent, in the order of the calls. What is dropped while waiting has used its
    /// tokens.
    pub(super) async fn take(&self, actions: usize) {
        if self.per_second > 0.0 {
            sleep(self.reserve(actions)).await;
        }
    }

    fn reserve(&self, actions: usize) -> Duration {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let earned = now.duration_since(bucket.filled).as_secs_f64() * self.per_second;
        bucket.filled = now;
        bucket.tokens = (bucket.tokens + earned).min(self.per_second);
        let missing = (-bucket.tokens).max(0.0);
        #[expect(clippy::cast_precision_loss, reason = "a share is far below 2^53 actions")]
        let cost = actions as f64;
        bucket.tokens -= cost;
        Duration::try_from_secs_f64(missing / self.per_second).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn actions_are_paced_and_shares_are_never_torn() {
        let rate = Rate::new(100);
        let started = Instant::now();
        let mut elapsed_ms = Vec::new();
        for actions in [100, 300, 50, 1] {
            rate.take(actions).await;
            elapsed_ms.push(started.elapsed().as_millis());
        }
        assert_eq!(elapsed_ms, [0, 0, 3_000, 3_500]);
    }

    #[tokio::test(start_paused = true)]
    async fn no_limit_never_waits() {
        let rate = Rate::new(0);
        let started = Instant::now();
        rate.take(usize::MAX).await;
        assert_eq!(started.elapsed(), Duration::ZERO);
    }
}
