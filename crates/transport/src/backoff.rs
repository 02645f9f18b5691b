//! Computes retry delays and paces reconnects; the only file that uses `backoff`.

use std::time::Duration;

use backoff::ExponentialBackoffBuilder;
use backoff::backoff::Backoff as _;

/// How long to wait before an attempt is repeated: exponential, with jitter, and never longer than its maximum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    initial: Duration,
    factor: f64,
    max: Duration,
    jitter: f64,
}

/// Why four numbers are no policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Retries would follow each other without a pause.
    #[error("the initial delay must be longer than zero")]
    Initial,
    /// Delays would shrink, or not be numbers.
    #[error("the factor must be a finite number of at least 1")]
    Factor,
    /// The first delay would be over the maximum already.
    #[error("the maximum delay must not be shorter than the initial one")]
    Max,
    /// A delay could be negative.
    #[error("the jitter must be between 0 and 1")]
    Jitter,
}

impl RetryPolicy {
    /// A policy: the delay after the first attempt, what it is multiplied by for each further one, what it never exceeds,
    /// and the share of it (0 to 1) by which it varies to both sides.
    ///
    /// # Errors
    /// When the numbers do not make a policy.
    pub fn try_new(initial: Duration, factor: f64, max: Duration, jitter: f64) -> Result<Self, PolicyError> {
        if initial.is_zero() {
            return Err(PolicyError::Initial);
        }
        if !factor.is_finite() || factor < 1.0 {
            return Err(PolicyError::Factor);
        }
        if max < initial {
            return Err(PolicyError::Max);
        }
        if !(0.0..=1.0).contains(&jitter) {
            return Err(PolicyError::Jitter);
        }
        Ok(Self { initial, factor, max, jitter })
    }

    /// The delay after a failed attempt, counted from 1.
    #[must_use]
    pub fn delay(&self, attempt: u32) -> Duration {
        let step = self.step(attempt);
        // By default `backoff` gives up 15 minutes after it was made, and it exceeds the maximum by the jitter.
        ExponentialBackoffBuilder::new()
            .with_initial_interval(step)
            .with_randomization_factor(self.jitter)
            .with_max_interval(self.max)
            .with_max_elapsed_time(None)
            .build()
            .next_backoff()
            .unwrap_or(step)
            .min(self.max)
    }

    /// The delay that a draw from 0 to 1 stands for; [`RetryPolicy::delay`] draws by itself.
    #[must_use]
    pub fn delay_with(&self, attempt: u32, draw: f64) -> Duration {
        let spread = 1.0 + self.jitter * (2.0 * draw.clamp(0.0, 1.0) - 1.0);
        self.bounded(self.step(attempt).as_secs_f64() * spread)
    }

    fn step(&self, attempt: u32) -> Duration {
        let exponent = i32::try_from(attempt.max(1) - 1).unwrap_or(i32::MAX);
        self.bounded(self.initial.as_secs_f64() * self.factor.powi(exponent))
    }

    fn bounded(&self, seconds: f64) -> Duration {
        Duration::try_from_secs_f64(seconds).map_or(self.max, |delay| delay.min(self.max))
    }
}

/// Slows down a loop that fails again and again, and forgets it after a success.
#[derive(Debug)]
pub struct Pace {
    policy: RetryPolicy,
    failures: u32,
}

impl Pace {
    /// The pace of reconnects: from a tenth of a second to five seconds, far apart enough for a broker that comes back
    /// to many clients.
    #[must_use]
    pub fn of_reconnects() -> Self {
        Self::new(RetryPolicy {
            initial: Duration::from_millis(100),
            factor: 2.0,
            max: Duration::from_secs(5),
            jitter: 0.5,
        })
    }

    /// A pace by a policy.
    #[must_use]
    pub const fn new(policy: RetryPolicy) -> Self {
        Self { policy, failures: 0 }
    }

    /// Says that it went well: the next failure is a first one.
    pub const fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Counts a failure and waits as long as the policy says.
    pub async fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
        tokio::time::sleep(self.policy.delay(self.failures)).await;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policies() -> impl Strategy<Value = RetryPolicy> {
        (1_u64..10_000, 1.0..4.0_f64, 1_u64..100, 0.0..=1.0_f64).prop_map(|(initial, factor, times, jitter)| {
            let initial = Duration::from_millis(initial);
            RetryPolicy::try_new(initial, factor, initial * u32::try_from(times).unwrap(), jitter).unwrap()
        })
    }

    proptest! {
        #[test]
        fn a_delay_stays_within_its_bounds(policy in policies(), attempt in 0_u32..5000) {
            let delay = policy.delay(attempt);
            let least = policy.step(attempt).mul_f64(1.0 - policy.jitter);
            prop_assert!(delay + Duration::from_micros(1) >= least, "{delay:?} < {least:?}");
            prop_assert!(delay <= policy.max);
        }

        #[test]
        fn the_drawn_delay_has_the_same_bounds(policy in policies(), attempt in 0_u32..5000, draw in 0.0..=1.0_f64) {
            let delay = policy.delay_with(attempt, draw);
            prop_assert!(delay + Duration::from_micros(1) >= policy.step(attempt).mul_f64(1.0 - policy.jitter));
            prop_assert!(delay <= policy.max);
        }

        #[test]
        fn later_attempts_wait_longer_on_average(policy in policies(), attempt in 1_u32..50) {
            let mean = |attempt| (0..=100).map(|draw| policy.delay_with(attempt, f64::from(draw) / 100.0)).sum::<Duration>();
            prop_assert!(mean(attempt) <= mean(attempt + 1));
        }
    }

    #[test]
    fn without_jitter_the_delays_are_exact() {
        let policy = RetryPolicy::try_new(Duration::from_millis(200), 2.0, Duration::from_secs(1), 0.0).unwrap();
        let delays: Vec<_> = (0..6).map(|attempt| policy.delay(attempt).as_millis()).collect();
        assert_eq!(delays, [200, 200, 400, 800, 1000, 1000]);
    }

    #[test]
    fn nonsense_is_no_policy() {
        let second = Duration::from_secs(1);
        let cases = [
            (Duration::ZERO, 2.0, second, 0.5, PolicyError::Initial),
            (second, 0.9, second, 0.5, PolicyError::Factor),
            (second, f64::NAN, second, 0.5, PolicyError::Factor),
            (second, f64::INFINITY, second, 0.5, PolicyError::Factor),
            (second, 2.0, second / 2, 0.5, PolicyError::Max),
            (second, 2.0, second, -0.1, PolicyError::Jitter),
            (second, 2.0, second, 1.1, PolicyError::Jitter),
            (second, 2.0, second, f64::NAN, PolicyError::Jitter),
        ];
        for (initial, factor, max, jitter, error) in cases {
            assert_eq!(RetryPolicy::try_new(initial, factor, max, jitter), Err(error));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pace_slows_down_and_forgets_after_a_success() {
        let policy = RetryPolicy::try_new(Duration::from_secs(1), 2.0, Duration::from_secs(60), 0.0).unwrap();
        let mut pace = Pace::new(policy);
        let started = tokio::time::Instant::now();
        pace.failed().await;
        pace.failed().await;
        assert_eq!(started.elapsed().as_secs(), 3);
        pace.succeeded();
        pace.failed().await;
        assert_eq!(started.elapsed().as_secs(), 4);
    }
}
